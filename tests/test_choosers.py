"""Agents of your own: they play matches, and whatever they do, the match goes on."""

import re
import sys
import threading
from typing import Any, ClassVar

import jax
import numpy as np
import pytest

from azdab.common.errors import UserError
from azdab.engine.engine import Engine
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.measure import tournament
from azdab.players import choosers, matches, registry

BOARD = Board(3, 3)


class FirstEdge:
    """An agent as a user would write it."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def choose(self, position: Position) -> int:
        return position.legal[0]


class Answers(FirstEdge):
    """Answers its moves in the second game of a pair with what it is told to."""

    what: ClassVar[Any] = None

    def choose(self, position: Position) -> Any:
        if position.movers[len(position.moves)] == 1:
            return type(self).what() if callable(type(self).what) else type(self).what
        return position.legal[0]


class Broken(FirstEdge):
    """Cannot be made."""

    def __init__(self, board: Board) -> None:
        self.board = board.no_such_thing  # type: ignore[attr-defined]


class UnreadableError(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError


def fail() -> None:
    raise AttributeError("of my own")


def leave() -> None:
    sys.exit("bye")


def hide() -> None:
    raise UnreadableError


def test_an_agent_of_your_own_plays_matches() -> None:
    own = registry.make_player("custom:agent=tests.test_choosers.FirstEdge", BOARD)
    engine = Engine.load(BOARD, "easy")
    strong = registry.Player("azdab", choosers.from_chooser(BOARD, engine))
    match = matches.play_match(BOARD, (strong, own), games=8, opening_plies=2, seed=0, batch=8)
    assert match.score().rate > 0.8
    assert not match.forfeits
    for wrong in ("tests.test_choosers.Nobody", "nowhere.at.all", "1"):
        with pytest.raises(UserError, match=f"cannot import {wrong}: "):
            registry.make_player(f"custom:agent={wrong}", BOARD)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fail, r"raised AttributeError: of my own \(test_choosers.py, line \d+\)"),
        (leave, "raised SystemExit: bye"),
        (hide, r"raised UnreadableError \(test_choosers.py"),
        (None, "chose None, which is no whole number"),
        (float("nan"), "chose nan, which is no whole number"),
        (3.9, "chose 3.9, which is no whole number"),
        ("3", "chose '3', which is no whole number"),
        (True, "chose True, which is no whole number"),
        (np.array([3, 4]), r"chose array\(\[3, 4\]\), which is no whole number"),
        (-1, "chose -1, and the edges are 0 to 11"),
        (lambda: 10**5000, "and the edges are 0 to 11"),
        (12, "chose 12, and the edges are 0 to 11"),
    ],
)
def test_what_is_no_move_forfeits_the_game_and_the_match_goes_on(
    answer: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "what", answer)
    board = Board(2, 2)
    bad = registry.make_player("custom:agent=tests.test_choosers.Answers", board)
    good = registry.make_player("greedy", board)
    played = matches.play_match(board, (bad, good), games=8, opening_plies=0, seed=0, batch=4)
    assert len(played.margin) == 8
    # It answers so in the second game of every pair, where it is the second player.
    assert [lost.game for lost in played.forfeits] == [1, 3, 5, 7]
    assert played.margin[1::2].tolist() == [-4] * 4
    for lost in played.forfeits:
        assert lost.player == 0
        assert re.search(reason, lost.reason)
        assert "\n" not in lost.reason
        moves = played.actions[lost.game]
        assert (moves[: lost.ply - 1] >= 0).all()
        assert (moves[lost.ply - 1 :] == -1).all()
    assert (played.actions[0::2] >= 0).all()
    lines = tournament.forfeit_lines(played)
    first = played.forfeits[0]
    assert lines[0].startswith(f"{bad.name} forfeits game 2 at ply {first.ply}: it ")


def test_a_drawn_edge_is_no_move() -> None:
    class Cheat(FirstEdge):
        def choose(self, position: Position) -> int:
            return position.moves[0]

    act = choosers.from_chooser(BOARD, Cheat(BOARD))
    with pytest.raises(UserError, match="Cheat has no move at ply 2: it chose h 0 1, which is dra"):
        act(jax.random.key(0), Position(BOARD, (1,)).state(), np.array([[1]], np.int32))


def test_an_agent_has_only_so_much_time() -> None:
    gate = threading.Event()

    class Slow(FirstEdge):
        def choose(self, position: Position) -> int:
            assert gate.wait(60)
            return position.legal[0]

    board = Board(1, 2)
    slow = registry.Player("slow", choosers.from_chooser(board, Slow(board), limit=0.05))
    good = registry.make_player("greedy", board)
    played = matches.play_match(board, (slow, good), games=4, opening_plies=1, seed=0)
    reasons = [lost.reason for lost in played.forfeits]
    assert [lost.player for lost in played.forfeits] == [0] * 4
    assert (
        reasons == ["took more than 0.05 seconds"] + ["is still thinking about an earlier move"] * 3
    )
    gate.set()  # from here on it is as fast as any other
    played = matches.play_match(board, (slow, good), games=4, opening_plies=1, seed=0)
    assert not played.forfeits


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        (
            "tests.test_choosers.Broken",
            r"cannot be made: it raised AttributeError: .*no_such_thing",
        ),
        ("os.path", "must be a class or a function of the board, not <module"),
        ("builtins.str", "has no method choose"),
        (
            "tests.fails_when_imported.Agent",
            r"importing tests.fails_when_imported raised AttributeError: module 'os' has no "
            r"attribute 'no_such_thing' \(fails_when_imported.py, line 5\)",
        ),
        (
            "tests.lacks_a_module.Agent",
            "importing tests.lacks_a_module raised ModuleNotFoundError: No module named 'nowhere'"
            r".* \(lacks_a_module.py, line 3\)",
        ),
    ],
)
def test_an_agent_that_cannot_be_made_is_named(agent: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        registry.make_player(f"custom:agent={agent}", BOARD)
    assert "\n" not in str(caught.value)
