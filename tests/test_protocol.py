"""The line protocol: a conversation, and that nothing sent to it breaks it."""

import functools
import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.engine.engine import Engine
from azdab.engine.levels import Level, Pace
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.terminal.protocol import Protocol, converse, lines

BOARD = Board(2, 2)


@functools.cache
def load(board: Board, level: str | None) -> Engine:
    """Quick to make, whatever is asked for."""
    return Engine(board, None, Level(-1, 10))


def talk(*said: str) -> list[str]:
    """The answers to lines, of a new conversation."""
    protocol = Protocol(load, BOARD)
    return [protocol.answer(line) or "" for line in said]


def test_a_conversation() -> None:
    assert talk("board 1x2", "7 play h 0 0", "moves", "undo", "moves", "legal")[1:5] == [
        "=7\n\n",
        "= h 0 0\n\n",
        "=\n\n",
        "=\n\n",
    ]
    board, *moved = talk("board 1x1", *["genmove"] * 4, "state")
    assert board == "=\n\n"
    assert json.loads(moved[-1].removeprefix("= ")) == {
        "board": "1x1",
        "to_play": "B",
        "scores": [0, 1],
        "over": True,
    }
    assert talk("protocol_version", "name") == ["= 1\n\n", "= azdab\n\n"]
    assert talk("known_command genmove", "known_command dance") == ["= true\n\n", "= false\n\n"]


def test_every_command_is_listed_and_answers() -> None:
    (listed,) = talk("list_commands")
    names = listed.removeprefix("= ").split()
    arguments = {
        "board": "3x2", "level": "easy", "play": "0", "undo": "", "time_per_move": "0.1",
        "time_per_game": "5", "clock": "3", "ponder": "on",
    }  # fmt: skip
    for name in names:
        protocol = Protocol(load.__wrapped__, BOARD)
        said = ("time_per_game 9", "play 3", f"{name} {arguments.get(name, '')}")
        _, first, answer = (protocol.answer(line) or "" for line in said)
        assert first == "=\n\n"
        assert answer.startswith("="), name
        assert answer.endswith("\n\n")
        assert "\n\n" not in answer[:-2]


def test_the_time_can_be_set() -> None:
    made: list[Engine] = []

    def fresh(board: Board, level: str | None) -> Engine:
        made.append(load.__wrapped__(board, level))
        return made[-1]

    protocol = Protocol(fresh, BOARD)
    assert (protocol.answer("clock 3") or "").startswith("? there is no time for the game")
    for line in ("time_per_move 0.5", "time_per_game 60", "play 0", "clock 7.5"):
        assert protocol.answer(line) == "=\n\n"
    assert protocol.engine.pace == Pace(0.5, 60)
    assert protocol.engine.clock is not None
    assert protocol.engine.clock.left(protocol.position) == 7.5
    assert protocol.engine.clock.left(Position(BOARD)) == 60
    protocol.answer("level hard")  # another engine, which is as fast
    assert len(made) == 2
    assert protocol.engine.pace == Pace(0.5, 60)
    assert protocol.answer("ponder on") == "=\n\n"
    assert protocol.engine.pace == Pace(0.5, 60, True)
    assert (protocol.answer("ponder perhaps") or "").startswith("? ponder is on or off")
    assert protocol.answer("ponder off") == "=\n\n"
    assert protocol.answer("time_per_game off") == "=\n\n"
    assert protocol.engine.pace == Pace(0.5)
    for wrong in ("0", "-1", "soon", "nan", "1e9", ""):
        assert (protocol.answer(f"time_per_move {wrong}") or "").startswith("? must be more than 0")
    assert protocol.engine.pace == Pace(0.5)


def test_an_analysis_is_json_of_the_mover() -> None:
    *_, answer = talk("board 1x1", "play 0", "play 1", "play 2", "analyze")
    found = json.loads(answer.removeprefix("= "))
    assert found["exact"] == found["margin"] == 1
    assert found["win_probability"] == 1
    assert [move["move"] for move in found["moves"]] == ["v 0 1"]


def test_errors_are_answered() -> None:
    answers = talk(
        "dance", "12 dance", "12 ", "play", "play 99", "undo", "board 0x0", "level silly",
        "play 0", "play 0",
    )  # fmt: skip
    errors = [answer for answer in answers if answer.startswith("?")]
    assert len(errors) == 9
    assert errors[1].startswith("?12 unknown command")
    assert errors[2].startswith("?12 a command is missing")
    assert all(error.count("\n") == 2 for error in errors)
    *_, last = talk("board 1x1", "play 0", "play 1", "play 2", "play 3", "genmove")
    assert last == "? the game is over\n\n"


def test_numbers_of_commands_come_back() -> None:
    for number in ("0", "007", "2147483647"):
        assert talk(f"{number} name", f"{number} dance", number) == [
            f"={number} azdab\n\n",
            f"?{number} unknown command 'dance'; try list_commands\n\n",
            f"?{number} a command is missing\n\n",
        ]
    large = talk("2147483648 play 0", f"{'9' * 5000} play 0", "moves")
    assert large[0] == "?2147483648 numbers of commands are at most 2147483647\n\n"
    assert large[1].startswith("?9999")
    assert large[2] == "=\n\n"


def test_commands_are_done_or_refused() -> None:
    assert talk("play 0", "new 1x2", "state")[2].startswith('= {"board": "1x2"')
    assert talk("play 0", "play 1", "play 2", "undo 2", "moves")[3:] == ["=\n\n", "= h 0 0\n\n"]
    assert talk("genmove a")[0].startswith("= ")
    refused = {
        "genmove b": "A is to move, not b",
        "genmove now": "A is to move, not now",
        "play b h 0 0": "A is to move, not B",
        "undo 2": "there are 1 moves to take back",
        "undo -1": "undo takes a whole number of moves",
        "undo 1 2": "undo takes a whole number of moves",
        "new 9x99": "boards have at most",
        "board 3x3 now": "write rows and columns",
        "board": "write rows and columns",
        "quit now": "quit takes nothing, got 'now'",
        "show 1": "show takes nothing",
        "state x": "state takes nothing",
        "level hard easy": "the levels are",
    }
    for line, reason in refused.items():
        before = ["play A 1"] if line.startswith("undo") else []
        *_, answer, moves, state = talk(*before, f"5 {line}", "moves", "state")
        assert answer.startswith(f"?5 {reason}"), line
        assert moves == ("= h 0 1\n\n" if before else "=\n\n")
        assert '"board": "2x2"' in state


def test_what_the_engine_cannot_do_is_refused_with_nothing_done() -> None:
    def fails(board: Board, level: str | None) -> Engine:
        if board != BOARD or level == "max":
            raise MemoryError if level == "max" else OSError(5, "Input/output error", "a file")
        return load(board, level)

    protocol = Protocol(fails, BOARD)
    assert protocol.answer("play 3") == "=\n\n"
    assert protocol.answer("7 board 1x2") == "?7 a file: Input/output error\n\n"
    assert str(protocol.answer("level max")).startswith("? out of memory")
    assert protocol.answer("moves") == "= h 1 1\n\n"
    assert str(protocol.answer("genmove")).startswith("= ")


def test_moving_loads_nothing() -> None:
    made: list[tuple[Board, str | None]] = []

    def noted(board: Board, level: str | None) -> Engine:
        made.append((board, level))
        return load(board, level)

    protocol = Protocol(noted, BOARD)
    converse(protocol, ["level easy", "board 1x2", "new", "board 1x2"], io.StringIO())
    assert made == [(BOARD, None), (BOARD, "easy"), (Board(1, 2), "easy")]
    converse(protocol, ["genmove", "analyze", "undo", "genmove a"], io.StringIO())
    assert len(made) == 3


def test_comments_and_empty_lines_are_not_answered() -> None:
    assert talk("", "   ", "# play 0", "play 0 # and so on", "moves") == [
        "",
        "",
        "",
        "=\n\n",
        "= h 0 0\n\n",
    ]


def test_the_conversation_ends_with_quit_or_its_input() -> None:
    out = io.StringIO()
    converse(Protocol(load, BOARD), ["quit\n", "name\n"], out)
    assert out.getvalue() == "=\n\n"
    out = io.StringIO()
    converse(Protocol(load, BOARD), lines(io.BytesIO(b"name\nname")), out)
    assert out.getvalue() == "= azdab\n\n" * 2


commands = "board play genmove undo show analyze moves legal state level new known_command"
command = st.sampled_from(commands.split())
argument = st.sampled_from(["", "2x2", "1x2", "h 0 0", "v 0 1", "5", "easy", "-1", "99x99"])
line = st.one_of(
    st.builds("{} {}\n".format, command, argument).map(str.encode),
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace") + b"\n"),
    st.just(b"x" * 30_000 + b"\n"),
)


@given(st.lists(line, max_size=25))
@settings(max_examples=60)
def test_whatever_is_sent_the_conversation_goes_on(said: list[bytes]) -> None:
    protocol = Protocol(load, BOARD)
    out = io.StringIO()
    converse(protocol, lines(io.BytesIO(b"".join(said))), out)
    answers = out.getvalue()
    assert not answers or answers.endswith("\n\n")
    assert all(answer[:1] in ("=", "?") for answer in answers.split("\n\n")[:-1])
    assert protocol.answer("name") == "= azdab\n\n" or not protocol.open
