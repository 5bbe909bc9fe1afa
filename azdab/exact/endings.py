"""Endings played from exact values: a teacher that finishes the games of self-play.

Once few enough edges are left, the value of every move is known. A game is then
finished in several *lines*. The first is perfect play and gives the game its outcome.
The others visit positions that imperfect players meet: they are given, such as the
network's own play, or are perfect play with some errors. Every
position of every line is labelled with its exact value and with all of its optimal
moves.

Two teachers give the same answers: a dense table on the device for up to
``limits.TABLE_HORIZON`` edges (:mod:`azdab.exact.dense_table`), and beyond that a search on
the host's cores (:mod:`azdab.exact.solver`).
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from azdab.devices import device
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


def blank_endings(edges: Bool[Array, "B E"], horizon: int, lines: int) -> Endings:
    """Endings of the right shapes, filled with zeros."""
    shape = (len(edges), lines, horizon)
    return Endings(
        edges=jnp.zeros((*shape, edges.shape[-1]), bool),
        action=jnp.zeros(shape, jnp.int32),
        value=jnp.zeros(shape, jnp.int8),
        optimal=jnp.zeros((*shape, edges.shape[-1]), bool),
    )


def endings_from_table(
    board: Board,
    edges: Bool[Array, "B E"],
    key: PRNGKeyArray,
    horizon: int,
    lines: int,
    given: Int[Array, "B N k"] | None = None,
) -> Endings:
    """Endings from dense tables of all descendants.

    Args:
      board: the board.
      edges: ``bool[B, E]``, positions with ``horizon`` edges open.
      key: random key.
      horizon: static; memory grows as ``B * 2^horizon`` bytes.
      lines: static. Each line, except the first and those given, has its own probability
        of random moves, drawn from U(0, 1)^2: from nearly perfect to nearly random play.
      given: ``int32[B, N, horizon]``, the moves of the second to ``N + 1``-th line.
    """
    chex.assert_shape(edges, (None, board.num_edges))
    position = jax.vmap(lambda edges: dense_table.endgame(board, edges, horizon))(edges)
    table = dense_table.solve_table(position.box_masks).T
    shape = (len(edges), lines)
    noise_key, key = jax.random.split(key)
    noise = jax.random.uniform(noise_key, shape) ** 2 * (jnp.arange(lines) > 0)[None]
    bits = (1 << jnp.arange(horizon, dtype=jnp.int32))[None, None]

    if given is None:
        given = jnp.zeros((len(edges), 0, horizon), jnp.int32)
    ours = position.open_edges[:, None, None] == given[..., None]
    chosen = jnp.moveaxis(jnp.argmax(ours, axis=-1), -1, 0)

    def play_ply(subset: Array, inputs: tuple[Array, Array]) -> tuple[Array, tuple[Array, ...]]:
        key, chosen = inputs
        explore_key, move_key = jax.random.split(key)
        values = jax.vmap(dense_table.action_values)(position.box_masks, table, subset)
        value = values.max(axis=-1)
        optimal = values == value[..., None]
        explore = jax.random.uniform(explore_key, shape) < noise
        legal = (subset[..., None] & bits) == 0
        bit = rules.random_actions(move_key, jnp.where(explore[..., None], legal, optimal))
        bit = bit.at[:, 1 : 1 + chosen.shape[1]].set(chosen)
        return subset | (1 << bit), (~legal, bit, value, optimal)

    start = jnp.zeros(shape, jnp.int32)
    _, plies = jax.lax.scan(play_ply, start, (jax.random.split(key, horizon), chosen))
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


class Teacher:
    """Endings from :mod:`azdab.exact.solver` on the host, one thread per core.

    Args:
      board: the board.
      lines: as in :func:`endings_from_table`.
    """

    def __init__(self, board: Board, lines: int) -> None:
        self._board = board
        self.lines = lines
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(device.cores())

    def _play(self, edges: np.ndarray, seed: int, given: np.ndarray) -> tuple[np.ndarray, ...]:
        from azdab.exact import solver  # only here is numba needed

        if not hasattr(self._local, "solver"):
            self._local.solver = solver.Solver(self._board)
        return self._local.solver.lines(edges, self.lines, seed, given)

    def __call__(
        self,
        edges: Bool[Array, "B E"] | np.ndarray,
        key: PRNGKeyArray,
        given: Int[Array, "B N k"] | np.ndarray | None = None,
    ) -> Endings:
        """Play endings.

        Args:
          edges: ``bool[B, E]``, positions with equally many open edges.
          key: random key.
          given: as in :func:`endings_from_table`.

        Returns:
          The endings in numpy.
        """
        if given is None:
            given = np.zeros((len(edges), 0, 0), np.int32)
        seeds = np.asarray(jax.random.bits(key, (len(edges),), jnp.uint32)).tolist()
        games = list(self._threads.map(self._play, np.asarray(edges), seeds, np.asarray(given)))
        parts: Any = (np.stack(part) for part in zip(*games, strict=True))
        return Endings(*parts)
