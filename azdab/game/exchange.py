"""Records in the formats of others: the Chinese competition's JSON, OpenSpiel's histories.

:func:`parse_games` recognises a format by its content.
"""

import json
import re
from pathlib import Path
from typing import Any

from azdab.common.errors import UserError
from azdab.game import record
from azdab.game.board import Board, parse_board
from azdab.game.position import IllegalMoveError, Position
from azdab.game.record import Record

CCGC_BOARD = Board(5, 5)
"""The competition's board of 6x6 dots."""

_COLUMNS = "abcdef"


class UnknownBoardError(UserError):
    """A history that does not say on which board it was played."""


def _ccgc_edge(text: Any) -> int:
    """The edge of ``(b4,v)``: a column a to f and a row 1 to 6 counted from the bottom."""
    found = re.fullmatch(r"[rb]\(([a-f])([1-6]),([hv])\)", str(text))
    if not found:
        raise UserError(f"cannot read the competition's move {str(text)[:40]!r}")
    column, number = _COLUMNS.index(found[1]), int(found[2])
    try:
        if found[3] == "h":
            return CCGC_BOARD.horizontal(6 - number, column)
        return CCGC_BOARD.vertical(5 - number, column)
    except ValueError as error:
        raise UserError(str(error), f"the competition's move {text}") from None


def _ccgc_piece(edge: int, mover: int) -> str:
    colour = "rb"[mover]
    kind, row, column = CCGC_BOARD.place(edge)
    number = 6 - row if kind == "h" else 5 - row
    return f"{colour}({_COLUMNS[column]}{number},{kind})"


def from_ccgc(values: Any) -> Record:
    """A game of the Chinese Computer Game Competition, from its decoded JSON.

    Raises:
      UserError: it is not one, or a move cannot be played.
    """
    if not isinstance(values, dict) or not isinstance(values.get("game"), list):
        raise UserError("not a record of the Chinese competition: it has no list 'game'")
    position = Position(CCGC_BOARD)
    for number, entry in enumerate(values["game"], 1):
        piece = entry.get("piece") if isinstance(entry, dict) else entry
        edge = _ccgc_edge(piece)
        if str(piece)[0] != "rb"[position.to_play]:
            colour = ("red", "blue")[position.to_play]
            raise UserError(f"{colour} is to move", f"move {number}, {piece}")
        try:
            position = position.play(edge)
        except IllegalMoveError as error:
            raise error.inside(f"move {number}, {piece}") from None

    def text(name: str) -> str:
        value = values.get(name, "")
        # JSON can spell half characters, which no file can hold.
        return value.encode(errors="replace").decode() if isinstance(value, str) else ""

    return Record(
        position, first=text("R"), second=text("B"), date=text("Date"), event=text("Event")
    )


def to_ccgc(game: Record) -> dict[str, Any]:
    """A game as the Chinese Computer Game Competition's JSON object.

    Raises:
      UserError: the board is not the competition's.
    """
    if game.board != CCGC_BOARD:
        raise UserError(f"the Chinese competition plays on {CCGC_BOARD}, not on {game.board}")
    position = game.position
    red, blue = position.scores
    winner = ("R" if red > blue else "B") if position.is_over else ""
    return {
        "R": game.first,
        "B": game.second,
        "winner": winner,
        "RScore": red,
        "BScore": blue,
        "Date": game.date,
        "Event": game.event,
        "game": [
            {"piece": _ccgc_piece(edge, mover)}
            for edge, mover in zip(position.moves, position.movers, strict=False)
        ],
    }


def to_openspiel(game: Record) -> str:
    """A game as ``pyspiel.deserialize_game_and_state`` reads it: OpenSpiel numbers edges alike.

    Raises:
      UserError: lines are drawn at the start, which OpenSpiel does not know.
    """
    _check_openspiel(game.board)
    size = f"num_cols={game.board.cols},num_rows={game.board.rows}"
    history = "".join(f"{edge}\n" for edge in game.position.moves)
    return f"[Meta]\nVersion: 1\n\n[Game]\ndots_and_boxes({size})\n\n[State]\n{history}\n"


def _check_openspiel(board: Board) -> None:
    if board.start_edges:
        raise UserError(f"OpenSpiel has no lines drawn at the start, and {board} has some")


def from_openspiel(text: str, board: Board | None = None) -> Record:
    """A game from OpenSpiel: a serialized state, or only its history of actions.

    Args:
      text: what ``pyspiel.serialize_game_and_state`` gives; or edges separated by
        commas, spaces or line breaks, perhaps in brackets.
      board: of a history that does not name it; otherwise the square board that has
        as many edges as the history.

    Raises:
      UserError: it is neither, or a move cannot be played.
    """
    named = re.search(r"^dots_and_boxes(?:\((.*?)\))?\s*$", text, re.MULTILINE)
    if named:
        sizes = dict(re.findall(r"(num_rows|num_cols)=(\d+)", named[1] or ""))
        board = parse_board(f"{sizes.get('num_rows', 2)}x{sizes.get('num_cols', 2)}")
        _, found, text = text.partition("[State]")
        if not found:
            raise UserError("OpenSpiel's game has no [State]")
    words = re.sub(r"[\[\](),]", " ", text).split()
    if not all(re.fullmatch(r"\d{1,4}", word, re.ASCII) for word in words):
        raise UserError("not a history of OpenSpiel: it should be edges' numbers only")
    moves = tuple(map(int, words))
    if board is None:
        squares = [Board(n, n) for n in range(1, 11)]
        board = next((b for b in squares if b.num_edges == len(moves)), None)
    if board is None:
        raise UnknownBoardError("say on which board this history was played, such as --board 5x5")
    _check_openspiel(board)
    return Record(Position(board, moves))


def parse_games(text: str, board: Board | None = None) -> list[Record]:
    """Games in any format this module or :mod:`azdab.game.record` knows.

    Raises:
      UserError: no format fits, or a game is wrong.
    """
    start = text.removeprefix("\ufeff").lstrip()
    if start.startswith("azdab record"):
        return record.parse_records(text)
    if start.startswith("{"):
        try:
            values = json.loads(start)
        except (ValueError, RecursionError):
            raise UserError("not a record: broken JSON") from None
        return [from_ccgc(values)]
    if re.match(r"[\[(\d#]", start):
        return [from_openspiel(start, board)]
    raise UserError(
        "not a record: expected azdab's text, the Chinese competition's JSON or "
        "a history of OpenSpiel"
    )


def load_games(path: Path, board: Board | None = None) -> list[Record]:
    """Games in a file, see :func:`parse_games`.

    Raises:
      UserError: the file cannot be read or is no record.
    """
    text = record.read_text(path)
    try:
        return parse_games(text, board)
    except UserError as error:
        raise error.inside(str(path)) from None


FORMATS = ("text", "ccgc", "openspiel")
"""What :func:`dump_game` writes."""


def dump_game(game: Record, form: str) -> str:
    """A game in one of :data:`FORMATS`.

    Raises:
      UserError: the format cannot hold it.
    """
    if form == "ccgc":
        return json.dumps(to_ccgc(game), ensure_ascii=False, indent=1) + "\n"
    return to_openspiel(game) if form == "openspiel" else record.record_text(game)
