"""Measuring a network as ``azdab.evaluate`` and ``azdab.export`` do: how much, shown, as JSON."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

from azdab import __version__
from azdab.common import files, progress
from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.devices import device
from azdab.engine.levels import DEFAULT_LEVEL, LEVELS
from azdab.exact import oracle
from azdab.exact.oracle import Oracle
from azdab.game.board import Board
from azdab.measure import evaluation, middle_game, report
from azdab.measure import ruler as rulers
from azdab.measure.evaluation import Form, Watch
from azdab.measure.middle_game import Asked, MiddleRow
from azdab.measure.ruler import Ruler
from azdab.players import matches
from azdab.runs import networks
from azdab.runs.networks import TrainedNetwork

LEVEL, LEVEL_NAMES = DEFAULT_LEVEL, tuple(LEVELS)
"""The engine's usual level, and all that can be shown the middle game."""

QUICK_SIMULATIONS = (0, 16, 64)
"""Simulations per move in the quick form."""

FULL_SIMULATIONS = (0, 1, 8, 32, 64, 128, 256, 512)
"""Simulations per move in the full form."""


class MeasureOptions(NamedTuple):
    """What a command line says about measuring a network; None where it says nothing.

    Attributes:
      full: more of everything.
      simulations: simulations per move to measure; 0 is the raw policy.
      positions: in each set.
      games: of each setting against the strongest opponent; even.
      opening_plies: random plies before each game.
      max_edges: on boards that are too large to solve, exact with at most this many edges left.
      level: of the engine, to be shown the middle game; None: ``DEFAULT_LEVEL``.
      time_per_move: seconds that the engine thinks there; None: as the level says.
      engine_positions: that it is shown there.
      ruler: of the middle game; None: the one that comes with azdab for the board.
      seed: of everything random.
      json: where every figure is written.
      plot: where a picture is drawn.
    """

    full: bool
    simulations: list[int] | None
    positions: int | None
    games: int | None
    opening_plies: int
    max_edges: int
    level: list[str] | None
    time_per_move: float | None
    engine_positions: int | None
    ruler: Path | None
    seed: int
    json: Path | None
    plot: Path | None


class _Rate(ProgressColumn):
    """Network evaluations per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} evaluations/s" if task.speed else "")


@contextmanager
def watching(console: Console, evaluations: int) -> Iterator[Watch]:
    """A progress bar over network evaluations."""
    shown = progress.bar(console, "{task.description:<36}", _Rate(), transient=True)
    bar = shown.add_task("", total=evaluations)
    planned = 0

    def stage(name: str, cost: int) -> None:
        # The length of a stage is an estimate; each stage starts where it was planned to.
        nonlocal planned
        shown.update(bar, description=name, completed=planned)
        planned += cost

    with shown:
        yield Watch(stage, lambda done: shown.advance(bar, done))


def form_of(board: Board, options: MeasureOptions) -> Form:
    """How much to measure: the form's numbers, unless the options say otherwise."""
    solved = oracle.can_solve(board)
    few_games, many_games = (1000, 1000) if solved else (100, 400)
    games, count = (many_games, 2000) if options.full else (few_games, 500)
    simulations = options.simulations or (FULL_SIMULATIONS if options.full else QUICK_SIMULATIONS)
    return Form(
        simulations=tuple(sorted(set(simulations))),
        positions=options.positions or count,
        games=options.games or games,
        opening_plies=options.opening_plies,
        seed=options.seed,
        chunk=64 if jax.default_backend() == "cpu" else 1024,
    )


def middle_game_of(board: Board, options: MeasureOptions, form: Form) -> tuple[Ruler, Asked] | None:
    """The ruler of the middle game, and who is asked about it; None where there is none.

    Raises:
      UserError: it is of another board, or there is none and options ask for it.
    """
    path = options.ruler or rulers.bundled_ruler(board)
    if path is None:
        if options.level or options.time_per_move or options.engine_positions:
            raise UserError(f"azdab has no ruler of the middle game of {board}: give a --ruler")
        return None
    ruler = rulers.read_ruler(path)
    if ruler.board != board:
        raise UserError(f"{path} is of {ruler.board}, and the network plays on {board}")
    count = options.positions or (len(ruler.moves) if options.full else form.positions)
    return ruler, Asked(
        simulations=form.simulations,
        positions=count,
        levels=tuple(dict.fromkeys(options.level or [DEFAULT_LEVEL])),
        seconds=options.time_per_move,
        engine_positions=options.engine_positions or (240 if options.full else 60),
        chunk=form.chunk,
    )


def opponent_name(known: Oracle) -> str:
    """The strongest opponent available, in words."""
    if known.max_edges >= known.board.num_plies:
        return "the perfect player"
    return f"greedy, perfect with at most {known.max_edges} edges left"


def figures_text(
    path: Path,
    trained: TrainedNetwork,
    known: Oracle,
    form: Form,
    found: evaluation.Report,
    middle: dict[str, MiddleRow],
) -> str:
    """The figures as JSON, with everything needed to reproduce them.

    Args:
      path: where the network is.
      trained: the network.
      known: the truth it was measured against.
      form: how much was measured.
      found: the figures.
      middle: those of the middle game; empty where there is no ruler.
    """
    values = {
        "azdab": __version__,
        "checkpoint": str(path),
        "iteration": trained.iteration,
        "board": [trained.board.rows, trained.board.cols],
        "start": trained.board.variant,
        "utility": trained.config.search.utility,
        "device": device.describe_device(),
        "truth": {"source": known.source, "max_edges": known.max_edges},
        "opponent": opponent_name(known),
        "form": form,
        **found._asdict(),
        "middle_game": middle,
    }
    return json_text(report.plain(values), indent=2) + "\n"


def asked_network(checkpoint: str | None, runs: Path) -> Path | None:
    """Where the network is that a command line names, if it names one.

    Raises:
      UserError: there is no such network.
    """
    return networks.resolve(checkpoint, runs) if checkpoint else None


def measure_checkpoint(
    path: Path, board: Board | None, options: MeasureOptions, console: Console
) -> None:
    """Measure the network in a checkpoint, print the figures and write what is asked for.

    Args:
      path: the checkpoint.
      board: of the network's size; None: the board of its training.
      options: of the command line.
      console: where to print.

    Raises:
      UserError: the checkpoint or an option cannot be used, or a file not be written.
    """
    start = time.perf_counter()
    if options.plot:
        report.load_pyplot(options.plot)  # before the work, not after
    trained = networks.load_network(path)
    if board:
        trained = trained.playing_on(board, str(path))
    matches.check_opening(trained.board, options.opening_plies, "--opening-plies")
    form = form_of(trained.board, options)
    asked_middle = middle_game_of(trained.board, options, form)
    with console.status("solving"):
        known = oracle.best_oracle(trained.board, options.max_edges)
    console.print(
        f"{path}: {trained.board}, iteration {trained.iteration}, on {device.describe_device()}.\n"
        f"Exact with at most {known.max_edges} of {trained.board.num_plies} edges left.",
        highlight=False,
        soft_wrap=True,
    )
    work = evaluation.evaluations(trained.board, form)
    work += middle_game.asked_work(*asked_middle) if asked_middle else 0
    middle: dict[str, MiddleRow] = {}
    with watching(console, work) as watch:
        found = evaluation.measure_network(trained, known, form, watch)
        if asked_middle:
            middle = middle_game.measure_middle(trained, path, *asked_middle, watch)

    def show() -> None:
        for table in report.tables(found, opponent_name(known)):
            console.print(table)
        if middle:
            console.print(middle_game.middle_table(middle))
        console.print(f"Took {time.perf_counter() - start:.0f} s.", highlight=False)

    asked = (
        (options.json, lambda: figures_text(path, trained, known, form, found, middle)),
        (options.plot, lambda: report.picture_of_report(found, options.plot)),
    )
    files.deliver(asked, show)
