"""Exact values of positions far from the end, on the host's cores.

The search is in :mod:`azdab.exact.chain_search`. This module is its door: it takes one
position, and gives its value, the values of its moves, or whole endings.

Needs numba: ``pip install 'azdab[exact]'``.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from azdab.exact.bitboard import Word, draw, edge_bits, geometry, jit, unfinished, words
from azdab.exact.chain_search import position_value, reaches
from azdab.exact.position_table import new_table
from azdab.exact.quiet_moves import Scratch
from azdab.game.board import Board

_ILLEGAL = -128
_NEAR = 4  # a position with at most one of so many edges drawn is near the empty board
_MIRRORED = 12  # open edges from which on it pays to look for mirror images


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


@jit
def _random(state: Any) -> Any:
    """64 random bits, and the next state (splitmix64: Steele, Lea and Flood, OOPSLA 2014)."""
    state += Word(0x9E3779B97F4A7C15)
    x = (state ^ (state >> Word(30))) * Word(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> Word(27))) * Word(0x94D049BB133111EB)
    return x ^ (x >> Word(31)), state


@jit
def _play_lines(
    h: Any, v: Any, state: Any, given: Any, edge_bits: Any, g: Any, m: Any, table: Any,
    edges: Any, action: Any, value: Any, optimal: Any,
) -> None:  # fmt: skip
    """Fill the arrays of :class:`azdab.exact.endings.Endings` for one game."""
    values = np.empty(len(edge_bits), np.int64)
    lines, plies = action.shape
    for line in range(lines):
        bits, state = _random(state)
        noise = 0.0 if line == 0 else (bits / 2.0**64) ** 2
        line_h, line_v = h, v
        for ply in range(plies):
            best = _action_values(line_h, line_v, edge_bits, g, m, table, values)
            legal, good = values != _ILLEGAL, values == best
            edges[line, ply], value[line, ply], optimal[line, ply] = ~legal, best, good
            bits, state = _random(state)
            choices = np.flatnonzero(legal if bits / 2.0**64 < noise else good)
            bits, state = _random(state)
            choice = choices[np.int64(bits % Word(len(choices)))]
            action[line, ply] = given[line - 1, ply] if 0 < line <= len(given) else choice
            line_h, line_v = draw(line_h, line_v, edge_bits[action[line, ply]])


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
        self._memory = geometry(board), self._scratch, new_table(table_bits)

    @property
    def nodes(self) -> int:
        """How many positions the last call looked at."""
        return int(self._scratch.visited)

    def _start(self, edges: Any, limit: int | None) -> tuple[np.uint64, np.uint64]:
        """The words of a position, with the search allowed to begin."""
        self._scratch.visited = 0
        self._scratch.allowed = np.iinfo(np.int64).max if limit is None else limit
        # From far into a game hardly two positions can be reached that are mirror images.
        near = np.sum(edges) <= len(self._edge_bits) / _NEAR
        self._scratch.mirrored = _MIRRORED if near else len(self._edge_bits) + 1
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

    def lines(
        self,
        edges: Bool[np.ndarray, "E"],
        lines: int,
        seed: int,
        given: Int[np.ndarray, "N k"] | None = None,
    ) -> tuple[np.ndarray, ...]:
        """Play a position to its end several times.

        Args:
          edges: ``bool[E]``, the drawn edges, ``k`` of them open.
          lines: how often. The first line is perfect; each that is not given errs with
            a probability of its own, drawn from U(0, 1)^2.
          seed: of the choices among optimal moves, and of the errors.
          given: the moves of the second to ``N + 1``-th line.

        Returns:
          The arrays of :class:`azdab.exact.endings.Endings`, without their batch axis.
        """
        h, v = self._start(edges, None)
        edges = np.asarray(edges, bool)
        shape = (lines, int(np.sum(~edges)))
        drawn, optimal = np.empty((2, *shape, len(edges)), bool)
        action, value = np.empty(shape, np.int32), np.empty(shape, np.int8)
        arrays = drawn, action, value, optimal
        moves = np.zeros((0, 0), np.int32) if given is None else np.ascontiguousarray(given)
        _play_lines(h, v, Word(seed), moves, self._edge_bits, *self._memory, *arrays)
        return arrays
