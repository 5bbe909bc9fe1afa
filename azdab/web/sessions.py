"""Games that the host keeps for its pages, and the engines they share.

A :class:`HostedGame` is changed from one thread only; engines think in others. Whoever changes a
game says after how many moves: an answer to a position that is gone is refused, not played.
"""

import collections
import dataclasses
import datetime
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from azdab.engine.engine import DEFAULT_LEVEL, LEVELS, Analysis, Engine
from azdab.game.board import Board
from azdab.game.position import IllegalMoveError, Position
from azdab.game.record import Record

HUMAN = "human"
"""The seat of a person; other seats are named after the engine's level."""

ANALYST = DEFAULT_LEVEL
"""The level that judges positions."""

MAX_GAMES = 200
"""How many games are kept; the one unused for the longest time is dropped."""

MAX_ENGINES = 12
"""How many engines are kept, in the same way."""

_MAX_ANALYSES = 600


class RefusedError(Exception):
    """A request that cannot be granted.

    Attributes:
      status: the HTTP status that fits.
      message: one line for a person.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def check_seats(seats: Any) -> tuple[str, str]:
    """Who plays first and second: two of ``human`` and the levels' names.

    Raises:
      RefusedError: they are something else.
    """
    known = (HUMAN, *LEVELS)
    if not isinstance(seats, list) or len(seats) != 2 or not all(s in known for s in seats):
        raise RefusedError(400, f"seats are two of {', '.join(known)}")
    return seats[0], seats[1]


class HostedGame:
    """One game on the host: moves, those taken back, and who plays.

    Args:
      name: cannot be guessed; whoever knows it may play.
      record: the board, the moves so far, and what is known of the game.
      seats: who plays first and second, see :func:`check_seats`.

    Attributes:
      moves: all moves, those that were taken back and can be played again at the end.
      ply: how many of them are on the board.
    """

    def __init__(self, name: str, record: Record, seats: tuple[str, str]) -> None:
        self.name, self.seats = name, seats
        self.board = record.board
        self.moves = record.position.moves
        self.ply = len(self.moves)
        self._record = record
        self._analyses: collections.OrderedDict[tuple[int, ...], Analysis] = (
            collections.OrderedDict()
        )

    @property
    def position(self) -> Position:
        """The position on the board."""
        return Position(self.board, self.moves[: self.ply])

    def state(self) -> dict[str, Any]:
        """All that a page needs, ready for JSON."""
        here = self.position
        return {
            "id": self.name,
            "board": {
                "rows": self.board.rows,
                "cols": self.board.cols,
                "variant": self.board.variant,
                "start": list(self.board.start_edges),
            },
            "seats": list(self.seats),
            "names": [self._record.first, self._record.second],
            "moves": list(self.moves),
            "ply": self.ply,
            "to_play": here.to_play,
            "scores": list(here.scores),
            "is_over": here.is_over,
        }

    def expect(self, ply: int) -> None:
        """Refuse what was meant for another position.

        Raises:
          RefusedError: the board has more or fewer moves.
        """
        if ply != self.ply:
            raise RefusedError(409, f"the game is after move {self.ply}, not after move {ply}")

    def play(self, edge: int, ply: int) -> None:
        """Play a person's move; moves that were taken back are forgotten.

        Raises:
          RefusedError: it cannot be played, or it is the engine's turn.
        """
        self.expect(ply)
        here = self.position
        if here.is_over:
            raise RefusedError(409, "the game is over")
        if self.seats[here.to_play] != HUMAN:
            raise RefusedError(409, "it is the engine's turn")
        self._add(here, edge)

    def _add(self, here: Position, edge: int) -> None:
        try:
            moves = here.play(edge).moves
        except IllegalMoveError as error:
            raise RefusedError(400, str(error)) from None
        if self.moves[: len(moves)] != moves:
            kept = len(here.moves)
            self._record = dataclasses.replace(
                self._record,
                evaluations={k: v for k, v in self._record.evaluations.items() if k < kept},
                remarks={k: v for k, v in self._record.remarks.items() if k < kept},
            )
            self.moves = moves
        self.ply = len(moves)

    def engine_turn(self, ply: int) -> tuple[Position, str]:
        """The position that the engine is to think about, and its level.

        Raises:
          RefusedError: it is not the engine's turn.
        """
        self.expect(ply)
        here = self.position
        if here.is_over:
            raise RefusedError(409, "the game is over")
        level = self.seats[here.to_play]
        if level == HUMAN:
            raise RefusedError(409, "it is not the engine's turn")
        return here, level

    def engine_move(self, thought_of: Position, edge: int) -> None:
        """Play the engine's move, unless the game has changed meanwhile.

        Raises:
          RefusedError: the game has changed.
        """
        here = self.position
        if here.moves != thought_of.moves or self.seats[here.to_play] == HUMAN:
            raise RefusedError(409, "the game has moved on while the engine was thinking")
        self._add(here, edge)

    def undo(self, ply: int, to: int | None = None) -> None:
        """Take back moves: to after move ``to``, else to the last decision of a person.

        Raises:
          RefusedError: there is no such earlier position.
        """
        self.expect(ply)
        if to is None:
            to = ply - 1
            while to >= 0 and self._passes(to):
                to -= 1
        if not 0 <= to < ply:
            raise RefusedError(409, "there is no move to take back")
        self.ply = to

    def redo(self, ply: int) -> None:
        """Play what was taken back again, up to the next decision of a person.

        Raises:
          RefusedError: nothing was taken back.
        """
        self.expect(ply)
        if self.ply == len(self.moves):
            raise RefusedError(409, "there is no move to play again")
        self.ply += 1
        while self.ply < len(self.moves) and self._passes(self.ply):
            self.ply += 1

    def _passes(self, ply: int) -> bool:
        """Whether undo and redo pass over a position: a person plays, but the engine moved here."""
        movers = Position(self.board, self.moves).movers
        return HUMAN in self.seats and self.seats[movers[ply]] != HUMAN

    def at(self, ply: int) -> Position:
        """The position after ``ply`` moves, perhaps among those that were taken back.

        Raises:
          RefusedError: there is none.
        """
        if not 0 <= ply <= len(self.moves):
            raise RefusedError(400, f"there are {len(self.moves)} moves, none numbered {ply}")
        return Position(self.board, self.moves[:ply])

    def remember(self, position: Position, found: Analysis) -> None:
        """Remember the analysis of a position."""
        self._analyses[position.moves] = found
        while len(self._analyses) > _MAX_ANALYSES:
            self._analyses.popitem(last=False)

    def known(self, position: Position) -> Analysis | None:
        """The analysis of a position, if there is one."""
        return self._analyses.get(position.moves)

    def record(self) -> Record:
        """The game up to the position on the board, with what is known about it."""
        here = self.position
        evaluations = {k: v for k, v in self._record.evaluations.items() if k < self.ply}
        for ply in range(self.ply):
            after = here.at(ply + 1)
            if (found := self.known(after)) and found.margin is not None:
                evaluations[ply] = found.margin if after.to_play == 0 else -found.margin
        return dataclasses.replace(
            self._record,
            position=here,
            first=self._record.first or self._player(0),
            second=self._record.second or self._player(1),
            date=self._record.date or datetime.date.today().isoformat(),
            evaluations=evaluations,
            remarks={k: v for k, v in self._record.remarks.items() if k < self.ply},
        )

    def _player(self, side: Literal[0, 1]) -> str:
        return "" if self.seats[side] == HUMAN else f"azdab, {self.seats[side]}"


class Sessions:
    """All games of a host, by name."""

    def __init__(self, limit: int = MAX_GAMES) -> None:
        self._limit = limit
        self._games: collections.OrderedDict[str, HostedGame] = collections.OrderedDict()

    def create(self, record: Record, seats: Sequence[str]) -> HostedGame:
        """A new game."""
        game = HostedGame(secrets.token_urlsafe(16), record, check_seats(list(seats)))
        self._games[game.name] = game
        while len(self._games) > self._limit:
            self._games.popitem(last=False)
        return game

    def get(self, name: str) -> HostedGame:
        """The game of this name.

        Raises:
          RefusedError: there is none, or it was dropped.
        """
        if name not in self._games:
            raise RefusedError(404, "there is no such game here: start a new one")
        self._games.move_to_end(name)
        return self._games[name]


class Engines:
    """Engines by board and level, made when first needed. Any thread may ask.

    Args:
      load: makes one; takes seconds.
      limit: how many are kept.
    """

    def __init__(self, load: Callable[[Board, str], Engine], limit: int = MAX_ENGINES) -> None:
        self._load, self._limit = load, limit
        self._lock = threading.Lock()
        self._made: collections.OrderedDict[tuple[Board, str], Future[Engine]] = (
            collections.OrderedDict()
        )

    def get(self, board: Board, level: str) -> Engine:
        """The engine; waits for whoever is making it already.

        Raises:
          UserError: it cannot be made.
        """
        key = (board, level)
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
