"""Connections of the page: how many are held, and how long a request may take to arrive."""

import asyncio
from typing import Any, NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class ConnectionLimits(NamedTuple):
    """What the host bears.

    Attributes:
      connections: how many are held; one more closes the one that has been silent longest
        while its request was not complete, else is closed itself.
      seconds: in which a request must have arrived, headers and body.
    """

    connections: int = 256
    seconds: float = 15.0


LIMITS = ConnectionLimits()
"""If nothing else is asked for."""


def limited(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """The protocol of connections that keep to limits, for ``uvicorn.Config(http=...)``."""

    class Limited(H11Protocol):
        alarm: asyncio.TimerHandle | None = None
        heard = 0.0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.watch()
            if len(self.connections) > limits.connections:
                others = [c for c in self.connections if isinstance(c, Limited) and c is not self]
                silent = [other for other in others if other.is_incomplete]
                min(silent, key=lambda other: other.heard, default=self).transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self.calm()
            super().connection_lost(exc)

        @property
        def is_incomplete(self) -> bool:
            """Whether nothing, or only a part of a request, has come."""
            return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

        def watch(self) -> None:
            """Let time run from the first byte of a request to its last."""
            self.heard = self.loop.time()
            if not self.is_incomplete:
                self.calm()
            elif self.alarm is None:
                self.alarm = self.loop.call_later(limits.seconds, self.late)

        def calm(self) -> None:
            if self.alarm is not None:
                self.alarm.cancel()
                self.alarm = None

        def late(self) -> None:
            self.alarm = None
            if self.transport is not None and not self.transport.is_closing():
                self.transport.close()

    return Limited
