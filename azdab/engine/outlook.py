"""What a network and its search say of positions, and what can be expected from them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from azdab.common.config import Config
from azdab.devices import batching
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.rules import State
from azdab.network import model
from azdab.runs.networks import TrainedNetwork
from azdab.search import tree_search
from azdab.search.evaluator import (
    Evaluation,
    evaluation_of,
    network_evaluator,
    network_inputs,
)
from azdab.search.tree_search import SearchOutput


class Outlook(NamedTuple):
    """N positions as network and search see them; margins are the mover's, in boxes.

    Attributes:
      prior: ``float32[N, E]``, the network's policy over legal moves.
      margins: ``float32[N, 2 * num_boxes + 1]``, its distribution of the future margin.
      ownership: ``float32[N, num_boxes]``, its probability that the mover closes the
        box; meaningless where the box is closed.
      action: ``int32[N]``, the move to play.
      value: ``float32[N]``, in the search's utility.
      margin: ``float[N]``, the expected future margin: the search's where it counts
        boxes, else the network's.
      q: ``float[N, E]``, the expected future margin after each move that the search
        visited; NaN elsewhere, and everywhere if the search does not count boxes.
      visits: ``int32[N, E]``, simulations per move.
    """

    prior: Any
    margins: Any
    ownership: Any
    action: Any
    value: Any
    margin: Any
    q: Any
    visits: Any


def network_outlook(
    board: Board, run: Config, params: Any, states: State
) -> tuple[Outlook, Evaluation]:
    """What the network alone says, its value in utility; and that as the search needs it."""
    utility = run.search.utility
    output = model.apply(board, run.network, params, *network_inputs(states, utility))
    prior = jax.nn.softmax(jnp.where(states.edges, -jnp.inf, output.prior_logits))
    evaluation = evaluation_of(board, utility, output, states)
    alone = Outlook(
        prior=prior,
        margins=jax.nn.softmax(output.margin_logits),
        ownership=jax.nn.sigmoid(output.ownership_logits),
        action=jnp.argmax(prior, axis=-1),
        value=evaluation.value,
        margin=model.expected_margin(board, output.margin_logits),
        q=jnp.zeros(prior.shape),
        visits=jnp.zeros(prior.shape, jnp.int32),
    )
    return alone, evaluation


def searched(alone: Outlook, found: SearchOutput) -> Outlook:
    """What the network says, with what a search found; ``q`` is in utility."""
    return alone._replace(
        action=found.action, value=found.value, q=found.q_values, visits=found.visit_counts
    )


def in_boxes(trained: TrainedNetwork, found: Outlook) -> Outlook:
    """An outlook in numpy whose ``margin`` and ``q`` are in boxes, as :class:`Outlook` says."""
    unknown = np.full(found.q.shape, np.nan)
    if trained.config.search.utility == "win":
        return found._replace(q=unknown)
    boxes = float(trained.board.num_boxes)
    return found._replace(
        margin=found.value.astype(float) * boxes,
        q=np.where(found.visits > 0, found.q.astype(float) * boxes, unknown),
    )


@functools.lru_cache(maxsize=16)
def _looker(board: Board, run: Config, simulations: int) -> Callable[[Any, Any, State], Outlook]:
    """The compiled network with search; its margins are the network's, its ``q`` in utility."""
    evaluate = network_evaluator(board, run.network, run.search.utility)

    def look(params: Any, key: Any, states: State) -> Outlook:
        alone, root = network_outlook(board, run, params, states)
        if not simulations:
            return alone
        roots = states

        def asked(params: Any, states: State) -> Evaluation:
            # The network is not traced again for the roots.
            return root if states is roots else evaluate(params, states)

        found = tree_search.search(
            board, run.search, asked, params, key, states,
            num_simulations=simulations, explore=False,
        )  # fmt: skip
        return searched(alone, found)

    return jax.jit(look)


def ask(
    trained: TrainedNetwork, states: State, simulations: int, *, key: Any = None, chunk: int = 32
) -> Outlook:
    """Show positions to a network with search.

    Args:
      trained: the network, with the search settings of its run.
      states: N > 0 unfinished positions, in numpy.
      simulations: per position; 0 asks the network alone.
      key: random key; None: always the same one.
      chunk: positions at once.

    Returns:
      The answers, in numpy.
    """
    compiled = _looker(trained.board, trained.config, simulations)
    key = jax.random.key(0) if key is None else key
    call = batching.in_chunks(lambda rows: compiled(trained.params, key, rows), chunk)
    found: Outlook = call(states)
    return in_boxes(trained, found)


def ask_position(
    trained: TrainedNetwork, position: Position, simulations: int, key: Any = None
) -> Outlook:
    """:func:`ask` about one unfinished position; the attributes lack the first axis."""
    return Outlook(*(x[0] for x in ask(trained, position.state(), simulations, key=key, chunk=1)))


def final_margins(board: Board) -> np.ndarray:
    """The future margins, in boxes, that a network tells apart, ``float64[M]``."""
    return np.asarray(model.margins(board), float)


def expected_result(trained: TrainedNetwork, found: Outlook, lead: int) -> tuple[float, float]:
    """What to expect of a game.

    Args:
      trained: the network that was asked.
      found: its answer about one position.
      lead: the mover's margin so far, in boxes.

    Returns:
      The mover's expected final margin in boxes, and the mover's probability to win, where
      a draw counts half.
    """
    margins = final_margins(trained.board)
    weights = np.asarray(found.margins, float)
    weights = weights / weights.sum()
    value = float(found.value)
    if trained.config.search.utility == "win":
        return float(weights @ margins) + lead, 0.5 + 0.5 * value
    # The network's distribution, moved to where the search sees its mean.
    possible = margins[weights > 0]  # beyond them, rounding can lead
    expected = float(np.clip(value * trained.board.num_boxes, possible[0], possible[-1]))
    weights = tilted(margins, weights, expected)
    wins = 0.5 + 0.5 * np.sign(margins + lead)
    return expected + lead, min(float(weights @ wins), 1.0)  # rounding can lead beyond


def tilted(values: np.ndarray, weights: np.ndarray, mean: float) -> np.ndarray:
    """The distribution nearest to another, in relative entropy, that has a given mean.

    Args:
      values: ``float[n]``.
      weights: ``float[n]``, a distribution over them.
      mean: the mean to reach. If it is out of reach, the result comes as near as it can.

    Returns:
      ``float[n]``, a distribution over the values.
    """
    support = weights > 1e-6
    values, weights = values[support], weights[support]
    low, high = -4.0, 4.0
    tilt = weights
    for _ in range(40):
        middle = (low + high) / 2
        tilt = weights * np.exp(middle * (values - values.mean()))
        tilt = tilt / tilt.sum()
        low, high = (middle, high) if tilt @ values < mean else (low, middle)
    whole = np.zeros(len(support))
    whole[support] = tilt
    return whole
