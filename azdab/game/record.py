"""Records of games, as text that people can read and compare.

    azdab record 1
    board: 2x2
    first: Ann
    second: azdab, hard
    date: 2026-11-23
    event: kitchen table
    result: 0-4
    # A remark about the game, before its first move.

    A h 0 0
    B h 1 1   eval +0.35
    A v 0 0   # a remark about this move
    ...

The first line says that a game begins; a file may hold any number of games. Headers
come next, in any order; all but ``board`` may be missing, and lines
drawn at the start are named there, ``board: 5x5:swedish``. Then one line per move: who
moves (``A`` the first player, ``B`` the second), the edge (:func:`azdab.game.position.move_name`),
perhaps ``eval`` with the *first* player's expected final margin in boxes after the move,
perhaps a remark after ``#``. ``result`` is the two scores, or ``*`` while a game is not
finished; of a game that ended early, resigned or lost on time, whatever was agreed, such as
``5-4`` or ``A wins``. Empty lines mean nothing. Text is UTF-8.

Files of records are read and added to in :mod:`azdab.game.gamefile`.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable

from azdab.common.errors import UserError
from azdab.game import position
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import IllegalMoveError, Playthrough, Position

HEADER = "azdab record 1"
"""The first line of every game; the number is the version of the format."""

_FIELDS = ("first", "second", "date", "event")


@dataclasses.dataclass(frozen=True)
class Record:
    """A game, finished or not, with what is known about it.

    Attributes:
      position: the board and the moves.
      first, second: the players' names; may be empty.
      date: as written, usually ISO 8601.
      event: where it was played.
      remark: about the game; may have several lines.
      evaluations: by ply, the first player's expected final margin after that move.
      remarks: by ply, about that move; one line each.
      claim: the result of a game that ended before every edge was drawn, such as ``5-4`` or
        ``A wins``; empty if none is known.
    """

    position: Position
    first: str = ""
    second: str = ""
    date: str = ""
    event: str = ""
    remark: str = ""
    evaluations: dict[int, float] = dataclasses.field(default_factory=dict)
    remarks: dict[int, str] = dataclasses.field(default_factory=dict)
    claim: str = ""

    @property
    def result(self) -> str:
        """The scores, such as ``13-12``; else what is claimed, or ``*``."""
        if self.position.is_over:
            return "{}-{}".format(*self.position.scores)
        return _one_line(self.claim) or "*"

    def going_on(self, here: Position) -> "Record":
        """The same record with another position: what is said of moves that both have is kept."""
        shared = 0
        for mine, other in zip(self.position.moves, here.moves, strict=False):
            if mine != other or self.board != here.board:
                break
            shared += 1
        return dataclasses.replace(
            self,
            position=here,
            evaluations={k: v for k, v in self.evaluations.items() if k < shared},
            remarks={k: v for k, v in self.remarks.items() if k < shared},
            claim=self.claim if here == self.position else "",
        )

    @property
    def board(self) -> Board:
        return self.position.board


def _one_line(text: str) -> str:
    return " ".join(text.split())


def record_text(record: Record) -> str:
    """One game as text. Line breaks and runs of spaces in names and remarks become spaces.

    >>> print(record_text(Record(Position(Board(1, 1), (0, 3)), "Ann", "Bob")))
    azdab record 1
    board: 1x1
    first: Ann
    second: Bob
    result: *
    <BLANKLINE>
    A h 0 0
    B v 0 1
    <BLANKLINE>
    """
    lines = [HEADER, f"board: {record.board}"]
    for name in _FIELDS:
        if value := _one_line(getattr(record, name)):
            lines.append(f"{name}: {value}")
    lines.append(f"result: {record.result}")
    lines += [f"# {_one_line(line)}" for line in record.remark.splitlines() if line.strip()]
    lines.append("")
    played = record.position
    for ply, (edge, mover) in enumerate(zip(played.moves, played.movers, strict=False)):
        line = f"{PLAYER_LETTERS[mover]} {position.move_name(played.board, edge)}"
        if ply in record.evaluations:
            line += f"   eval {record.evaluations[ply]:+z.2f}"
        if remark := _one_line(record.remarks.get(ply, "")):
            line += f"   # {remark}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def records_text(records: Iterable[Record]) -> str:
    """Several games as one text."""
    return "\n".join(map(record_text, records))


class _Reader:
    """Reads one game, line by line."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._headers: dict[str, str] = {}
        self._game: Playthrough | None = None
        self._remark: list[str] = []
        self._evaluations: dict[int, float] = {}
        self._remarks: dict[int, str] = {}

    def line(self, number: int, line: str) -> None:
        self._number = number
        line = line.strip()
        if not _bare(line):
            return
        if line.startswith("#"):
            if self._game is not None and self._game.moves:
                self._fail("write a remark about a move behind the move")
            self._remark.append(line[1:].strip())
        elif header := re.fullmatch(r"([a-z]+):\s*(.*)", line, re.ASCII):
            self._header(header[1], header[2])
        else:
            self._move(line)

    def _fail(self, message: str) -> None:
        raise self._wrong(UserError(message))

    def _wrong(self, error: UserError) -> UserError:
        return error.inside(f"line {self._number}")

    def _header(self, name: str, value: str) -> None:
        if name not in ("board", "result", *_FIELDS):
            self._fail(f"unknown header '{name}'")
        if name in self._headers:
            self._fail(f"a second '{name}'")
        self._headers[name] = value.strip()
        if name == "board":
            try:
                self._game = Playthrough(parse_board(value))
            except UserError as error:
                raise self._wrong(error) from None

    def _move(self, line: str) -> None:
        before, _, remark = line.partition("#")
        move, evaluated, value = before.partition("eval")
        number = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*", value, re.ASCII)
        if not re.match(rf"(?:[{PLAYER_LETTERS}]\s+)?(?:[HV]\s*)?\d", move.upper()) or (
            evaluated and not number
        ):
            self._fail(f"cannot read {line[:60]!r}")
        if self._game is None:
            self._fail("the board must come before the first move")
        assert self._game is not None
        ply = len(self._game.moves)
        try:
            self._game.play(move)
        except IllegalMoveError as error:
            raise self._wrong(error) from None
        if number and math.isfinite(float(number[1])):
            self._evaluations[ply] = float(number[1])
        if remark.strip():
            self._remarks[ply] = remark.strip()

    def finish(self) -> Record:
        if self._game is None:
            self._fail("the game has no 'board'")
        assert self._game is not None
        fields = {name: self._headers.get(name, "") for name in _FIELDS}
        remark = "\n".join(self._remark)
        record = Record(
            self._game.position(), **fields, remark=remark,
            evaluations=self._evaluations, remarks=self._remarks,
        )  # fmt: skip
        result = self._headers.get("result", "")
        claim = "" if result == "*" else result
        if not record.position.is_over:
            return dataclasses.replace(record, claim=claim)
        if claim not in ("", record.result):
            self._fail(f"the result is {record.result}, not {claim}")
        return record


def split_games(text: str) -> list[str]:
    """A text cut before the first line of every game; together they are the text.

    What stands before the first game, if anything does, is a piece of its own. The beginning of
    a first line at the very end, which was cut off there, begins a piece too.
    """
    pieces: list[list[str]] = [[]]
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        start = _bare(line)
        cut_off = number == len(lines) and line == start and start and HEADER.startswith(start)
        begins = start.startswith("azdab record") or cut_off
        if begins and any(map(_bare, pieces[-1])):
            pieces.append([])
        pieces[-1].append(line)
    return ["".join(piece) for piece in pieces] if any(map(_bare, lines)) else []


def begins_game(text: str) -> bool:
    """Whether a text's first line with anything in it is that of a game."""
    return next(filter(None, map(_bare, text.splitlines())), "").startswith("azdab record")


def _bare(line: str) -> str:
    """A line without white space around it and without the mark some editors begin a file with."""
    return line.strip().removeprefix("\ufeff").strip()


def parse_records(text: str, note: Callable[[str], None] | None = None) -> list[Record]:
    """All games in a text.

    Args:
      text: one or more games.
      note: told, in one line, of a last game that cannot be read after others that can, as when
        the writing of it was cut short. It is left out then; without ``note`` it is refused.

    Raises:
      UserError: says which line is wrong, and why.
    """
    pieces = split_games(text)
    found: list[Record] = []
    number = 1
    for piece in pieces:
        try:
            found.append(_parse_piece(piece, number))
        except UserError as error:
            if note is None or not found or len(found) < len(pieces) - 1:
                raise
            note(f"the last of {len(pieces)} games is left out: {error}")
        number += len(piece.splitlines())
    if not pieces:
        raise UserError(f"there is no game: a record begins with '{HEADER}'")
    return found


def _parse_piece(piece: str, number: int) -> Record:
    """One game, whose first line has this number in the text."""
    reader: _Reader | None = None
    for at, line in enumerate(piece.splitlines(), number):
        if reader is not None:
            reader.line(at, line)
        elif start := _bare(line):
            if not start.startswith("azdab record"):
                raise UserError(f"a record begins with '{HEADER}'", f"line {at}")
            if start != HEADER:
                raise UserError(f"this azdab reads '{HEADER}'", f"line {at}")
            reader = _Reader(at)
    assert reader is not None  # the piece is not empty
    return reader.finish()
