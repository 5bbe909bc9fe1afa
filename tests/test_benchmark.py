"""The benchmark's command line and arithmetic; how fast anything is is no matter for tests."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from azdab import benchmark
from azdab.bench import measuring, openspiel, speed_report, timing
from azdab.bench.timing import Timed, Work
from azdab.bench.workloads import Workloads
from azdab.common import cli, presets
from azdab.common.config import config_from_dict
from tests import common

TINY = ["--config", "smoke", "--board.rows", "1", "--board.cols", "1"]
TINY += ["--selfplay.solver_horizon", "0"]
TINY += ["--learner.optimizer", "sgd", "--network.filters", "8"]  # what compiles fast
PROGRAMS = {"environment", "bare network", "search", "self-play", "replay", "learning", "iteration"}


@pytest.mark.slow
def test_it_reports_every_program_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "times.json")
    assert benchmark.main([*TINY, "--rounds", "1", "--json", file]) == 0
    printed = capsys.readouterr().out
    report = json.loads(Path(file).read_text(encoding="utf-8"))
    assert {result["name"] for result in report["results"]} == PROGRAMS
    for name in (*PROGRAMS, "searched moves/s", "peak memory"):
        assert name in printed
    assert all(len(result["seconds"]) == 1 for result in report["results"])
    shares = {r["name"]: r["efficiency"] for r in report["results"]}
    assert shares["bare network"] == 1
    assert {name for name, share in shares.items() if share} == {
        "bare network",
        "search",
        "self-play",
    }
    assert speed_report.read_report(Path(file)).keys() == {
        (r["name"], r["games"], r["simulations"]) for r in report["results"]
    }


@pytest.mark.slow
def test_scaling_covers_the_range(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "RANGE", (1, 4))  # each size is compiled
    given, overrides = benchmark._parser().parse(
        [*TINY, "--selfplay.parallel_games", "8", "--selfplay.games_per_iteration", "8"]
    )
    run_config = config_from_dict(presets.merge(presets.read_settings("smoke"), overrides))
    sizes = measuring.Sizes(cli.typed(measuring.BenchmarkOptions, given), run_config)
    scaling = measuring.measure_scaling(Workloads(run_config), sizes, Console())
    assert "iteration by simulations" in capsys.readouterr().out
    assert scaling["games"]["sizes"] == [(2, 1), (8, 1)]
    assert scaling["simulations"]["sizes"] == [(2, 1), (2, 4)]
    assert len(scaling["simulations"]["seconds"]) == 2


def test_endgames_are_timed_on_a_small_board(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", "smoke", "--endgames", "--board.rows", "3", "--board.cols", "4"]
    assert benchmark.main(argv) == 0
    rows = re.findall(r"^\W*(\d+)\W+(\d+)\W+([\d.]+)\W+([\d.]+)\W*$", capsys.readouterr().out, re.M)
    # Of 31 edges; with 24 left it is early in the game.
    assert [(left, count) for left, count, *_ in rows] == [("20", "40")]
    assert all(0 < float(median) <= float(most) for _, _, median, most in rows)


def test_what_cannot_be_measured_is_refused(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*argv: str) -> str:
        return common.refused(benchmark.main, capsys, *argv, "--config", "smoke")

    assert "--rounds" in refused("--rounds", "0")
    for mode in ("--page", "--endgames", "--iteration"):
        file = str(tmp_path / "new.json")
        assert "--json needs the usual benchmark or --card" in refused(mode, "--json", file)
    assert "choose one of --card and --iteration" in refused("--iteration", "--card")
    assert "--quick needs the usual benchmark" in refused("--quick", "--card")
    assert "openspiel" in refused("--opponent", "gnugo")
    assert "cannot read" in refused("--compare", str(tmp_path / "none.json"))
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    assert "not written by --json" in refused("--compare", str(tmp_path / "other.json"))
    assert "no directory" in refused("--json", str(tmp_path / "none" / "times.json"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "azdab[exact]" in refused("--endgames")
    assert "open-spiel" in refused("--opponent", "openspiel")


def test_calls_are_timed_in_turn_after_one_that_is_not() -> None:
    calls: list[str] = []
    works = [Work(x, 1, 1, lambda x=x: calls.append(x), 10, "units", 0.0) for x in "ab"]  # type: ignore[misc]
    reports: list[None] = []
    found = list(timing.in_turn(works, 3, lambda: reports.append(None)))
    assert calls == ["a", "b"] * 4
    assert len(reports) == 8
    assert [timed.name for timed in found] == ["a", "b"]
    assert [len(timed.seconds) for timed in found] == [3, 3]


def test_efficiency_is_of_the_same_rounds() -> None:
    bare = Timed("bare network", 4, 8, 100, "evaluations", 0, [1.0, 2.0, 10.0])
    search = Timed("search", 4, 8, 100, "evaluations", 0, [2.0, 4.0, 12.5])
    other = Timed("search", 4, 9, 100, "evaluations", 0, [2.0, 4.0, 12.5])
    learning = Timed("learning", 4, 8, 100, "samples", 0, [1.0, 1.0, 1.0])
    found = [bare, search, other, learning]
    assert [speed_report.efficiency(timed, found) for timed in found] == [1, 0.5, None, None]


def test_a_line_is_found_and_what_is_none_shows() -> None:
    straight = timing.fit_line([1, 2, 4, 8, 16], [3 + 0.5 * n for n in (1, 2, 4, 8, 16)])
    assert (straight.fixed, straight.slope) == pytest.approx((3, 0.5))
    assert straight.r_squared == pytest.approx(1)
    assert straight.off == pytest.approx(0, abs=1e-9)
    square = timing.fit_line([1, 2, 4, 8, 16], [n * n for n in (1, 2, 4, 8, 16)])
    assert square.r_squared < 0.9
    assert square.off > 0.5


@pytest.mark.filterwarnings("ignore")  # of OpenSpiel's
def test_openspiel_s_actor_plays_whole_games() -> None:
    pytest.importorskip("open_spiel.python.algorithms.alpha_zero.model_nnx")
    values = presets.merge(
        presets.read_settings("smoke"),
        {"board": {"rows": 1, "cols": 1}, "search": {"num_simulations": 3}},
    )
    actor = openspiel.OpenSpielActor(config_from_dict(values))
    lengths = []
    for _ in range(6):
        actor.move()
        lengths.append(len(actor.state.history()))
    assert lengths == [1, 2, 3, 0, 1, 2]
