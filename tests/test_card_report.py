"""The table for a card: made whole on the CPU, at small sizes, and its arithmetic."""

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from azdab import benchmark
from azdab.bench import card_report
from azdab.bench.card_report import Figure, WatchedRun
from azdab.common.config import Config, DeviceConfig
from tests.test_benchmark import TINY

RUN = WatchedRun(
    [
        {
            "iteration": 2,
            "time/iteration": 3.0,
            "time/self_play": 2.0,
            "device/idle": 0.01,
            "device/gpu_utilisation": 88.0,
        },
        {
            "iteration": 3,
            "time/iteration": 9.0,
            "time/self_play": 4.0,
            "device/idle": 0.03,
            "time/arena": 5.0,
            "device/gpu_utilisation": 76.0,
        },
    ],
    seconds=12.0,
    memory=5_900_000_000,
)
BLIND = WatchedRun([], 0.0, None, "azdab.train: error: no")


def test_a_bar_holds_or_not() -> None:
    assert Figure("a", 3, "s").holds is None
    assert Figure("a", None, "s", 3).holds is None
    assert Figure("a", 3, "s", 3).holds is True
    assert Figure("a", 2.9, "s", 3).holds is False
    assert Figure("a", 2.9, "s", 3, least=False).holds is True
    assert Figure("a", 3.1, "s", 3, least=False).holds is False


def test_a_run_s_figures() -> None:
    found = list(card_report.run_figures(Config(device=DeviceConfig(memory_gb=6)), RUN))
    values = {figure.work.strip(): (figure.value, figure.holds) for figure in found}
    assert values == {
        "the preset, 2 iterations after the first: each": (6, None),
        "of that arena": (5, None),
        "of that iteration": (6, None),
        "of that self_play": (3, None),
        "devices without work": (pytest.approx(2), True),
        "GPU utilisation by the driver": (79, False),
        "memory by the driver's count": (5.9, True),
    }
    (whole,) = card_report.seed_figures(Config(iterations=50), RUN)
    assert (whole.value, whole.holds) == (300, False)


def test_what_cannot_be_told_is_said() -> None:
    found = [
        *card_report.run_figures(Config(), BLIND),
        *card_report.seed_figures(Config(), BLIND),
    ]
    assert found
    assert all(figure.value is None and figure.holds is None for figure in found)
    printed = io.StringIO()
    card_report.show_figures(
        [*found, Figure("x", 1234.5, "s", 0.5)], "title", Console(file=printed)
    )
    assert printed.getvalue().count("cannot be told") == len(found)
    assert "1,234 s" in printed.getvalue()
    assert ">= 0.50 s" in printed.getvalue()
    assert "holds" in printed.getvalue()


@pytest.mark.slow
def test_the_whole_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "card.json"
    assert benchmark.main([*TINY, "--card", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "these are no measurements" in " ".join(printed.split())
    assert "failed" not in printed
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["small"]
    assert not report["left_out"]
    found = {row["work"].strip(): row["value"] for row in report["figures"]}
    wanted = (
        "the preset, 1 iterations after the first: each", "of that self_play", "of that learning",
        "seed_workload, 2 of 2 iterations timed: all", "bare network, 16 x 4",
        "search on the same batch", "learning", "exact endings on the device, 4 edges x 4 games",
        "simulations/s in the preset's run, as a share",
    )  # fmt: skip
    for name in wanted:
        assert found[name] > 0, name
        assert name in printed
    assert found["GPU utilisation by the driver"] is None
    assert found["memory by the driver's count"] is None
    assert not any(row["bar"] for row in report["figures"])


@pytest.mark.slow
def test_a_run_that_fails_and_one_that_takes_too_long() -> None:
    variables = {**os.environ, "JAX_PLATFORMS": "cuda"}
    assert "JAX cannot start" in card_report.watch_run(Config(), variables, 300).failed
    cut = card_report.watch_run(Config(), dict(os.environ), 0.5)
    assert cut == WatchedRun([], 0.0, None, "")
