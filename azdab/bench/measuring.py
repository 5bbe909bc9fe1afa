"""What ``azdab.benchmark`` measures, at which sizes, and what it prints of it.

Everything is compiled first, and then timed in turn, round after round. So a machine whose
speed drifts slows all of it equally. Medians are printed with their spread; rates are those
of the medians. "Efficiency" is the share of the bare network's evaluations per
second, at the same batch, that search and self-play reach.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.progress import Progress, track

from azdab.bench import openspiel, speed_report, timing
from azdab.bench.timing import Timed, Work
from azdab.bench.workloads import Workloads
from azdab.common import files
from azdab.common.config import Config
from azdab.common.json_text import json_text
from azdab.devices import device

QUICK_SIZES = 64, 16, 10
"""Most games, simulations and learner steps of ``--quick``."""

FULL_SIZES = (256, 1024), (32, 128)
"""Games and simulations of ``--full``, beside the config's."""

CPU_GAMES, CPU_POSITIONS = 512, 1_500_000
"""Most games at once and positions in the replay on a CPU, if nothing else is asked for."""

RANGE = (1, 2, 4, 8, 16)
"""The sizes of ``--scaling``, as multiples of the smallest."""


class BenchmarkOptions(NamedTuple):
    """What a command line says about a benchmark.

    Attributes:
      config: a preset or a file.
      quick: smaller sizes.
      full: more sizes.
      rounds: timed repetitions; None: as many as usual.
      scaling: whether to fit the iteration's time to its sizes.
      opponent: another program to measure beside it.
      json: where all times are written.
      compare: an earlier such file.
      profile: a directory for XLA's profile.
      card: measure what matters on a card instead.
      iteration: account for the time of an iteration instead.
      endgames: time the exact engine instead.
      page: time the page under load instead.
    """

    config: str
    quick: bool
    full: bool
    rounds: int | None
    scaling: bool
    opponent: str | None
    json: Path | None
    compare: Path | None
    profile: Path | None
    card: bool
    iteration: bool
    endgames: bool
    page: bool


class Sizes:
    """Which sizes are measured.

    Attributes:
      iteration: games and simulations of the whole iteration.
      searches: those of network and search, the iteration's first.
      rounds: timed repetitions.
    """

    def __init__(self, options: BenchmarkOptions, config: Config) -> None:
        games, simulations = config.selfplay.parallel_games, config.search.num_simulations
        self.rounds = options.rounds or (3 if options.quick else 5)
        if options.quick:
            games, simulations = min(games, QUICK_SIZES[0]), min(simulations, QUICK_SIZES[1])
        self.iteration = games, simulations
        more = [(g, s) for g in FULL_SIZES[0] for s in FULL_SIZES[1]] if options.full else []
        self.searches = list(dict.fromkeys([self.iteration, *more]))


def for_a_cpu(config: Config) -> Config:
    """A config for cards with games and replay as a CPU can measure them in minutes."""
    games = min(config.selfplay.parallel_games, CPU_GAMES)
    positions = max(CPU_POSITIONS, games * config.examples_per_game)
    return dataclasses.replace(
        config,
        selfplay=dataclasses.replace(
            config.selfplay, parallel_games=games, games_per_iteration=games
        ),
        replay=dataclasses.replace(config.replay, capacity=min(config.replay.capacity, positions)),
    )


def shortened(config: Config) -> Config:
    """The config with few learner steps."""
    steps = min(config.learner.steps_per_iteration, QUICK_SIZES[2])
    learner = dataclasses.replace(config.learner, steps_per_iteration=steps)
    return dataclasses.replace(config, learner=learner)


def time_everything(
    loads: Workloads, sizes: Sizes, rival: Work | None, console: Console
) -> list[Timed]:
    """Time everything in turn."""
    works: list[Work] = []
    with console.status("compiling") as status:
        works.append(loads.environment(sizes.iteration[0]))
        for games, simulations in sizes.searches:
            status.update(f"compiling the search, {games} games x {simulations} simulations")
            works += loads.searching(games, simulations)
        status.update("compiling self-play and learning")
        iteration = loads.iteration(*sizes.iteration)
        works.append(iteration.work())
    if rival is not None:
        works.append(rival)
    found = run_in_turn(works, sizes.rounds, console)
    at = next(i for i, timed in enumerate(found) if timed.name == "iteration")
    return [*found[:at], *iteration.parts(), *found[at:]]


def run_in_turn(works: Sequence[Work], rounds: int, console: Console) -> list[Timed]:
    """:func:`timing.in_turn` under a progress bar."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=len(works) * (rounds + 1))
        return list(timing.in_turn(works, rounds, lambda: progress.advance(task)))


def opponent_work(config: Config, sizes: Sizes, plies: int) -> Work:
    """One of OpenSpiel's actors: one game, spread over the rounds."""
    simulations = sizes.iteration[1]
    search = dataclasses.replace(config.search, num_simulations=simulations)
    actor = openspiel.OpenSpielActor(dataclasses.replace(config, search=search))
    warm: list[bool] = []

    def play() -> None:
        # The untimed run may be short.
        for _ in range(plies if warm else 1):
            actor.move()
        warm.append(True)

    return Work("openspiel actor", 1, simulations, play, plies, "moves", 0.0)


def measure_scaling(loads: Workloads, sizes: Sizes, console: Console) -> dict[str, Any]:
    """Time iterations over 16 times as many games, and simulations; fit lines and print them."""
    games, simulations = (max(1, size // RANGE[-1]) for size in sizes.iteration)
    games = max(1, games // loads.mesh.size) * loads.mesh.size
    report: dict[str, Any] = {}
    grids = {
        "games": [(games * n, simulations) for n in RANGE],
        "simulations": [(games, simulations * n) for n in RANGE],
    }
    for what, grid in grids.items():
        works = []
        for size in track(grid, f"compiling, {what}", console=console, transient=True):
            works.append(loads.iteration(*size).work())
        found = run_in_turn(works, min(sizes.rounds, 3), console)
        counts = [getattr(timed, what) for timed in found]
        seconds = [timed.median for timed in found]
        fit = timing.fit_line(counts, seconds)
        report[what] = {"sizes": grid, "seconds": seconds, **fit._asdict()}
        pairs = ", ".join(f"{n}: {s:.2f} s" for n, s in zip(counts, seconds, strict=True))
        console.print(
            f"iteration by {what}: {pairs}; {fit.fixed:.2f} s + {fit.slope:.4f} s each, "
            f"R² {fit.r_squared:.4f}, off by at most {fit.off:.0%}",
            highlight=False,
        )
    return report


def profile_self_play(loads: Workloads, sizes: Sizes, directory: Path, console: Console) -> None:
    """Write XLA's profile of one round of self-play."""
    iteration = loads.iteration(*sizes.iteration)
    jax.block_until_ready(iteration.play())
    with jax.profiler.trace(directory):
        jax.block_until_ready(iteration.play())
    console.print(f"profile of self-play in {directory}: tensorboard --logdir {directory}")


def measure_speed(
    options: BenchmarkOptions,
    config: Config,
    before: dict[speed_report.WorkKey, float] | None,
    out: Console,
) -> None:
    """Measure and print what the options ask for, and write the files.

    Args:
      options: of the command line.
      config: the config with the settings of the command line.
      before: rates of an earlier benchmark to compare with.
      out: where to print.
    """
    sizes = Sizes(options, config)
    if options.quick:
        config = shortened(config)
    loads = Workloads(config)
    rival = None
    if options.opponent is not None:
        plies = -(-loads.board.num_plies // sizes.rounds)
        rival = opponent_work(config, sizes, plies)
    found = time_everything(loads, sizes, rival, out)
    speed_report.show(found, before, f"{loads.board} board, {device.describe_device()}", out)
    moves = speed_report.moves_per_second(found)
    more: dict[str, Any] = {"moves_per_second": moves}
    out.print(f"self-play: {moves:,.0f} searched moves/s", highlight=False)
    if rival is not None:
        theirs = found[-1].units * len(found[-1].seconds) / sum(found[-1].seconds)
        more |= {"openspiel_moves_per_second": theirs, "openspiel_ratio": moves / theirs}
        out.print(
            f"one OpenSpiel actor: {theirs:.2f} moves/s; azdab plays {moves / theirs:,.0f} "
            "times as many",
            highlight=False,
        )
    out.print(speed_report.peak_memory_line(), highlight=False)
    if options.scaling or options.full:
        more["scaling"] = measure_scaling(loads, sizes, out)
    if options.profile:
        profile_self_play(loads, sizes, options.profile, out)
    if options.json:
        report = speed_report.as_json(found, config, more)
        files.write_text(options.json, json_text(report, indent=1))
