"""The metrics of runs as curves, and what they say about a run's health."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from azdab.common import metric_table, presets
from azdab.common.config import Config, config_from_dict
from azdab.common.errors import UserError
from azdab.runs import metrics


class Curves(NamedTuple):
    """The metrics of one run.

    Attributes:
      name: of the run.
      iterations: ``float[N]``.
      series: by metric, ``float[N]``; NaN in iterations that did not measure it.
      utility: what its search counts, ``margin`` or ``win``: some metrics' unit.
    """

    name: str
    iterations: np.ndarray
    series: dict[str, np.ndarray]
    utility: str = "margin"

    def of(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """The iterations in which a metric was measured, and its values."""
        values = self.series.get(metric, np.full(len(self.iterations), np.nan))
        measured = np.isfinite(values)
        return self.iterations[measured], values[measured]


def load_curves(run: Path | str, name: str = "") -> Curves:
    """Read the metrics of a run, under the names that they have now.

    Args:
      run: its directory.
      name: how to call it; the directory's name unless given.

    Raises:
      UserError: it has no metrics.
    """
    lines = metrics.read_metrics(Path(run) / "metrics.jsonl")
    if not lines:
        raise UserError(f"no metrics in {run}: give the directory of a run, such as runs/quick")
    lines = [{metric_table.current_name(key): x for key, x in line.items()} for line in lines]
    names = {key: None for line in lines for key in line if key != "iteration"}
    series = {
        key: np.array([np.nan if line.get(key) is None else line[key] for line in lines], float)
        for key in names
    }
    iterations = np.array([line["iteration"] for line in lines], float)
    kept = (Path(run) / "config.yaml").exists()
    utility = load_config(run).search.utility if kept else "margin"
    return Curves(name or Path(run).name, iterations, series, utility)


def load_config(run: Path | str) -> Config:
    """The config of a run."""
    settings = presets.read_settings(str(Path(run) / "config.yaml"))
    return config_from_dict(presets.current_settings(settings))


def newest(*places: Path | str) -> Path | None:
    """The run in one of the folders ``places`` that wrote metrics last, if there is one."""
    written = [path for place in places for path in Path(place).glob("*/metrics.jsonl")]
    return max(written, key=lambda path: path.stat().st_mtime).parent if written else None


def train_run(runs: Path | str, name: str, preset: str, *overrides: str) -> Path:
    """Train a run in a process of its own, unless it is there already.

    Args:
      runs: where runs live.
      name: of the run.
      preset: a preset or a YAML file.
      overrides: as on the command line, such as ``"--learner.learning_rate", "0.01"``.

    Returns:
      The run's directory.

    Raises:
      UserError: the training failed.
    """
    run = Path(runs) / name
    if not (run / "metrics.jsonl").exists():
        command = [sys.executable, "-m", "azdab.train", "--config", preset]
        command += ["--runs", str(runs), "--run", name, *overrides]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            raise UserError(f"training {name} failed: {(done.stderr or done.stdout)[-500:]}")
    return run


class Finding(NamedTuple):
    """One check of a run.

    Attributes:
      check: what is looked at.
      measured: in words.
      healthy: whether it looks as it should; None where it cannot be told, or not yet.
      advice: what to look at, naming settings, where it does not; else empty.
    """

    check: str
    measured: str
    healthy: bool | None
    advice: str


_ENOUGH = 5  # iterations from which a trend is one
_ENOUGH_ARENAS = 3  # the same of arenas, which each sum up many games
_RECENT = 4  # the last quarter of what was measured stands for now


class _Check(NamedTuple):
    """One question to a run: a name, a metric, a rule, and what to look at if it is broken.

    The rule is given the first values' median and the recent mean, and says whether that is
    healthy; None: it cannot tell.
    """

    name: str
    metric: str
    healthy: Callable[[float, float], bool | None]
    advice: str


_CHECKS = (
    _Check(
        "loss falls", "loss/total", lambda first, now: now < 0.85 * first,
        "far too large or small a learner.learning_rate; too few learner.steps_per_iteration; "
        "a target that is noise: more search.num_simulations, exact endings with "
        "selfplay.solver_horizon",
    ),
    _Check(
        "value error falls", "selfplay/value_error", lambda first, now: now < 0.9 * first,
        "selfplay.solver_horizon: exact endings reach the early game through the margin head; "
        "learner.search_value_weight; network.features",
    ),
    _Check(
        "search keeps some entropy", "selfplay/policy_entropy", lambda first, now: now > 0.5,
        "one move gets everything, so nothing else is learnt about: lower search.value_scale, "
        "raise search.maxvisit_init, selfplay.max_opening_plies",
    ),
    _Check(
        "policy keeps some entropy", "loss/entropy", lambda first, now: now > 0.25 * first,
        "lower search.value_scale; selfplay.max_opening_plies and replay.min_window for variety",
    ),
    _Check(
        "the latest holds its own against the best", "arena/win_rate_best",
        lambda first, now: now >= 0.45,
        "learner.learning_rate or learner.ema_decay too high; arena.num_games too few to tell",
    ),
    _Check(
        "beats greedy-min", "arena/win_rate_greedy_min", lambda first, now: now > 0.5,
        "longer; selfplay.solver_horizon; more arena.num_simulations if it is play that lacks",
    ),
    _Check(
        "loses less to perfect play", "exact/regret",
        lambda first, now: now < 0.9 * first or now < 0.05,
        "at a plateau: network.filters, network.blocks, learner.schedule_steps, more iterations",
    ),
    _Check(
        "memory stays", "device/memory_peak_gb", lambda first, now: now < 1.5 * first,
        "selfplay.parallel_games, learner.batch_size, replay.capacity; device.memory_gb is a cap",
    ),
)  # fmt: skip


def _decided(config: Config) -> _Check:
    """Whether the ply at which games are decided moves; exact endings hide that."""
    horizon = config.solver_horizon
    searched = config.board.num_plies - horizon
    return _Check(
        "games are decided earlier or later", "selfplay/decided_ply",
        lambda first, now: None if horizon else abs(now - first) > 0.01 * searched,
        "play does not change: is the network promoted (arena.gating, arena.threshold)?",
    )  # fmt: skip


def _examine(run: Curves, check: _Check) -> Finding:
    metric = metric_table.BY_NAME[check.metric]
    values = run.of(metric.name)[1]
    if not len(values):
        return Finding(check.name, "not measured", None, "")
    now = float(values[-max(1, len(values) // _RECENT) :].mean())
    least = _ENOUGH if metric.when in ("always", "device") else _ENOUGH_ARENAS
    enough = len(values) >= least
    healthy = check.healthy(float(np.median(values[:3])), now) if enough else None
    advice = check.advice if healthy is False else ""
    measured = metric.text(float(values[0]), now, utility=run.utility)
    return Finding(check.name, measured, healthy, advice)


def diagnose(run: Curves, config: Config) -> list[Finding]:
    """Check a run for the usual troubles.

    The limits are rules of thumb, set from runs that learnt and runs that did not: the last
    quarter of the values is held against the median of the first three.

    Args:
      run: its metrics.
      config: its config.
    """
    decided = _examine(run, _decided(config))
    if config.solver_horizon and decided.measured != "not measured":
        searched = config.board.num_plies - config.solver_horizon
        decided = decided._replace(measured=f"{decided.measured}, only plies to {searched} count")
    return [*(_examine(run, check) for check in _CHECKS), decided]
