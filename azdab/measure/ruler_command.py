"""``azdab.evaluate --make-ruler``: options, progress, and where the work was stopped."""

import statistics
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn

from azdab.common import progress
from azdab.common.errors import UserError
from azdab.game.board import Board
from azdab.measure import ruler_making
from azdab.measure.ruler_making import RulerPlan
from azdab.runs import networks

RULER_POSITIONS = 2040
"""Positions of a ruler, unless the options say otherwise: 170 for each of twelve numbers."""


class RulerOptions(NamedTuple):
    """What a command line says about making a ruler.

    Attributes:
      make_ruler: the file.
      ruler_edges: fewest and most edges left.
      positions: in all; None: ``RULER_POSITIONS``.
      board: of the network's size; None: the board of its training.
      seed: of everything random.
    """

    make_ruler: Path
    ruler_edges: list[int]
    positions: int | None
    board: Board | None
    seed: int


def make_from_options(checkpoint: Path, options: RulerOptions, console: Console) -> None:
    """Make a ruler with the network in a checkpoint, or go on with one.

    A line is printed before each batch of games.

    Raises:
      UserError: an option or the file cannot be used.
      KeyboardInterrupt: the work was stopped; it says how to go on.
    """
    trained = networks.load_network(checkpoint)
    if options.board:
        trained = trained.playing_on(options.board, str(checkpoint))
    fewest, most = options.ruler_edges
    if not fewest <= most < trained.board.num_plies:
        raise UserError(
            f"--ruler-edges must be two numbers below {trained.board.num_plies}, the lower first; "
            f"got {fewest} {most}"
        )
    path, wanted = options.make_ruler, options.positions or RULER_POSITIONS
    plan = RulerPlan(trained.board, fewest, most, wanted, options.seed)
    solve = ruler_making.exact_moves(trained.board)
    cast = ruler_making.strong_cast(trained)
    first = len(ruler_making.resume_making(path, plan).kept)
    begin = last = time.perf_counter()
    took: dict[int, list[float]] = {}
    label = TextColumn("{task.fields[now]}")
    with progress.bar(console, "positions", MofNCompleteColumn(), label, transient=True) as shown:
        bar = shown.add_task("", total=wanted, completed=first, now="")

        def watch(kept: int, left: int) -> None:
            nonlocal last
            now = time.perf_counter()
            if left:
                took.setdefault(left, []).append(now - last)
                shown.update(bar, completed=kept, now=f"{left} edges left")
            else:
                shown.update(bar, completed=kept, now="games")
                console.print(_so_far(kept, wanted, (kept - first) / (now - begin), took))
            last = now

        try:
            ruler_making.make_ruler(path, plan, cast, solve, watch)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Stopped. What is done is in {path}; the same command goes on."
            ) from None
    console.print(f"{path} is complete: {wanted:,} positions.", soft_wrap=True)


def _so_far(kept: int, wanted: int, rate: float, took: dict[int, list[float]]) -> str:
    """One line for a log."""
    text = f"{kept:,} of {wanted:,} positions"
    if rate:
        text += f", {60 * rate:.1f} a minute, {(wanted - kept) / rate / 60:.0f} minutes left"
    if took:
        medians = (f"{left}: {statistics.median(took[left]):.2g}" for left in sorted(took))
        text += f"; median seconds by edges left {', '.join(medians)}"
    return text
