"""The page's host: over a real server, as a browser and as an enemy would use it."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from azdab.common.errors import UserError
from azdab.common.lattice import VARIANTS
from azdab.engine.engine import Analysis, Candidate, Engine
from azdab.engine.levels import LEVELS
from azdab.game import exchange
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record

pytest.importorskip("uvicorn", reason="the extra 'web' is not installed")

from azdab.web import app, guard, json_views, server, turns
from azdab.web.connections import LIMITS, ConnectionLimits
from azdab.web.sessions import HostedGame, RefusedError, Sessions
from azdab.web.thinking import Analyses, Engines
from azdab.web.turns import Shares, WorkQueue

Load = Callable[[Board, str], Engine]


PLAIN = {"variant": "plain", "start": []}
"""What a page is told of a board without lines at the start."""


def light(board: Board, level: str) -> Engine:
    """Engines that are ready at once: no network."""
    return Engine(board, None, LEVELS[level])


@contextlib.contextmanager
def served(
    load: Load = light,
    hosts: Sequence[str] = guard.LOOPBACK,
    limits: ConnectionLimits = LIMITS,
    port: int = 0,
    **options: Any,
) -> Iterator[int]:
    """A server on a free port of this machine."""
    with guard.listen("127.0.0.1", port) as listening:
        made = app.make_app(load, Board(5, 5), hosts=hosts, **options)
        running = server.page_server(made, limits)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join(timeout=60)
    assert not thread.is_alive()


class Client:
    """Sends requests to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """A request; a body that is not bytes is sent as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return response.status, answered, response.read()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer to a request that must succeed."""
        status, _, answer = self.send(method, path, body)
        assert status in (200, 201), answer
        return json.loads(answer)

    def new(self, board: str = "2x2", first: str = "human", second: str = "human") -> str:
        """The name of a new game."""
        return str(self.ask("POST", "/api/games", {"board": board, "seats": [first, second]})["id"])

    def post(self, game: str, what: str, **body: Any) -> Any:
        """The state of a game after a change that must succeed."""
        return self.ask("POST", f"/api/games/{game}/{what}", body)

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """Status and sentence of a request that must be refused."""
        status, answered, answer = self.send(method, path, body, **headers)
        assert 400 <= status < 500, answer
        assert answered["content-type"] == "application/json"
        error = json.loads(answer)
        assert list(error) == ["error"]
        sentence = error["error"]
        assert isinstance(sentence, str)
        assert sentence.strip() == sentence != ""
        assert "\n" not in sentence
        assert len(sentence) < 250
        return status, sentence


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with served() as port:
        yield Client(port)


def play_out(client: Client, game: str) -> Any:
    """Play the first legal move for people and let engines move until the game is over."""
    state = client.ask("GET", f"/api/games/{game}")
    while not state["is_over"]:
        ply = state["ply"]
        if state["seats"][state["to_play"]] == "human":
            board = Board(*(state["board"][name] for name in ("rows", "cols", "variant")))
            edge = Position(board, tuple(state["moves"][:ply])).legal[0]
            state = client.post(game, "move", edge=edge, ply=ply)
        else:
            state = client.post(game, "engine", ply=ply)
        assert state["ply"] == ply + 1
    return state


@pytest.mark.parametrize(
    "seats", [("human", "easy"), ("medium", "human"), ("hard", "max"), ("human", "human")]
)
def test_a_whole_game(client: Client, seats: tuple[str, str]) -> None:
    state = play_out(client, client.new("2x2", *seats))
    assert sorted(state["moves"]) == list(range(12))
    assert sum(state["scores"]) == 4
    assert state["scores"] == list(Position(Board(2, 2), tuple(state["moves"])).scores)


def test_undo_goes_back_to_a_persons_decision_and_redo_forward(client: Client) -> None:
    game = client.new("3x3", "human", "easy")
    client.post(game, "move", edge=0, ply=0)
    state = client.post(game, "engine", ply=1)
    moves = state["moves"]
    assert state["to_play"] == 0
    assert client.post(game, "undo", ply=2)["ply"] == 0
    assert client.refused("POST", f"/api/games/{game}/undo", {"ply": 0})[0] == 409
    state = client.post(game, "redo", ply=0)
    assert (state["ply"], state["moves"]) == (2, moves)
    assert client.refused("POST", f"/api/games/{game}/redo", {"ply": 2})[0] == 409
    client.post(game, "undo", ply=2)
    other = next(edge for edge in range(24) if edge not in moves)
    assert client.post(game, "move", edge=other, ply=0)["moves"] == [other]


def test_the_engines_first_move_is_not_the_persons_to_take_back(client: Client) -> None:
    game = client.new("2x2", "easy", "human")
    client.post(game, "engine", ply=0)
    assert client.refused("POST", f"/api/games/{game}/undo", {"ply": 1})[0] == 409


def test_two_people_take_back_move_by_move_or_to_a_place(client: Client) -> None:
    game = client.new("2x2")
    for ply in range(5):
        client.post(game, "move", edge=ply, ply=ply)
    assert client.post(game, "undo", ply=5)["ply"] == 4
    assert client.post(game, "undo", ply=4, to=1)["ply"] == 1
    # Drawing the same edge again is a redo: what comes later is kept.
    state = client.post(game, "move", edge=1, ply=1)
    assert (state["ply"], len(state["moves"])) == (2, 5)
    assert client.post(game, "redo", ply=2, to=4)["ply"] == 4
    # What is looked at decides what is taken back.
    assert client.post(game, "undo", ply=4, seen=3)["ply"] == 2
    assert client.refused("POST", f"/api/games/{game}/redo", {"ply": 2, "to": 6})[0] == 409
    assert client.refused("POST", f"/api/games/{game}/undo", {"ply": 2, "seen": 0})[0] == 409


def test_seats_can_be_changed_in_the_middle(client: Client) -> None:
    game = client.new("2x2")
    client.post(game, "move", edge=0, ply=0)
    assert client.post(game, "seats", seats=["human", "easy"])["seats"] == ["human", "easy"]
    assert client.post(game, "engine", ply=1)["ply"] == 2


def test_what_was_meant_for_another_position_is_refused(client: Client) -> None:
    game = client.new("2x2")
    client.post(game, "move", edge=0, ply=0)
    for what, body in [
        ("move", {"edge": 1, "ply": 0}),
        ("engine", {"ply": 0}),
        ("undo", {"ply": 0}),
        ("redo", {"ply": 7}),
    ]:
        assert client.refused("POST", f"/api/games/{game}/{what}", body)[0] == 409
    assert client.ask("GET", f"/api/games/{game}")["moves"] == [0]


def test_games_do_not_leak_into_each_other(client: Client) -> None:
    one, two = client.new("2x2"), client.new("1x1")
    assert one != two
    client.post(one, "move", edge=3, ply=0)
    client.post(two, "move", edge=1, ply=0)
    client.post(one, "undo", ply=1)
    assert client.ask("GET", f"/api/games/{one}")["ply"] == 0
    state = client.ask("GET", f"/api/games/{two}")
    assert (state["ply"], state["moves"]) == (1, [1])
    assert state["board"] == {"rows": 1, "cols": 1, **PLAIN}


class Slow(Engine):
    """Thinks until it is told to stop."""

    started = threading.Event()
    go_on = threading.Event()

    def choose(self, position: Position) -> int:
        if not position.moves:  # the engine is warmed up there
            return 0
        self.started.set()
        assert self.go_on.wait(60)
        return super().choose(position)


def test_a_move_thought_of_too_late_is_not_played() -> None:
    with served(lambda board, level: Slow(board, None, LEVELS["easy"])) as port:
        client = Client(port)
        game, other = client.new("2x2", "human", "easy"), client.new("2x2")
        client.post(game, "move", edge=0, ply=0)
        answers: list[tuple[int, str]] = []

        def think() -> None:
            answers.append(client.refused("POST", f"/api/games/{game}/engine", {"ply": 1}))

        thread = threading.Thread(target=think)
        thread.start()
        assert Slow.started.wait(60)
        # Thinking blocks nobody: not this game, not another, not the page.
        assert client.post(game, "undo", ply=1)["ply"] == 0
        assert client.post(game, "move", edge=5, ply=0)["moves"] == [5]
        assert client.post(other, "move", edge=2, ply=0)["moves"] == [2]
        assert client.send("GET", "/")[0] == 200
        assert thread.is_alive()
        Slow.go_on.set()
        thread.join(60)
        assert answers[0][0] == 409
        assert client.ask("GET", f"/api/games/{game}")["moves"] == [5]
        assert client.post(game, "engine", ply=1)["ply"] == 2


def test_analysis_is_from_the_first_players_view(client: Client) -> None:
    game = client.new("1x1")
    for ply, edge in enumerate([0, 1, 2, 3]):
        # The second player draws the fourth edge.
        found = client.ask("GET", f"/api/games/{game}/analysis")
        assert (found["ply"], found["margin"], found["win"], found["is_exact"]) == (
            ply,
            -1,
            0,
            True,
        )
        assert len(found["edges"]) == 4 - ply
        assert {e["edge"]: e["loss"] for e in found["edges"]}[found["best"]] == 0
        client.post(game, "move", edge=edge, ply=ply)
    found = client.ask("GET", f"/api/games/{game}/analysis?ply=4")
    assert (found["margin"], found["win"], found["best"], found["edges"]) == (-1, 0, None, [])
    assert client.ask("GET", f"/api/games/{game}/analysis?ply=2")["ply"] == 2


def test_the_boxes_that_a_move_loses_are_exact_where_the_value_is(client: Client) -> None:
    game = client.new("2x2")
    for ply, edge in enumerate([0, 6]):
        client.post(game, "move", edge=edge, ply=ply)
    found = client.ask("GET", f"/api/games/{game}/analysis")
    before = Position(Board(2, 2), (0, 6))
    assert found["is_exact"]
    assert {e["loss"] for e in found["edges"]} > {0}
    for told in found["edges"]:
        after = client.new("2x2")
        for ply, edge in enumerate((*before.moves, told["edge"])):
            client.post(after, "move", edge=edge, ply=ply)
        value = client.ask("GET", f"/api/games/{after}/analysis")["margin"]
        assert told["margin"] == value
        assert told["loss"] == found["margin"] - value  # the first player is to move


def test_without_a_network_there_is_an_estimate_and_no_probability(client: Client) -> None:
    game = client.new("6x6")
    found = client.ask("GET", f"/api/games/{game}/analysis")
    assert (found["win"], found["is_exact"]) == (None, False)
    assert abs(found["margin"]) <= 36
    assert found["best"] == found["edges"][0]["edge"]
    assert [e["loss"] for e in found["edges"]] == [None] * 84


def test_estimates_are_turned_to_the_first_players_view() -> None:
    candidates = [
        Candidate(5, 0.6, 40, 1.5, None),
        Candidate(3, 0.2, 20, 0.0, None),
        Candidate(4, 0.2, 0, None, None),
    ]
    found = Analysis(1.25, 0.75, None, candidates)
    position = Position(Board(2, 2), (0,))  # the second player is to move
    told = json_views.analysis_view(position, found)
    assert (told["margin"], told["win"], told["is_exact"], told["best"]) == (-1.25, 0.25, False, 5)
    assert [e["margin"] for e in told["edges"]] == [-1.5, 0, None]
    assert [e["loss"] for e in told["edges"]] == [0, 1.5, None]


def test_with_the_networks_that_come_with_azdab() -> None:
    with served(Engine.load) as port:
        client = Client(port)
        assert "3x3" in client.ask("GET", "/api/settings")["networks"]
        game = client.new("3x3", "human", "medium")
        client.post(game, "move", edge=0, ply=0)
        assert client.post(game, "engine", ply=1)["ply"] == 2


def test_chains_of_a_position(client: Client) -> None:
    game = client.new("1x3")
    for ply, edge in enumerate([0, 1, 2, 3, 4, 5]):
        client.post(game, "move", edge=edge, ply=ply)
    shape = client.ask("GET", f"/api/games/{game}/shape")
    assert shape["chains"] == [{"boxes": [0, 1, 2], "is_loop": False, "is_long": True}]
    assert shape["long_chains"] == 1
    assert "controller" not in shape  # it came true in half of the games
    assert client.ask("GET", f"/api/games/{game}/shape?ply=0")["chains"] == []


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_exported_records_are_read_back(client: Client, form: str) -> None:
    game = client.new("5x5", "human", "human")
    for ply, edge in enumerate([0, 40, 7, 12]):
        client.post(game, "move", edge=edge, ply=ply)
    client.post(game, "undo", ply=4)
    status, headers, answer = client.send("GET", f"/api/games/{game}/record?format={form}")
    assert status == 200
    assert "attachment" in headers["content-disposition"]
    (read,) = exchange.parse_games(answer.decode())
    assert read.position == Position(Board(5, 5), (0, 40, 7))
    again = client.ask("POST", "/api/games/import", {"text": answer.decode()})
    assert (again["moves"], again["games"]) == ([0, 40, 7], 1)


def test_an_imported_record_keeps_what_it_says(client: Client) -> None:
    text = exchange.dump_game(
        Record(
            Position(Board(1, 1), (0, 1)), first="Änn", second="点", event="home",
            evaluations={0: -0.5}, remarks={0: "hm", 1: "oh"},
        ), "text",
    )  # fmt: skip
    state = client.ask("POST", "/api/games/import", {"text": text + "\n" + text, "number": 2})
    assert (state["games"], state["names"]) == (2, ["Änn", "点"])
    game = state["id"]
    about: Any = {"date": "", "event": "home", "remark": "", "evaluations": {"0": -0.5}}
    about |= {"remarks": {"0": "hm", "1": "oh"}, "claim": ""}
    assert state["about"] == about
    assert client.ask("GET", f"/api/games/{game}")["about"] == about
    client.post(game, "undo", ply=2)
    client.post(game, "move", edge=3, ply=1)
    (read,) = exchange.parse_games(client.send("GET", f"/api/games/{game}/record")[2].decode())
    assert (read.first, read.second, read.event) == ("Änn", "点", "home")
    assert (read.remarks, read.evaluations) == ({0: "hm"}, {0: -0.5})
    assert read.position.moves == (0, 3)


def test_what_is_left_out_of_a_record_is_said(client: Client) -> None:
    text = exchange.dump_game(Record(Position(Board(1, 1), (0, 1))), "text")
    state = client.ask("POST", "/api/games/import", {"text": f"{text}\n{text}\n{text[:-3]}"})
    assert state["games"] == 2
    assert re.fullmatch("the last of 3 games is left out: line 20: .*", state["note"])
    asked = {"text": f"{text}\n{text[:-3]}", "number": 2}
    status, said = client.refused("POST", "/api/games/import", asked)
    assert status == 400
    assert said.startswith("there are 1 games in the text, no number 2; the last of 2 games is ")
    assert client.refused("POST", "/api/games/import", {"text": text[:-3]})[0] == 400


def result_of(client: Client, game: str) -> str:
    """The result in a game's record."""
    (read,) = exchange.parse_games(client.send("GET", f"/api/games/{game}/record")[2].decode())
    return read.result


def test_what_was_agreed_stays_until_the_game_goes_on(client: Client) -> None:
    text = "azdab record 1\nboard: 2x2\nresult: A wins\n\nA h 0 0\nB h 1 1\n"
    state = client.ask("POST", "/api/games/import", {"text": text, "ply": 1})
    game = state["id"]
    assert (state["about"]["claim"], result_of(client, game)) == ("A wins", "*")
    client.post(game, "redo", ply=1)
    assert result_of(client, game) == "A wins"
    client.post(game, "undo", ply=2)
    client.post(game, "move", edge=state["moves"][1], ply=1)  # the same once more
    assert result_of(client, game) == "A wins"
    client.post(game, "move", edge=1, ply=2)
    assert client.ask("GET", f"/api/games/{game}")["about"]["claim"] == ""
    client.post(game, "undo", ply=3, to=2)
    assert result_of(client, game) == "*"


def test_a_bare_history_needs_its_board(client: Client) -> None:
    assert client.refused("POST", "/api/games/import", {"text": "0 1 2"})[0] == 400
    state = client.ask("POST", "/api/games/import", {"text": "0 1 2", "board": "2x3"})
    assert (state["moves"], state["board"]) == ([0, 1, 2], {"rows": 2, "cols": 3, **PLAIN})


JSON = "/api/games"
BAD: dict[str, tuple[Any, ...]] = {
    "an edge that is not there": ("POST", "{open}/move", {"edge": 12, "ply": 1}, 400),
    "a negative edge": ("POST", "{open}/move", {"edge": -1, "ply": 1}, 400),
    "a drawn edge": ("POST", "{open}/move", {"edge": 0, "ply": 1}, 400),
    "another ply": ("POST", "{open}/move", {"edge": 1, "ply": 0}, 409),
    "an edge as text": ("POST", "{open}/move", {"edge": "1", "ply": 1}, 400),
    "an edge as a fraction": ("POST", "{open}/move", {"edge": 1.5, "ply": 1}, 400),
    "an edge as a truth": ("POST", "{open}/move", {"edge": True, "ply": 1}, 400),
    "no edge": ("POST", "{open}/move", {"ply": 1}, 400),
    "no ply": ("POST", "{open}/move", {"edge": 1}, 400),
    "a huge edge": ("POST", "{open}/move", {"edge": 10**30, "ply": 1}, 400),
    "not a number": ("POST", "{open}/move", b'{"edge": NaN, "ply": 1}', 400),
    "infinity": ("POST", "{open}/move", b'{"edge": 1, "ply": -Infinity}', 400),
    "a person for the engine": ("POST", "{open}/engine", {"ply": 1}, 409),
    "a move for the engine": ("POST", "{engine}/move", {"edge": 1, "ply": 0}, 409),
    "a finished game": ("POST", "{over}/move", {"edge": 0, "ply": 4}, 409),
    "the engine in a finished game": ("POST", "{over}/engine", {"ply": 4}, 409),
    "nothing to redo": ("POST", "{over}/redo", {"ply": 4}, 409),
    "undo to the future": ("POST", "{over}/undo", {"ply": 4, "to": 9}, 409),
    "undo to before the start": ("POST", "{over}/undo", {"ply": 4, "to": -1}, 409),
    "undo to text": ("POST", "{over}/undo", {"ply": 4, "to": "1"}, 400),
    "an unknown game": ("GET", "/api/games/nobody", None, 404),
    "a move in an unknown game": ("POST", "/api/games/x/move", {"edge": 0, "ply": 0}, 404),
    "an unknown address": ("GET", "/api/nothing", None, 404),
    "an unknown file": ("GET", "/static/../web.py", None, 404),
    "an encoded way out": ("GET", "/static/..%2fweb.py", None, 404),
    "a file with a null": ("GET", "/static/%00", None, 404),
    "a slash too many": ("GET", "/api/games/", None, 404),
    "no JSON": ("POST", JSON, b"{", 400),
    "no text": ("POST", JSON, b"\xff\xfe\x00", 400),
    "an empty body": ("POST", JSON, b"", 400),
    "a deep body": ("POST", JSON, b"[" * 100_000, 400),
    "a long number": ("POST", JSON, b'{"board": ' + b"1" * 5000 + b"}", 400),
    "a list": ("POST", JSON, [], 400),
    "null": ("POST", JSON, b"null", 400),
    "a huge body": ("POST", JSON, {"board": "x" * 3_000_000}, 413),
    "a board of nothing": ("POST", JSON, {"board": "0x3"}, 400),
    "a huge board": ("POST", JSON, {"board": "11x2"}, 400),
    "a board of words": ("POST", JSON, {"board": "five by five"}, 400),
    "a board as a number": ("POST", JSON, {"board": 5}, 400),
    "a board of no characters": ("POST", JSON, b'{"board": "\\ud800"}', 400),
    "an unknown level": ("POST", JSON, {"board": "1x1", "seats": ["human", "god"]}, 400),
    "three players": ("POST", JSON, {"board": "1x1", "seats": ["human"] * 3}, 400),
    "seats in seats": ("POST", JSON, {"board": "1x1", "seats": [["human"], {}]}, 400),
    "no seats": ("POST", "{open}/seats", {}, 400),
    "nothing to import": ("POST", JSON + "/import", {}, 400),
    "nonsense to import": ("POST", JSON + "/import", {"text": "hello"}, 400),
    "an illegal record": (
        "POST", JSON + "/import", {"text": "azdab record 1\nboard: 1x1\nA h 0 0\nB h 0 0"}, 400,
    ),
    "a record of a huge board": (
        "POST", JSON + "/import", {"text": "azdab record 1\nboard: 99x99"}, 400,
    ),
    "a number no JSON has": ("POST", JSON + "/import", {"text": '{"a": ' + "1" * 5000 + "}"}, 400),
    "a deep record": ("POST", JSON + "/import", {"text": '{"a": ' + "[" * 90_000}, 400),
    "no characters": ("POST", JSON + "/import", b'{"text": "\\ud800"}', 400),
    "no such number": ("POST", JSON + "/import", {"text": "[]", "board": "1x1", "number": 2}, 400),
    "an import too long": ("POST", JSON + "/import", {"text": "0 " * 150_000}, 413),
    "a ply of words": ("GET", "{open}/analysis?ply=one", None, 400),
    "a negative ply": ("GET", "{open}/analysis?ply=-1", None, 400),
    "a ply too far": ("GET", "{open}/analysis?ply=2", None, 400),
    "chains too far": ("GET", "{open}/shape?ply=9999", None, 400),
    "an unknown format": ("GET", "{open}/record?format=pdf", None, 400),
    "a format for another board": ("GET", "{open}/record?format=ccgc", None, 400),
    "a wrong method": ("DELETE", "{open}", None, 405),
    "reading where one writes": ("GET", "{open}/move", None, 405),
    "writing where one reads": ("POST", "/", {}, 405),
    "an odd method": ("PATCH", JSON, {}, 405),
}  # fmt: skip


@pytest.fixture(scope="module")
def games(client: Client) -> dict[str, str]:
    """A game after one move, one in which the engine is to move, one that is over."""
    found = {
        "open": client.new("2x2"),
        "engine": client.new("1x1", "easy"),
        "over": client.new("1x1"),
    }
    client.post(found["open"], "move", edge=0, ply=0)
    play_out(client, found["over"])
    return {name: f"/api/games/{game}" for name, game in found.items()}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused_with_one_sentence(
    client: Client, games: dict[str, str], name: str
) -> None:
    method, path, body, expected = BAD[name]
    before = [client.ask("GET", game) for game in games.values()]
    assert client.refused(method, path.format(**games), body)[0] == expected
    assert [client.ask("GET", game) for game in games.values()] == before


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_only_json_is_read(client: Client, kind: str) -> None:
    assert client.refused("POST", "/api/games", {"board": "1x1"}, Content_Type=kind)[0] == 415


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[", "a b", "192.0.2.1"]
)
def test_other_names_of_this_machine_are_refused(client: Client, host: str) -> None:
    assert client.refused("GET", "/", Host=host)[0] == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST:99"])
def test_its_own_names_are_fine(client: Client, host: str) -> None:
    assert client.send("GET", "/", Host=host)[0] == 200
    status, _, _ = client.send(
        "POST", "/api/games", {"board": "1x1"}, Host=host, Origin=f"http://{host}"
    )
    assert status == 201


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "", "file://"]
)
def test_other_pages_cannot_play(client: Client, origin: str) -> None:
    assert client.refused("POST", "/api/games", {"board": "1x1"}, Origin=origin)[0] == 403


def test_a_name_of_a_proxy_is_allowed_by_an_option_that_the_refusal_names() -> None:
    name, page = "dots.example.org", {"board": "1x1"}
    with served(allowed=[name]) as port:
        client = Client(port)
        assert client.send("GET", "/", Host=f"{name}:8080")[0] == 200
        # Some proxies send their own name as Host.
        for host in (name, "127.0.0.1:1"):
            origin = f"https://{name}"
            assert client.send("POST", "/api/games", page, Host=host, Origin=origin)[0] == 201
        assert "--allow-host" in client.refused("GET", "/", Host="evil.example")[1]
        for origin in ("https://evil.example", "http://localhost:1", f"file://{name}", "null"):
            status, sentence = client.refused("POST", "/api/games", page, Origin=origin)
            assert status == 403
            assert "--allow-host" in sentence


def test_a_path_of_a_proxy_is_allowed_by_an_option_that_the_refusal_names() -> None:
    with served(prefix="/a/dots") as port:
        client = Client(port)
        assert client.send("GET", "/a/dots")[1]["location"] == "/a/dots/"
        for prefix in ("/a/dots", ""):
            assert client.send("GET", f"{prefix}/")[0] == 200
            assert client.send("GET", f"{prefix}/static/main.js")[0] == 200
            assert client.send("POST", f"{prefix}/api/games", {"board": "1x1"})[0] == 201
        for path in ("/a/dotsy/", "/a/", "/b/dots/"):
            status, sentence = client.refused("GET", path)
            assert status == 404
            assert "--path-prefix" in sentence


@pytest.mark.parametrize(
    ("option", "value"),
    [("allowed", ["a b"]), ("allowed", ["http://x"]), ("allowed", [""]), ("prefix", "dots"),
     ("prefix", "/dots/"), ("prefix", "/../x y")],
)  # fmt: skip
def test_names_and_paths_that_cannot_be_are_refused(option: str, value: Any) -> None:
    with pytest.raises(UserError, match=r"^--(allow-host|path-prefix) [^\n]*$"):
        server.serve("127.0.0.1", 0, Console(), light, Board(1, 1), **{option: value})


def test_bound_to_everything_any_address_is_fine_but_no_name() -> None:
    with served(hosts=["0.0.0.0"]) as port:
        client = Client(port)
        assert client.send("GET", "/", Host="192.0.2.1:80")[0] == 200
        assert client.send("GET", "/", Host="[2001:db8::1]")[0] == 200
        assert client.refused("GET", "/", Host="evil.example")[0] == 400


def test_every_answer_has_the_headers_that_protect(client: Client) -> None:
    for path in ("/", "/static/main.js", "/api/settings", "/nothing"):
        _, headers, _ = client.send("GET", path)
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]
    assert "content-security-policy" in client.send("GET", "/", Host="evil.example")[1]


def test_assets_are_revalidated(client: Client) -> None:
    status, headers, content = client.send("GET", "/static/style.css")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert headers["content-type"].startswith("text/css")
    assert content
    status, _, content = client.send("GET", "/static/style.css", If_None_Match=headers["etag"])
    assert (status, content) == (304, b"")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for path in (Path(app.__file__).parent / "static").iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in re.sub(r"HTTP|over https|// .*", "", text), path
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=", text), path


def test_every_text_is_there_in_both_languages() -> None:
    text = (Path(app.__file__).parent / "static" / "i18n.js").read_text(encoding="utf-8")
    english, chinese = (
        dict(re.findall(r'^  (\w+): "(.*)",$', part, re.MULTILINE))
        for part in re.findall(r"^const (?:en|zh) = \{$(.*?)^\};$", text, re.MULTILINE | re.DOTALL)
    )
    assert list(english) == list(chinese)
    for key, words in english.items():
        assert set(re.findall(r"\{\w+\}", words)) == set(re.findall(r"\{\w+\}", chinese[key])), key
    page = (Path(app.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'data-(?:t|label)="(\w+)"', page)) <= set(english)


def test_the_page_has_the_types_of_what_the_host_sends(client: Client) -> None:
    text = (Path(app.__file__).parent / "static" / "types.js").read_text(encoding="utf-8")
    blocks = re.findall(r"@typedef \{object\} (\w+)(.*?)\*/", text, re.DOTALL)
    types = {name: set(re.findall(r"@property \{.*\} (\S+)", block)) for name, block in blocks}

    def agree(name: str, sent: Any) -> None:
        optional = {field for field in types[name] if field.startswith("[")}
        assert types[name] - optional <= set(sent), name
        assert set(sent) <= {field.strip("[]") for field in types[name]}, name

    record = exchange.dump_game(Record(Position(Board(1, 3), tuple(range(6)))), "text")
    state = client.ask("POST", "/api/games/import", {"text": record})
    agree("About", state.pop("about"))  # of Opened, which is State and this
    analysis, shape = (
        client.ask("GET", f"/api/games/{state['id']}/{what}") for what in ("analysis", "shape")
    )
    assert (state.pop("games"), state.pop("note")) == (1, "")  # of Imported, as is State
    agree("Settings", client.ask("GET", "/api/settings"))
    agree("State", state)
    agree("BoardShape", state["board"])
    agree("Analysis", analysis)
    agree("Judgement", analysis["edges"][0])
    agree("Shape", shape)
    agree("Chain", shape["chains"][0])
    levels = re.search(r"@typedef \{(.*)\} Level ", text)
    assert levels
    assert re.findall(r'"(\w+)"', levels[1]) == list(LEVELS)
    variants = re.search(r"@typedef \{(.*)\} Variant ", text)
    assert variants
    assert re.findall(r'"(\w+)"', variants[1]) == list(VARIANTS)


names = st.sampled_from(["board", "seats", "edge", "ply", "to", "text", "number", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["1x1", "human", "easy", "azdab record 1\nboard: 1x1", "0 1 2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
bodies = st.binary(max_size=200) | st.dictionaries(names, values, max_size=4).map(
    lambda body: json.dumps(body).encode()
)
tails = st.sampled_from(
    ["", "/move", "/engine", "/undo", "/redo", "/seats", "/import", "/analysis?ply=", "/shape?ply=",
     "/record?format="]
)  # fmt: skip
pieces = st.binary(max_size=12).map(lambda piece: quote(piece, safe="/?=&%"))


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
    start=st.sampled_from(["/", "/static/", "/api/", "/api/games/", "/api/games", "{game}"]),
    tail=tails,
    rest=pieces,
    body=st.none() | bodies,
)
@settings(max_examples=600)
def test_whatever_is_sent_the_host_lives(
    client: Client, games: dict[str, str],
    method: str, start: str, tail: str, rest: str, body: bytes | None,
) -> None:  # fmt: skip
    path = start.replace("{game}", games["open"]) + tail + rest
    status, _, answer = client.send(method, path, body)
    assert status < 500, answer
    state = client.ask("GET", games["open"])
    assert state["board"] == {"rows": 2, "cols": 2, **PLAIN}


def test_raw_bytes_do_not_end_the_host(client: Client) -> None:
    for number in range(20):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", client.port)) as raw:
            raw.connect()
            raw.sock.sendall(os.urandom(64) + b"\r\n\r\n" * (number % 3))
    assert client.send("GET", "/")[0] == 200


def test_a_request_that_ends_early_is_nothing(client: Client) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", client.port)) as raw:
        raw.connect()
        raw.sock.sendall(
            b"POST /api/games HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
    assert client.send("GET", "/")[0] == 200


EMPTY = Record(Position(Board(1, 1)))


def test_games_that_nobody_asks_for_are_dropped() -> None:
    kept = Sessions(limit=2)
    one, two = (kept.create(EMPTY, ("human", "human")).name for _ in range(2))
    kept.get(one)
    three = kept.create(EMPTY, ("human", "human")).name
    assert kept.get(one)
    assert kept.get(three)
    with pytest.raises(RefusedError, match="no such game"):
        kept.get(two)


def test_a_game_in_play_outlasts_any_number_of_new_ones() -> None:
    kept = Sessions(limit=3)
    played = kept.create(EMPTY, ("human", "human"))
    played.play(0, 0)
    over = kept.create(Record(Position(Board(1, 1), (0, 1, 2))), ("human", "human"))
    over.play(3, 3)
    for _ in range(10):
        kept.create(EMPTY, ("human", "human"))
    assert kept.get(played.name) is played
    with pytest.raises(RefusedError, match="no such game"):
        kept.get(over.name)
    idle = Sessions(limit=1, idle=0)
    played = idle.create(EMPTY, ("human", "human"))
    played.play(0, 0)
    assert idle.create(EMPTY, ("human", "human"))
    with pytest.raises(RefusedError, match="no such game"):
        idle.get(played.name)


def test_a_game_the_host_lost_is_brought_back_as_it_was(client: Client) -> None:
    text = exchange.dump_game(Record(Position(Board(2, 2), (0, 6, 1, 7))), "text")
    asked = {"text": text, "ply": 2, "seats": ["human", "easy"]}
    state = client.ask("POST", "/api/games/import", asked)
    assert (state["moves"], state["ply"], state["seats"]) == ([0, 6, 1, 7], 2, ["human", "easy"])
    assert client.post(state["id"], "redo", ply=2)["ply"] == 4
    for ply, status in ((5, 400), (-1, 400), ("2", 400)):
        asked = {"text": text, "ply": ply}
        assert client.refused("POST", "/api/games/import", asked)[0] == status


def test_a_record_holds_what_is_known_and_no_position_of_it_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Position(Board(10, 10), tuple(range(220)))
    known, game = Analyses(), HostedGame("name", Record(whole), ("human", "human"), ply=200)
    for ply, margin in ((1, 1.5), (2, -2.0), (200, 3.0), (210, 9.0), (12, None)):
        known.keep(whole.at(ply), Analysis(margin, None, None, []))
    made: list[Position] = []
    monkeypatch.setattr(Position, "__post_init__", lambda self: made.append(self))
    found = game.record(known)
    assert len(made) <= 3
    monkeypatch.undo()
    assert found.position == whole.at(200)
    # Margins are the first player's.
    signs = {ply: -1 if whole.movers[ply] else 1 for ply in (1, 2, 200)}
    margins = {0: 1.5 * signs[1], 1: -2.0 * signs[2], 199: 3.0 * signs[200]}
    assert found.evaluations == margins
    assert set(signs.values()) == {1, -1}


def test_what_is_known_of_a_position_is_known_in_every_game() -> None:
    known, here = Analyses(limit=2), Position(Board(1, 1))
    found = [Analysis(None, None, value, []) for value in range(3)]
    for ply, one in enumerate(found):
        known.keep(Position(Board(1, 1), tuple(range(ply))), one)
    assert known.get(here) is None
    assert known.get(here.play(0)) is found[1]
    assert known.get(Position(Board(1, 2), (0,))) is None


def in_turn(queue: WorkQueue, work: list[tuple[str, str, float]]) -> list[int]:
    """In which order pieces of work are done that come while the queue is busy."""
    done: list[int] = []

    async def all_of_it() -> None:
        go_on = threading.Event()
        first = asyncio.create_task(queue.do("first", "first", go_on.wait))
        await asyncio.sleep(0)
        tasks = []
        for number, (user, game, cost) in enumerate(work):
            tasks.append(asyncio.create_task(queue.do(user, game, done.append, number, cost=cost)))
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *tasks)

    asyncio.run(all_of_it())
    return done


def test_users_take_turns_and_so_do_their_games() -> None:
    busy = [("ann", "a", 1.0)] * 5 + [("ann", "b", 1.0), ("ben", "c", 1.0), ("ben", "c", 1.0)]
    assert in_turn(WorkQueue(1), busy) == [0, 6, 5, 7, 1, 2, 3, 4]


def test_of_equals_the_shortest_work_comes_first() -> None:
    assert in_turn(WorkQueue(1), [("ann", "a", 9.0), ("ben", "b", 1.0), ("eve", "c", 3.0)]) == [
        1, 2, 0,
    ]  # fmt: skip


def test_whoever_waited_has_no_claim_to_the_past() -> None:
    shares = Shares()
    for _ in range(100):
        shares.take("ann", 1.0)
    assert shares.of("ben") == shares.of("eve") == 99
    shares.take("ben", 1.0)
    shares.take("ann", 1.0)
    assert shares.of("eve") == 100 < shares.of("ann")


def test_longer_work_begins_when_no_shorter_waits() -> None:
    done: list[str] = []

    async def all_of_it() -> None:
        moves = WorkQueue(1)
        judging, go_on = WorkQueue(1, first=moves), threading.Event()
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(moves.do("ann", "a", go_on.wait))]
        for number in range(3):
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(moves.do("ann", "a", done.append, f"move {number}")))
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(judging.do("ben", "b", done.append, "analysis")))
        await asyncio.sleep(0.05)
        assert done == []
        go_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(all_of_it())
    # It may begin while the last move is played.
    assert done.index("analysis") >= 2
    assert sorted(done) == ["analysis", "move 0", "move 1", "move 2"]


def test_longer_work_is_not_put_off_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "GIVE_WAY_SECONDS", 0.0)

    async def all_of_it() -> None:
        moves, go_on = WorkQueue(1), threading.Event()
        judging = WorkQueue(1, first=moves)
        tasks = [asyncio.create_task(moves.do("ann", "a", go_on.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        assert await judging.do("ben", "b", str, 1) == "1"
        go_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(all_of_it())


def test_an_engine_is_lent_to_one_at_a_time() -> None:
    engines = Engines(light)
    with engines.lent(Board(1, 1), "easy") as one, engines.lent(Board(1, 1), "easy") as other:
        assert one is not other
        assert one is engines.get(Board(1, 1), "easy")
    with engines.lent(Board(1, 1), "easy") as again:
        assert again is one


def test_what_is_too_much_is_refused_to_whoever_sends_most() -> None:
    async def flood() -> list[Any]:
        queue, go_on = WorkQueue(1, most=3), threading.Event()
        tasks = [asyncio.create_task(queue.do("ann", "a", go_on.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(queue.do("ben", "b", go_on.wait)))
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(flood())
    refused = [isinstance(one, RefusedError) and one.status == 429 for one in answers]
    assert refused == [False, False, False, True, True, False]


def test_nothing_is_thought_for_a_page_that_is_gone() -> None:
    async def gone() -> bool:
        return True

    done: list[int] = []
    with pytest.raises(RefusedError, match="nobody waits"):
        asyncio.run(WorkQueue(1).do("ann", "a", done.append, 1, gone=gone))
    assert done == []


@contextlib.contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    """A connection to a port of this machine on which something was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as held:
        held.sendall(sent)
        yield held


SLOW = b"POST /api/games HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", SLOW, SLOW + b"Content-Length: 9\r\n\r\n{"])
def test_a_request_must_arrive_in_time(sent: bytes) -> None:
    limits = ConnectionLimits(seconds=0.2)
    with served(limits=limits) as port, connected(port, sent) as held:
        while held.recv(1000):  # an answer perhaps, and then the end
            pass


def test_slow_connections_shut_nobody_out() -> None:
    with (
        served(limits=ConnectionLimits(connections=4, seconds=600)) as port,
        contextlib.ExitStack() as stack,
    ):
        held = [stack.enter_context(connected(port, SLOW)) for _ in range(12)]
        for _ in range(5):
            assert Client(port).send("GET", "/")[0] == 200
        while len(select.select(held, [], [], 1)[0]) < 8:  # the others were closed
            assert Client(port).send("GET", "/")[0] == 200


def test_a_request_for_a_web_socket_advises_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    with served() as port:
        client = Client(port)
        assert client.send("GET", "/", **upgrade, Sec_WebSocket_Key="x")[0] == 200
        assert client.refused("GET", "/ws", **upgrade)[0] == 404
    assert "".join(capfd.readouterr()) == ""


def test_engines_are_made_once_and_the_oldest_dropped() -> None:
    made: list[str] = []

    def load(board: Board, level: str) -> Engine:
        made.append(f"{board} {level}")
        if board.rows == 3:
            raise UserError("broken")
        time.sleep(0.05)
        return light(board, "easy")

    engines = Engines(load, limit=2)
    found: list[Engine] = []
    threads = [
        threading.Thread(target=lambda: found.append(engines.get(Board(1, 1), "easy")))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["1x1 easy"]
    assert len({id(engine) for engine in found}) == 1
    for _ in range(2):
        with pytest.raises(UserError, match="broken"):
            engines.get(Board(3, 3), "easy")
    engines.get(Board(1, 2), "easy")
    engines.get(Board(2, 1), "easy")
    engines.get(Board(1, 1), "easy")
    assert made.count("1x1 easy") == 2


def test_an_engine_that_cannot_be_made_is_one_sentence() -> None:
    def load(board: Board, level: str) -> Engine:
        raise UserError(f"no engine for {board} at {level}")

    with served(load) as port:
        client = Client(port)
        game = client.new("1x1", "easy")
        status, sentence = client.refused("POST", f"/api/games/{game}/engine", {"ply": 0})
        assert (status, sentence) == (400, "no engine for 1x1 at easy")


def test_a_port_in_use_and_an_unknown_host_are_one_line() -> None:
    with guard.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"^port {port} is in use: choose another"):
            server.serve("127.0.0.1", port, Console(), light, Board(2, 2), open_browser=False)
    for host in ("no such host", "nowhere.invalid", "192.0.2.1", ""):
        with pytest.raises(UserError, match=r"^(cannot (find|listen)|say on which)[^\n]*$"):
            guard.listen(host, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are signals here")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_serving_tells_the_address_and_ends_with_ctrl_c(host: str) -> None:
    code = (
        "from azdab.web import server; from azdab import Board; "
        "from rich.console import Console; "
        f"server.serve({host!r}, 0, Console(width=200), None, Board(2, 2), open_browser=False)"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline()]
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", lines[0])
        assert found, lines
        assert Client(int(found[1])).send("GET", "/")[0] == 200
        process.send_signal(signal.SIGINT)
        # What was read ahead with the first line is read here too, as communicate would not.
        rest, errors = process.stdout.read(), process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    assert ("Other machines" in rest) == (host == "0.0.0.0")
    assert rest.endswith("Stopped.\n")
