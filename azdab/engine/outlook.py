"""What a network and its search say of one position, and what can be expected from it."""

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
from azdab.search.evaluator import network_evaluator, network_inputs


class Seen(NamedTuple):
    """N positions as network and search see them.

    Attributes:
      prior: ``float32[N, E]``, the policy over legal moves.
      margin_weights: ``float32[N, 2 * num_boxes + 1]``, of the mover's future margin.
      ownership: ``float32[N, num_boxes]``, the probability that the mover closes the
        box; meaningless where the box is closed.
      action: ``int32[N]``, the move to play.
      value: ``float32[N]``, in the search's utility.
      q_values: ``float32[N, E]``, of the visited moves.
      visit_counts: ``int32[N, E]``.
    """

    prior: Any
    margin_weights: Any
    ownership: Any
    action: Any
    value: Any
    q_values: Any
    visit_counts: Any


@functools.lru_cache(maxsize=16)
def _looker(board: Board, run: Config, simulations: int) -> Callable[[Any, Any, State], Seen]:
    """The compiled network with search."""
    evaluate = network_evaluator(board, run.network, run.search.utility)

    def look(params: Any, key: Any, states: State) -> Seen:
        inputs = network_inputs(states, run.search.utility)
        output = model.apply(board, run.network, params, *inputs)
        prior = jax.nn.softmax(jnp.where(states.edges, -jnp.inf, output.prior_logits))
        weights = jax.nn.softmax(output.margin_logits)
        owns = jax.nn.sigmoid(output.ownership_logits)
        if not simulations:
            value, none = evaluate(params, states).value, jnp.zeros(prior.shape)
            return Seen(prior, weights, owns, jnp.argmax(prior, axis=-1), value, none, none)
        found = tree_search.search(
            board, run.search, evaluate, params, key, states,
            num_simulations=simulations, explore=False,
        )  # fmt: skip
        return Seen(
            prior, weights, owns, found.action, found.value, found.q_values, found.visit_counts
        )

    return jax.jit(look)


def inspect_states(
    player: TrainedNetwork, states: State, key: Any, simulations: int, chunk: int = 1
) -> Seen:
    """Show positions to a network with search.

    Args:
      player: the network, with the search settings of its run.
      states: N > 0 unfinished positions, in numpy.
      key: random key.
      simulations: per position; 0 asks the network alone.
      chunk: positions at once.
    """
    compiled = _looker(player.board, player.config, simulations)
    seen: Seen = batching.in_chunks(lambda rows: compiled(player.params, key, rows), chunk)(states)
    return seen


def inspect_position(
    player: TrainedNetwork, position: Position, key: Any, simulations: int
) -> Seen:
    """One position; the attributes lack the first axis."""
    return Seen(*(x[0] for x in inspect_states(player, position.state(), key, simulations)))


def in_boxes(player: TrainedNetwork) -> bool:
    """Whether the search's values are margins, not results."""
    return player.config.search.utility == "margin"


def expected_result(player: TrainedNetwork, seen: Seen, lead: int) -> tuple[float, float]:
    """What to expect of a game.

    Args:
      player: whose network and search it was.
      seen: the position.
      lead: the mover's margin so far.

    Returns:
      The mover's expected final margin in boxes, and probability to win, a draw
      counting half.
    """
    margins = np.asarray(model.margins(player.board), float)
    weights = np.asarray(seen.margin_weights, float)
    weights = weights / weights.sum()
    value = float(seen.value)
    if not in_boxes(player):
        return float(weights @ margins) + lead, 0.5 + 0.5 * value
    # The network's distribution, moved to where the search sees its mean.
    expected = value * player.board.num_boxes
    weights = tilted(margins, weights, expected)
    wins = 0.5 + 0.5 * np.sign(margins + lead)
    return expected + lead, min(float(weights @ wins), 1.0)  # rounding can lead beyond


def tilted(values: np.ndarray, weights: np.ndarray, mean: float) -> np.ndarray:
    """The distribution nearest to another, in relative entropy, that has a given mean.

    Args:
      values: ``float[n]``.
      weights: ``float[n]``, a distribution over them.
      mean: a mean that is out of reach gives the distribution that comes nearest.
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
