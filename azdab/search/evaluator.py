"""What the search asks of a position, and the network as the one that answers."""

from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from azdab.common.config import NetworkConfig
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.network import model
from azdab.network.model import NetworkOutput, Params


class Evaluation(NamedTuple):
    """What the search asks of a batch of positions.

    Attributes:
      prior_logits: ``float32[B, E]``; need not be masked.
      value: ``float32[B]``, the mover's future utility.
    """

    prior_logits: Float[Array, "B E"]
    value: Float[Array, "B"]


class Evaluator(Protocol):
    """A pure function from positions to evaluations, such as a network."""

    def __call__(self, params: Params, states: State) -> Evaluation: ...


def shown_margin(margin: Int[Array, "B"], utility: str) -> Int[Array, "B"]:
    """The score margin as the network may see it, in play and in learning.

    Under the margin utility the best move does not depend on the score, so the
    network is not shown it.
    """
    return margin if utility == "win" else jnp.zeros_like(margin)


def network_inputs(states: State, utility: str) -> tuple[Bool[Array, "B E"], Int[Array, "B"]]:
    """The drawn edges, ``bool[B, E]``, and the margin shown, ``int32[B]``."""
    return states.edges, shown_margin(rules.margin(states), utility)


def network_evaluator(board: Board, config: NetworkConfig, utility: str) -> Evaluator:
    """The network as the search's evaluator."""

    @jax.jit  # a search evaluates in two places, and it is traced once
    def evaluate(params: Params, states: State) -> Evaluation:
        output = model.apply(board, config, params, *network_inputs(states, utility))
        return evaluation_of(board, utility, output, states)

    return evaluate


def evaluation_of(board: Board, utility: str, output: NetworkOutput, states: State) -> Evaluation:
    """What the network said of positions, as the search needs it."""
    if utility == "win":
        value = model.win_value(board, output.margin_logits, rules.margin(states))
    else:
        value = model.expected_margin(board, output.margin_logits) / board.num_boxes
    return Evaluation(output.prior_logits, value)


def check_states(board: Board, states: State) -> None:
    """Refuse what is no batch of positions of the board; costs nothing in compiled code.

    Raises:
      AssertionError: an array has another shape or type.
    """
    chex.assert_shape(states.edges, (None, board.num_edges))
    batch = len(states.edges)
    chex.assert_shape([states.scores, states.to_play], [(batch, 2), (batch,)])
    chex.assert_type([*states], [bool, int, int])


def check_evaluation(board: Board, states: State, evaluation: Evaluation) -> None:
    """Refuse an evaluation that does not answer for these positions.

    Raises:
      AssertionError: an array has another shape or type.
    """
    batch = len(states.edges)
    chex.assert_shape([*evaluation], [(batch, board.num_edges), (batch,)])
    chex.assert_type([*evaluation], float)
