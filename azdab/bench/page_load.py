"""How long people wait for the page's host when many use it at once: answers' times over HTTP."""

import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from azdab.common.errors import UserError
from azdab.game import record
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record

_BOARD = Board(5, 5)
_GAMES = 106  # in each import
_ANSWER_SECONDS = 600


class PageLoad(NamedTuple):
    """Who uses the page at once.

    Attributes:
      players: each plays against ``hard``, game after game.
      analysts: each has every position of a game judged, the last first, as the page does.
      importers: each imports a file of 106 games, and another ten seconds after it is there.
      hurry: the shortest and the longest time that a player thinks about a move, in seconds.
      seconds: how long all this is measured.
    """

    players: int = 32
    analysts: int = 40
    importers: int = 8
    hurry: tuple[float, float] = (2.0, 8.0)
    seconds: float = 120.0


class _Visitor:
    """One user of the page: sends requests on a connection of its own and notes their times."""

    def __init__(self, port: int, times: dict[str, list[float]], end: float, seed: int) -> None:
        self._port, self._times, self.end = port, times, end
        self.random = random.Random(seed)

    @property
    def is_late(self) -> bool:
        return time.perf_counter() >= self.end

    def ask(self, kind: str, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer, None if the request was refused; the time is noted under a kind."""
        start = time.perf_counter()
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        with contextlib.closing(link):
            sent = None if body is None else json.dumps(body)
            link.request(method, path, sent, {"Content-Type": "application/json"})
            answer = link.getresponse()
            found = json.loads(answer.read())
        if answer.status >= 400:
            kind = f"refused: {answer.status}"
        self._times.setdefault(kind, []).append(time.perf_counter() - start)
        return found if answer.status < 400 else None

    def history(self) -> list[int]:
        """A random game."""
        return self.random.sample(range(_BOARD.num_edges), _BOARD.num_edges)


def _play(visitor: _Visitor, load: PageLoad) -> None:
    while not visitor.is_late:
        seats = {"board": str(_BOARD), "seats": ["human", "hard"]}
        state = visitor.ask("new games", "POST", "/api/games", seats)
        while state and not state["is_over"] and not visitor.is_late:
            path, ply = f"/api/games/{state['id']}", state["ply"]
            if state["to_play"]:
                state = visitor.ask("moves of hard", "POST", f"{path}/engine", {"ply": ply})
                continue
            time.sleep(visitor.random.uniform(*load.hurry))
            edges = [e for e in range(_BOARD.num_edges) if e not in state["moves"]]
            move = {"ply": ply, "edge": visitor.random.choice(edges)}
            state = visitor.ask("people's moves", "POST", f"{path}/move", move)


def _judge(visitor: _Visitor, load: PageLoad) -> None:
    del load
    while not visitor.is_late:
        text = " ".join(map(str, visitor.history()))
        game = {"text": text, "board": str(_BOARD)}
        state = visitor.ask("imports of one game", "POST", "/api/games/import", game)
        for ply in reversed(range(_BOARD.num_edges + 1)):
            if state is None or visitor.is_late:
                break
            path = f"/api/games/{state['id']}/analysis?ply={ply}"
            visitor.ask("analyses", "GET", path)


def _bring(visitor: _Visitor, load: PageLoad) -> None:
    del load
    games = [Record(Position(_BOARD, tuple(visitor.history()))) for _ in range(_GAMES)]
    text = record.records_text(games)
    while not visitor.is_late:
        body = {"text": text, "number": _GAMES}
        visitor.ask(f"imports of {_GAMES} games", "POST", "/api/games/import", body)
        time.sleep(min(10.0, max(0.0, visitor.end - time.perf_counter())))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def _hosted() -> Iterator[int]:
    """The page in a process of its own; gives its port."""
    port = _free_port()
    command = [sys.executable, "-m", "azdab.play", "--web", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        if not host.stdout.readline():
            raise UserError("the page does not start; try python -m azdab.play --web")
        try:
            yield port
        finally:
            host.terminate()


def measure_page(load: PageLoad, console: Console) -> dict[str, list[float]]:
    """Use the page as ``load`` says, and print how long answers took.

    Returns:
      By kind of request, all times in seconds; refused ones are kinds of their own.

    Raises:
      UserError: the page does not start.
    """
    times: dict[str, list[float]] = {}
    with _hosted() as port:
        # Nothing is compiled while it is measured.
        first = _Visitor(port, {}, time.perf_counter() + _ANSWER_SECONDS, 0)
        seats = {"board": str(_BOARD), "seats": ["hard", "human"]}
        path = f"/api/games/{first.ask('', 'POST', '/api/games', seats)['id']}"
        first.ask("", "POST", f"{path}/engine", {"ply": 0})
        text = {"text": " ".join(map(str, first.history())), "board": str(_BOARD)}
        path = f"/api/games/{first.ask('', 'POST', '/api/games/import', text)['id']}"
        for ply in (1, 20, 30, 40):
            first.ask("", "GET", f"{path}/analysis?ply={ply}")
        end = time.perf_counter() + load.seconds
        roles: list[tuple[Callable[[_Visitor, PageLoad], None], int]] = [
            (_play, load.players), (_judge, load.analysts), (_bring, load.importers),
        ]  # fmt: skip
        doing = [role for role, count in roles for _ in range(count)]
        threads = [
            threading.Thread(target=role, args=(_Visitor(port, times, end, number), load))
            for number, role in enumerate(doing)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    table = Table(title="{} players, {} analysts, {} importers".format(*load[:3]))
    for name in ("request", "count", "median s", "95th percentile s", "longest s"):
        table.add_column(name, justify="left" if name == "request" else "right")
    for kind, found in sorted(times.items()):
        shown = [f"{x:.3f}" for x in (*np.quantile(found, (0.5, 0.95)), max(found))]
        table.add_row(kind, str(len(found)), *shown)
    console.print(table)
    return times
