"""Players: pure functions from positions to moves.

An agent maps ``(params, key, states)`` to one action per state. Agents without
parameters ignore the first argument.
"""

from typing import Any, Protocol

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from azdab.common.config import SearchConfig
from azdab.exact.dense_table import SolvedBoard, exact_values
from azdab.game import geometry, rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.search import tree_search
from azdab.search.evaluator import Evaluator


class Agent(Protocol):
    """A player of a batch of positions."""

    def __call__(self, params: Any, key: Array, states: State) -> Int[Array, "B"]: ...


def random_agent(board: Board) -> Agent:
    """Plays a uniformly random legal edge."""
    del board

    def act(params: Any, key: Array, states: State) -> Array:
        del params
        return rules.random_actions(key, rules.legal_actions(states))

    return act


def capturable(board: Board, edges: Bool[Array, "*b E"]) -> Int[Array, "*b"]:
    """How many boxes the player to move can close in a row, ``int32[...]``.

    Closing every box with three drawn edges until none is left takes them all.
    """
    chex.assert_axis_dimension(edges, -1, board.num_edges)

    def three(edges: Array) -> Array:
        return geometry.box_degrees(board, edges) == 3

    taken = jax.lax.while_loop(
        lambda edges: three(edges).any(),
        lambda edges: edges | geometry.edges_around(board, three(edges)),
        edges,
    )
    return geometry.closed_boxes(board, taken) - geometry.closed_boxes(board, edges)


def greedy_agent(board: Board) -> Agent:
    """Closes a box if it can, else gives away as few boxes as possible, often none.

    Ties are broken at random. It counts whole chains, not only the next box.
    """
    edge = jnp.eye(board.num_edges, dtype=bool)

    def act(params: Any, key: Array, states: State) -> Array:
        del params
        legal = rules.legal_actions(states)
        closes = geometry.closing_edges(board, states.edges)
        given = capturable(board, states.edges[:, None] | edge[None])
        given = jnp.where(legal, given, 2 * board.num_boxes)
        least = given == given.min(axis=-1, keepdims=True)
        choices = jnp.where(closes.any(axis=-1, keepdims=True), closes, least & legal)
        return rules.random_actions(key, choices)

    return act


def opening_agent(board: Board, greedy_share: float, games: int, key: Array) -> Agent:
    """Plays the openings of self-play: in some games the greedy player with errors, else random.

    Greedy games differ in how often they err, from never to always. They reach positions in
    which little was given away; opponents reach such positions, random moves seldom do.

    Args:
      board: the board.
      greedy_share: share of greedy games; static.
      games: how many games; the agent takes a batch of them.
      key: decides which games are greedy, and how often they err.
    """
    anything, greedy = random_agent(board), greedy_agent(board)
    if greedy_share == 0:
        return anything
    which_key, rate_key = jax.random.split(key)
    is_greedy = jax.random.uniform(which_key, (games,)) < greedy_share
    error_rate = jnp.where(is_greedy, jax.random.uniform(rate_key, (games,)), 1.0)

    def act(params: Any, key: Array, states: State) -> Array:
        err_key, random_key, greedy_key = jax.random.split(key, 3)
        errs = jax.random.uniform(err_key, (games,)) < error_rate
        error = anything(params, random_key, states)
        return jnp.where(errs, error, greedy(params, greedy_key, states))

    return act


def perfect_agent(board: Board) -> Agent:
    """Plays a random optimal move; ``params`` is a :class:`SolvedBoard`."""
    del board

    def act(params: SolvedBoard, key: Array, states: State) -> Array:
        values = exact_values(params, states.edges)
        return rules.random_actions(key, values == values.max(axis=-1, keepdims=True))

    return act


def network_agent(evaluate: Evaluator) -> Agent:
    """The network alone: the legal edge with the highest prior."""

    def act(params: Any, key: Array, states: State) -> Array:
        del key
        logits = evaluate(params, states).prior_logits
        return jnp.argmax(jnp.where(rules.legal_actions(states), logits, -jnp.inf), axis=-1)

    return act


def search_agent(
    board: Board, config: SearchConfig, evaluate: Evaluator, num_simulations: int
) -> Agent:
    """The network with search, playing the best move found."""

    def act(params: Any, key: Array, states: State) -> Array:
        output = tree_search.search(
            board,
            config,
            evaluate,
            params,
            key,
            states,
            num_simulations=num_simulations,
            explore=False,
        )
        return output.action

    return act
