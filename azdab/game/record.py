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
finished. Empty lines mean nothing. Text is UTF-8.
"""

import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path

from azdab.common.errors import UserError
from azdab.game import position
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import IllegalMoveError, Position

HEADER = "azdab record 1"
"""The first line of every game; the number is the version of the format."""

MAX_RECORD_BYTES = 50_000_000
"""Larger files are refused."""

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
    """

    position: Position
    first: str = ""
    second: str = ""
    date: str = ""
    event: str = ""
    remark: str = ""
    evaluations: dict[int, float] = dataclasses.field(default_factory=dict)
    remarks: dict[int, str] = dataclasses.field(default_factory=dict)

    @property
    def result(self) -> str:
        """The scores, such as ``13-12``; ``*`` if the game is not finished."""
        return "{}-{}".format(*self.position.scores) if self.position.is_over else "*"

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
            line += f"   eval {record.evaluations[ply]:+.2f}"
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
        self._position: Position | None = None
        self._remark: list[str] = []
        self._evaluations: dict[int, float] = {}
        self._remarks: dict[int, str] = {}

    def line(self, number: int, line: str) -> None:
        self._number = number
        line = line.strip()
        if not line:
            return
        move = re.fullmatch(
            rf"([{PLAYER_LETTERS}])\s+([hv]\s+\d+\s+\d+)(?:\s+eval\s+([+-]?\d+(?:\.\d+)?))?"
            r"\s*(?:#\s*(.*))?",
            line,
            re.ASCII,
        )
        if line.startswith("#"):
            if self._position is not None and self._position.moves:
                self._fail("write a remark about a move behind the move")
            self._remark.append(line[1:].strip())
        elif move:
            self._move(*move.groups())
        elif header := re.fullmatch(r"([a-z]+):\s*(.*)", line, re.ASCII):
            self._header(header[1], header[2])
        else:
            self._fail(f"cannot read {line[:60]!r}")

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
                self._position = Position(parse_board(value))
            except UserError as error:
                raise self._wrong(error) from None

    def _move(self, mover: str, move: str, evaluation: str | None, remark: str | None) -> None:
        here = self._position
        if here is None:
            self._fail("the board must come before the first move")
        assert here is not None
        ply = len(here.moves)
        try:
            self._position = here.play(move)
        except IllegalMoveError as error:
            raise self._wrong(error) from None
        if mover != PLAYER_LETTERS[here.to_play]:
            self._fail(f"{PLAYER_LETTERS[here.to_play]} is to move, not {mover}")
        if evaluation is not None and math.isfinite(float(evaluation)):
            self._evaluations[ply] = float(evaluation)
        if remark:
            self._remarks[ply] = remark

    def finish(self) -> Record:
        if self._position is None:
            self._fail("the game has no 'board'")
        assert self._position is not None
        fields = {name: self._headers.get(name, "") for name in _FIELDS}
        remark = "\n".join(self._remark)
        record = Record(
            self._position, **fields, remark=remark,
            evaluations=self._evaluations, remarks=self._remarks,
        )  # fmt: skip
        claimed = self._headers.get("result", "") or "*"
        # A game that was resigned or lost on time ends early, with any result.
        if record.position.is_over and claimed not in ("*", record.result):
            self._fail(f"the result is {record.result}, not {claimed}")
        return record


def parse_records(text: str) -> list[Record]:
    """All games in a text.

    Raises:
      UserError: says which line is wrong, and why.
    """
    found: list[Record] = []
    reader: _Reader | None = None
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if line.strip().startswith("azdab record"):
            if line.strip() != HEADER:
                raise UserError(f"this azdab reads '{HEADER}'", f"line {number}")
            if reader:
                found.append(reader.finish())
            reader = _Reader(number)
        elif reader:
            reader.line(number, line)
        elif line.strip():
            raise UserError(f"a record begins with '{HEADER}'", f"line {number}")
    if reader is None:
        raise UserError(f"there is no game: a record begins with '{HEADER}'")
    return [*found, reader.finish()]


def parse_record(text: str) -> Record:
    """The only game in a text.

    Raises:
      UserError: it cannot be read, or there are several.
    """
    found = parse_records(text)
    if len(found) > 1:
        raise UserError(f"there are {len(found)} games here, one was expected")
    return found[0]


def read_text(path: Path) -> str:
    """A text file that a person named.

    Raises:
      UserError: it cannot be read.
    """
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise UserError(f"{path} is larger than {MAX_RECORD_BYTES // 1_000_000} MB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text") from None
