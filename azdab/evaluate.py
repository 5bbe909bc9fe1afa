"""``python -m azdab.evaluate``: how far a network is from perfect play, and matches."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import (
    ProgressColumn,
    Task,
)
from rich.text import Text

from azdab import __version__
from azdab.common import cli, progress
from azdab.common.errors import UserError
from azdab.common.limits import TABLE_EDGES
from azdab.devices import device
from azdab.exact import oracle
from azdab.exact.oracle import Oracle
from azdab.game.board import Board
from azdab.measure import evaluation, report, tournament
from azdab.measure.evaluation import Form, Watch
from azdab.runs import checkpoint
from azdab.runs.checkpoint import TrainedNetwork

QUICK_SIMULATIONS = (0, 16, 64)
"""Simulations per move in the quick form."""

FULL_SIMULATIONS = (0, 1, 8, 32, 64, 128, 256, 512)
"""Simulations per move in the full form."""


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


def form(board: Board, options: Any) -> Form:
    """How much to measure: the form's numbers, unless the options say otherwise."""
    whole = board.num_edges <= TABLE_EDGES
    games, count = (1000 if whole else 400, 2000) if options.full else (1000 if whole else 100, 500)
    simulations = options.simulations or (FULL_SIMULATIONS if options.full else QUICK_SIMULATIONS)
    return Form(
        simulations=tuple(sorted(set(simulations))),
        positions=options.positions or count,
        games=options.games or games,
        opening_plies=options.opening_plies,
        seed=options.seed,
        chunk=64 if jax.default_backend() == "cpu" else 1024,
    )


def opponent(known: Oracle) -> str:
    """The strongest opponent available, in words."""
    if known.max_edges >= known.board.num_edges:
        return "the perfect player"
    return f"greedy, perfect with at most {known.max_edges} edges left"


def to_json(
    path: Path, trained: TrainedNetwork, known: Oracle, size: Form, result: evaluation.Report
) -> str:
    """The figures, with everything needed to reproduce them."""
    values = {
        "azdab": __version__,
        "checkpoint": str(path),
        "iteration": trained.iteration,
        "board": [trained.board.rows, trained.board.cols],
        "utility": trained.config.search.utility,
        "device": device.describe_device(),
        "truth": {"source": known.source, "max_edges": known.max_edges},
        "opponent": opponent(known),
        "form": size,
        **result._asdict(),
    }
    return json.dumps(report.plain(values), indent=2) + "\n"


def _evaluate(path: Path, options: Any, console: Console) -> None:
    """Measure the network in a checkpoint, print the figures and write what is asked for.

    Args:
      path: the checkpoint.
      options: of the command line.
      console: where to print.

    Raises:
      UserError: the checkpoint or an option cannot be used.
    """
    start = time.perf_counter()
    trained = checkpoint.load_network(path)
    size = form(trained.board, options)
    with console.status("solving"):
        known = oracle.best_oracle(trained.board, options.max_edges)
    console.print(
        f"{path}: {trained.board}, iteration {trained.iteration}, on {device.describe_device()}.\n"
        f"Exact with at most {known.max_edges} of {trained.board.num_edges} edges left.",
        highlight=False,
        soft_wrap=True,
    )
    with watching(console, evaluation.evaluations(trained.board, size)) as watch:
        result = evaluation.measure_network(trained, known, size, watch)
    for table in report.tables(result, opponent(known)):
        console.print(table)
    if options.json:
        text = to_json(path, trained, known, size, result)
        Path(options.json).write_text(text, encoding="utf-8")
    if options.plot:
        report.plot_report(result, Path(options.plot))
    console.print(f"Took {time.perf_counter() - start:.0f} s.", highlight=False)


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        settings=False,
        prog="python -m azdab.evaluate",
        usage="%(prog)s [CHECKPOINT] [--full | --match A B | --tournament A B ...] "
        "[--OPTION VALUE ...]",
        description="Measure a network against perfect play, or play matches.",
    )
    made.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        nargs="?",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, or a bundled network",
    )
    made.add_argument("--full", action="store_true", help="measure more of everything; takes long")
    made.add_argument(
        "--simulations",
        metavar="N",
        type=int,
        nargs="+",
        help="simulations per move to measure; 0 is the raw policy",
    )
    made.add_argument("--positions", metavar="N", type=int, help="positions per set")
    made.add_argument("--games", metavar="N", type=int, help="games per setting or match; even")
    made.add_argument(
        "--opening-plies", metavar="N", type=int, default=2, help="random plies before a game"
    )
    made.add_argument(
        "--max-edges",
        metavar="N",
        type=int,
        default=20,
        help="on boards of more than 24 edges, be exact with at most this many left",
    )
    made.add_argument("--seed", metavar="N", type=int, default=0, help="of everything random")
    made.add_argument("--json", metavar="FILE", help="write every figure here")
    made.add_argument("--plot", metavar="FILE", help="draw a picture here")
    made.add_argument("--runs", metavar="DIR", default="runs", help="where runs live")
    tournament.add_match_options(made)
    return made


def _check(options: Any) -> None:
    """Check the options: numbers that make sense, and files that can be written.

    Raises:
      UserError: says which option, and why.
    """
    least = {"positions": 1, "games": 2, "opening_plies": 0, "max_edges": 2, "seed": 0}
    for name, low in least.items():
        value = getattr(options, name)
        if value is not None and value < low:
            option = name.replace("_", "-")
            raise UserError(f"--{option} must be at least {low}, got {value}")
    if options.games and options.games % 2:
        raise UserError(f"--games must be even, got {options.games}")
    if options.simulations and min(options.simulations) < 0:
        raise UserError(f"--simulations must not be negative, got {min(options.simulations)}")
    for name in ("json", "plot"):
        path = getattr(options, name)
        if path and not Path(path).absolute().parent.is_dir():
            raise UserError(f"--{name}: there is no directory {Path(path).parent}")
        if path and Path(path).is_dir():
            raise UserError(f"--{name}: {path} is a directory")
    if options.plot:
        report.load_pyplot()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = Console()
    command = _parser()
    options, _ = command.parse(argv)

    def work() -> None:
        _check(options)
        device.divide_cpu()
        device.enable_cache()
        path = None
        if options.checkpoint:
            path = checkpoint.resolve(options.checkpoint, Path(options.runs))
        if options.match or options.tournament:
            tournament.run_from_options(options, path, console)
        elif path:
            _evaluate(path, options, console)
        else:
            command.error("say which checkpoint to measure, or add --match or --tournament")

    return command.run(work, lambda: console.print("Stopped."))


if __name__ == "__main__":
    sys.exit(main())
