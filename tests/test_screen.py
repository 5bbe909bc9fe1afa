"""What commands print on: any encoding, a reader that goes away, a full disk, closed streams.

Nothing is printed at the price of a file that was asked for.
"""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.progress import track
from rich.table import Table

from azdab import analyze, benchmark, evaluate, play
from azdab.common import cli, screen
from azdab.common.screen import OutputLostError
from azdab.engine.engine import Engine
from azdab.engine.levels import Level
from azdab.game import exchange, gamefile
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.terminal import protocol

ENCODINGS = ["ascii", "gbk", "cp1252", "utf-8"]
BOX = Record(Position(Board(1, 1), (0, 1, 2, 3)), first="\u4e2d\u6587 [b]:cat:", second="caf\u00e9")
COUNT = 2


@contextmanager
def printing(encoding: str) -> Iterator[io.BytesIO]:
    """Standard output in an encoding."""
    found = io.BytesIO()
    stream = io.TextIOWrapper(found, encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield found
    stream.detach()  # or it would close what was found


@contextmanager
def unread() -> Iterator[None]:
    """Standard output whose reader has gone away."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield


@contextmanager
def full() -> Iterator[None]:
    """Standard output on a full disk."""
    with open("/dev/full", "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield


@contextmanager
def closed() -> Iterator[None]:
    """No standard streams, as after ``>&-``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("stdin", "stdout", "stderr"):
            patch.setattr(sys, name, None)
        yield
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if stream is not None:  # what a command opened in the place
                stream.close()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_everything_can_be_shown(encoding: str) -> None:
    shown = "0, \u00bd, 1\u00bd \u25cf\u2501\u2503 R\u00b2 \u2026 caf\u00e9 \u2265 "
    shown += "\U0001f600 \udcff \u280b"
    with printing(encoding) as found:
        console = screen.open_screen()
        table = Table(title="a [b] against :cat:")
        table.add_row("[/c]", "wide" * 10)
        console.print(table, shown)
        list(track([1], "working", console=console))
    text = found.getvalue().decode(encoding)
    assert "a [b] against :cat:" in text
    assert "[/c]" in text
    if encoding == "ascii":
        assert "0, 1/2, 1 1/2 +-| R2 ... cafe >= \\U0001f600 \\udcff ." in " ".join(text.split())
    if encoding == "utf-8":
        assert shown[:20] in text


def test_a_reader_that_goes_away_ends_what_only_prints() -> None:
    with unread():
        console = screen.open_screen()
        console.print("not read")
        console.is_all = True
        with pytest.raises(OutputLostError):
            console.print("not read either")
        assert cli.Parser(overrides=False).run(lambda: console.print("x"), console, "") == 141


def test_a_full_disk_is_named(capsys: Any) -> None:
    with full():
        console = screen.open_screen()
        parser = cli.Parser(overrides=False, prog="azdab")
        assert parser.run(lambda: console.print("x"), console, "") == 0
        assert capsys.readouterr().err == "azdab: standard output: No space left on device\n"
        console.is_all = True
        with pytest.raises(SystemExit):
            parser.run(lambda: console.print("x"), console, "")
    error = "azdab: error: standard output: No space left on device\n"
    assert capsys.readouterr().err == error


def test_help_is_shown_wherever_it_can_be() -> None:
    for place in (unread, full, closed):
        with place(), pytest.raises(SystemExit) as ended:
            play.main(["--help"])
        assert ended.value.code == 0


def in_match(folder: Path) -> tuple[Callable[[], int], Path]:
    out = folder / "out.json"
    argv = ["--match", "greedy", "random", "--board", "2x2", "--games", str(COUNT)]
    return lambda: evaluate.main([*argv, "--json", str(out)]), out


def in_tournament(folder: Path) -> tuple[Callable[[], int], Path]:
    out = folder / "out.json"
    argv = ["--tournament", "greedy", "random", "chains-0", "--board", "2x2", "--games", str(COUNT)]
    return lambda: evaluate.main([*argv, "--json", str(out)]), out


def in_games(folder: Path) -> tuple[Callable[[], int], Path]:
    out = folder / "games.txt"
    argv = ["--mode", "dual-ai", "--checkpoint", "greedy", "--checkpoint2", "random"]
    argv += ["--board", "2x2", "--num-games", str(COUNT), "--save-games", str(out)]
    return lambda: play.main(argv), out


def in_watched_game(folder: Path) -> tuple[Callable[[], int], Path]:
    out = folder / "games.txt"
    argv = ["--mode", "ai", "--board", "1x2", "--level", "easy", "--save-games", str(out)]
    return lambda: play.main(argv), out


def in_analysis(folder: Path) -> tuple[Callable[[], int], Path]:
    out = folder / "out.html"
    gamefile.append_games(folder / "game.txt", [BOX])
    return lambda: analyze.main([str(folder / "game.txt"), "--html", str(out)]), out


COMMANDS = [in_match, in_tournament, in_games, in_watched_game, in_analysis]
PLACES: list[Callable[[], Any]] = [
    *(lambda encoding=encoding: printing(encoding) for encoding in ENCODINGS[:3]),
    unread,
    full,
    closed,
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_was_asked_for_is_written(
    command: Callable[[Path], tuple[Callable[[], int], Path]], tmp_path: Path
) -> None:
    sizes = []
    for number, place in enumerate(PLACES):
        folder = tmp_path / str(number)
        folder.mkdir()
        run, out = command(folder)
        with place():
            assert run() == 0
        sizes.append(out.stat().st_size)
    assert min(sizes) > 100
    assert len(set(sizes)) == 1 or command is in_tournament


def test_what_cannot_be_written_is_still_shown(tmp_path: Path, capsys: Any) -> None:
    argv = ["--match", "greedy", "random", "--board", "2x2", "--games", str(COUNT)]
    with pytest.raises(SystemExit) as ended:
        evaluate.main([*argv, "--json", "/dev/full"])
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert shown.err.count("\n") == 1
    assert "cannot write /dev/full: No space left on device" in shown.err
    assert "greedy against random" in shown.out


def test_files_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SystemExit):
        evaluate.main(["3x3", "--json", str(tmp_path / "out.json")])
    assert "cannot be written: see its permissions" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def small_engine(board: Board, level: str | None) -> Engine:
    return Engine(board, None, Level(-1, 10))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_protocol_shows_boards_on_any_output(encoding: str) -> None:
    with printing(encoding) as found:
        talk = protocol.Protocol(small_engine, Board(1, 1))
        protocol.converse(talk, ["play 0", "show", "name"], screen.Output())
    *_, board, name = found.getvalue().decode(encoding).rstrip("\n").split("\n\n")
    assert ("+-------+" if encoding in ("ascii", "cp1252") else "\u2501" * 7) in board
    assert name == "= azdab"


@pytest.mark.parametrize("place", [unread, full, closed])
def test_the_protocol_goes_on_where_nobody_reads(place: Callable[[], Any]) -> None:
    with place():
        talk = protocol.Protocol(small_engine, Board(1, 1))
        protocol.converse(talk, ["play 0", "show", "play 1"], screen.Output())
    assert talk.position.moves == (0, 1)


def test_records_keep_what_a_console_cannot_show(tmp_path: Path) -> None:
    gamefile.append_games(tmp_path / "game.txt", [BOX])
    out = tmp_path / "out.txt"
    with printing("ascii") as found:
        assert analyze.main([str(tmp_path / "game.txt"), "--text", str(out)]) == 0
    assert exchange.load_games(out)[0].first == BOX.first
    assert b"\\u4e2d\\u6587 [b]:cat: against cafe on 1x1" in found.getvalue()


@pytest.mark.parametrize(
    ("redirection", "status"),
    [
        ("| head -2", 141),
        # Slow, since each is a process of its own; the tests above do the same in this one.
        pytest.param(">/dev/full", 2, marks=pytest.mark.slow),
        pytest.param(">&- 2>&- <&-", 0, marks=pytest.mark.slow),
        pytest.param("| cat", 0, marks=pytest.mark.slow),
    ],
)
def test_at_the_shell(redirection: str, status: int, tmp_path: Path) -> None:
    command = f"{sys.executable} -m azdab.play --mode ai --board 2x2 --level easy {redirection}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True, text=True, errors="replace", timeout=120, check=False,
        env={**os.environ, "PYTHONIOENCODING": "gbk", "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert json.dumps(done.stderr).count("\\n") == (1 if status == 2 else 0)


def refused(main: Callable[[list[str]], int], *argv: object) -> str:
    """The line with which a command line is refused."""
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), pytest.raises(SystemExit) as ended:
        main([str(word) for word in argv])
    assert ended.value.code == 2
    assert printed.getvalue().count("\n") == 1
    return printed.getvalue()


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("spelled", ["x", "./x", "sub/../x", "link/x", "absolute"])
def test_two_outputs_are_two_files(
    spelled: str, exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "game").write_text("not read")
    if exists:
        (tmp_path / "x").write_text("kept")
    other = tmp_path / "x" if spelled == "absolute" else spelled
    said = refused(evaluate.main, "3x3", "--json", "x", "--plot", other)
    assert f"--json and --plot name the same file, {Path(other)}: give two" in said
    said = refused(analyze.main, "game", "--text", "y", "--html", other, "--json", "x")
    assert "--html and --json name the same file, x: give two" in said
    assert [path.read_text() for path in tmp_path.glob("x")] == ["kept"] * exists
    assert not (tmp_path / "y").exists()


def test_a_profile_is_not_written_over_times(tmp_path: Path) -> None:
    place = tmp_path / "x"
    said = refused(benchmark.main, "--json", place, "--profile", f"{tmp_path}/./x")
    assert f"--json and --profile name the same file, {place}: give two" in said
    place.write_text("")
    assert f"{place} is a file, give a directory" in refused(benchmark.main, "--profile", place)


def test_names_too_long_are_refused(tmp_path: Path) -> None:
    said = refused(analyze.main, "x" * 300, "--text", tmp_path / "y", "--json", tmp_path / "z")
    assert "File name too long" in said


def test_what_is_analysed_is_not_written_over(tmp_path: Path) -> None:
    game = tmp_path / "game.txt"
    gamefile.append_games(game, [BOX, BOX])
    linked = tmp_path / "linked.txt"
    linked.hardlink_to(game)
    for other in (game, linked):
        said = refused(analyze.main, game, "--text", other)
        assert f"FILE and --text name the same file, {other}: give two" in said
    assert len(exchange.load_games(game)) == 2


def test_what_is_thrown_away_may_be_thrown_away_twice() -> None:
    parser = cli.Parser(overrides=False)
    for name in ("--json", "--plot"):
        parser.add_argument(name, type=cli.output_file)
    options, _ = parser.parse(["--json", os.devnull, "--plot", os.devnull])
    assert options.json == options.plot == Path(os.devnull)


def test_a_command_that_is_stopped_says_so_on_standard_error(capsys: Any) -> None:
    def interrupted() -> None:
        print("= answer")
        raise KeyboardInterrupt

    assert cli.Parser(overrides=False).run(interrupted, screen.open_screen(), "Stopped.") == 130
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("= answer\n", "Stopped.\n")


def test_the_protocol_is_alone_on_standard_output() -> None:
    words = ["azdab.play", "--protocol", "--board", "1x1", "--level", "easy"]
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as talk:  # fmt: skip
        assert talk.stdin is not None
        assert talk.stdout is not None
        assert talk.stderr is not None
        talk.stdin.write("play 0\n")
        talk.stdin.flush()
        assert talk.stdout.readline() == "=\n"
        talk.stdin.write("1 genmove\n\u00e9\u4e2d\n")
        talk.stdin.flush()
        answers = [talk.stdout.readline() for _ in range(4)]
        assert re.fullmatch(r"\n=1 [hv] \d \d\n\n\? unknown command.*\n", "".join(answers))
        talk.send_signal(signal.SIGINT)
        rest, said = talk.stdout.read(), talk.stderr.read()
    assert (talk.returncode, rest, said.strip()) == (130, "\n", "Stopped.")
