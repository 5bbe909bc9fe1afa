"""What all games of a host share: engines, and what is known of positions."""

import collections
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from azdab.engine.engine import Analysis, Engine
from azdab.engine.levels import DEFAULT_LEVEL
from azdab.game.board import Board
from azdab.game.position import Position

ANALYST = DEFAULT_LEVEL
"""The level that judges positions."""

MAX_ENGINES = 24
"""How many engines are kept; the one unused for the longest time is dropped."""

MAX_ANALYSES = 5000
"""How many analyses are kept, of all games together."""


class Analyses:
    """What is known of positions, for all games together; the oldest are forgotten.

    Args:
      limit: how many are kept.
    """

    def __init__(self, limit: int = MAX_ANALYSES) -> None:
        self._limit = limit
        self._found: dict[tuple[Board, tuple[int, ...]], Analysis] = {}

    def get(self, position: Position) -> Analysis | None:
        """The analysis of a position, if there is one. Any thread may ask."""
        return self._found.get((position.board, position.moves))

    def along(self, game: Position) -> list[Analysis | None]:
        """What :meth:`get` finds after each move of a game, no position of which is made anew."""
        board, moves = game.board, game.moves
        return [self._found.get((board, moves[:ply])) for ply in range(1, len(moves) + 1)]

    def keep(self, position: Position, found: Analysis) -> None:
        """Remember the analysis of a position."""
        self._found[position.board, position.moves] = found
        while len(self._found) > self._limit:
            del self._found[next(iter(self._found))]


class Engines:
    """Engines by board and level, made when first needed. Any thread may ask.

    An engine does one thing at a time, so there are as many of a kind as are used at once.

    Args:
      load: makes one; takes seconds.
      limit: how many are kept.
    """

    def __init__(self, load: Callable[[Board, str], Engine], limit: int = MAX_ENGINES) -> None:
        self._load, self._limit = load, limit
        self._lock = threading.Lock()
        self._made: collections.OrderedDict[tuple[Board, str, int], Future[Engine]] = (
            collections.OrderedDict()
        )
        self._lent: set[tuple[Board, str, int]] = set()

    def is_made(self, board: Board, level: str) -> bool:
        """Whether the engine is ready, or being made."""
        return (board, level, 0) in self._made

    @contextlib.contextmanager
    def lent(self, board: Board, level: str) -> Iterator[Engine]:
        """An engine that nobody else uses meanwhile.

        Raises:
          UserError: it cannot be made.
        """
        with self._lock:
            copies = ((board, level, number) for number in itertools.count())
            mine = next(copy for copy in copies if copy not in self._lent)
            self._lent.add(mine)
        try:
            yield self.get(*mine)
        finally:
            with self._lock:
                self._lent.discard(mine)

    def get(self, board: Board, level: str, copy: int = 0) -> Engine:
        """The engine; waits for whoever is making it already.

        Raises:
          UserError: it cannot be made.
        """
        key = (board, level, copy)
        with self._lock:
            future = self._made.get(key)
            mine = future is None
            if future is None:
                future = self._made[key] = Future()
            self._made.move_to_end(key)
            while len(self._made) > self._limit:
                self._made.popitem(last=False)
        if mine:
            try:
                future.set_result(self._load(board, level))
            except BaseException as error:
                with self._lock:
                    self._made.pop(key, None)
                future.set_exception(error)
        return future.result()
