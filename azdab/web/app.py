"""The page in the browser: a small JSON interface and the files in ``static/``.

    POST /api/games                 {"board": "5x5", "seats": ["human", "hard"]}
    POST /api/games/import          {"text": "azdab record 1 ...", "board": "5x5", "number": 1}
    GET  /api/games/ID
    POST /api/games/ID/move         {"edge": 12, "ply": 0}
    POST /api/games/ID/engine       {"ply": 1}    the engine thinks and moves
    POST /api/games/ID/undo         {"ply": 2}    perhaps with "to"
    POST /api/games/ID/redo         {"ply": 0}
    POST /api/games/ID/seats        {"seats": ["human", "human"]}
    GET  /api/games/ID/analysis?ply=2
    GET  /api/games/ID/shape?ply=2
    GET  /api/games/ID/record?format=text

Requests that change a game are answered with its state. A refused request is answered with
a status of 400 or more and ``{"error": "one sentence"}``. ``ply`` is how many moves are on the
board, so that nothing is played on a board that has changed.
"""

import asyncio
import contextlib
import functools
import hashlib
import ipaddress
import socket
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import uvicorn
from rich.console import Console
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from azdab import __version__
from azdab.common.errors import UserError
from azdab.common.lattice import VARIANTS
from azdab.common.limits import MAX_SIDE
from azdab.engine.engine import DEFAULT_LEVEL, LEVELS, Analysis, Engine
from azdab.game import exchange
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.runs.networks import bundled_networks
from azdab.web import json_views, requests, sessions
from azdab.web.guard import LOOPBACK, Guard, answer_json, listen, read_body
from azdab.web.sessions import Engines, HostedGame, RefusedError, Sessions

_MAX_WAITING = 64

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

T = TypeVar("T")


class _Host:
    """The handlers. They run in the thread of the event loop; engines think in other threads."""

    def __init__(self, engines: Engines, board: Board, level: str) -> None:
        self._engines = engines
        self._sessions = Sessions()
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
        # Moves, analyses and warming up each have threads of their own, so that none waits
        # for a queue of the others.
        self._movers, self._analysts, self._warmers = (anyio.CapacityLimiter(n) for n in (8, 4, 1))
        self._background: set[asyncio.Task[None]] = set()

    async def _think(self, limiter: anyio.CapacityLimiter, work: Callable[..., T], *args: Any) -> T:
        if limiter.statistics().tasks_waiting >= _MAX_WAITING:
            raise RefusedError(429, "too many games are thinking at once: try again soon")
        try:
            return await anyio.to_thread.run_sync(
                functools.partial(work, *args), limiter=limiter, abandon_on_cancel=True
            )
        except asyncio.CancelledError:  # only when the server ends
            raise RefusedError(409, "the host has been stopped") from None

    def _warm_up(self, game: HostedGame) -> None:
        """Make the engines of a game ready while a person thinks about the first move."""
        levels = [seat for seat in game.seats if seat != sessions.HUMAN]

        def warm() -> None:
            for level in levels:
                self._engines.get(game.board, level).choose(Position(game.board))

        async def quietly() -> None:
            with contextlib.suppress(UserError, RefusedError):  # the first move will say so
                await self._think(self._warmers, warm)

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
        return answer_json(game.state(), 201)

    async def import_record(self, request: Request) -> Response:
        body = await read_body(request)
        board = None if body.get("board") is None else requests.board_asked(body["board"])
        number = 1 if body.get("number") is None else requests.whole_number(body, "number")
        seats = sessions.check_seats(body.get("seats", [sessions.HUMAN, sessions.HUMAN]))
        found, count = await self._think(
            self._movers, json_views.read_record, body.get("text"), board, number
        )
        game = self._sessions.create(found, seats)
        self._warm_up(game)
        return answer_json({**game.state(), "games": count}, 201)

    async def show(self, request: Request) -> Response:
        return answer_json(self._game(request).state())

    async def move(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.play(requests.whole_number(body, "edge"), requests.whole_number(body, "ply"))
        return answer_json(game.state())

    async def engine(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        here, level = game.engine_turn(requests.whole_number(body, "ply"))

        def choose() -> int:
            return self._engines.get(game.board, level).choose(here)

        game.engine_move(here, await self._think(self._movers, choose))
        return answer_json(game.state())

    async def undo(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.undo(
            requests.whole_number(body, "ply"),
            None if body.get("to") is None else requests.whole_number(body, "to"),
        )
        return answer_json(game.state())

    async def redo(self, request: Request) -> Response:
        game, body = self._game(request), await read_body(request)
        game.redo(requests.whole_number(body, "ply"))
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
            return self._engines.get(game.board, sessions.ANALYST).analyze(here)

        found = game.known(here)
        if found is None:
            found = await self._think(self._analysts, analyze)
            game.remember(here, found)
        return answer_json(json_views.analysis_view(here, found))

    async def shape(self, request: Request) -> Response:
        game = self._game(request)
        return answer_json(json_views.shape_view(game.at(requests.ply_asked(request, game))))

    async def record(self, request: Request) -> Response:
        game, form = self._game(request), request.query_params.get("format", "text")
        if form not in exchange.FORMATS:
            raise RefusedError(400, f"formats are {', '.join(exchange.FORMATS)}")
        try:
            text = exchange.dump_game(game.record(), form)
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
) -> Starlette:
    """The application.

    Args:
      load: makes the engine for a board at a level.
      board: to begin with.
      level: of the engine in new games.
      hosts: names and addresses under which the page may be opened, besides this machine's
        own; with ``0.0.0.0`` or ``::`` any address, but no other name.
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
    app.add_middleware(Guard, hosts=hosts)
    return app


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def serve(
    host: str,
    port: int,
    console: Console,
    load: Callable[[Board, str], Engine],
    board: Board,
    level: str = DEFAULT_LEVEL,
    *,
    open_browser: bool = True,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
      host: the address to listen on; 127.0.0.1 is reached from this machine only.
      port: the port; 0 takes a free one.
      console: where the page's address is told.
      load: makes the engine for a board at a level.
      board: to begin with.
      level: of the engine in new games.
      open_browser: whether to open the page.

    Raises:
      UserError: the port is in use, or the host unknown.
    """
    with listen(host, port) as listening:
        bound = listening.getsockname()
        is_open = not ipaddress.ip_address(bound[0].partition("%")[0]).is_loopback
        names = [host, bound[0], *([socket.gethostname()] if is_open else [])]
        app = make_app(load, board, level, names)
        url = _address(host, bound[1])
        console.print(f"Dots and Boxes at {url} (Ctrl-C ends it)", highlight=False)
        if is_open:
            console.print(
                "Other machines can reach this page, and whoever can reach it can use it.",
                style="yellow",
            )
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False,
                lifespan="off", ws="none", timeout_graceful_shutdown=20,
            )
        )  # fmt: skip
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
        console.print("Stopped.")
