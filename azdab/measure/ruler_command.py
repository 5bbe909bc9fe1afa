"""``azdab.evaluate --make-ruler``: options, progress, and where the work was stopped."""

import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import TextColumn

from azdab.common import progress
from azdab.common.errors import UserError
from azdab.common.limits import SEARCH_EDGES
from azdab.game.board import Board
from azdab.measure import ruler_making
from azdab.measure.ruler_making import RulerPlan
from azdab.runs import networks

RULER_POSITIONS = 2040
"""Positions of a ruler, unless the options say otherwise."""

_GAMES_WORK = 1.3  # of games for one position with each number of edges left; see :func:`_work`

_SAID_EVERY = 60  # seconds


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

    A line is printed every minute.

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
    plies = trained.board.num_plies
    first = [plies - len(moves) for moves in ruler_making.resume_making(path, plan).kept]
    total = sum(number * _work(plan, left) for left, number in plan.quotas().items())
    done = before = sum(_work(plan, left) for left in first)
    begin = said = time.perf_counter()
    label = TextColumn("{task.fields[now]}")
    with progress.bar(console, "{task.description}", label, transient=True) as shown:
        bar = shown.add_task("positions", total=total, now="")
        shown.update(bar, completed=done)

        def watch(kept: int, left: int) -> None:
            nonlocal done, said, first
            now = time.perf_counter()
            done += _work(plan, left) * (kept - len(first))
            first += [left] * (kept - len(first))
            doing = f"{left} edges left" if left else "games"
            shown.update(bar, completed=done, now=f"{kept:,} of {wanted:,}, {doing}")
            if now - said >= _SAID_EVERY and done > before:
                said = now
                minutes = (now - begin) / 60
                rest = minutes * (total - done) / (done - before)
                console.print(
                    f"{kept:,} of {wanted:,} positions, {doing}; {minutes:.0f} minutes, about "
                    f"{rest:.0f} left",
                    soft_wrap=True,
                )

        try:
            ruler_making.make_ruler(path, plan, cast, solve, watch)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Stopped. What is done is in {path}; the same command goes on."
            ) from None
    console.print(f"{path} is complete: {wanted:,} positions.", soft_wrap=True)


def _work(plan: RulerPlan, left: int) -> float:
    """About how long a position takes. The games for all are played while the first are solved."""
    return 3.0 ** (left - SEARCH_EDGES) + (_GAMES_WORK if left == plan.fewest else 0)
