"""Exact values of positions far from the end, on the host's cores.

The search is in :mod:`azdab.exact.chain_search`. This module is its door: it takes one
position, and gives its value, the values of its moves, or an optimal move.

Needs numba: ``pip install 'azdab[exact]'``.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from azdab.exact.bitboard import edge_bits, geometry, jit, unfinished, words
from azdab.exact.chain_search import Scratch, draw, position_value, reaches
from azdab.game.board import Board

_ILLEGAL = -128


@jit
def _action_values(h: Any, v: Any, bits: Any, g: Any, m: Any, table: Any, values: Any) -> Any:
    """The mover's future margin after each edge, into ``int64[E]``; returns the best."""
    boxes = unfinished(h, v, g)
    guess, best = 0, _ILLEGAL
    for edge in range(len(bits)):
        next_h, next_v = draw(h, v, bits[edge])
        values[edge] = _ILLEGAL
        if next_h != h or next_v != v:
            closed = boxes - unfinished(next_h, next_v, g)
            guess = position_value(next_h, next_v, guess, g, m, table)
            values[edge] = closed + guess if closed else -guess
            best = max(best, values[edge])
    return best


@jit
def _best_action(h: Any, v: Any, bits: Any, order: Any, g: Any, m: Any, table: Any) -> Any:
    """The first optimal edge in ``order``, and the position's value."""
    boxes, value = unfinished(h, v, g), position_value(h, v, 0, g, m, table)
    for edge in order:
        next_h, next_v = draw(h, v, bits[edge])
        closed = boxes - unfinished(next_h, next_v, g)
        if closed:
            good = reaches(next_h, next_v, value - closed, g, m, table)
        else:
            good = not reaches(next_h, next_v, 2 - value, g, m, table)
        if good:
            return edge, value
    return order[0], value


class Solver:
    """Exact values on one board. It remembers what it has searched; not for several threads.

    Args:
      board: of at most 64 dots.
      table_bits: the transposition table has ``2^table_bits`` entries of 32 bytes.

    Raises:
      ValueError: the board is too large.

    On the empty 1x1 board the first player gets nothing:

    >>> solver = Solver(Board(1, 1))
    >>> solver.value(np.zeros(4, bool)), solver.action_values(np.zeros(4, bool)).tolist()
    (-1, [-1, -1, -1, -1])
    """

    def __init__(self, board: Board, table_bits: int = 20) -> None:
        self._edge_bits = edge_bits(board)
        self._scratch = np.rec.array(np.zeros(1, Scratch))[0]
        self._memory = geometry(board), self._scratch, np.zeros((1 << table_bits, 4), np.uint64)

    @property
    def nodes(self) -> int:
        """How many positions the last call looked at."""
        return int(self._scratch.visited)

    def forget(self) -> None:
        """Forget what was searched: the next search is as a new solver's."""
        self._memory[2][:] = 0
        self._scratch.history[:] = 0

    def _start(self, edges: Any, limit: int | None) -> tuple[np.uint64, np.uint64]:
        """The words of a position, with the search allowed to begin."""
        self._scratch.visited = 0
        self._scratch.allowed = np.iinfo(np.int64).max if limit is None else limit
        return words(self._edge_bits, edges)

    def _finished(self) -> bool:
        return bool(self._scratch.visited <= self._scratch.allowed)

    def value(self, edges: Bool[np.ndarray, "E"], limit: int | None = None) -> int | None:
        """The optimal future margin of the player to move, in boxes.

        Args:
          edges: ``bool[E]``, the drawn edges.
          limit: most positions to look at; None: as many as needed.

        Returns:
          The value; None if the limit was too low.
        """
        h, v = self._start(edges, limit)
        value = position_value(h, v, 0, *self._memory)
        return int(value) if self._finished() else None

    def best_action(
        self, edges: Bool[np.ndarray, "E"], order: Int[np.ndarray, "r"], limit: int | None = None
    ) -> tuple[int, int] | None:
        """An optimal move, at less cost than the values of all moves.

        Args:
          edges: ``bool[E]``, the drawn edges.
          order: ``int64[r]``, all open edges: the earliest of the optimal ones is chosen.
          limit: as in :meth:`value`.

        Returns:
          The edge and the position's value; None if the limit was too low.
        """
        h, v = self._start(edges, limit)
        edge, value = _best_action(h, v, self._edge_bits, order, *self._memory)
        return (int(edge), int(value)) if self._finished() else None

    def action_values(
        self, edges: Bool[np.ndarray, "E"], limit: int | None = None
    ) -> Int[np.ndarray, "E"] | None:
        """The mover's optimal future margin after each move, ``int8[E]``; -128 where illegal.

        Arguments as in :meth:`value`, and None too if the limit was too low.
        """
        h, v = self._start(edges, limit)
        values = np.empty(len(self._edge_bits), np.int64)
        _action_values(h, v, self._edge_bits, *self._memory, values)
        return values.astype(np.int8) if self._finished() else None
