"""Exact values of whole games, worked backwards on the host's cores.

Self-play ends every game from a table on the device. So the value of the first position of
that ending is known, and from there this module works backwards. What comes after a position
gives a bound of its value: the value of the move that was played. If that move was optimal,
one search with a null window proves it. A game has a budget of positions to look at. When that
is spent, the rest of the game stays as it is.

Needs numba: ``pip install 'azdab[exact]'``.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int

from azdab.devices import device
from azdab.exact.bitboard import draw, edge_bits, geometry, jit, unfinished, words
from azdab.exact.chain_search import reaches
from azdab.exact.endings import GameValues
from azdab.exact.position_table import new_table
from azdab.exact.quiet_moves import Scratch
from azdab.game.board import Board

_LARGEST_TABLE = 20
"""Most bits of a transposition table's index: 2^20 entries of 32 bytes for each thread."""


@jit
def _least_value(h: Any, v: Any, bound: Any, g: Any, m: Any, table: Any) -> Any:
    """A position's value, which is at least ``bound``. Anything once the budget is spent."""
    while m.visited <= m.allowed and reaches(h, v, bound + 2, g, m, table):
        bound += 2
    return bound


@jit
def _find_optimal(
    h: Any, v: Any, value: Any, bits: Any, g: Any, m: Any, table: Any, optimal: Any
) -> None:
    """Mark the moves that keep a position's value. Anything once the budget is spent."""
    boxes = unfinished(h, v, g)
    for edge in range(len(bits)):
        next_h, next_v = draw(h, v, bits[edge])
        if next_h != h or next_v != v:
            closed = boxes - unfinished(next_h, next_v, g)
            if closed:
                optimal[edge] = reaches(next_h, next_v, value - closed, g, m, table)
            else:
                optimal[edge] = not reaches(next_h, next_v, 2 - value, g, m, table)


@jit
def _value_game(
    h: Any, v: Any, moves: Any, known: Any, budget: Any, bits: Any, g: Any, m: Any, table: Any,
    value: Any, optimal: Any,
) -> Any:  # fmt: skip
    """Fill in one game.

    It is given the open edges at the start, the moves, the mover's value after them, and the
    budget: how many positions may be looked at, and at how many optimal moves are still looked
    for. Nothing of an earlier game is left in what the search writes to.

    Returns:
      The first plies from which values and optimal moves are known.
    """
    table[:] = 0
    for i in range(len(m.history)):
        m.history[i] = 0
    m.visited = 0
    plies = len(moves)
    path = np.empty((plies, 2), np.uint64)
    for ply in range(plies):
        path[ply, 0], path[ply, 1] = h, v
        h, v = draw(h, v, bits[moves[ply]])
    first, first_optimal, left = plies, plies, unfinished(h, v, g)
    for ply in range(plies - 1, -1, -1):
        h, v = path[ply, 0], path[ply, 1]
        boxes = unfinished(h, v, g)
        closed = boxes - left
        m.allowed = budget[0]
        known = _least_value(h, v, closed + known if closed else -known, g, m, table)
        if m.visited > m.allowed:
            break
        left, value[ply], first = boxes, known, ply
        m.allowed = budget[1]
        if m.visited <= m.allowed and first_optimal == ply + 1:
            _find_optimal(h, v, known, bits, g, m, table, optimal[ply])
            if m.visited <= m.allowed:
                first_optimal = ply
            else:
                optimal[ply] = False
    return first, first_optimal


class GameTeacher:
    """Exact values of whole games; the games are shared out to threads.

    What it finds depends on the game and on ``positions`` alone: not on time, on the threads,
    on other games or on earlier calls.

    Args:
      board: of at most ``ENGINE_DOTS`` dots.
      positions: most positions to look at for each game, half of them for optimal moves.
      threads: how many; None: one per core.

    Raises:
      ValueError: the board is too large.

    On one box the last edge closes it, and whoever draws the third gives it away:

    >>> teacher = GameTeacher(Board(1, 1), positions=100)
    >>> found = teacher(np.array([[0, 1, 2, 3]]), np.array([1]), 3)
    >>> found.value.tolist(), found.first.tolist(), found.optimal.sum(axis=2).tolist()
    ([[-1, 1, -1]], [0], [[4, 3, 2]])
    """

    def __init__(self, board: Board, positions: int, threads: int | None = None) -> None:
        self._board = board
        # Most of what is known has to be values: they cost less.
        self._budget = np.array([positions, positions // 2])
        self._geometry, self._bits = geometry(board), edge_bits(board)
        self._table_bits = min(positions.bit_length(), _LARGEST_TABLE)
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(threads or device.cores())

    def _memory(self) -> tuple[Any, np.ndarray]:
        """What this thread's searches write to."""
        if not hasattr(self._local, "memory"):
            scratch = np.zeros(1, Scratch)[0]
            scratch["mirrored"] = len(self._bits) + 1  # mirror images are rare so far into a game
            self._local.memory = scratch, new_table(self._table_bits)
        memory: tuple[Any, np.ndarray] = self._local.memory
        return memory

    def __call__(
        self, moves: Int[np.ndarray, "B T"], value: Int[np.ndarray, "B"], plies: int
    ) -> GameValues:
        """Find what the budget allows.

        Args:
          moves: the edges drawn from the start of each game; any after ``plies`` do not count.
          value: the mover's optimal future margin after ``plies`` moves.
          plies: ``P``.
        """
        games, board = len(moves), self._board
        made = GameValues(
            value=np.zeros((games, plies), np.int8),
            first=np.zeros(games, np.int32),
            optimal=np.zeros((games, plies, board.num_edges), bool),
            first_optimal=np.zeros(games, np.int32),
        )
        start = words(self._bits, board.start_mask())
        # Copies that the compiled code may take for its own, of one type whatever is given: also
        # where a device hands out games column by column.
        drawn = np.array(moves[:, :plies], np.int64, order="C")
        known = np.array(value, np.int64)

        def solve(game: int) -> None:
            made.first[game], made.first_optimal[game] = _value_game(
                *start, drawn[game], known[game], self._budget, self._bits, self._geometry,
                *self._memory(), made.value[game], made.optimal[game],
            )  # fmt: skip

        for _ in self._threads.map(solve, range(games)):
            pass
        return made
