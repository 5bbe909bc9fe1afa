"""``python -m azdab.benchmark``: how fast this machine runs a config's inner loops.

Everything is compiled first, and then timed in turn, round after round. So a machine whose
speed drifts slows all of it equally. Medians are printed with their spread; rates are those
of the medians. "Efficiency" is the share of the bare network's evaluations per
second, at the same batch, that search and self-play reach.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from azdab.bench import openspiel, speed_report, timing
from azdab.bench.timing import Timed, Work
from azdab.bench.workloads import Workloads
from azdab.common import cli, presets
from azdab.common.config import Config, config_from_dict, require_engine, require_numba
from azdab.common.errors import UserError
from azdab.devices import device
from azdab.game.board import Board
from azdab.learning import agents, arena

QUICK_SIZES = 64, 16, 10
"""Most games, simulations and learner steps of ``--quick``."""

FULL_SIZES = (256, 1024), (32, 128)
"""Games and simulations of ``--full``, beside the config's."""

RANGE = (1, 2, 4, 8, 16)
"""The sizes of ``--scaling``, as multiples of the smallest."""


class Sizes:
    """Which sizes are measured.

    Attributes:
      iteration: games and simulations of the whole iteration.
      searches: those of network and search, the iteration's first.
      rounds: timed repetitions.
    """

    def __init__(self, options: argparse.Namespace, run_config: Config) -> None:
        games, simulations = run_config.selfplay.parallel_games, run_config.search.num_simulations
        self.rounds = options.rounds or (3 if options.quick else 5)
        if options.quick:
            games, simulations = min(games, QUICK_SIZES[0]), min(simulations, QUICK_SIZES[1])
        self.iteration = games, simulations
        more = [(g, s) for g in FULL_SIZES[0] for s in FULL_SIZES[1]] if options.full else []
        self.searches = list(dict.fromkeys([self.iteration, *more]))


def shortened(run_config: Config) -> Config:
    """The config with few learner steps."""
    steps = min(run_config.learner.steps_per_iteration, QUICK_SIZES[2])
    learner = dataclasses.replace(run_config.learner, steps_per_iteration=steps)
    return dataclasses.replace(run_config, learner=learner)


def time_everything(loads: Workloads, sizes: Sizes, rival: Any, console: Console) -> list[Timed]:
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


def opponent_work(run_config: Config, sizes: Sizes, plies: int) -> Work:
    """One of OpenSpiel's actors: one game, spread over the rounds."""
    simulations = sizes.iteration[1]
    search = dataclasses.replace(run_config.search, num_simulations=simulations)
    actor = openspiel.OpenSpielActor(dataclasses.replace(run_config, search=search))
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


def endgame_times(board: Board, positions: np.ndarray) -> list[float]:
    """Seconds to solve each of the positions ``bool[N, E]``, with no memory, on one core."""
    from azdab.exact.solver import Solver  # only here is numba needed

    seconds = []
    for edges in positions:
        solver = Solver(board)
        solver.value(np.ones(board.num_edges, bool))  # loads the compiled code
        start = time.perf_counter()
        solver.value(edges)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_endgames(board: Board, console: Console) -> None:
    """Print how long the exact engine takes on positions of greedy play, by edges left."""
    table = Table(title=f"exact values on {board}, one core", title_justify="left")
    for column in ("edges left", "positions", "median s", "max s"):
        table.add_column(column, justify="right")
    counts = {20: 40, 24: 40, 28: 40, 32: 40, 36: 40, 38: 20, 40: 10}
    # A search from nearer the empty board takes minutes.
    usable = {left: count for left, count in counts.items() if left <= 2 * board.num_edges // 3}
    greedy = agents.greedy_agent(board)
    play = functools.partial(arena.play_games, board, (greedy, greedy), (None, None))
    games = jax.jit(play, static_argnums=(1, 2))(jax.random.key(0), max(counts.values()), 0)
    edges = np.asarray(games.states.edges)
    for left, count in track(list(usable.items()), "solving", console=console, transient=True):
        seconds = endgame_times(board, edges[board.num_edges - left, :count])
        row = (left, count, f"{statistics.median(seconds):.5f}", f"{max(seconds):.5f}")
        table.add_row(*map(str, row))
    console.print(table)


def profile(loads: Workloads, sizes: Sizes, directory: str, console: Console) -> None:
    """Write XLA's profile of one round of self-play."""
    iteration = loads.iteration(*sizes.iteration)
    jax.block_until_ready(iteration.play())
    with jax.profiler.trace(directory):
        jax.block_until_ready(iteration.play())
    console.print(f"profile of self-play in {directory}: tensorboard --logdir {directory}")


def _parser() -> cli.Parser:
    """The command line."""
    command = cli.Parser(
        prog="python -m azdab.benchmark",
        usage="%(prog)s [--config NAME] [--quick | --full] [options] [--SETTING VALUE ...]",
        description="Measure a config's speed on this machine.",
    )
    command.add_argument("--config", metavar="NAME", default="rtx4060", help="a preset or a file")
    size = command.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="at most {} games, {} simulations and {} learner steps".format(*QUICK_SIZES),
    )
    size.add_argument(
        "--full",
        action="store_true",
        help=f"search also at {FULL_SIZES[0]} games x {FULL_SIZES[1]} simulations; with --scaling",
    )
    command.add_argument("--rounds", metavar="N", type=int, help="timed repetitions: 5; quick: 3")
    command.add_argument(
        "--scaling", action="store_true", help="fit the iteration's time to games and simulations"
    )
    command.add_argument(
        "--opponent",
        metavar="NAME",
        help="beside it, openspiel: an actor of OpenSpiel's AlphaZero plays one game",
    )
    command.add_argument("--json", metavar="FILE", help="write all times there")
    command.add_argument("--compare", metavar="FILE", help="print ratios to an earlier --json")
    command.add_argument("--profile", metavar="DIR", help="write XLA's profile of self-play there")
    command.add_argument(
        "--endgames", action="store_true", help="time the exact engine (extra: exact) instead"
    )
    return command


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    command = _parser()
    options, settings = command.parse(argv)
    before = None
    try:
        if options.rounds is not None and options.rounds < 1:
            raise UserError(f"--rounds must be at least 1, got {options.rounds}")
        run_config = config_from_dict(
            presets.merge(presets.read_settings(options.config), settings)
        )
        require_engine(run_config)
        if options.endgames:
            require_numba("--endgames")
        if options.opponent is not None:
            openspiel.require(options.opponent)
        if options.compare:
            before = speed_report.read_report(options.compare)
        if options.json:
            speed_report.check_writable(options.json)
    except UserError as error:
        command.error(str(error))
    console = Console()
    if options.endgames:
        measure_endgames(Board(run_config.board.rows, run_config.board.cols), console)
        return 0
    device.apply_settings(run_config)
    device.divide_cpu(run_config)
    return command.run(
        lambda: _run(options, run_config, before, console),
        lambda: console.print("stopped; nothing was written"),
    )


def _run(
    options: argparse.Namespace, run_config: Config, before: dict[Any, float] | None, out: Console
) -> None:
    """Measure and print what the options ask for."""
    sizes = Sizes(options, run_config)
    if options.quick:
        run_config = shortened(run_config)
    loads = Workloads(run_config)
    rival = None
    if options.opponent is not None:
        plies = -(-loads.board.num_edges // sizes.rounds)
        rival = opponent_work(run_config, sizes, plies)
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
        profile(loads, sizes, options.profile, out)
    if options.json:
        report = speed_report.as_json(found, run_config, more)
        Path(options.json).write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
