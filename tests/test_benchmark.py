"""The benchmark's command line; what it measures is no matter for tests."""

import importlib.util
from typing import Any

import pytest

from azdab import benchmark
from tests import common


def test_it_prints_a_rate_for_every_program(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", "smoke", "--rounds", "1", "--board.rows", "1", "--board.cols", "1"]
    assert benchmark.main(argv) == 0
    printed = capsys.readouterr().out
    for name in ("self-play", "bare network", "learning", "searched moves/s"):
        assert name in printed


def test_endgames_are_timed_on_a_small_board(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", "smoke", "--endgames", "--board.rows", "3", "--board.cols", "4"]
    assert benchmark.main(argv) == 0
    assert "20" in capsys.readouterr().out  # of 31 edges; with 24 left it is early in the game


def test_what_cannot_be_measured_is_refused(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = common.refused(benchmark.main, capsys, "--rounds", "0", "--config", "smoke")
    assert "--rounds" in refused
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused = common.refused(benchmark.main, capsys, "--endgames", "--config", "smoke")
    assert "azdab[exact]" in refused
