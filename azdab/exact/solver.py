"""Exact values of positions far from the end, on the host's cores.

The search is in :mod:`azdab.exact.chain_search`. This module is its door: it takes one
position, and gives its value, the values of its moves, or an optimal move.

Needs numba: ``pip install 'azdab[exact]'``.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Int

from azdab.exact.bitboard import draw, edge_bits, geometry, jit, unfinished, words
from azdab.exact.chain_search import position_value, reaches
from azdab.exact.position_table import new_table
from azdab.exact.quiet_moves import Scratch
from azdab.game.board import Board

_ILLEGAL = -128
_NEAR = 4  # a position with at most one of so many edges drawn is near the empty board
_MIRRORED = 12  # open edges from which on it pays to look for mirror images
_NOISE = 1 << 12  # in the history that all threads but the first begin with
_CERTAIN_EDGES = 18  # fewer open edges than these make at most 2^18 positions
_PATIENCE = 0.002  # seconds until it is asked again whether to stop
_UNLIMITED = np.iinfo(np.int64).max  # nodes

Answer = TypeVar("Answer")
Search = Callable[[Any, Any, int, Any], Answer]


@jit
def _action_values(
    h: Any, v: Any, bits: Any, order: Any, g: Any, m: Any, table: Any, values: Any
) -> Any:
    """The mover's future margin after each edge, into ``int64[E]``; returns the best."""
    boxes = unfinished(h, v, g)
    guess, best = 0, _ILLEGAL
    for edge in order:
        next_h, next_v = draw(h, v, bits[edge])
        values[edge] = _ILLEGAL
        if next_h != h or next_v != v:
            closed = boxes - unfinished(next_h, next_v, g)
            guess = position_value(next_h, next_v, guess, g, m, table)
            values[edge] = closed + guess if closed else -guess
            best = max(best, values[edge])
    return best


@jit
def _keeps(h: Any, v: Any, bit: Any, value: Any, g: Any, m: Any, table: Any) -> Any:
    """Whether drawing an edge keeps the position's value. Anything beyond the nodes allowed."""
    next_h, next_v = draw(h, v, bit)
    closed = unfinished(h, v, g) - unfinished(next_h, next_v, g)
    if closed:
        return reaches(next_h, next_v, value - closed, g, m, table)
    return not reaches(next_h, next_v, 2 - value, g, m, table)


@jit
def _best_action(h: Any, v: Any, bits: Any, order: Any, g: Any, m: Any, table: Any) -> Any:
    """The first optimal edge in ``order``, and the position's value."""
    value = position_value(h, v, 0, g, m, table)
    for edge in order:
        if _keeps(h, v, bits[edge], value, g, m, table):
            return edge, value
    return order[0], value


@jit
def _prove(
    h: Any, v: Any, bits: Any, order: Any, guess: Any, bounds: Any, g: Any, m: Any, table: Any
) -> Any:
    """Narrow the bounds of moves, ``int64[E, 2]``, until one is the best; returns its edge.

    One move is compared with one number at a time, so what is found out is never lost, and
    threads that share the bounds share the work.
    """
    while True:
        best, low, high = order[0], _ILLEGAL, _ILLEGAL
        for edge in order:
            if bounds[edge, 0] > low:
                best, low = edge, bounds[edge, 0]
            high = max(high, bounds[edge, 1])
        if low >= high or m.visited > m.allowed:
            return best
        bound = min(max(guess, low + 2), high)
        move = best
        if bounds[best, 1] < bound:
            for edge in order:
                if bounds[edge, 1] >= bound:
                    move = edge
                    break
        reached = _keeps(h, v, bits[move], bound, g, m, table)
        if m.visited > m.allowed:
            return best
        if reached:
            bounds[move, 0] = max(bounds[move, 0], bound)
        else:
            bounds[move, 1] = min(bounds[move, 1], bound - 2)


class Solver:
    """Exact values on one board. It remembers what it has searched; not for several threads.

    Args:
      board: of at most 64 dots.
      table_bits: the transposition table has ``2^table_bits`` entries of 32 bytes.
      threads: how many search a position together. With one, an answer and ``nodes`` depend on
        the position and on what the table holds, and on nothing else.

    Raises:
      ValueError: the board is too large.

    On the empty 1x1 board the first player gets nothing:

    >>> solver = Solver(Board(1, 1))
    >>> solver.value(np.zeros(4, bool)), solver.action_values(np.zeros(4, bool)).tolist()
    (-1, [-1, -1, -1, -1])
    """

    def __init__(self, board: Board, table_bits: int = 20, threads: int = 1) -> None:
        self._edge_bits = edge_bits(board)
        self._geometry = geometry(board)
        self._table = new_table(table_bits)
        self._scratches = np.zeros(threads, Scratch)
        # Several threads should not all try the same moves first.
        self._histories = np.random.default_rng(0).integers(-_NOISE, _NOISE, (threads, 128))
        self._histories[0] = 0
        self._pool = ThreadPoolExecutor(threads)

    @property
    def nodes(self) -> int:
        """How many positions the last call looked at."""
        return int(np.minimum(self._scratches["visited"], self._scratches["allowed"]).sum())

    @property
    def table(self) -> np.ndarray:
        """What it remembers, ``uint64[2^table_bits, 4]``: true of any position of its board."""
        return self._table

    def forget(self) -> None:
        """Forget what was searched: the next search is as a new solver's."""
        self._table[:] = 0

    def forget_where_it_counts(self, edges: Bool[np.ndarray, "E"], limit: int | None) -> None:
        """Forget, if what is remembered may decide whether a limit is too low for a position.

        Arguments as in :meth:`value`.
        """
        if limit is not None and (np.sum(~edges) > _CERTAIN_EDGES or limit < 2**_CERTAIN_EDGES):
            self.forget()

    def _start(self, edges: Any, limit: int | None) -> tuple[np.uint64, np.uint64]:
        """The words of a position, with the searches allowed to begin."""
        number, scratches = len(self._scratches), self._scratches
        # From far into a game hardly two positions can be reached that are mirror images.
        near = np.count_nonzero(edges) <= len(self._edge_bits) / _NEAR
        scratches["visited"] = 0
        scratches["allowed"] = (
            _UNLIMITED if limit is None else [(limit + i) // number for i in range(number)]
        )
        scratches["mirrored"] = _MIRRORED if near else len(self._edge_bits) + 1
        scratches["history"] = self._histories
        return words(self._edge_bits, edges)

    def _search(
        self,
        edges: Any,
        limit: int | None,
        search: Search[Answer],
        enough: Callable[[], bool] | None = None,
    ) -> Answer | None:
        """What one of the threads finds out first; None if all were stopped before.

        Args:
          edges: ``bool[E]``, the drawn edges.
          limit: of positions, for all threads together.
          search: from ``h``, ``v``, the number of a thread, and what the compiled code needs.
          enough: asked again and again whether to stop.
        """
        h, v = self._start(edges, limit)

        def run(i: int) -> Answer | None:
            scratch = self._scratches[i]
            answer = search(h, v, i, (self._geometry, scratch, self._table))
            return answer if scratch["visited"] <= scratch["allowed"] else None

        if len(self._scratches) == 1 and enough is None:
            return run(0)
        futures = [self._pool.submit(run, i) for i in range(len(self._scratches))]
        running, patience = set(futures), None if enough is None else _PATIENCE
        try:
            while running and not (enough is not None and enough()):
                done, running = wait(running, patience, FIRST_COMPLETED)
                if any(future.result() is not None for future in done):
                    break
        finally:
            # They stop at their next position.
            allowed = self._scratches["allowed"]
            np.minimum(allowed, self._scratches["visited"], out=allowed)
        answers = [future.result() for future in futures]
        return next((answer for answer in answers if answer is not None), None)

    def value(self, edges: Bool[np.ndarray, "E"], limit: int | None = None) -> int | None:
        """The optimal future margin of the player to move, in boxes.

        Args:
          edges: ``bool[E]``, the drawn edges.
          limit: most positions to look at; None: as many as needed.

        Returns:
          The value; None if the limit was too low.
        """
        return self._search(
            edges, limit, lambda h, v, _, memory: int(position_value(h, v, 0, *memory))
        )

    def reaches(
        self, edges: Bool[np.ndarray, "E"], bound: int, limit: int | None = None
    ) -> bool | None:
        """Whether the optimal future margin is at least ``bound``, which has its parity.

        Other arguments as in :meth:`value`, and None too if the limit was too low: what was found
        out is remembered, and the next call goes on from there.
        """
        return self._search(
            edges, limit, lambda h, v, _, memory: bool(reaches(h, v, bound, *memory))
        )

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

        def search(h: Any, v: Any, _: int, memory: Any) -> tuple[int, int]:
            edge, value = _best_action(h, v, self._edge_bits, order, *memory)
            return int(edge), int(value)

        return self._search(edges, limit, search)

    def proven_action(
        self,
        edges: Bool[np.ndarray, "E"],
        limit: int | None = None,
        *,
        order: Int[np.ndarray, "r"] | None = None,
        guess: int = 0,
        bounds: Int[np.ndarray, "E 2"] | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> tuple[int, int] | None:
        """Whichever optimal move the proof of the value gives, at hardly more cost than the value.

        Args:
          edges: as in :meth:`best_action`.
          limit: as in :meth:`value`.
          order: ``int64[r]``, all open edges, the most promising first; None: in any order.
          guess: what the value may be.
          bounds: ``int64[E, 2]``, becomes what is known of the mover's future margin after each
            move, at least and at most, however far the proof comes; -128 where illegal.
          enough: asked again and again whether to stop.

        Returns:
          The edge and the position's value; None if the proof did not come to its end. With one
          thread and no limit, the edge depends on the position, ``order`` and ``guess`` alone.
        """
        known = np.empty((len(self._edge_bits), 2), np.int64) if bounds is None else bounds
        start = np.flatnonzero(~np.asarray(edges, bool)) if order is None else np.asarray(order)
        h, v = words(self._edge_bits, edges)
        boxes = int(unfinished(h, v, self._geometry))
        known[:] = _ILLEGAL
        known[start] = -boxes, boxes
        guess = min(max(guess, -boxes), boxes)
        guess += (guess ^ boxes) & 1

        def search(h: Any, v: Any, thread: int, memory: Any) -> tuple[int, int]:
            # The threads begin at both ends.
            mine = np.roll(start[::-1], 1) if thread % 2 else start
            edge = int(_prove(h, v, self._edge_bits, mine, guess, known, *memory))
            return edge, int(known[edge, 0])

        return self._search(edges, limit, search, enough)

    def action_values(
        self, edges: Bool[np.ndarray, "E"], limit: int | None = None
    ) -> Int[np.ndarray, "E"] | None:
        """The mover's optimal future margin after each move, ``int8[E]``; -128 where illegal.

        Arguments as in :meth:`value`, and None too if the limit was too low.
        """

        def search(h: Any, v: Any, thread: int, memory: Any) -> np.ndarray:
            values = np.empty(len(self._edge_bits), np.int64)
            order = np.arange(len(values))
            if thread:
                np.random.default_rng(thread).shuffle(order)
            g, scratch, table = memory
            _action_values(h, v, self._edge_bits, order, g, scratch, table, values)
            return values.astype(np.int8)

        return self._search(edges, limit, search)
