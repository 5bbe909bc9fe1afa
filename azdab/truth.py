"""The truth about positions with few edges left, from whichever solver fits the board.

Three sources give the same values, and the tests hold them against each other:

* *table*: a board of at most 24 edges is solved whole, every position of it;
* *search*: :mod:`azdab.exact` (the extra ``exact``) on larger boards;
* *endgames*: :mod:`azdab.solver`, one position after another, where that extra is missing.
"""

import dataclasses
import importlib.util
from collections.abc import Callable

import jax
import numpy as np

from azdab import agents, baselines, batching, solver
from azdab.config import ENGINE_DOTS, ConfigError
from azdab.game import Board

TABLE_EDGES = 24
"""Boards with at most this many edges are solved whole: 2^24 bytes, under a second."""

ENDGAME_EDGES = 24
"""Most edges left that :func:`from_endgames` takes: a table of 2^24 bytes per position."""

SEARCH_EDGES = 40
"""Most edges left that :func:`from_search` takes. On 5x5, 32 take milliseconds, 36 some
tenths of a second and 40 several seconds per position."""

ILLEGAL = -128
"""What an action value is where the edge is drawn already."""


def has_choice(values: np.ndarray) -> np.ndarray:
    """Where the moves differ in value, ``bool[...]`` from action values ``[..., E]``."""
    best = values.max(axis=-1)
    return ((values != ILLEGAL) & (values != best[..., None])).any(axis=-1)


@dataclasses.dataclass(frozen=True)
class Truth:
    """Exact action values of one board's positions.

    Attributes:
      board: the board.
      max_edges: positions with at most this many edges left are known.
      source: where the values come from, in words.
      solve: ``bool[N, E] -> int8[N, E]`` for known positions, N > 0.
      choose: a cheaper way to one optimal move: a random generator and a position
        ``bool[E]`` to the move, -1 where a limit was too low. None: there is none.
    """

    board: Board
    max_edges: int
    source: str
    solve: Callable[[np.ndarray], np.ndarray]
    choose: Callable[[np.random.Generator, np.ndarray], int] | None = None

    def known(self, edges: np.ndarray) -> np.ndarray:
        """Which positions have few enough edges left, ``bool[...]``."""
        return np.sum(~edges, axis=-1) <= self.max_edges

    def action_values(self, edges: np.ndarray) -> np.ndarray:
        """The mover's optimal future margin after each move.

        Args:
          edges: ``bool[N, E]``, drawn edges of known positions, in any order and
            with repetitions, which are solved once.

        Returns:
          ``int8[N, E]`` in boxes, ``ILLEGAL`` where the edge is drawn.
        """
        if not len(edges):
            return np.zeros(edges.shape, np.int8)
        packed, which = np.unique(np.packbits(edges, axis=-1), axis=0, return_inverse=True)
        distinct = np.unpackbits(packed, axis=-1, count=self.board.num_edges).astype(bool)
        return self.solve(distinct)[which.reshape(-1)]

    def optimal_actions(self, rng: np.random.Generator, edges: np.ndarray) -> np.ndarray:
        """A random optimal move, ``int32[N]``, in known positions; -1 over a limit.

        Args:
          rng: chooses among the optimal moves.
          edges: ``bool[N, E]``, drawn edges of unfinished positions.
        """
        if self.choose is not None:
            return np.array([self.choose(rng, position) for position in edges], np.int32)
        values = self.action_values(edges)
        return baselines.random_choices(rng, values == values.max(axis=-1, keepdims=True))


def from_table(board: Board) -> Truth:
    """Everything about a board of at most ``TABLE_EDGES`` edges."""
    solved = agents.solve_board(board)
    look_up = batching.in_chunks(jax.jit(lambda edges: agents.exact_values(solved, edges)), 1024)
    return Truth(board, board.num_edges, "table", lambda edges: look_up(edges).astype(np.int8))


def from_search(board: Board, max_edges: int, limit: int | None = None) -> Truth:
    """Values by alpha-beta search; needs numba.

    Nothing is known of a position that takes looking at more than ``limit``: its values
    are all ``ILLEGAL``. As the search remembers positions, which those are can depend on
    earlier ones.
    """
    from azdab import exact

    engine = exact.Solver(board)

    def solve(edges: np.ndarray) -> np.ndarray:
        nothing = np.full(board.num_edges, ILLEGAL, np.int8)
        found = [engine.action_values(position, limit) for position in edges]
        return np.stack([nothing if values is None else values for values in found])

    def choose(rng: np.random.Generator, edges: np.ndarray) -> int:
        found = engine.best_action(edges, rng.permutation(np.flatnonzero(~edges)), limit)
        return -1 if found is None else found[0]

    return Truth(board, max_edges, "search", solve, choose)


def from_endgames(board: Board, max_edges: int) -> Truth:
    """Values by retrograde analysis of each position."""

    def solve(edges: np.ndarray) -> np.ndarray:
        return np.stack([solver.solve(board, position)[1] for position in edges])

    return Truth(board, max_edges, "endgames", solve)


def of(board: Board, max_edges: int) -> Truth:
    """The best source at hand for positions with at most ``max_edges`` edges left.

    A small board's table knows every position, whatever ``max_edges`` is.

    Raises:
      ConfigError: ``max_edges`` needs a package that is not installed.
    """
    max_edges = min(max_edges, board.num_edges)
    if board.num_edges <= TABLE_EDGES:
        return from_table(board)
    dots = (board.rows + 1) * (board.cols + 1)
    searchable = dots <= ENGINE_DOTS and max_edges <= SEARCH_EDGES
    if searchable and importlib.util.find_spec("numba"):
        return from_search(board, max_edges)
    if max_edges <= ENDGAME_EDGES:
        return from_endgames(board, max_edges)
    raise ConfigError(
        f"no exact values on {board} with {max_edges} edges left: at most {SEARCH_EDGES} on boards "
        f"of {ENGINE_DOTS} dots with pip install 'azdab[exact]', otherwise {ENDGAME_EDGES}"
    )
