"""Whose turn it is, where many games want the same few threads.

Each kind of work has a :class:`WorkQueue` with threads of its own, so that a move does not wait
for imports. Within a queue, users take turns, and so do the games of a user; of those whose
turn it is, the shortest work comes first. All this runs in the thread of the event loop.
"""

import asyncio
import collections
import dataclasses
import functools
import itertools
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from azdab.web.sessions import RefusedError

MAX_WAITING = 128
"""How much work waits in a queue; then the newest work of the busiest user is refused."""

GIVE_WAY_SECONDS = 10.0
"""How long long work gives way to short work, at most."""

_T = TypeVar("_T")


class Shares:
    """How much of one thing each of several has had, as far as that matters for who is next.

    Who has waited, or comes for the first time, has no claim to what was had before: the clock
    moves on with what is begun.
    """

    def __init__(self) -> None:
        self._had: dict[Hashable, float] = {}
        self._clock = 0.0

    def of(self, who: Hashable) -> float:
        """The smaller, the sooner is it the turn of ``who``."""
        return max(self._had.get(who, 0.0), self._clock)

    def take(self, who: Hashable, cost: float) -> None:
        """``who`` begins with something that costs so much."""
        self._clock = self.of(who)
        self._had[who] = self._clock + cost
        self._had = {one: had for one, had in self._had.items() if had > self._clock}


@dataclasses.dataclass(eq=False)
class _Ticket:
    """Work that waits: for whom, in which game, how much, since when, and its turn."""

    user: Hashable
    game: Hashable
    cost: float
    number: int
    turn: asyncio.Future[None]


class WorkQueue:
    """Work of one kind, with threads of its own.

    Args:
      threads: how much is done at once.
      most: how much waits at most.
      first: a queue of shorter work: as long as any waits there, none is begun here, but for
        one piece in ``GIVE_WAY_SECONDS``.
    """

    def __init__(
        self, threads: int, most: int = MAX_WAITING, first: "WorkQueue | None" = None
    ) -> None:
        self._threads, self._most, self._first = threads, most, first
        self._later: list[WorkQueue] = []
        self._begun = time.monotonic()
        if first is not None:
            first._later.append(self)
        self._limiter = anyio.CapacityLimiter(threads)
        self._busy = 0
        self._waiting: list[_Ticket] = []
        self._users, self._games = Shares(), Shares()
        self._numbers = itertools.count()

    async def do(
        self,
        user: Hashable,
        game: Hashable,
        work: Callable[..., _T],
        *arguments: Any,
        cost: float = 1.0,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> _T:
        """Do work in a thread when its turn comes.

        Args:
          user: who wants it.
          game: for which of the user's games.
          work: what is called in the thread.
          arguments: of the work.
          cost: of the work, beside other work of this queue.
          gone: whether nobody waits for the result any more; asked before the work begins.

        Raises:
          RefusedError: too much is waiting, nobody waits any more, or the host is stopped.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket = _Ticket(user, game, cost, next(self._numbers), turn)
        self._make_room(user)
        self._waiting.append(ticket)
        self._begin()
        try:
            await turn
        except asyncio.CancelledError:  # only when the server ends
            if turn.cancelled():
                self._waiting = [one for one in self._waiting if one is not ticket]
            else:
                self._busy -= 1
            raise RefusedError(409, "the host has been stopped") from None
        try:
            if gone is not None and await gone():
                raise RefusedError(409, "nobody waits for this any more")
            return await anyio.to_thread.run_sync(
                functools.partial(work, *arguments), limiter=self._limiter, abandon_on_cancel=True
            )
        except asyncio.CancelledError:
            raise RefusedError(409, "the host has been stopped") from None
        finally:
            self._busy -= 1
            self._begin()

    def _make_room(self, user: Hashable) -> None:
        """Refuse the newest work of whoever has the most waiting, if that is too much."""
        if len(self._waiting) < self._most:
            return
        refused = RefusedError(429, "too many games are thinking at once: try again soon")
        counts = collections.Counter(ticket.user for ticket in self._waiting)
        busiest, count = counts.most_common(1)[0]
        if counts[user] + 1 >= count:
            raise refused
        newest = max((t for t in self._waiting if t.user == busiest), key=lambda t: t.number)
        self._waiting.remove(newest)
        newest.turn.set_exception(refused)

    def _begin(self) -> None:
        """Give turns while threads are free."""
        while self._waiting and self._busy < self._threads:
            now = time.monotonic()
            gives_way = self._first is not None and self._first._waiting
            if gives_way and now < self._begun + GIVE_WAY_SECONDS:
                return
            self._begun = now
            ticket = min(
                self._waiting,
                key=lambda t: (self._users.of(t.user), self._games.of(t.game), t.cost, t.number),
            )
            self._waiting.remove(ticket)
            if ticket.turn.cancelled():
                continue
            self._users.take(ticket.user, ticket.cost)
            self._games.take(ticket.game, ticket.cost)
            self._busy += 1
            ticket.turn.set_result(None)
        for queue in self._later:
            queue._begin()
