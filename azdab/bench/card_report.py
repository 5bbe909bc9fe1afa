"""One table of everything that matters on a card, in minutes: ``azdab.benchmark --card``.

First two runs as a user starts them, in processes of their own, watched from outside: what a
card really does while a preset trains. Then its parts, one by one. On the CPU the same is
measured at small sizes, which says that it works and nothing about speed.
"""

import functools
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich import box
from rich.console import Console
from rich.table import Table

from azdab.bench import timing
from azdab.bench.timing import Timed, Work
from azdab.bench.workloads import Workloads, resized
from azdab.common import files, presets
from azdab.common.config import Config, config_from_dict, config_to_dict
from azdab.common.errors import one_line
from azdab.common.json_text import json_text
from azdab.devices import card, device
from azdab.exact import endings
from azdab.game.board import board_of
from azdab.runs import metrics


class CardSizes(NamedTuple):
    """How much is measured.

    Attributes:
      games: in parallel in the network's, the search's and self-play's batch.
      simulations: of each move there.
      rounds: timed repetitions.
      steps: most steps of a learning phase, apart from the runs.
      iterations: of the preset's own run.
      tables: edges left and games at once of the exact endings.
      smaller: settings of both runs.
      seconds: in which the whole is done: each run is watched for a third of them, and what is
        not begun by then is left out.
    """

    games: int
    simulations: int
    rounds: int
    steps: int
    iterations: int
    tables: tuple[tuple[int, int], ...]
    smaller: dict[str, Any]
    seconds: float


ON_A_CARD = CardSizes(1024, 32, 5, 100, 5, ((16, 256), (20, 64), (22, 32)), {}, 450)

ON_THE_CPU = CardSizes(
    16, 4, 1, 4, 2, ((8, 4), (10, 4)),
    {
        "search": {"num_simulations": 4},
        "selfplay": {"parallel_games": 8, "games_per_iteration": 16},
        "replay": {"capacity": 10_000, "min_window": 100},
        "learner": {"batch_size": 16, "steps_per_iteration": 4},
        "arena": {"every": 1, "num_games": 4, "num_simulations": 4, "baseline_games": 4},
    },
    3600,
)  # fmt: skip


class Figure(NamedTuple):
    """A row of the table.

    Attributes:
      work: what was measured.
      value: the figure; None: it could not be measured.
      unit: of the value.
      bar: what it should be, at least or at most; None: nothing in particular.
      least: whether the bar is a lower one.
    """

    work: str
    value: float | None
    unit: str
    bar: float | None = None
    least: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether the bar holds; None where there is none, or no value."""
        if self.bar is None or self.value is None:
            return None
        return self.value >= self.bar if self.least else self.value <= self.bar


class WatchedRun(NamedTuple):
    """A run of ``azdab.train``, seen from outside.

    Attributes:
      lines: the metrics of its iterations, but for the first.
      seconds: from the end of the first iteration to the end of the last.
      memory: the most bytes by the driver's count, less what was used before; None likewise.
      failed: what it printed at last, if it ended with an error.
    """

    lines: list[dict[str, Any]]
    seconds: float
    memory: int | None
    failed: str = ""


def watch_run(config: Config, variables: Mapping[str, str], limit: float) -> WatchedRun:
    """Train in a process of its own with these variables, and end it after ``limit`` seconds."""
    with tempfile.TemporaryDirectory(prefix="azdab-card-") as place:
        settings, printed = Path(place) / "watched.yaml", Path(place) / "printed"
        presets.write_settings(config, settings)
        command = [sys.executable, "-m", "azdab.train", "--config", str(settings), "--runs", place]
        path = Path(place) / "watched" / "metrics.jsonl"
        before, most, ends = _used(), None, list[float]()
        with printed.open("wb") as out:
            process = subprocess.Popen(command, env=variables, stdout=out, stderr=subprocess.STDOUT)
            # Who ends this process ends the run too.
            before_this = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            until, running = time.monotonic() + limit, True
            try:
                while running and time.monotonic() < until:
                    time.sleep(0.1)
                    running = process.poll() is None
                    if (used := _used()) is not None and before is not None:
                        most = max(most or 0, used - before)
                    done = path.read_bytes().count(b"\n") if path.exists() else 0
                    ends += [time.monotonic()] * (done - len(ends))
            finally:
                process.kill()
                process.wait()
                signal.signal(signal.SIGTERM, before_this)
        lines = metrics.read_metrics(path)[: len(ends)] if ends else []
        failed = ""
        if process.returncode > 0:
            failed = one_line(printed.read_text(encoding="utf-8", errors="replace")[-300:])
        seconds = ends[-1] - ends[0] if ends else 0.0
        return WatchedRun(lines[1:], seconds, most, failed)


def _used() -> int | None:
    """Bytes in use on the first card by the driver's count."""
    found = card.memory_of(jax.local_devices()[0])
    return None if found is None else found.used


def _mean(lines: Sequence[dict[str, Any]], name: str) -> float | None:
    """Mean of a metric over iterations; None where it was not measured."""
    values = [line[name] for line in lines if line.get(name) is not None]
    return statistics.fmean(values) if values else None


def run_figures(config: Config, run: WatchedRun) -> Iterator[Figure]:
    """What a preset's own run did."""
    count = len(run.lines)
    yield Figure(f"the preset, {count} iterations after the first: each", _each(run), "s")
    for name in sorted({name for line in run.lines for name in line if name.startswith("time/")}):
        yield Figure(f"  of that {name.removeprefix('time/')}", _mean(run.lines, name), "s")
    if (idle := _mean(run.lines, "device/idle")) is not None:
        yield Figure("  devices without work", 100 * idle, "%", 3, least=False)
    yield Figure("  GPU utilisation by the driver", _utilisation(run.lines), "%", 80)
    memory = None if run.memory is None else run.memory / 1e9
    yield Figure(
        "  memory by the driver's count", memory, "GB", config.device.memory_gb, least=False
    )


def _utilisation(lines: Sequence[dict[str, Any]]) -> float | None:
    """Mean over the time of iterations; None where the driver cannot tell."""
    told = [line for line in lines if line.get("device/gpu_utilisation") is not None]
    busy = sum(line["device/gpu_utilisation"] * line["time/iteration"] for line in told)
    return busy / sum(line["time/iteration"] for line in told) if told else None


def _each(run: WatchedRun) -> float | None:
    return run.seconds / len(run.lines) if run.lines else None


def seed_figures(config: Config, run: WatchedRun) -> Iterator[Figure]:
    """How long the workload of the program that azdab replaces takes, compiling left out."""
    each = _each(run)
    whole = None if each is None else each * config.iterations
    counted = f"{len(run.lines) + 1} of {config.iterations} iterations timed"
    yield Figure(f"seed_workload, {counted}: all", whole, "s", 60, least=False)


def speed_figures(config: Config, sizes: CardSizes, run: WatchedRun) -> Iterator[Figure]:
    """Network, search, self-play without exact endings, and learning, on their own."""
    changes = {
        "selfplay": {"solver_horizon": 0, "network_rollouts": 0, "solver_rollouts": 0},
        "learner": {"steps_per_iteration": min(sizes.steps, config.learner.steps_per_iteration)},
    }
    plain = config_from_dict(presets.merge(config_to_dict(config), changes))
    loads = Workloads(resized(plain, sizes.games, sizes.simulations))
    network, search = loads.searching(sizes.games, sizes.simulations)
    iteration = loads.iteration(sizes.games, sizes.simulations)
    iteration()  # fills the replay that is learned from
    learn, _ = loads.learning()
    learner = loads.config.learner
    moves = sizes.games * loads.board.num_plies
    samples = learner.batch_size * learner.steps_per_iteration

    def study() -> Any:
        return learn(loads.learner, loads.buffer, loads.key)

    works = (
        network,
        search,
        Work("self-play", sizes.games, sizes.simulations, iteration.play, moves, "moves", 0.0),
        Work("learning", 0, 0, study, samples, "samples", 0.0),
    )
    found = {timed.name: timed for timed in timing.in_turn(works, sizes.rounds, lambda: None)}
    yield from _speeds(found, sizes, run)


def _speeds(found: dict[str, Timed], sizes: CardSizes, run: WatchedRun) -> Iterator[Figure]:
    at = f"{sizes.games:,} x {sizes.simulations}"
    bare, search = found["bare network"].rate, found["search"].rate
    moves = found["self-play"].rate
    yield Figure(f"bare network, {at}", bare, "evaluations/s")
    yield Figure("search on the same batch", search, "evaluations/s")
    yield Figure("  its efficiency", search / bare, "", 0.8)
    yield Figure("self-play of whole games, no exact endings", moves, "moves/s")
    yield Figure("  its efficiency", moves * (sizes.simulations + 1) / bare, "")
    inside = _mean(run.lines, "speed/simulations_per_second")
    share = None if inside is None else inside / (moves * sizes.simulations)
    yield Figure("  simulations/s in the preset's run, as a share", share, "", 0.7)
    yield Figure("learning", found["learning"].rate, "samples/s")


def ending_figures(config: Config, sizes: CardSizes) -> Iterator[Figure]:
    """The table of exact endings on the device, two lines a game."""
    board = board_of(config)
    play = jax.jit(endings.endings_from_table, static_argnums=(0, 3, 4))
    for most, games in sizes.tables:
        left = min(most, board.num_plies)
        order = jax.random.uniform(jax.random.key(1), (games, board.num_edges)).argsort(axis=-1)
        edges = order.argsort(axis=-1) >= left
        call = functools.partial(play, board, edges, jax.random.key(2), left, 2)
        work = Work("", games, 0, call, games, "games", 0.0)
        (found,) = timing.in_turn([work], sizes.rounds, lambda: None)
        name = f"exact endings on the device, {left} edges x {games} games"
        yield Figure(name, 1000 * found.median / games, "ms a game")


def measure_card(
    name: str,
    overrides: dict[str, Any],
    variables: Mapping[str, str],
    file: Path | None,
    console: Console,
) -> list[Figure]:
    """Measure everything, and print and write it.

    Args:
      name: a preset or a file.
      overrides: settings on top of it and of ``seed_workload``.
      variables: those of the environment, as they were before JAX was started here.
      file: where it is written as JSON.
      console: where it is printed.

    Raises:
      UserError: a config makes no sense.
    """
    begun = time.monotonic()
    on_cpu = jax.default_backend() == "cpu"
    sizes = ON_THE_CPU if on_cpu else ON_A_CARD

    def settings(preset: str, iterations: int | None) -> Config:
        values = presets.merge(presets.read_settings(preset), sizes.smaller)
        if iterations is not None:
            values = presets.merge(values, {"iterations": iterations})
        return config_from_dict(presets.merge(values, overrides))

    config = settings(name, sizes.iterations)
    seed = settings("seed_workload", sizes.iterations if on_cpu else None)
    title = f"{device.describe_device()}, JAX {jax.__version__}, {Path(name).stem}"
    if on_cpu:
        title += "; small sizes, because this is no card: these are no measurements"
    found: list[Figure] = []
    left_out: list[str] = []

    def part(what: str, figures: Callable[[], Iterator[Figure]]) -> None:
        if time.monotonic() - begun > sizes.seconds:
            left_out.append(what)
            return
        with console.status(what):
            found.extend(figures())

    runs: dict[str, WatchedRun] = {}

    def watched(what: str, config: Config) -> WatchedRun:
        runs[what] = watch_run(config, variables, sizes.seconds / 3)
        return runs[what]

    part("the preset's own run", lambda: run_figures(config, watched("preset", config)))
    part("seed_workload", lambda: seed_figures(seed, watched("seed_workload", seed)))
    part("speed", lambda: speed_figures(config, sizes, runs["preset"]))
    part("exact endings", lambda: ending_figures(config, sizes))
    if on_cpu:
        found = [figure._replace(bar=None) for figure in found]
    show_figures(found, title, console)
    for what, run in runs.items():
        if run.failed:
            said = f"{what} failed: {run.failed}"
            console.print(said, highlight=False, markup=False, soft_wrap=True)
    if left_out:
        console.print(f"left out, because the time was up: {', '.join(left_out)}")
    console.print(f"{time.monotonic() - begun:.0f} s in all", highlight=False)
    if file is not None:
        report = {
            "device": jax.devices()[0].device_kind,
            "jax": jax.__version__,
            "small": on_cpu,
            "config": config_to_dict(config),
            "figures": [{**figure._asdict(), "holds": figure.holds} for figure in found],
            "left_out": left_out,
        }
        files.write_text(file, json_text(report, indent=1))
    return found


def show_figures(found: Sequence[Figure], title: str, console: Console) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("", "figure", "bar", ""):
        table.add_column(column, justify="right" if column else "left")
    for figure in found:
        value = "cannot be told" if figure.value is None else _shown(figure.value, figure.unit)
        bar = ""
        if figure.bar is not None:
            bar = f"{'>=' if figure.least else '<='} {_shown(figure.bar, figure.unit)}"
        verdict = {None: "", True: "holds", False: "does not hold"}[figure.holds]
        table.add_row(figure.work, value, bar, verdict)
    console.print(table)


def _shown(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f} {unit}".strip()
