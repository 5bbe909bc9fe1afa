"""Play on the command line, driven as a person would."""

import functools
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.console import Console

from azdab import analyze, play
from azdab.common import cli, files
from azdab.engine import loading, review, review_page
from azdab.engine.engine import Analysis, Candidate, Engine
from azdab.engine.levels import LEVELS, Level
from azdab.game import drawing, exchange, record
from azdab.game.board import Board, parse_board
from azdab.game.position import Position, move_name
from azdab.game.record import Record
from azdab.players import matches, registry
from azdab.runs import networks
from azdab.terminal import prompt, protocol, wording
from tests import common

# A pseudo-terminal needs a fork, and JAX and Python warn of forks beside threads; the child
# starts another program at once.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning"
)

CROSS = Record(Position(Board(2, 2), (1, 4, 0, 5)), first="Ann", remarks={1: "a remark"})


@pytest.fixture
def person() -> Iterator[Any]:
    """Starts a game on a pseudo-terminal, as a person would."""
    started = []

    def start(*argv: str, **kwargs: Any) -> Any:
        child = pexpect.spawn(
            sys.executable, ["-m", "azdab.play", *argv],
            encoding="utf-8", timeout=60, dimensions=(60, 200),
            env={**os.environ, "TERM": "dumb"}, **kwargs,
        )  # fmt: skip
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def say(child: Any, line: str, answer: str) -> str:
    """Type a line and wait for something in the answer; gives what came before."""
    child.sendline(line)
    child.expect(answer)
    return str(child.before)


def ends(child: Any) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def session(
    argv: list[str], script: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A game in this process, to its end.

    Of each pair, the first is to be shown before the second is typed, which may have groups of it;
    None: the input ends.
    """
    shown, left, seen = io.StringIO(), list(script), 0

    def typed(prompt: str) -> str:
        nonlocal seen
        shown.write(prompt)
        expected, line = left.pop(0)
        found = re.search(expected, shown.getvalue()[seen:], re.DOTALL)
        assert found, (expected, shown.getvalue()[seen:])
        seen = len(shown.getvalue())
        if line is None:
            raise EOFError
        return found.expand(line)

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("COLUMNS", "200")
    assert play.main(argv) == 0
    assert not left


def test_a_game_with_every_command(person: Any, tmp_path: Path) -> None:
    """At last it is interrupted, and saved."""
    saved, kept = tmp_path / "game.txt", tmp_path / "kept.txt"
    child = person("--board", "2x2", "--level", "easy", "--save-games", str(kept))
    child.expect("You are.*A> ")
    say(child, "help", "undo: take back")
    say(child, "moves", r"h 0 0 \(0\).*A> ")
    say(child, "h 0 0", "azdab plays.*A> ")
    say(child, "h 0 0", "drawn already.*A> ")
    say(child, "A H 0,0", "drawn already.*A> ")
    say(child, "B 0", "A is to move, not B.*A> ")
    say(child, "v 7 7", "no vertical edge.*A> ")
    say(child, "99", "0 to 11.*A> ")
    say(child, "dance", "Unknown command 'dance'.*A> ")
    say(child, "", "A> ")
    say(child, "hint", r"[hv] \d \d \(\d+\).*A> ")
    say(child, "top5", "visits.*A> ")
    say(child, "eval", "(Exact|wins with).*A> ")
    say(child, "level hard", "now plays at level hard.*A> ")
    say(child, "level absurd", "the levels are.*A> ")
    say(child, f"save {saved}", "Saved.*A> ")
    say(child, f"save {saved}", "exists: choose another.*A> ")
    say(child, "save", "say which file.*A> ")
    say(child, "undo", "A 0.*A> ")
    say(child, "undo", "no move of yours.*A> ")
    say(child, f"load {saved}", "A 0.*A> ")
    say(child, "load /nowhere", "cannot read.*A> ")
    say(child, "load ~nobody-has-this-name", "no home directory.*A> ")
    say(child, "swap", "azdab plays.*> ")
    say(child, "new 1x2", "(azdab plays|A 0).*> ")
    say(child, "board", "●.*> ")
    say(child, "moves", r"[hv] \d \d \((\d+)\)")
    edge = str(child.match[1])
    child.expect("B> ")
    say(child, edge, "azdab plays.*B> ")
    child.sendintr()
    child.expect("Stopped")
    assert ends(child) == 130
    (game,) = exchange.load_games(saved)
    assert len(game.position.moves) == 2
    (game,) = exchange.load_games(kept)
    assert game.board == Board(1, 2)
    assert len(game.position.moves) == 3


def test_a_game_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    first_legal = r"[hv] \d \d \((\d+)\).*B> "
    script = [
        ("azdab plays.*B> ", "moves"),
        (first_legal, r"\1"),
        ("azdab plays.*B> ", "moves"),
        (first_legal, r"\1"),
        ("wins, 0-1.*game over> ", "0"),
        ("the game is over.*> ", "hint"),
        ("the game is over.*> ", "eval"),
        ("B wins by 1.*> ", "undo"),
        ("B> ", None),
    ]
    session(["--board", "1x1", "--ai-first", "--level", "easy"], script, monkeypatch)


def test_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two.txt"
    files.write_text(path, record.records_text([CROSS, Record(Position(Board(1, 2)))]))
    script: list[tuple[str, str | None]] = [
        ("Game 1 of 2: Ann against B.*Move 0 of 4.*replay> ", ""),
        ("Move 1 of 4: A h 0 1.*replay> ", "next"),
        ("Move 2 of 4: B h 2 0 - a remark.*replay> ", "back"),
        ("Move 1 of 4.*replay> ", "end"),
        ("Move 4 of 4.*replay> ", "next"),
        ("has moves 0 to 4.*replay> ", "goto 0"),
        ("Move 0 of 4.*replay> ", "goto x"),
        ("write a number.*replay> ", "game 2"),
        ("Game 2 of 2.*Move 0 of 0.*replay> ", "game 9"),
        ("games 1 to 2.*replay> ", "quit"),
    ]
    session(["--replay", str(path)], script, monkeypatch)


def test_loading_and_saving_keeps_everything(tmp_path: Path) -> None:
    before, after = tmp_path / "before [b].txt", tmp_path / "after [b].txt"
    game = Record(
        Position(Board(2, 2), (1, 4)), "Ann", "Bob", "2026-01-02", "club", "two\nlines",
        {0: 0.5}, {1: "a remark"}, "3-1",
    )  # fmt: skip
    files.write_text(before, record.record_text(game))
    shown = io.StringIO()
    engine = Engine(Board(2, 2), None, LEVELS["easy"])
    here = prompt.GamePrompt(
        Console(file=shown, width=100, markup=False), engine, 1, lambda board, level: engine,
        Position(Board(2, 2)),
    )  # fmt: skip
    for line in (f"load {before}", f"save {after}", "B 0", "A V0,0", f"save {after}2", "help"):
        assert not here.onecmd(line)
    assert f"Saved in {after}." in shown.getvalue()
    assert "A is to move, not B" in shown.getvalue()
    assert exchange.load_games(after) == [game]
    (on,) = exchange.load_games(Path(f"{after}2"))
    assert len(on.position.moves) >= 4
    assert on.result == "*"
    assert (on.first, on.event, on.remarks) == ("Ann", "club", game.remarks)
    here.onecmd("new")
    assert here.record().first == "human"


def output(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints that must succeed."""
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("COLUMNS", "120")
    assert play.main(argv) == 0
    return shown.getvalue()


def test_the_protocol_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    given = "1 genmove\n\u00e9\u4e2d\nquit\nname\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    said = output(["--protocol", "--board", "1x2", "--level", "easy"], monkeypatch)
    assert re.fullmatch(r"=1 [hv] \d \d\n\n\? unknown command[^\n]*\n\n=\n\n", said)


@pytest.fixture(scope="module")
def small_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks by name that know nothing and compile fast, in place of those of azdab."""
    folder = tmp_path_factory.mktemp("models")
    for board in (Board(2, 2), Board(3, 4)):
        networks.export_network(common.untrained(board), folder / str(board), "")
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def small_levels(monkeypatch: pytest.MonkeyPatch, small_networks: dict[str, Path]) -> None:
    """Players that look at little."""
    monkeypatch.setattr(networks, "bundled_networks", lambda: small_networks)
    for name, small in {"hard": Level(4, 8, 3_000), "max": Level(6, 10, 9_000)}.items():
        monkeypatch.setitem(LEVELS, name, small)


def test_watching_a_game(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    shown = output(["--mode", "ai", "--board", "1x2", "--save-games", str(kept)], monkeypatch)
    assert shown.count("h0") == 7
    assert "drawn, 1-1" in shown  # 1x2 is a draw, and the engine is exact there
    assert exchange.load_games(kept)[0].result == "1-1"


def test_matches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    argv = ["--mode", "dual-ai", "--checkpoint", "solver:edges=12", "--checkpoint2", "random"]
    argv += ["--board", "2x2", "--num-games", "8", "--save-games", str(kept)]
    shown = output(argv, monkeypatch)
    for row in ("Wilson", "moving first", "moving second", "mean margin", "won, drawn, lost"):
        assert row in shown
    games = exchange.load_games(kept)
    assert len(games) == 8
    assert [game.first for game in games[:2]] == ["solver:edges=12", "random"]
    margins = [g.position.lead * (1 if i % 2 == 0 else -1) for i, g in enumerate(games)]
    assert f"{sum(margins) / 8:+.2f}" in shown
    assert games[0].position.moves[:2] == games[1].position.moves[:2]


@pytest.mark.usefixtures("small_levels")
def test_networks_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["--mode", "dual-ai", "--checkpoint", "3x4", "--checkpoint2", "greedy"]
    shown = output([*argv, "--num-games", "4", "--simulations", "4", "--no-solver"], monkeypatch)
    assert "3x4 against greedy" in shown
    argv = ["--mode", "ai", "--board", "3x4", "--num-games", "2", "--simulations", "0"]
    assert "3x4 (1) against 3x4 (2)" in output(argv, monkeypatch)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--board", "0x3"], "write rows and columns of boxes"),
        (["--board", "99x99"], "at most 10x10"),
        (["--board", "3x3", "--checkpoint", "5x5"], "5x5 plays on 5x5, not on 3x3"),
        (["--checkpoint", "nobody"], "no checkpoint 'nobody'"),
        (["--level", "absurd"], "argument --level: must be one of easy, medium, hard, max"),
        (["--simulations", "-1"], "argument --simulations: must be a whole number from 0 to"),
        (["--simulations", "100000"], "argument --simulations: must be a whole number from 0"),
        (["--simulations", "x"], "argument --simulations: must be a whole number from 0 to"),
        (["--time-per-move", "0"], "argument --time-per-move: must be more than 0"),
        (["--time-per-game", "0"], "argument --time-per-game: must be more than 0"),
        (["--ponder"], "--ponder needs --time-per-move or --time-per-game"),
        (["--time-per-move", "nan"], "argument --time-per-move: must be more than 0"),
        (["--seed", "-1"], "argument --seed: must be"),
        (["--port", "0"], "argument --port: must be"),
        (["--web", "--mode", "ai"], "choose one of"),
        (["--replay", "/nowhere/at/all"], "cannot read"),
        (["--mode", "dual-ai"], "needs --checkpoint and --checkpoint2"),
        (["--checkpoint2", "greedy"], "--checkpoint2 needs --mode dual-ai"),
        (["--opening-plies", "2"], "--opening-plies needs --mode ai or --mode dual-ai; it does"),
        (["--mode", "ai", "--simulations2", "0"], "--simulations2 needs --mode dual-ai"),
        (["--protocol", "--save-games", "x"], "it does nothing with --protocol"),
        (["--web", "--ai-first"], "--ai-first needs --mode human; it does nothing with --web"),
        (["--replay", "x", "--no-solver"], "it does nothing with --replay"),
        (["--max-connections", "3"], "--max-connections needs --web"),
        (["--mode", "ai", "--num-games", "3"], "must be even"),
        (["--mode", "ai", "--num-games", "0"], "argument --num-games: must be"),
        (["--save-games", "/nowhere/at/all"], "argument --save-games: there is no directory"),
        (["--colour", "red"], "unknown option"),
        (
            ["--mode", "dual-ai", "--checkpoint", "greedy", "--checkpoint2", "random"],
            "say on which --board",
        ),
        (
            ["--mode", "dual-ai", "--checkpoint", "greedy", "--checkpoint2", "random",
             "--simulations", "4", "--board", "2x2"],
            "--simulations are of networks",
        ),
        (
            ["--mode", "dual-ai", "--checkpoint", "greedy", "--checkpoint2", "random",
             "--time-per-move", "4", "--board", "2x2"],
            "--time-per-move is of networks, and nobody plays one",
        ),
        (
            ["--mode", "ai", "--num-games", "2", "--opening-plies", "99", "--board", "3x3"],
            "--opening-plies must be less",
        ),
        (
            ["--mode", "ai", "--opening-plies", "24", "--board", "3x3"],
            "--opening-plies must be less than the 24 edges, got 24",
        ),
        (
            ["--mode", "dual-ai", "--checkpoint", "4x4", "--checkpoint2", "3x3"],
            "3x3 plays on 3x3, not on 4x4",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(argv: list[str], reason: str, capsys: Any) -> None:
    assert reason in common.refused(play.main, capsys, *argv)


@pytest.mark.usefixtures("small_levels")
@pytest.mark.parametrize("board", ["3x4", "2x5"], ids=["network", "alpha-beta"])
@pytest.mark.parametrize("level", list(LEVELS))
def test_a_level_is_the_same_player_everywhere(
    level: str, board: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    size, games = parse_board(board), tmp_path / "games"
    usual = ["--board", board, "--opening-plies", "1", "--save-games", str(games)]
    two = [*usual, "--num-games", "2"]
    output(["--mode", "ai", "--level", level, *usual], monkeypatch)
    output(["--mode", "ai", "--level", level, *two], monkeypatch)
    output(["--mode", "dual-ai", "--checkpoint", level, "--checkpoint2", level, *two], monkeypatch)
    pair = registry.make_player(level, size), registry.make_player("random", size)
    evaluated = matches.play_match(size, pair, games=2, opening_plies=1, seed=0)

    engine = Engine.load(size, level)
    assert (engine.trained is None) == (board == "2x5")
    chosen = functools.cache(engine.choose)  # most of the games are the same
    told = protocol.Protocol(loading.engine_loader(loading.EngineOptions(board=size)), size, level)
    played = [game.position for game in exchange.load_games(games)]
    assert len(played) == 5
    for game in played:
        for ply in range(1, size.num_plies):
            assert chosen(game.at(ply)) == game.moves[ply]
    told.position = played[0].at(1)
    for move in played[0].moves[1:]:
        assert told.answer("genmove") == f"= {move_name(size, move)}\n\n"
    for number, moves in enumerate(evaluated.actions.tolist()):
        game = Position(size, tuple(moves))
        for ply in range(1, size.num_plies):
            if game.movers[ply] == number % 2:
                assert chosen(game.at(ply)) == moves[ply]


def test_time_is_kept_in_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []
    load = Engine.load

    def timed(*args: Any, seconds: float | None = None, **kwargs: Any) -> Engine:
        asked.append(seconds)
        return load(*args, **kwargs)

    monkeypatch.setattr(Engine, "load", timed)
    argv = ["--mode", "ai", "--board", "1x2", "--num-games", "2", "--time-per-move", "0.5"]
    output(argv, monkeypatch)
    registry.make_player("max:seconds=0.25", Board(1, 2))
    assert asked == [0.5, 0.25]


def engine_options(*argv: str) -> loading.EngineOptions:
    return cli.typed(loading.EngineOptions, play._parser().parse(list(argv))[0])


def test_levels_of_the_command_line() -> None:
    load = loading.engine_loader(engine_options("--level", "medium", "--simulations", "8"))
    assert load(Board(2, 2), None).level == LEVELS["medium"]._replace(simulations=8)
    assert load(Board(2, 2), "medium").level == LEVELS["medium"]._replace(simulations=8)
    assert load(Board(2, 2), "hard").level == LEVELS["hard"]
    load = loading.engine_loader(engine_options("--no-solver"))
    assert load(Board(2, 2), None).level.edges == 0


def test_a_checkpoint_plays_on_its_board() -> None:
    options = engine_options("--checkpoint", "3x3")
    assert loading.chosen_board(options) == Board(3, 3)
    load = loading.engine_loader(options)
    assert load(Board(3, 3), "easy").name == "azdab 3x3"
    assert load(Board(2, 2), "easy").trained is None


def test_without_the_extra_the_page_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("azdab.web.server", "azdab.web.connections"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("azdab.web.server", raising=False)
    assert "pip install 'azdab[web]'" in common.refused(play.main, capsys, "--web")


def test_forecasts_in_words() -> None:
    start = Position(Board(2, 2))
    level = LEVELS["hard"]._replace(simulations=16, edges=0)
    engine = Engine(start.board, common.untrained(start.board), level)
    assert "expected margin" in wording.forecast_line(start, engine.analyze(start))
    unknown = Engine(Board(2, 2), None, LEVELS["easy"])
    assert "No network" in wording.forecast_line(start, unknown.analyze(start))


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory, small_networks: dict[str, Path]) -> Path:
    """A game analysed into every form of report."""
    folder = tmp_path_factory.mktemp("analysis")
    moves = tuple(int(edge) for edge in common.random_games(Board(2, 2), 5, 1)[0])
    game = Record(Position(Board(2, 2), moves), first="<Ann>", second="Bob & Co")
    files.write_text(folder / "game.txt", record.record_text(game))
    argv = [str(folder / "game.txt")]
    for kind in ("html", "json", "text"):
        argv += [f"--{kind}", str(folder / f"out.{kind}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "bundled_networks", lambda: small_networks)
        patch.setitem(LEVELS, "hard", LEVELS["hard"]._replace(simulations=16))
        assert analyze.main(argv) == 0
    return folder


def test_a_report_in_json(analysed: Path) -> None:
    import json

    found = json.loads((analysed / "out.json").read_text())
    assert len(found["moves"]) == 12
    assert found["first"] == "<Ann>"
    lost = dict.fromkeys("AB", 0.0)
    for move in found["moves"]:
        assert move["exact"]
        lost[move["player"]] += move["loss"]
    assert lost == found["boxes_lost"]
    first, second = found["moves"][-1]["scores"]
    assert found["moves"][-1]["margin"] == first - second
    assert first - second - found["margin_at_start"] == lost["B"] - lost["A"]
    assert found["margin_at_start"] == common.Minimax(Board(2, 2)).value(frozenset())


def test_a_report_in_text(analysed: Path) -> None:
    (before,) = exchange.load_games(analysed / "game.txt")
    (after,) = exchange.load_games(analysed / "out.text")
    assert after.position == before.position
    assert set(after.evaluations) == set(range(12))
    assert any("better" in remark for remark in after.remarks.values())


def test_a_report_shows_the_move_to_come() -> None:
    board = Board(1, 2)
    game = Record(Position(board, (0, 2, 4, 5, 1, 3, 6)))
    judged = review.review_game(game, Engine.load(board))
    gold, green = drawing.LAST, drawing.GOOD
    for verdict, found in zip(judged.verdicts, judged.analyses, strict=False):
        shown = review_page.board_before(verdict, found)
        lines = re.findall("<line[^>]*>", shown)
        assert len(lines) == board.num_edges
        assert [edge for edge, line in enumerate(lines) if gold in line] == [verdict.edge]
        best = {move.edge for move in found.candidates if move.exact == found.exact}
        good = {edge for edge, line in enumerate(lines) if green in line}
        assert good == best - {verdict.edge}
        assert set(review.good_moves(found)) == best
        drawn = {edge for edge, line in enumerate(lines) if "stroke-dasharray" not in line}
        assert drawn == {*verdict.before.moves, verdict.edge} | good
    assert "control" not in review_page.page(judged)


def test_moves_that_lose_a_box_are_not_good() -> None:
    moves = [Candidate(edge, 0.1, 5, margin, None) for edge, margin in enumerate((2.0, 2.5, 1.1))]
    far = [Candidate(3, 0.1, 5, 1.0, None), Candidate(4, 0.1, 0, None, None)]
    assert review.good_moves(Analysis(2.0, 0.7, None, [*moves, *far])) == [0, 1, 2]
    unknown = [Candidate(edge, None, 0, None, None) for edge in (7, 8)]
    assert review.good_moves(Analysis(None, None, None, unknown)) == [7]
    assert review.good_moves(Analysis(0.0, 0.5, 0, [])) == []


def test_a_report_as_a_page(analysed: Path) -> None:
    page = (analysed / "out.html").read_text()
    assert page.count("<li ") == 12
    assert page.count("<svg") == 13
    assert "&lt;Ann&gt; against Bob &amp; Co" in page
    assert "<Ann>" not in page
    for outside in ("src=", "href=", "url(", "@import", "<script"):
        assert outside not in page
    assert page.count("http") == page.count('xmlns="http://www.w3.org/2000/svg"')


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["/nowhere"], "cannot read /nowhere"),
        ([], "the following arguments are required"),
        (["GAME", "--game", "2"], "has games 1 to 1, not 2"),
        (["GAME", "--level", "absurd"], "argument --level: must be one of easy"),
        (["GAME", "--checkpoint", "5x5"], "plays on 5x5, not on 2x2"),
        (["GAME", "--html", "/nowhere/x"], "no directory"),
        (["GAME", "--time-per-move", "-1"], "argument --time-per-move: must be more than 0"),
    ],
)
def test_reports_that_are_refused(
    argv: list[str], reason: str, analysed: Path, capsys: Any
) -> None:
    game = str(analysed / "game.txt")
    argv = [game if word == "GAME" else word for word in argv]
    assert reason in common.refused(analyze.main, capsys, *argv)
