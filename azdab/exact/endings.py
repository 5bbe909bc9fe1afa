"""Endings played from exact values: a teacher that finishes the games of self-play.

Once few enough edges are left, the value of every move is known. A game is then
finished in several *lines*. The first is perfect play and gives the game its outcome.
The others visit positions that imperfect players meet: they are given, such as the
network's own play, or are perfect play with some errors. Every
position of every line is labelled with its exact value and with all of its optimal
moves.

The values come from a dense table of each position on the device
(:mod:`azdab.exact.dense_table`). Of positions before it, :mod:`azdab.exact.valuation` finds
some on the host's cores.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from azdab.exact import dense_table
from azdab.game import rules
from azdab.game.board import Board


class Endings(NamedTuple):
    """The last ``k`` plies of ``B`` games, each played in ``L`` lines.

    Attributes:
      edges: ``bool[B, L, k, E]``, the edges drawn before each ply.
      action: ``int32[B, L, k]``, the edge drawn.
      value: ``int8[B, L, k]``, the mover's optimal future margin in boxes.
      optimal: ``bool[B, L, k, E]``, the moves that keep it.
    """

    edges: Bool[Array, "B L k E"]
    action: Int[Array, "B L k"]
    value: Int[Array, "B L k"]
    optimal: Bool[Array, "B L k E"]


class GameValues(NamedTuple):
    """What :mod:`azdab.exact.valuation` knows of the first ``P`` plies of ``B`` games.

    Attributes:
      value: ``int8[B, P]``, the mover's optimal future margin in boxes; 0 before ``first``.
      first: ``int32[B]``, values are known from this ply on; ``P`` if none is.
      optimal: ``bool[B, P, E]``, the moves that keep it; none before ``first_optimal``.
      first_optimal: ``int32[B]``, optimal moves are known from this ply on; at least ``first``.
    """

    value: Int[np.ndarray, "B P"]
    first: Int[np.ndarray, "B"]
    optimal: Bool[np.ndarray, "B P E"]
    first_optimal: Int[np.ndarray, "B"]


def table_num_bytes(horizon: int, games: int) -> int:
    """Bytes of the device that the tables of a chunk of games take while they are filled.

    Each has a byte for every subset of its open edges, and again for those of the widest layer.
    Which subsets a layer has is the same for all games; XLA works that out ahead, for several
    layers at once. Measured, see the tests.
    """
    subsets = 1 << horizon
    return games * (subsets + math.comb(horizon, horizon // 2)) + 10 * subsets


def chunk_size(games: int, horizon: int, room: int) -> int:
    """How many of ``games`` games to solve at once.

    Args:
      games: how many there are.
      horizon: open edges of each.
      room: bytes that the tables of a chunk may take.

    Returns:
      At least one. As few chunks as fit, and all nearly equally large.
    """
    shared = table_num_bytes(horizon, 0)
    most = max(1, (room - shared) // (table_num_bytes(horizon, 1) - shared))
    return math.ceil(games / math.ceil(games / most))


def endings_from_table(
    board: Board,
    edges: Bool[Array, "B E"],
    key: PRNGKeyArray,
    horizon: int,
    lines: int,
    given: Int[Array, "B N k"] | None = None,
    chunk: int | None = None,
) -> Endings:
    """Endings from dense tables of all descendants.

    Args:
      board: the board.
      edges: ``bool[B, E]``, positions with ``horizon`` edges open.
      key: random key. Every game gets one of its own, so the chunk does not matter.
      horizon: static.
      lines: static. Each line, except the first and those given, has its own probability
        of random moves, drawn from U(0, 1)^2: from nearly perfect to nearly random play.
      given: ``int32[B, N, horizon]``, the moves of the second to ``N + 1``-th line.
      chunk: static. So many games are solved at once, each in :func:`table_num_bytes`;
        None: all.
    """
    chex.assert_shape(edges, (None, board.num_edges))
    games = len(edges)
    if given is None:
        given = jnp.zeros((games, 0, horizon), jnp.int32)
    keys = jax.random.split(key, games)
    count = math.ceil(games / (chunk or games))
    # The last chunk is filled up with the first games.
    rows = jnp.arange(count * math.ceil(games / count)).reshape(count, -1) % games
    solve = functools.partial(_solve_chunk, board, horizon, lines)
    made = jax.lax.map(lambda rows: solve(edges[rows], keys[rows], given[rows]), rows)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:games], made)


def _solve_chunk(
    board: Board, horizon: int, lines: int, edges: Array, keys: PRNGKeyArray, given: Array
) -> Endings:
    """:func:`endings_from_table` with a key for each game."""
    position = jax.vmap(lambda edges: dense_table.endgame(board, edges, horizon))(edges)
    table = dense_table.solve_table(position.box_masks)
    bits = 1 << jnp.arange(horizon, dtype=jnp.int32)
    keys = jax.vmap(lambda key: jax.random.split(key, 1 + horizon))(keys).T
    noise = jax.vmap(lambda key: jax.random.uniform(key, (lines,)))(keys[0])
    noise = noise**2 * (jnp.arange(lines) > 0)[None]
    ours = position.open_edges[:, None, None] == given[..., None]
    chosen = jnp.moveaxis(jnp.argmax(ours, axis=-1), -1, 0)

    def choose(key: Array, noise: Array, legal: Array, optimal: Array) -> Array:
        """One game's moves, ``[L]``."""
        explore_key, move_key = jax.random.split(key)
        explore = jax.random.uniform(explore_key, noise.shape) < noise
        return rules.random_actions(move_key, jnp.where(explore[:, None], legal, optimal))

    def play_ply(subset: Array, inputs: tuple[Array, Array]) -> tuple[Array, tuple[Array, ...]]:
        keys, chosen = inputs
        values = dense_table.batch_action_values(position.box_masks, table, subset)
        value = values.max(axis=-1)
        optimal = values == value[..., None]
        legal = (subset[..., None] & bits[None, None]) == 0
        bit = jax.vmap(choose)(keys, noise, legal, optimal)
        bit = bit.at[:, 1 : 1 + chosen.shape[1]].set(chosen)
        return subset | (1 << bit), (~legal, bit, value, optimal)

    start = jnp.zeros((len(edges), lines), jnp.int32)
    _, plies = jax.lax.scan(play_ply, start, (keys[1:], chosen))
    drawn, bit, value, optimal = (jnp.moveaxis(x, 0, 2) for x in plies)

    def to_edges(mask: Array) -> Array:
        """Scatter over the open edges ``[B, L, k, k]`` to ``[B, L, k, E]``."""
        empty = jnp.zeros((*mask.shape[:3], board.num_edges), bool)
        return jax.vmap(lambda x, index, m: x.at[..., index].set(m))(
            empty, position.open_edges, mask
        )

    index = jnp.broadcast_to(position.open_edges[:, None, None], (*bit.shape, horizon))
    return Endings(
        edges=edges[:, None, None] | to_edges(drawn),
        action=jnp.take_along_axis(index, bit[..., None], axis=-1)[..., 0],
        value=value,
        optimal=to_edges(optimal),
    )
