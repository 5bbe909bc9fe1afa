"""Positions and analyses as plain values for JSON, and records read from text."""

from typing import Any, NamedTuple

from azdab.common.errors import UserError
from azdab.engine.engine import Analysis
from azdab.game import exchange, structure
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.web.sessions import RefusedError

MAX_IMPORT = 200_000
"""How many characters of a record are read."""


def first_player_margin(margin: float, position: Position) -> float:
    """The first player's margin, from the mover's."""
    return margin if position.to_play == 0 else -margin


class Imported(NamedTuple):
    """A game from pasted text.

    Attributes:
      record: the game.
      games: how many the text holds.
      note: one line about a last game that is left out because it is broken; or empty.
    """

    record: Record
    games: int
    note: str


def read_record(text: object, board: Board | None, number: int) -> Imported:
    """A game from pasted text.

    Args:
      text: any format that :func:`azdab.game.exchange.parse_games` knows.
      board: of a history that does not name it.
      number: which game, from 1.

    Raises:
      RefusedError: it cannot be read, or has no such game.
    """
    if not isinstance(text, str) or not text.strip():
        raise RefusedError(400, "there is no text to import")
    if len(text) > MAX_IMPORT:
        raise RefusedError(413, f"records of at most {MAX_IMPORT} characters are imported")
    notes: list[str] = []
    try:
        text.encode()
        found = exchange.parse_games(text, board, notes.append)
    except UnicodeEncodeError:
        raise RefusedError(400, "the record is not Unicode text") from None
    except exchange.UnknownBoardError:
        question = "say on which board this history was played, such as 5x5"
        raise RefusedError(400, question) from None
    except UserError as error:
        raise RefusedError(400, str(error)) from None
    if not 1 <= number <= len(found):
        missing = f"there are {len(found)} games in the text, no number {number}"
        raise RefusedError(400, "; ".join([missing, *notes]))
    return Imported(found[number - 1], len(found), " ".join(notes))


def shape_view(position: Position) -> dict[str, Any]:
    """Chains of a position, ready for JSON."""
    return {
        "ply": len(position.moves),
        "chains": [
            {"boxes": list(chain.boxes), "is_loop": chain.is_loop, "is_long": chain.is_long}
            for chain in structure.chains_of(position)
        ],
        "long_chains": structure.long_chains(position),
        "double_crosses": structure.double_crosses(position),
    }


def analysis_view(position: Position, found: Analysis) -> dict[str, Any]:
    """What the engine thinks, from the first player's view, ready for JSON.

    ``loss`` of an edge is in boxes, of the mover; None where nothing is known.
    """
    best = found.candidates[0].margin if found.candidates else None
    edges: list[dict[str, Any]] = []
    for candidate in found.candidates:
        loss = margin = None
        if candidate.margin is not None and best is not None:
            loss = max(best - candidate.margin, 0.0)
            margin = first_player_margin(candidate.margin, position)
        edges.append({"edge": candidate.edge, "margin": margin, "loss": loss})
    win = found.win_probability
    if win is not None:
        win = float(win if position.to_play == 0 else 1 - win)
    return {
        "ply": len(position.moves),
        "margin": None if found.margin is None else first_player_margin(found.margin, position),
        "win": win,
        "is_exact": found.exact is not None,
        "best": found.best,
        "edges": edges,
    }
