"""Other programs' self-play, for the benchmark: OpenSpiel's AlphaZero in Python."""

import importlib.util
import warnings
from typing import Any

import numpy as np

from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.common.lattice import PLAIN

OPPONENTS = ("openspiel",)
"""What can be measured beside azdab."""


def require_installed() -> None:
    """Refuse to go on where OpenSpiel is not installed.

    Raises:
      UserError: says what to install.
    """
    if importlib.util.find_spec("open_spiel") is None:
        raise UserError("--opponent openspiel needs OpenSpiel: pip install 'open-spiel>=2'")
    if importlib.util.find_spec("open_spiel.python.algorithms.alpha_zero.model_nnx") is None:
        raise UserError(
            "--opponent openspiel needs OpenSpiel's AlphaZero on JAX: pip install 'open-spiel>=2'"
        )


class OpenSpielActor:
    """What one actor process of OpenSpiel's AlphaZero does, move by move.

    Its model (``resnet``, its default API), its evaluator with its cache, two bots with
    the settings of its example ``alpha_zero.py``, moves drawn by visits. Width and depth
    are the config's filters and blocks; its blocks are two 3x3 convolutions on its own
    observation of the board.

    Attributes:
      state: the position of its game, OpenSpiel's.
      model: its network, OpenSpiel's.
    """

    def __init__(self, config: Config) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about the API that is chosen
            import pyspiel
            from open_spiel.python.algorithms import mcts
            from open_spiel.python.algorithms.alpha_zero import evaluator, model_nnx

        if config.board.start != PLAIN:
            raise UserError("OpenSpiel has no lines drawn at the start: use board.start=plain")
        rows, cols = config.board.rows, config.board.cols
        self._rules = pyspiel.load_game(f"dots_and_boxes(num_rows={rows},num_cols={cols})")
        self._random = np.random.RandomState(config.seed)
        self.model = model_nnx.Model.build_model(
            "resnet",
            self._rules.observation_tensor_shape(),
            self._rules.num_distinct_actions(),
            config.network.filters,
            config.network.blocks,
            weight_decay=1e-4,
            learning_rate=1e-3,
            path=None,
        )
        evaluate = evaluator.AlphaZeroEvaluator(self._rules, self.model)

        def bot() -> Any:
            return mcts.MCTSBot(
                self._rules,
                1.41,
                config.search.num_simulations,
                evaluate,
                solve=False,
                random_state=self._random,
                dirichlet_noise=(0.25, 1.0),
                child_selection_fn=mcts.SearchNode.puct_value,
                dont_return_chance_node=True,
            )

        self._bots = bot(), bot()
        self.state = self._rules.new_initial_state()

    def move(self) -> None:
        """Search and play one move; after the last, a new game begins."""
        state = self.state
        root = self._bots[state.current_player()].mcts_search(state)
        counts = np.zeros(self._rules.num_distinct_actions())
        for child in root.children:
            counts[child.action] = child.explore_count
        state.apply_action(int(self._random.choice(len(counts), p=counts / counts.sum())))
        if state.is_terminal():
            self.state = self._rules.new_initial_state()
