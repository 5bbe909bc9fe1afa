"""The server of the page: listens, and tells where."""

import contextlib
import ipaddress
import re
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence

import uvicorn
from rich.console import Console
from starlette.types import ASGIApp

from azdab.common.errors import UserError
from azdab.engine.engine import Engine
from azdab.engine.levels import DEFAULT_LEVEL
from azdab.game.board import Board
from azdab.web.app import make_app
from azdab.web.connections import LIMITS, ConnectionLimits, limited
from azdab.web.guard import listen


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def page_server(app: ASGIApp, limits: ConnectionLimits = LIMITS) -> uvicorn.Server:
    """A server of the page that keeps to limits and logs errors only.

    uvicorn's warnings are about single requests, and one advises installing a package.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, lifespan="off",
            http=limited(limits), ws="none", timeout_graceful_shutdown=20,
        )
    )  # fmt: skip


def _check_names(allowed: Sequence[str], prefix: str) -> None:
    """Refuse names and prefixes that no browser sends.

    Raises:
      UserError: says which.
    """
    for name in allowed:
        if not re.fullmatch(r"[\w.-]{1,253}|\[?[0-9A-Fa-f:.]+\]?", name):
            raise UserError(f"--allow-host takes a name such as dots.example.org, got {name!r}")
    if prefix and not re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII):
        raise UserError(f"--path-prefix is like /dots, without a slash at the end; got {prefix!r}")


def serve(
    host: str,
    port: int,
    console: Console,
    load: Callable[[Board, str], Engine],
    board: Board,
    level: str = DEFAULT_LEVEL,
    *,
    open_browser: bool = True,
    allowed: Sequence[str] = (),
    prefix: str = "",
    limits: ConnectionLimits = LIMITS,
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
      allowed: names under which a proxy serves the page.
      prefix: what a proxy leaves before every path, such as ``/dots``.
      limits: of connections.

    Raises:
      UserError: the port is in use, the host unknown, or a name or the prefix is none.
    """
    _check_names(allowed, prefix)
    with listen(host, port) as listening:
        bound = listening.getsockname()
        is_open = not ipaddress.ip_address(bound[0].partition("%")[0]).is_loopback
        names = [host, bound[0], *([socket.gethostname()] if is_open else [])]
        server = page_server(make_app(load, board, level, names, allowed, prefix), limits)
        url = _address(host, bound[1])
        console.print(f"Dots and Boxes at {url} (Ctrl-C ends it)", highlight=False)
        if is_open:
            console.print(
                "Other machines can reach this page, and whoever can reach it can use it.",
                style="yellow",
            )
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        # Python's threads, as of imports, give way at once to those that answer.
        sys.setswitchinterval(0.0005)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
        console.print("Stopped.")
