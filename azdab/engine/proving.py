"""The exact solver at work in the background, for the engine."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import psutil

from azdab.common.extras import missing_numba
from azdab.common.limits import TABLE_ENTRY_BYTES
from azdab.exact import oracle
from azdab.game.board import Board
from azdab.game.position import Position

_MEMORY_SHARE = 32  # its table takes at most this part of the machine's memory
_RATE = 2_000_000  # positions that a core looks at in a second, about


def solver_bits(nodes: int | None, seconds: float | None) -> int:
    """How large the solver's table is, as a power of two.

    Args:
      nodes: positions that a proof may look at, where it has no time; then the table is emptied
        for every move, so it is small.
      seconds: that a proof may take; then the table is kept, and holds what some moves found.
    """
    if seconds is None:
        return 21 if nodes is None else oracle.counted_bits(nodes)
    most = (psutil.virtual_memory().total // _MEMORY_SHARE // TABLE_ENTRY_BYTES).bit_length() - 1
    return max(min(int(2 * _RATE * seconds).bit_length(), most, 24), 20)


class MoveProof:
    """A proof under way. Values are the mover's future margins, in boxes.

    Attributes:
      bounds: ``int64[E, 2]``, what is proven of the value after each move, at least and at most.
    """

    def __init__(self, bounds: np.ndarray, result: "Future[tuple[int, int] | None]") -> None:
        self.bounds, self._result = bounds, result

    @property
    def proven(self) -> bool:
        """Whether it has come to its end."""
        return self._result.done() and self._result.result() is not None

    def wait(self, seconds: float) -> None:
        """Waits for its end, but not longer than this."""
        wait([self._result], seconds)

    def result(self) -> tuple[int, int] | None:
        """Waits for an optimal move and the position's value; None if it was stopped before."""
        return self._result.result()


class MoveProver:
    """The solver of one board, for one proof at a time.

    Args:
      board: on which :func:`azdab.exact.oracle.can_search`.
      threads: that prove together.
      bits: size of the table, as a power of two.
      remembers: whether a proof may use what earlier ones found out; else it depends on its
        position alone.
    """

    def __init__(self, board: Board, threads: int, bits: int, remembers: bool) -> None:
        try:
            from azdab.exact import solver
        except ImportError:
            raise missing_numba() from None
        self._solver: Any = solver.Solver(board, bits, threads)
        self._remembers = remembers
        self._pool = ThreadPoolExecutor(1)

    def start(
        self,
        position: Position,
        order: np.ndarray,
        guess: float,
        nodes: int | None,
        enough: Callable[[], bool],
    ) -> MoveProof:
        """Begin to prove an optimal move in an unfinished position.

        Args:
          position: the position.
          order: ``int64[r]``, its open edges, the most promising first.
          guess: what its value may be.
          nodes: most positions to look at; None: any number.
          enough: asked again and again whether to stop.
        """
        edges = position.edges
        if not self._remembers:
            self._solver.forget_where_it_counts(edges, nodes)
        bounds = np.empty((len(edges), 2), np.int64)
        result = self._pool.submit(
            self._solver.proven_action, edges, nodes,
            order=order, guess=round(guess), bounds=bounds, enough=enough,
        )  # fmt: skip
        return MoveProof(bounds, result)

    @property
    def nodes(self) -> int:
        """How many positions the last proof looked at."""
        nodes: int = self._solver.nodes
        return nodes

    def narrow(
        self,
        position: Position,
        bounds: np.ndarray,
        nodes: int | None,
        enough: Callable[[], bool] | None,
    ) -> None:
        """Find the values of all moves, as far as the nodes and the time reach.

        Args:
          position: unfinished.
          bounds: of a finished :class:`MoveProof`; a value that is found is both bounds.
          nodes: as in :meth:`start`.
          enough: as in :meth:`start`.
        """
        for edge in position.legal:
            if bounds[edge, 0] == bounds[edge, 1]:
                continue
            after = position.play(edge)
            closed = sum(after.scores) - sum(position.scores)
            value = 0
            if not after.is_over:
                found = self._solver.proven_action(after.edges, nodes, enough=enough)
                if found is None:
                    return
                value = found[1]
                nodes = None if nodes is None else nodes - self.nodes
            bounds[edge] = closed + value if closed else -value
