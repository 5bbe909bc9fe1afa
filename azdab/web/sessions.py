"""Games that the host keeps for its pages.

A :class:`HostedGame` is changed from one thread only; engines think in others. Whoever changes a
game says after how many moves: an answer to a position that is gone is refused, not played.
"""

import dataclasses
import datetime
import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal

from azdab.engine.levels import LEVELS
from azdab.game.position import IllegalMoveError, Position
from azdab.game.record import Record
from azdab.web.thinking import Analyses

HUMAN = "human"
"""The seat of a person; other seats are named after the engine's level."""

MAX_GAMES = 200
"""How many games are kept. Pages bring back what was dropped."""

IDLE_SECONDS = 3600.0
"""A game that nobody has asked for in this time counts as idle."""


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
      ply: how many of the record's moves are on the board; None: all.

    Attributes:
      ply: how many of them are on the board.
      used: when somebody last asked for it, in seconds.

    Raises:
      RefusedError: the record has fewer moves than ``ply``.
    """

    def __init__(
        self, name: str, record: Record, seats: tuple[str, str], ply: int | None = None
    ) -> None:
        self.name, self.seats = name, seats
        self.board = record.board
        self._record = record
        self.ply = len(self.at(len(self.moves) if ply is None else ply).moves)
        self.used = 0.0
        self._is_played = False

    @property
    def moves(self) -> tuple[int, ...]:
        """All moves, those that were taken back and can be played again at the end."""
        return self._record.position.moves

    @property
    def position(self) -> Position:
        """The position on the board."""
        return Position(self.board, self.moves[: self.ply])

    @property
    def is_in_play(self) -> bool:
        """Whether moves were played here, and the game is not over."""
        return self._is_played and self.ply < self.board.num_plies

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

    def opened(self) -> dict[str, Any]:
        """The state, and what the record says: a page that has both can bring the game back."""
        known = self._record
        about = {
            "date": known.date,
            "event": known.event,
            "remark": known.remark,
            "evaluations": known.evaluations,
            "remarks": known.remarks,
            "claim": known.claim,
        }
        return {**self.state(), "about": about}

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
            after = here.play(edge)
        except IllegalMoveError as error:
            raise RefusedError(400, str(error)) from None
        self.ply = len(after.moves)
        if self.moves[: self.ply] != after.moves:
            self._record = self._record.going_on(after)
        self._is_played = True

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

    def undo(self, ply: int, to: int | None = None, seen: int | None = None) -> None:
        """Take back moves: to after move ``to``, else to the last decision of a person.

        Args:
          ply: how many moves are on the board.
          to: how many are to be left.
          seen: after how many moves the position is that is looked at; a person's last
            decision is looked for before it. None: the one on the board.

        Raises:
          RefusedError: there is no such earlier position.
        """
        self.expect(ply)
        if to is None:
            stops = self._decisions()
            before = ply if seen is None else min(seen, ply)
            to = next((stop for stop in reversed(stops) if stop < before), -1)
        if not 0 <= to < ply:
            raise RefusedError(409, "there is no move to take back")
        self.ply = to

    def redo(self, ply: int, to: int | None = None) -> None:
        """Play what was taken back again: to after move ``to``, else to a person's next decision.

        Raises:
          RefusedError: there is no such later position.
        """
        self.expect(ply)
        last = len(self.moves)
        if to is None:
            to = next((stop for stop in self._decisions() if stop > ply), last)
        if not ply < to <= last:
            raise RefusedError(409, "there is no move to play again")
        self.ply = to

    def _decisions(self) -> list[int]:
        """Where undo and redo stop: where a person moves; everywhere if none plays."""
        movers = Position(self.board, self.moves).movers
        seats = [self.seats[mover] for mover in movers]
        return [ply for ply, seat in enumerate(seats) if seat == HUMAN or HUMAN not in self.seats]

    def at(self, ply: int) -> Position:
        """The position after ``ply`` moves, perhaps among those that were taken back.

        Raises:
          RefusedError: there is none.
        """
        if not 0 <= ply <= len(self.moves):
            raise RefusedError(400, f"there are {len(self.moves)} moves, none numbered {ply}")
        return Position(self.board, self.moves[:ply])

    def record(self, analyses: Analyses) -> Record:
        """The game up to the position on the board, with what is known about it."""
        here = self.position
        known = self._record.going_on(here)
        evaluations = dict(known.evaluations)
        for ply, found in enumerate(analyses.along(here)):
            if found is not None and found.margin is not None:
                margin = -found.margin if here.movers[ply + 1] else found.margin
                evaluations.setdefault(ply, margin)
        return dataclasses.replace(
            known,
            first=known.first or self._player(0),
            second=known.second or self._player(1),
            date=known.date or datetime.date.today().isoformat(),
            evaluations=evaluations,
        )

    def _player(self, side: Literal[0, 1]) -> str:
        return "" if self.seats[side] == HUMAN else f"azdab, {self.seats[side]}"


class Sessions:
    """All games of a host, by name.

    Args:
      limit: how many are kept. Games that are not played or idle go first, and of them and
        of the others those unused for the longest time.
      idle: seconds after which a game is idle.
    """

    def __init__(self, limit: int = MAX_GAMES, idle: float = IDLE_SECONDS) -> None:
        self._limit, self._idle = limit, idle
        self._games: dict[str, HostedGame] = {}

    def create(self, record: Record, seats: Sequence[str], ply: int | None = None) -> HostedGame:
        """A new game."""
        game = HostedGame(secrets.token_urlsafe(16), record, check_seats(list(seats)), ply)
        game.used = time.monotonic()
        late = game.used - self._idle

        def worth(other: HostedGame) -> tuple[bool, float]:
            return other.is_in_play and other.used > late, other.used

        while len(self._games) >= self._limit:
            del self._games[min(self._games.values(), key=worth).name]
        self._games[game.name] = game
        return game

    def get(self, name: str) -> HostedGame:
        """The game of this name.

        Raises:
          RefusedError: there is none, or it was dropped.
        """
        if name not in self._games:
            raise RefusedError(404, "there is no such game here: start a new one")
        game = self._games[name]
        game.used = time.monotonic()
        return game
