"""When the devices worked, and for whom they waited.

On the CPU a call returns at once, and its program runs on while Python goes on. On a card a call
returns when the last part of its program is launched, which is near the program's end. So no clock
around a call says how long its program took. A thread waits for the results instead, in the order
of dispatch.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

import jax


class Span(NamedTuple):
    """Something that went on from ``start`` to ``end``, in seconds of ``time.perf_counter``."""

    name: str
    start: float
    end: float


class Account(NamedTuple):
    """What the devices did in a stretch of time.

    Attributes:
      seconds: its length.
      busy: seconds of it by name of what ran.
      idle: seconds of it in which nothing ran, by the name of what was waited for; ``python``
        if it was nothing but the program itself.
    """

    seconds: float
    busy: dict[str, float]
    idle: dict[str, float]


def account(start: float, end: float, busy: list[Span], waits: list[Span]) -> Account:
    """Divide the time from ``start`` to ``end``.

    Args:
      start: in seconds.
      end: in seconds.
      busy: what the devices did, in order and without overlap.
      waits: what Python waited for; in order and without overlap.

    Example:
      >>> ran = [Span("play", 0.0, 4.0), Span("learn", 7.0, 9.0)]
      >>> account(0.0, 10.0, ran, [Span("teacher", 3.0, 6.0)])
      Account(seconds=10.0, busy={'play': 4.0, 'learn': 2.0}, idle={'python': 2.0, 'teacher': 2.0})
    """
    done: dict[str, float] = {}
    idle = {"python": 0.0}
    at = start
    for name, begun, ended in [*busy, Span("", end, end)]:
        begun, ended = max(min(begun, end), at), min(ended, end)
        if begun > at:
            waited = 0.0
            for wait in waits:
                if (both := min(wait.end, begun) - max(wait.start, at)) > 0:
                    idle[wait.name] = idle.get(wait.name, 0.0) + both
                    waited += both
            idle["python"] += max(begun - at - waited, 0.0)
        if name and ended > begun:
            done[name] = done.get(name, 0.0) + ended - begun
        at = max(at, ended)
    return Account(end - start, done, idle)


class Timeline:
    """Watches the devices of this process from a thread of its own; use it as a context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dispatched: SimpleQueue[tuple[str, float, Future[Any]] | None] = SimpleQueue()
        self._busy: list[Span] = []
        self._running: tuple[str, float] | None = None
        self._waits: list[Span] = []
        self._free = 0.0  # when the last program was done: they run one after the other
        self._start = time.perf_counter()
        threading.Thread(target=self._watch, name="timeline", daemon=True).start()

    def __enter__(self) -> "Timeline":
        return self

    def __exit__(self, *exception: object) -> None:
        self._dispatched.put(None)

    @contextmanager
    def dispatching(self, name: str) -> Iterator[Future[Any]]:
        """While a program is dispatched.

        Args:
          name: what it does.

        Yields:
          To be given arrays that the program yields, at best small ones; nothing may be donated
          of them.
        """
        results: Future[Any] = Future()
        self._dispatched.put((name, time.perf_counter(), results))
        try:
            yield results
        finally:
            if not results.done():  # it could not be dispatched
                results.set_result(None)

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """While a program runs whose results Python waits for at once."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                begun, self._free = max(start, self._free), time.perf_counter()
                self._busy.append(Span(name, begun, self._free))

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """While Python waits for something that is not the device."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._waits.append(Span(name, start, time.perf_counter()))

    def read(self) -> Account:
        """What happened since the last reading."""
        with self._lock:
            end = time.perf_counter()
            busy = list(self._busy)
            if self._running is not None:
                busy.append(Span(*self._running, end))
            found = account(self._start, end, busy, self._waits)
            self._start = end
            self._busy, self._waits = [], []
        return found

    def _watch(self) -> None:
        while (program := self._dispatched.get()) is not None:
            name, start, results = program
            with self._lock:
                self._running = name, max(start, self._free)
            with suppress(Exception):  # whoever reads the results hears of it
                jax.block_until_ready(results.result())
            del program, results
            with self._lock:
                self._free = time.perf_counter()
                self._busy.append(Span(*self._running, self._free))
                self._running = None
