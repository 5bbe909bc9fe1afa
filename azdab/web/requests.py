"""What requests to the page ask for, and what those are answered that cannot be met."""

import re
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from azdab.common.errors import UserError
from azdab.game.board import Board, parse_board
from azdab.web.guard import answer_json
from azdab.web.sessions import HostedGame, RefusedError


def whole_number(body: dict[str, Any], name: str) -> int:
    """A whole number of the request.

    Raises:
      RefusedError: there is none, or it is far too large.
    """
    value = body.get(name)
    if type(value) is not int or abs(value) > 100_000:
        raise RefusedError(400, f"'{name}' must be a whole number")
    return value


def number_if_any(body: dict[str, Any], name: str) -> int | None:
    """A whole number of the request, or None if there is none.

    Raises:
      RefusedError: it is something else, or far too large.
    """
    return None if body.get(name) is None else whole_number(body, name)


def board_asked(value: object) -> Board:
    """The board that a request names.

    Raises:
      RefusedError: it names none.
    """
    if not isinstance(value, str):
        raise RefusedError(400, "'board' must be text such as 5x5")
    try:
        return parse_board(value[:40])
    except UserError as error:
        raise RefusedError(400, str(error)) from None


def ply_asked(request: Request, game: HostedGame) -> int:
    """The number of moves asked about; without one, those on the board.

    Raises:
      RefusedError: it is no number.
    """
    asked = request.query_params.get("ply", str(game.ply))
    if not re.fullmatch(r"\d{1,4}", asked, re.ASCII):
        raise RefusedError(400, "'ply' must be a whole number")
    return int(asked)


async def answer_refused(request: Request, error: Exception) -> Response:
    """The answer to what a game does not allow."""
    del request
    assert isinstance(error, RefusedError)
    return answer_json({"error": error.message}, error.status)


async def answer_unusable(request: Request, error: Exception) -> Response:
    """The answer to what is wrong in itself."""
    del request
    return answer_json({"error": str(error)}, 400)


async def answer_missing(request: Request, error: Exception) -> Response:
    """The answer where nothing is, or not for this method."""
    assert isinstance(error, HTTPException)
    sentences = {
        404: "there is nothing at this address; if a proxy leaves something before it, "
        "start azdab with --path-prefix",
        405: f"{request.method[:10]} is not possible here",
    }
    answer = answer_json(
        {"error": sentences.get(error.status_code, "bad request")}, error.status_code
    )
    answer.headers.update(error.headers or {})
    return answer
