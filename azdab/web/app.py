"""The page in the browser: a small JSON interface and the files in ``static/``.

    POST /api/games                 {"board": "5x5", "seats": ["human", "hard"]}
    POST /api/games/import          {"text": "azdab record 1 ...", "board": "5x5", "number": 1};
                                    perhaps with "seats", and "ply": how many moves are played;
                                    "games" in the answer counts them, "note" says what is left out
    GET  /api/games/ID
    POST /api/games/ID/move         {"edge": 12, "ply": 0}
    POST /api/games/ID/engine       {"ply": 1}    the engine thinks and moves
    POST /api/games/ID/undo         {"ply": 2}    perhaps with "to", or "seen": the ply looked at
    POST /api/games/ID/redo         {"ply": 0}    perhaps with "to"
    POST /api/games/ID/seats        {"seats": ["human", "human"]}
    GET  /api/games/ID/analysis?ply=2
    GET  /api/games/ID/shape?ply=2
    GET  /api/games/ID/record?format=text

Requests that change a game are answered with its state. Where a game is begun or asked for, what
its record says comes with it, so that a page can bring back a game that the host has lost. A
refused request is answered with a status of 400 or more and ``{"error": "one sentence"}``.
``ply`` is how many moves are on the board, so that nothing is played on a board that has changed.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from azdab import __version__
from azdab.common.errors import UserError
from azdab.common.lattice import VARIANTS
from azdab.common.limits import MAX_SIDE
from azdab.engine.engine import Analysis, Engine
from azdab.engine.levels import DEFAULT_LEVEL, LEVELS
from azdab.game import exchange
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.runs.networks import bundled_networks
from azdab.web import json_views, requests, sessions
from azdab.web.guard import LOOPBACK, Guard, answer_json, read_body
from azdab.web.sessions import HostedGame, RefusedError, Sessions
from azdab.web.thinking import ANALYST, Analyses, Engines
from azdab.web.turns import WorkQueue

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_LONG_TEXT = 10_000  # characters; one game without many remarks is shorter

T = TypeVar("T")


class _Host:
    """The handlers. They run in the thread of the event loop; engines think in other threads."""

    def __init__(self, engines: Engines, board: Board, level: str) -> None:
        self._engines = engines
        self._sessions, self._analyses = Sessions(), Analyses()
        self._settings = {
            "version": __version__,
            "levels": list(LEVELS),
            "level": level,
            "board": str(board),
            "variants": list(VARIANTS),
            "max_side": MAX_SIDE,
            "max_import": json_views.MAX_IMPORT,
            "networks": sorted({str(board), *bundled_networks()}),
        }  # fmt: skip
        cores = min(max(os.cpu_count() or 1, 2), 8)
        self._moves, self._reading = WorkQueue(cores), WorkQueue(1)
        self._judging, self._long_moves, self._long_reading, self._warming = (
            WorkQueue(1, first=self._moves) for _ in range(4)
        )
        self._background: set[asyncio.Task[None]] = set()

    async def _think(
        self,
        queue: WorkQueue,
        request: Request,
        work: Callable[..., T],
        *arguments: Any,
        cost: float = 1.0,
    ) -> T:
        """Do work for a request when its turn comes, unless its page is gone by then."""
        user = request.client.host if request.client else ""
        game = request.path_params.get("name", user)
        return await queue.do(user, game, work, *arguments, cost=cost, gone=request.is_disconnected)

    def _warm_up(self, game: HostedGame) -> None:
        """Make the engines of a game ready while a person thinks about the first move."""
        levels = [
            seat
            for seat in game.seats
            if seat != sessions.HUMAN and not self._engines.is_made(game.board, seat)
        ]

        def warm() -> None:
            for level in levels:
                with self._engines.lent(game.board, level) as engine:
                    engine.choose(Position(game.board))

        async def quietly() -> None:
            with contextlib.suppress(UserError, RefusedError):  # the first move will say so
                await self._warming.do(None, game.name, warm)

        if levels:
            task = asyncio.create_task(quietly())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    def _game(self, request: Request) -> HostedGame:
        return self._sessions.get(request.path_params["name"])

    async def settings(self, request: Request) -> Response:
        del request
        return answer_json(self._settings)

    async def create(self, request: Request) -> Response:
        body = await read_body(request)
        board = requests.board_asked(body.get("board", self._settings["board"]))
        seats = sessions.check_seats(body.get("seats", ["human", self._settings["level"]]))
        game = self._sessions.create(Record(Position(board)), seats)
        self._warm_up(game)
        return answer_json(game.opened(), 201)

    async def import_record(self, request: Request) -> Response:
        body = await read_body(request)
        board = None if body.get("board") is None else requests.board_asked(body["board"])
        number = 1 if body.get("number") is None else requests.whole_number(body, "number")
        seats = sessions.check_seats(body.get("seats", [sessions.HUMAN, sessions.HUMAN]))
        ply, text = requests.number_if_any(body, "ply"), body.get("text")
        size = len(text) if isinstance(text, str) else 1
        queue = self._long_reading if size > _LONG_TEXT else self._reading
        found = await self._think(
            queue, request, json_views.read_record, text, board, number, cost=size
        )
        game = self._sessions.create(found.record, seats, ply)
        self._warm_up(game)
        told = {**game.opened(), "games": found.games, "note": found.note}
        return answer_json(told, 201)

    async def show(self, request: Request) -> Response:
        return answer_json(self._game(request).opened())

    async def move(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.play(requests.whole_number(body, "edge"), requests.whole_number(body, "ply"))
        return answer_json(game.state())

    async def engine(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        here, level = game.engine_turn(requests.whole_number(body, "ply"))

        def choose() -> int:
            with self._engines.lent(game.board, level) as engine:
                return engine.choose(here)

        patience = LEVELS[level].simulations
        queue = self._long_moves if patience > LEVELS[DEFAULT_LEVEL].simulations else self._moves
        game.engine_move(here, await self._think(queue, request, choose, cost=max(patience, 1)))
        return answer_json(game.state())

    async def undo(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.undo(
            requests.whole_number(body, "ply"),
            requests.number_if_any(body, "to"),
            requests.number_if_any(body, "seen"),
        )
        return answer_json(game.state())

    async def redo(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.redo(requests.whole_number(body, "ply"), requests.number_if_any(body, "to"))
        return answer_json(game.state())

    async def seats(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.seats = sessions.check_seats(body.get("seats"))
        self._warm_up(game)
        return answer_json(game.state())

    async def analysis(self, request: Request) -> Response:
        game = self._game(request)
        here = game.at(requests.ply_asked(request, game))

        def analyze() -> Analysis:
            # Another game may have come here while this waited.
            if known := self._analyses.get(here):
                return known
            with self._engines.lent(game.board, ANALYST) as engine:
                return engine.analyze(here)

        found = self._analyses.get(here)
        if found is None:
            # What is on the board comes before what was or would be.
            cost = 1.0 if len(here.moves) == game.ply else 2.0
            found = await self._think(self._judging, request, analyze, cost=cost)
            self._analyses.keep(here, found)
        return answer_json(json_views.analysis_view(here, found))

    async def shape(self, request: Request) -> Response:
        game = self._game(request)
        return answer_json(json_views.shape_view(game.at(requests.ply_asked(request, game))))

    async def record(self, request: Request) -> Response:
        game, form = self._game(request), request.query_params.get("format", "text")
        if form not in exchange.FORMATS:
            raise RefusedError(400, f"formats are {', '.join(exchange.FORMATS)}")
        try:
            text = exchange.dump_game(game.record(self._analyses), form)
        except UserError as error:
            raise RefusedError(400, str(error)) from None
        size = str(game.board).replace(":", "-")  # not every system takes a colon
        name = f"dots-and-boxes-{size}.{'json' if form == 'ccgc' else 'txt'}"
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}"',
        }
        return Response(text, headers=headers, media_type="text/plain")


def _assets() -> dict[str, tuple[bytes, str, str]]:
    """The files of the page by name: content, media type and entity tag."""
    found = {}
    for path in sorted((Path(__file__).parent / "static").iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.name] = (content, _TYPES[path.suffix], tag)
    return found


def make_app(
    load: Callable[[Board, str], Engine],
    board: Board,
    level: str = DEFAULT_LEVEL,
    hosts: Sequence[str] = LOOPBACK,
    allowed: Sequence[str] = (),
    prefix: str = "",
) -> Starlette:
    """The application.

    Args:
      load: makes the engine for a board at a level.
      board: to begin with.
      level: of the engine in new games.
      hosts: names and addresses under which the page may be opened, besides this machine's
        own; with ``0.0.0.0`` or ``::`` any address, but no other name.
      allowed: names under which a proxy serves the page.
      prefix: what a proxy leaves before every path, such as ``/dots``.
    """
    host = _Host(Engines(load), board, level)
    assets = _assets()

    async def asset(request: Request) -> Response:
        name = request.path_params.get("file", "index.html")
        if name not in assets:
            raise HTTPException(404)
        content, kind, tag = assets[name]
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    def route(path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        return Route(path, handler, methods=[method])

    game = "/api/games/{name}"
    app = Starlette(
        routes=[
            route("/", asset, "GET"),
            route("/static/{file}", asset, "GET"),
            route("/api/settings", host.settings, "GET"),
            route("/api/games", host.create, "POST"),
            route("/api/games/import", host.import_record, "POST"),
            route(game, host.show, "GET"),
            *(
                route(f"{game}/{name}", getattr(host, name), "POST")
                for name in ("move", "engine", "undo", "redo", "seats")
            ),
            *(
                route(f"{game}/{name}", getattr(host, name), "GET")
                for name in ("analysis", "shape", "record")
            ),
        ],
        exception_handlers={
            RefusedError: requests.answer_refused,
            UserError: requests.answer_unusable,
            HTTPException: requests.answer_missing,
        },
    )
    app.router.redirect_slashes = False
    app.add_middleware(Guard, hosts=hosts, allowed=allowed, prefix=prefix)
    return app
