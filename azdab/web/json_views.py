"""Positions and analyses as plain values for JSON, and records read from text."""

import math
from typing import Any

from azdab.common.errors import UserError
from azdab.engine.engine import Analysis
from azdab.game import exchange, structure
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.web.sessions import RefusedError

MAX_IMPORT = 200_000
"""How many characters of a record are read."""

_LOSS_SCALE = 1.5  # boxes lost after which a move looks mediocre on the heat map


def first_player_margin(margin: float, position: Position) -> float:
    """The first player's margin, from the mover's."""
    return margin if position.to_play == 0 else -margin


def read_record(text: object, board: Board | None, number: int) -> tuple[Record, int]:
    """A game from pasted text, and how many the text holds.

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
    try:
        text.encode()
        found = exchange.parse_games(text, board)
    except UnicodeEncodeError:
        raise RefusedError(400, "the record is not Unicode text") from None
    except exchange.UnknownBoardError:
        question = "say on which board this history was played, such as 5x5"
        raise RefusedError(400, question) from None
    except UserError as error:
        raise RefusedError(400, str(error)) from None
    if not 1 <= number <= len(found):
        raise RefusedError(400, f"there are {len(found)} games in the text, no number {number}")
    return found[number - 1], len(found)


def shape_view(position: Position) -> dict[str, Any]:
    """Chains and control of a position, ready for JSON."""
    return {
        "ply": len(position.moves),
        "chains": [
            {"boxes": list(chain.boxes), "is_loop": chain.is_loop, "is_long": chain.is_long}
            for chain in structure.chains_of(position)
        ],
        "long_chains": structure.long_chains(position),
        "double_crosses": structure.double_crosses(position),
        "controller": structure.controller(position),
    }


def analysis_view(position: Position, found: Analysis) -> dict[str, Any]:
    """What the engine thinks, from the first player's view, ready for JSON.

    ``heat`` of an edge is 1 for the best move and falls towards 0 with the boxes it loses;
    None where the engine did not look. ``loss`` is in boxes, of the mover.
    """
    best = found.candidates[0] if found.candidates else None
    most = max((candidate.visits for candidate in found.candidates), default=0)
    edges = []
    for candidate in found.candidates:
        heat: float | None = None
        loss = margin = None
        if candidate.margin is not None and best is not None and best.margin is not None:
            loss = max(best.margin - candidate.margin, 0.0)
            margin = first_player_margin(candidate.margin, position)
            heat = math.exp(-loss / _LOSS_SCALE)
        elif candidate.visits:
            heat = candidate.visits / most
        if candidate is best:
            heat = 1.0
        edges.append({"edge": candidate.edge, "margin": margin, "loss": loss, "heat": heat})
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
