"""Runs for tests: in processes of their own, which can be killed, and compared on disk."""

import os
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import azdab
from azdab.common import metric_table, presets
from azdab.common.config import config_from_dict
from azdab.devices import mesh
from azdab.game.board import board_of
from azdab.runs import checkpoint, metrics
from azdab.runs.checkpoint import TrainState
from azdab.runs.retention import Checkpoints


def iterations(run: Path) -> list[int]:
    return [line["iteration"] for line in metrics.read_metrics(run / "metrics.jsonl")]


def lasting(run: Path) -> list[dict[str, Any]]:
    """The metrics that must not depend on the machine or the hour."""
    lines = metrics.read_metrics(run / "metrics.jsonl")
    return [
        {k: v for k, v in line.items() if not metric_table.depends_on_machine(k)} for line in lines
    ]


def saved(run: Path) -> TrainState:
    """The newest intact checkpoint."""
    run_config = config_from_dict(presets.read_settings(str(run / "config.yaml")))
    board = board_of(run_config)
    devices = mesh.all_devices()
    checkpoints = Checkpoints(run, run_config, devices)
    return checkpoints.restore(checkpoint.initial_state(board, run_config, devices))


def leftovers(run: Path) -> list[str]:
    """What a process that died may leave, and a finished run must not have."""
    marks = (".tmp", ".new", ".old", "orbax-checkpoint-tmp", "running.json")
    return [str(path) for path in run.rglob("*") if any(mark in path.name for mark in marks)]


def start(
    module: list[str],
    runs: Path,
    *argv: str,
    variables: Mapping[str, str] = types.MappingProxyType({}),
    **options: Any,
) -> "subprocess.Popen[str]":
    """A process that trains."""
    path = [str(Path(azdab.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", *module, "--runs", str(runs), *argv],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
