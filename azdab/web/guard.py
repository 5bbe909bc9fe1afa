"""Protection of the page's host: sockets, requests, other pages."""

import errno
import ipaddress
import json
import os
import re
import socket
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.web.sessions import RefusedError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that a page may use."""

MAX_BODY = 1_000_000
"""How many bytes of a request are read."""

_ALLOW = "start azdab with --allow-host and the name to allow it"
_DISCARDED = 16 * MAX_BODY  # read and thrown away, so that the browser gets to see the refusal
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def answer_json(value: Any, status: int = 200) -> Response:
    """A value as JSON, in ASCII only: a name may hold what UTF-8 cannot."""
    return Response(
        json_text(value),
        status,
        {"cache-control": "no-store"},
        media_type="application/json",
    )


def _name_of(host: str) -> str:
    """The name in a Host such as ``localhost:8000``; empty if it is none."""
    named = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(:\d{1,5})?", host.lower(), re.ASCII)
    return named[1].strip("[]") if named else ""


class Guard:
    """Lets only requests of our own page through, and adds headers to every answer.

    A page elsewhere can send requests here, and can give this machine a name of its own;
    the headers Host and Origin tell such requests apart.

    Args:
      app: what is guarded.
      hosts: names under which the page may be opened.
      allowed: names under which a proxy serves the page, on any port. A proxy may say its own
        name as Host, so they count as Origin too.
      prefix: what a proxy leaves before every path; paths without it are fine as well.
    """

    def __init__(
        self, app: ASGIApp, hosts: Sequence[str], allowed: Sequence[str] = (), prefix: str = ""
    ) -> None:
        self._app, self._prefix = app, prefix
        self._allowed = {name.lower() for name in allowed}
        self._hosts = {host.lower() for host in hosts} | set(LOOPBACK) | self._allowed
        # Bound to everything: any address, but no other name, which a page elsewhere could own.
        self._any_address = bool(self._hosts & {"0.0.0.0", "::"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        headers = Request(scope).headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            error = f"this page is not served under that name: {_ALLOW}"
            await answer_json({"error": error}, 400)(scope, receive, answer)
        elif not self._is_our_page(origin, host):
            error = f"another page may not play here; if it is this one behind a proxy, {_ALLOW}"
            await answer_json({"error": error}, 403)(scope, receive, answer)
        elif self._prefix and scope["path"] == self._prefix:
            # The page finds its parts beside itself, so its address ends with a slash.
            moved = Response(status_code=308, headers={"location": f"{self._prefix}/"})
            await moved(scope, receive, answer)
        elif self._prefix and scope["path"].startswith(f"{self._prefix}/"):
            inner = {**scope, "path": scope["path"].removeprefix(self._prefix)}
            await self._app(inner, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _is_our_page(self, origin: str | None, host: str) -> bool:
        if origin is None or origin in (f"http://{host}", f"https://{host}"):
            return True
        scheme, _, rest = origin.partition("://")
        return scheme in ("http", "https") and _name_of(rest) in self._allowed

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if not name:
            return False
        if name in self._hosts:
            return True
        try:
            return self._any_address and bool(ipaddress.ip_address(name))
        except ValueError:
            return False


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "send application/json")
    body, size = bytearray(), 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= MAX_BODY:
                body += chunk
            elif size > _DISCARDED:
                break
    except ClientDisconnect:
        raise RefusedError(400, "the request ended early") from None
    if size > MAX_BODY:
        raise RefusedError(413, f"requests have at most {MAX_BODY} bytes")

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        found = json.loads(body, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "the request is not a JSON object")
    return found


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
      UserError: the port is in use, or there is no such address here.
    """
    if not host:
        raise UserError("say on which host to listen, such as 127.0.0.1")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UserError(f"cannot find the host '{host}'") from None
    found = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        # Two sockets can be bound to one port here; only the second listen fails.
        found.listen(128)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is in use: choose another with --port") from None
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}"
        ) from None
    return found
