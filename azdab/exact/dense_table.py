"""Exact play: the optimal future margin of every position with few edges left.

A position with ``r`` open edges has ``2^r`` descendants, one per subset of those
edges. A *table* holds the value of each of them, ``V(subset of drawn edges)``:

    V(all drawn) = 0
    V(m) = max over open e of   c + V(m + e)   if drawing e closes c > 0 boxes
                                   -V(m + e)   otherwise

which is retrograde analysis over the subset lattice (Barker and Korf, "Solving
Dots-And-Boxes", AAAI 2012, solve the same recursion top-down). The value does
not depend on the score, so one table serves every way of reaching the position.

The table is computed one layer of the lattice at a time, so every entry is
computed once and every layer is one wide vector operation. Its index is split
into high and low bits: whole rows of ``2^low`` entries are gathered over the
high bits, and the few low bits are finished inside the rows.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from azdab.common.limits import MAX_OPEN_EDGES
from azdab.game.board import Board
from azdab.game.geometry import edge_boxes

_NEVER = np.int32(-1)  # a box mask no subset can complete: every table has fewer than 31 bits


class Endgame(NamedTuple):
    """An endgame ready to be solved.

    Attributes:
      open_edges: ``int32[r]``, the undrawn edges in increasing order; bit ``i`` of
        a subset says that ``open_edges[i]`` has been drawn.
      box_masks: ``int32[r, 2]``, for each open edge the bits that its (up to two)
        boxes need to be complete.
    """

    open_edges: Int[Array, "*b r"]
    box_masks: Int[Array, "*b r 2"]


def endgame(board: Board, edges: Bool[Array, "E"], num_open: int) -> Endgame:
    """Index the open edges of a position.

    Args:
      board: the board.
      edges: ``bool[E]``, the drawn edges; exactly ``num_open`` must be undrawn.
      num_open: static number of open edges ``r``, at most ``MAX_OPEN_EDGES``.
    """
    chex.assert_shape(edges, (board.num_edges,))
    (open_edges,) = jnp.nonzero(~edges, size=num_open, fill_value=0)
    bits = jnp.zeros(board.num_edges, jnp.int32).at[open_edges].add(1 << jnp.arange(num_open))
    box_masks = jnp.append(bits[board.box_edges()].sum(axis=-1), _NEVER)
    return Endgame(
        open_edges.astype(jnp.int32), box_masks[jnp.asarray(edge_boxes(board))[open_edges]]
    )


def _closed(box_masks: Array, child: Array) -> Array:
    """Boxes completed by the edge with ``box_masks`` (``[..., 2]``) when it leads to ``child``."""
    masks = jnp.expand_dims(box_masks, range(child.ndim + 1 - box_masks.ndim))
    one, other = masks[..., 0], masks[..., 1]
    # No sum over an axis: that would be a kernel of its own.
    return ((child & one) == one).astype(jnp.int8) + ((child & other) == other).astype(jnp.int8)


def _move_value(closed: Array, child_value: Array) -> Array:
    """The mover's value of a move: the turn passes unless it closed a box."""
    return jnp.where(closed > 0, closed + child_value, -child_value)


@functools.cache
def _by_size(num_bits: int) -> list[np.ndarray]:
    """The subsets of ``num_bits`` bits grouped by size, none first."""
    subsets = np.arange(1 << num_bits, dtype=np.int32)
    sizes = np.bitwise_count(subsets)
    return [subsets[sizes == size] for size in range(num_bits + 1)]


def _layer(low: list[Array], high: list[Array], size: int) -> Int[Array, "rows"]:
    """The subsets of one size, put together from those of the low and of the high bits.

    The program does so while it runs. As constants they would make it larger by 4 bytes for
    every subset.
    """
    pairs = [(high[i], low[size - i]) for i in range(len(high)) if 0 <= size - i < len(low)]
    shift = len(low) - 1
    return jnp.concatenate([((a[:, None] << shift) | b[None]).ravel() for a, b in pairs])


def _high_edges(
    box_masks: Array, table: Array, rows: Array, subset: Array, best: Array
) -> Int[Array, "rows width batch"]:
    """Improve a layer's values, ``[rows, width, batch]``, by drawing each of the high edges."""
    low_bits = subset.shape[-1].bit_length() - 1
    bits = 1 << jnp.arange(box_masks.shape[1], dtype=jnp.int32)

    def draw(best: Array, edge: tuple[Array, Array]) -> tuple[Array, None]:
        bit, masks = edge
        closed = _closed(masks, (subset | (bit << low_bits))[..., None])
        value = _move_value(closed, table[rows | bit])
        drawn = (rows & bit) != 0
        return jnp.where(drawn[:, None, None], best, jnp.maximum(best, value)), None

    # Unrolled, the layer is one kernel, and nothing but its result is written. But compiling takes
    # twice as long, which does not pay for small tables.
    large = table.shape[0] * table.shape[1] > 1 << 16
    return jax.lax.scan(draw, best, (bits, jnp.moveaxis(box_masks, 1, 0)), unroll=large)[0]


def _low_entry(box_masks: Array, subset: Array, step: Array, values: Array) -> Array:
    """Finish one column of a layer's values with the low edges, fullest subset first."""
    width = subset.shape[-1]
    entry = width - 1 - step

    def column(array: Array, index: Array) -> Array:
        return jax.lax.dynamic_index_in_dim(array, index, axis=1, keepdims=False)

    def low_edge(j: Array, value: Array) -> Array:
        child = entry | (1 << j)
        closed = _closed(box_masks[:, j], column(subset, child)[:, None])
        move = _move_value(closed, column(values, child))
        return jnp.where(child == entry, value, jnp.maximum(value, move))

    value = jax.lax.fori_loop(0, width.bit_length() - 1, low_edge, column(values, entry))
    return jax.lax.dynamic_update_index_in_dim(values, value, entry, axis=1)


def solve_table(box_masks: Int[Array, "batch r 2"], low_bits: int = 0) -> Int[Array, "N batch"]:
    """Values of all descendants of a batch of endgames.

    Args:
      box_masks: ``int32[batch, r, 2]`` from :func:`endgame`.
      low_bits: how many index bits are finished inside the rows. 0 suits batches;
        a single large endgame is faster with about 5.

    Returns:
      ``int8[2^r, batch]``: the future margin, in boxes, of the player to move.
      Memory is ``batch * 2^r`` bytes and about as much again for the widest layer.
    """
    chex.assert_shape(box_masks, (None, None, 2))
    batch, num_open, _ = box_masks.shape
    low_bits = min(low_bits, num_open)
    high_bits = num_open - low_bits
    width = 1 << low_bits
    low = jnp.arange(width, dtype=jnp.int32)
    table = jnp.full((1 << high_bits, width, batch), -128, jnp.int8)
    halves: Any = [_by_size(n) for n in (high_bits // 2, high_bits - high_bits // 2)]
    # In a loop over batches, XLA would keep all that follows from the halves alone.
    box_masks, halves = jax.lax.optimization_barrier((box_masks, halves))

    for size in range(high_bits, -1, -1):
        # To write a single row, the last one, XLA would copy the table; so it is written twice.
        rows = _layer(halves[0], halves[1], size) if size else jnp.zeros(2, jnp.int32)
        subset = (rows[:, None] << low_bits) | low[None]
        best = jnp.full((len(rows), width, batch), -128, jnp.int8)
        if size == high_bits:
            best = best.at[:, -1].set(0)  # the finished game
        if high_bits:
            best = _high_edges(box_masks[:, low_bits:], table, rows, subset, best)
        if low_bits:
            low_entry = functools.partial(_low_entry, box_masks[:, :low_bits], subset)
            best = jax.lax.fori_loop(0, width, low_entry, best)
        table = table.at[rows].set(best)
    return table.reshape(1 << num_open, batch)


def action_values(
    box_masks: Int[Array, "*b r 2"], table: Int[Array, "N"], subset: Int[Array, "*b"]
) -> Int[Array, "*b r"]:
    """The mover's optimal future margin after each open edge, ``int8[..., r]``.

    Args:
      box_masks: ``int32[r, 2]`` of the endgame.
      table: ``int8[2^r]``, its values.
      subset: ``int32[...]``, the drawn edges as a subset; any batch shape.

    Returns:
      Values in boxes; -128 for edges drawn already.
    """
    child = _children(box_masks, subset)
    return _values_after(box_masks, subset, child, table[child])


def batch_action_values(
    box_masks: Int[Array, "batch r 2"], table: Int[Array, "N batch"], subset: Int[Array, "batch n"]
) -> Int[Array, "batch n r"]:
    """:func:`action_values` of ``n`` descendants of each of a batch of endgames, ``int8``.

    The table is read as :func:`solve_table` gives it; under ``vmap`` it would be transposed.
    """
    child = _children(box_masks, subset)
    games = jnp.arange(len(subset))[:, None, None]
    return _values_after(box_masks[:, None], subset, child, table[child, games])


def _children(box_masks: Array, subset: Array) -> Array:
    """The subsets after each of the open edges is drawn."""
    bits = 1 << jnp.arange(box_masks.shape[-2], dtype=jnp.int32)
    return subset[..., None] | jnp.expand_dims(bits, range(subset.ndim))


def _values_after(box_masks: Array, subset: Array, child: Array, child_value: Array) -> Array:
    """The mover's value of each open edge from those of the positions after it."""
    values = _move_value(_closed(box_masks, child), child_value)
    return jnp.where(child == subset[..., None], -128, values).astype(jnp.int8)


_endgame = jax.jit(endgame, static_argnames=("board", "num_open"))


@jax.jit
def _solve_one(box_masks: Int[Array, "r 2"]) -> tuple[Array, Array, Array]:
    """An endgame's table, its value and those of its moves; one program for each length."""
    table = solve_table(box_masks[None], low_bits=6)[:, 0]
    return table, table[0], action_values(box_masks, table, jnp.int32(0))


def solve(board: Board, edges: Bool[Array | np.ndarray, "E"]) -> tuple[int, np.ndarray]:
    """Solve one position.

    Args:
      board: the board.
      edges: ``bool[E]``, the drawn edges.

    Returns:
      The optimal future margin of the player to move, in boxes, and the value of
      every move, ``int8[E]``, -128 where illegal. The optimal moves are those whose
      value equals the margin.

    Raises:
      ValueError: more than ``MAX_OPEN_EDGES`` edges are open.

    One box with two edges missing: whoever draws the next edge gives it away.

    >>> value, values = solve(Board(1, 1), np.array([True, True, False, False]))
    >>> value, values.tolist()
    (-1, [-128, -128, -1, -1])
    """
    num_open = int(board.num_edges - np.sum(np.asarray(edges)))
    if num_open > MAX_OPEN_EDGES:
        raise ValueError(f"{num_open} edges are open; the solver takes at most {MAX_OPEN_EDGES}")
    position = _endgame(board, jnp.asarray(edges), num_open)
    _, value, values = _solve_one(position.box_masks)
    scattered = np.full(board.num_edges, -128, np.int8)
    scattered[np.asarray(position.open_edges)] = values
    return int(value), scattered


class SolvedBoard(NamedTuple):
    """The parameters of the perfect player: a whole board solved.

    Attributes:
      open_edges: ``int32[r]``, the edges open at the start, see :class:`Endgame`.
      box_masks: ``int32[r, 2]``, likewise.
      table: ``int8[2^r]``, the value of every subset of the board's moves. Bit ``i`` of the index
        says that the ``i``-th of ``open_edges`` is drawn.
    """

    open_edges: Int[Array, "r"]
    box_masks: Int[Array, "r 2"]
    table: Int[Array, "N"]


@functools.lru_cache(maxsize=4)  # a table has up to 16 MB, and several players ask for the same
def solve_board(board: Board) -> SolvedBoard:
    """Solve a board with at most ``MAX_OPEN_EDGES`` moves for :func:`perfect_agent`."""
    first = _endgame(board, jnp.asarray(board.start_mask()), board.num_plies)
    return SolvedBoard(first.open_edges, first.box_masks, _solve_one(first.box_masks)[0])


def exact_values(solved: SolvedBoard, edges: Bool[Array, "*b E"]) -> Int[Array, "*b E"]:
    """The mover's optimal future margin after each move, ``int32``; -128 where illegal."""
    drawn = jnp.asarray(edges)[..., solved.open_edges]
    bits = jnp.broadcast_to(1 << jnp.arange(drawn.shape[-1], dtype=jnp.int32), drawn.shape)
    subset = jnp.sum(jnp.where(drawn, bits, 0), axis=-1, dtype=jnp.int32)
    values = action_values(solved.box_masks, solved.table, subset).astype(jnp.int32)
    return jnp.full(edges.shape, -128, jnp.int32).at[..., solved.open_edges].set(values)
