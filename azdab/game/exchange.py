"""Records in the formats of others: the Chinese competition's JSON, OpenSpiel's histories.

:func:`parse_games` recognises a format by its content.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.game import gamefile, record
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import Playthrough, Position
from azdab.game.record import Record

CCGC_BOARD = Board(5, 5)
"""The competition's board of 6x6 dots."""

_COLUMNS = "abcdef"


class UnknownBoardError(UserError):
    """A history that does not say on which board it was played."""


def _ccgc_move(piece: Any) -> tuple[int, int]:
    """Who moves, 0 or 1, and the edge of ``b(b4,v)``: column a to f, row 1 to 6 from the bottom.

    Recorders also write spaces, capitals and wide characters.
    """
    compact = "".join(unicodedata.normalize("NFKC", str(piece)[:40]).split()).lower()
    found = re.fullmatch(r"([rb])\(([a-f])([1-6]),([hv])\)", compact, re.ASCII)
    if not found:
        raise UserError(f"cannot read the competition's move {str(piece)[:40]!r}")
    mover, column, number = "rb".index(found[1]), _COLUMNS.index(found[2]), int(found[3])
    try:
        if found[4] == "h":
            return mover, CCGC_BOARD.horizontal(6 - number, column)
        return mover, CCGC_BOARD.vertical(5 - number, column)
    except ValueError as error:
        raise UserError(str(error)) from None


def _lowered(values: dict[Any, Any]) -> dict[str, Any]:
    """The same with keys in small letters."""
    return {str(key).strip().lower(): value for key, value in values.items()}


def _ccgc_piece(edge: int, mover: int) -> str:
    colour = "rb"[mover]
    kind, row, column = CCGC_BOARD.place(edge)
    number = 6 - row if kind == "h" else 5 - row
    return f"{colour}({_COLUMNS[column]}{number},{kind})"


def from_ccgc(values: Any) -> Record:
    """A game of the Chinese Computer Game Competition, from its decoded JSON.

    Raises:
      UserError: it is not one, a move cannot be played, or the result is not that of the moves.
    """
    known = _lowered(values) if isinstance(values, dict) else {}
    if not isinstance(known.get("game"), list):
        raise UserError("it has no list 'game'")
    game = Playthrough(CCGC_BOARD)
    for number, entry in enumerate(known["game"], 1):
        piece = _lowered(entry).get("piece") if isinstance(entry, dict) else entry
        try:
            mover, edge = _ccgc_move(piece)
            if mover != game.movers[-1]:
                raise UserError(f"{('red', 'blue')[game.movers[-1]]} is to move")
            game.play(edge)
        except UserError as error:
            raise error.inside(f"move {number}, {str(piece)[:40]}") from None

    def text(name: str) -> str:
        value = known.get(name, "")
        # JSON can spell half characters, which no file can hold.
        return value.encode(errors="replace").decode() if isinstance(value, str) else ""

    names = {text("r").upper(): 0, text("b").upper(): 1, "R": 0, "B": 1}
    winner, position = " ".join(text("winner").split()), game.position()
    claim = _ccgc_claim(winner, names.get(winner.upper()), _ccgc_scores(known), position)
    return Record(
        position, first=text("r"), second=text("b"), date=text("date"), event=text("event"),
        claim=claim,
    )  # fmt: skip


def _ccgc_scores(known: dict[str, Any]) -> tuple[int, int] | None:
    """The scores that are written, if they are any: both are 0 where nobody filled them in."""
    try:
        red, blue = (int(known[name]) for name in ("rscore", "bscore"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    possible = min(red, blue) >= 0 < red + blue <= CCGC_BOARD.num_boxes
    return (red, blue) if possible else None


def _ccgc_claim(
    winner: str, seat: int | None, scores: tuple[int, int] | None, position: Position
) -> str:
    """The result that is written, where the moves do not say it.

    Args:
      winner: as it is written.
      seat: of the winner, 0 or 1, if it is understood.
      scores: red's and blue's.
      position: the last one.

    Raises:
      UserError: the moves say another.
    """
    if winner and seat is not None:
        claim = f"{PLAYER_LETTERS[seat]} wins"
    else:
        seat, claim = None, winner
    if position.is_over:
        best, mine = int(position.lead < 0), position.scores
        if seat not in (None, best) or scores not in (None, mine):
            said = ", ".join(filter(None, [winner, scores and "{}-{}".format(*scores)]))
            raise UserError(f"the result is {'RB'[best]}, {mine[0]}-{mine[1]}, not {said}")
        return ""
    if scores is None or scores == position.scores:
        return claim
    agree = seat is None or scores[seat] > scores[1 - seat]
    return "{}-{}".format(*scores) if agree and (seat is not None or not claim) else claim


def _ccgc_result(game: Record) -> tuple[str, int, int]:
    """The competition's winner, ``R``, ``B`` or else, and its scores."""
    claimed = re.fullmatch(r"(\d{1,3})-(\d{1,3})", game.result, re.ASCII)
    if claimed:
        red, blue = int(claimed[1]), int(claimed[2])
        return "" if red == blue else "RB"[red < blue], red, blue
    wins = {f"{letter} wins": name for letter, name in zip(PLAYER_LETTERS, "RB", strict=True)}
    return (wins.get(game.result, game.claim), *game.position.scores)


def to_ccgc(game: Record) -> dict[str, Any]:
    """A game as the Chinese Computer Game Competition's JSON object.

    Raises:
      UserError: the board is not the competition's.
    """
    if game.board != CCGC_BOARD:
        raise UserError(f"the Chinese competition plays on {CCGC_BOARD}, not on {game.board}")
    position = game.position
    winner, red, blue = _ccgc_result(game)
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


def parse_games(
    text: str, board: Board | None = None, note: Callable[[str], None] | None = None
) -> list[Record]:
    """Games in any format this module or :mod:`azdab.game.record` knows.

    Args:
      text: one or more games.
      board: of a history that does not name it.
      note: see :func:`azdab.game.record.parse_records`.

    Raises:
      UserError: no format fits, or a game is wrong; it names the format.
    """
    start = text.removeprefix("\ufeff").lstrip()
    if start.startswith("azdab record"):
        form, read = "azdab's text", lambda: record.parse_records(text, note)
    elif re.match(r"\{|\[\s*\{", start):
        form, read = "the Chinese competition's JSON", lambda: _read_ccgc(start)
    elif re.match(r"[\[(\d#]|dots_and_boxes", start):
        form, read = "a history of OpenSpiel", lambda: [from_openspiel(start, board)]
    else:
        raise UserError(
            "not a record: expected azdab's text, the Chinese competition's JSON or "
            "a history of OpenSpiel"
        )
    try:
        return read()
    except UserError as error:
        raise error.inside(f"taken for {form}") from None


def _read_ccgc(text: str) -> list[Record]:
    """One game of the competition, or a list of games."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise UserError("broken JSON", *([f"line {line}"] if line else [])) from None
    if not isinstance(values, list):
        return [from_ccgc(values)]
    games = []
    for number, value in enumerate(values, 1):
        try:
            games.append(from_ccgc(value))
        except UserError as error:
            raise error.inside(f"game {number}") from None
    return games


def load_games(
    path: Path, board: Board | None = None, note: Callable[[str], None] | None = None
) -> list[Record]:
    """Games in a file, see :func:`parse_games`.

    Raises:
      UserError: the file cannot be read or is no record.
    """
    text = gamefile.read_text(path)

    def note_of_file(line: str) -> None:
        if note is not None:
            note(f"{path}: {line}")

    try:
        return parse_games(text, board, None if note is None else note_of_file)
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
        return json_text(to_ccgc(game), indent=1, ascii_only=False) + "\n"
    return to_openspiel(game) if form == "openspiel" else record.record_text(game)
