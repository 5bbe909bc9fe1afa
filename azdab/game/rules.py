"""The rules of Dots and Boxes as pure functions over one position.

Callers batch with ``jax.vmap``. A board of ``rows x cols`` *boxes* has
``E = rows * (cols + 1) + cols * (rows + 1)`` edges, numbered as in
:mod:`azdab.game.board`. A game lasts exactly as many plies as edges are open at the
start, ``board.num_plies``: every move draws one edge, and closing a box only changes
who moves next.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from azdab.game.board import Board
from azdab.game.geometry import box_degrees


class State(NamedTuple):
    """One position.

    Who owns which box is not part of it: owners matter for display only, and the
    search tree stores one state per node.

    Attributes:
      edges: ``bool[E]``, True where an edge is drawn.
      scores: ``int16[2]``, boxes closed by the first and the second player.
      to_play: ``int8[]``, 0 if the first player is to move, else 1.
    """

    edges: Bool[Array, "*b E"]
    scores: Int[Array, "*b 2"]
    to_play: Int[Array, "*b"]


def init_state(board: Board) -> State:
    """The first position, with the first player to move."""
    return State(
        edges=jnp.asarray(board.start_mask()),
        scores=jnp.zeros(2, jnp.int16),
        to_play=jnp.zeros((), jnp.int8),
    )


def init_states(board: Board, count: int) -> State:
    """``count`` first positions."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), init_state(board))


def legal_actions(state: State) -> Bool[Array, "*b E"]:
    """The edges not yet drawn, ``bool[E]``; all False when the game is over."""
    return ~state.edges


def is_terminal(state: State) -> Bool[Array, "*b"]:
    """Whether every edge is drawn, ``bool[]``."""
    return state.edges.all(axis=-1)


def margin(state: State) -> Int[Array, "*b"]:
    """The mover's boxes minus the opponent's, ``int32[]``."""
    scores = state.scores.astype(jnp.int32)
    difference = scores[..., 0] - scores[..., 1]
    return jnp.where(state.to_play == 0, difference, -difference)


def step(board: Board, state: State, action: Int[Array, ""]) -> State:
    """Draw one edge.

    Drawing an edge that is drawn already leaves the state as it is, so terminal
    states absorb and ``step`` is total.

    Args:
      board: the board.
      state: the position, unbatched.
      action: ``int32[]``, the edge to draw.

    Returns:
      The next position; the same player is to move if a box was closed.

    >>> board = Board(1, 1)
    >>> state = init_state(board)
    >>> for edge in range(4):
    ...     state = step(board, state, jnp.int32(edge))
    >>> state.scores.tolist(), int(state.to_play)
    ([0, 1], 1)
    """
    chex.assert_shape(state.edges, (board.num_edges,))
    chex.assert_rank([state.to_play, action], 0)
    edge = jnp.arange(board.num_edges) == action
    legal = jnp.any(edge & ~state.edges)
    edges = state.edges | edge
    before = box_degrees(board, state.edges) == 4
    after = box_degrees(board, edges) == 4
    closed = jnp.sum(after & ~before).astype(jnp.int16)
    mover = jnp.arange(2) == state.to_play
    passes = legal & (closed == 0)
    return State(
        edges=edges,
        scores=state.scores + jnp.where(mover, closed, 0).astype(jnp.int16),
        to_play=jnp.where(passes, 1 - state.to_play, state.to_play).astype(jnp.int8),
    )


def step_batch(board: Board, states: State, actions: Int[Array, "B"]) -> State:
    """:func:`step` for a batch of positions."""
    return jax.vmap(functools.partial(step, board))(states, actions)


def random_actions(key: Array, legal: Bool[Array, "*b E"]) -> Int[Array, "*b"]:
    """A uniformly random legal action for each row of ``legal``, ``int32[...]``."""
    return jax.random.categorical(key, jnp.where(legal, 0.0, -jnp.inf), axis=-1)


def random_choices(rng: np.random.Generator, choices: np.ndarray) -> np.ndarray:
    """A uniformly random True entry of each row, ``int32[B]``."""
    return np.where(choices, rng.random(choices.shape), -1.0).argmax(axis=1).astype(np.int32)
