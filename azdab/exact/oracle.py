"""The truth about positions with few edges left, from the solver that fits the board.

Three sources give the same values, and the tests hold them against each other:

* *table*: a board with at most 24 edges to draw is solved whole, every position of it;
* *search*: :mod:`azdab.exact.solver` (the extra ``exact``) on larger boards;
* *endgames*: :mod:`azdab.exact.dense_table`, one position after another, where that extra is
  missing.

Who needs values asks :func:`best_oracle` (measuring), :func:`quick_oracle` (the engine) or
:func:`searching_oracle` (players); only here is decided where they come from. The numbers are
in :mod:`azdab.common.limits`.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np

from azdab.common.errors import UserError
from azdab.common.extras import has_numba, missing_numba
from azdab.common.limits import (
    ENDGAME_EDGES,
    ENGINE_DOTS,
    QUICK_TABLE_EDGES,
    SEARCH_EDGES,
    TABLE_EDGES,
)
from azdab.devices import batching
from azdab.exact import dense_table
from azdab.game import rules
from azdab.game.board import Board

ILLEGAL = -128
"""What an action value is where the edge is drawn already."""


def has_choice(values: np.ndarray) -> np.ndarray:
    """Where the moves differ in value, ``bool[...]`` from action values ``[..., E]``."""
    best = values.max(axis=-1)
    return ((values != ILLEGAL) & (values != best[..., None])).any(axis=-1)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Exact action values of one board's positions.

    Attributes:
      board: the board.
      max_edges: positions with at most this many edges left are known.
      source: where the values come from, in words.
      solve: ``bool[N, E] -> int8[N, E]`` for known positions, N > 0.
      choose: a cheaper way to one optimal move: from a random generator and a position
        ``bool[E]`` to the move, or -1 if a limit was too low. None: there is no cheaper way.
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
        return rules.random_choices(rng, values == values.max(axis=-1, keepdims=True))


_exact_values = jax.jit(dense_table.exact_values)


def table_oracle(board: Board) -> Oracle:
    """Everything about a board with at most ``TABLE_EDGES`` edges to draw."""
    known = functools.partial(_exact_values, dense_table.solve_board(board))
    look_up = batching.in_chunks(known, 1024)
    return Oracle(board, board.num_plies, "table", lambda edges: look_up(edges).astype(np.int8))


def search_oracle(board: Board, max_edges: int, limit: int | None = None) -> Oracle:
    """Values by alpha-beta search; needs numba.

    If a position needs more than ``limit`` positions to be searched, nothing is known of it:
    its values are all ``ILLEGAL``. Whether it does is not to depend on what was asked before: the
    search forgets that wherever a limit could matter.
    """
    from azdab.exact import solver

    engine = solver.Solver(board)

    def solve(edges: np.ndarray) -> np.ndarray:
        nothing = np.full(board.num_edges, ILLEGAL, np.int8)
        found = []
        for position in edges:
            engine.forget_where_it_counts(position, limit)
            found.append(engine.action_values(position, limit))
        return np.stack([nothing if values is None else values for values in found])

    def choose(rng: np.random.Generator, edges: np.ndarray) -> int:
        engine.forget_where_it_counts(edges, limit)
        found = engine.best_action(edges, rng.permutation(np.flatnonzero(~edges)), limit)
        return -1 if found is None else found[0]

    return Oracle(board, max_edges, "search", solve, choose)


def endgame_oracle(board: Board, max_edges: int) -> Oracle:
    """Values by retrograde analysis of each position."""

    def solve(edges: np.ndarray) -> np.ndarray:
        return np.stack([dense_table.solve(board, position)[1] for position in edges])

    return Oracle(board, max_edges, "endgames", solve)


def can_solve(board: Board) -> bool:
    """Whether the whole board is solved in a table: every position of it is then known."""
    return board.num_plies <= TABLE_EDGES


def can_search(board: Board) -> bool:
    """Whether the exact search is at hand for a board: small enough, and with numba."""
    return board.num_dots <= ENGINE_DOTS and has_numba()


def require_search(board: Board) -> None:
    """Refuse what needs the exact engine where there is none.

    Raises:
      UserError: the board is too large, or numba is not installed.
    """
    if board.num_dots > ENGINE_DOTS:
        raise UserError(f"boards have at most {ENGINE_DOTS} dots here, {board} has more")
    if not can_search(board):
        raise missing_numba()


def counted_bits(nodes: int) -> int:
    """How large a table suits a search from nothing that may look at so many positions.

    It has ``2^bits`` entries, half as many as positions: the others are not worth remembering.
    """
    return min(max(nodes.bit_length() - 1, 12), 21)


def best_oracle(board: Board, max_edges: int) -> Oracle:
    """For measuring: certain values of positions with at most ``max_edges`` edges left.

    A small board's table knows every position, whatever ``max_edges`` is.

    Raises:
      UserError: ``max_edges`` needs a package that is not installed.
    """
    max_edges = min(max_edges, board.num_plies)
    if can_solve(board):
        return table_oracle(board)
    if max_edges <= SEARCH_EDGES and can_search(board):
        return search_oracle(board, max_edges)
    if max_edges <= ENDGAME_EDGES:
        return endgame_oracle(board, max_edges)
    raise UserError(
        f"no exact values on {board} with {max_edges} edges left: at most {SEARCH_EDGES} on boards "
        f"of {ENGINE_DOTS} dots with pip install 'azdab[exact]', otherwise {ENDGAME_EDGES}"
    )


def quick_oracle(board: Board, max_edges: int) -> Oracle | None:
    """For the engine: what is known at once, before it thinks; None: nothing.

    Args:
      board: the board.
      max_edges: most edges left; 0: nothing is known.
    """
    if not max_edges:
        return None
    if can_solve(board):
        return table_oracle(board)
    if can_search(board):
        return None  # it proves what it needs
    return endgame_oracle(board, min(max_edges, QUICK_TABLE_EDGES))


def searching_oracle(board: Board, max_edges: int, limit: int | None = None) -> Oracle:
    """For players that are exact from so many edges left and not before: always by search.

    Raises:
      UserError: the search is not at hand.
    """
    require_search(board)
    try:
        return search_oracle(board, max_edges, limit)
    except ImportError:
        raise missing_numba() from None
