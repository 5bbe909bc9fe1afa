"""``python -m azdab.benchmark``: how fast this machine runs a config's inner loops.

How it is measured is in :mod:`azdab.bench.measuring`.
"""

import os
import sys
from typing import Any

import jax
from rich.console import Console

from azdab.bench import (
    card_report,
    endgame_times,
    iteration_report,
    measuring,
    openspiel,
    page_load,
    speed_report,
)
from azdab.bench.measuring import BenchmarkOptions
from azdab.common import cli, extras, presets, screen
from azdab.common.config import config_from_dict
from azdab.devices import device
from azdab.game.board import board_of


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
        help="at most {} games, {} simulations and {} learner steps".format(*measuring.QUICK_SIZES),
    )
    size.add_argument(
        "--full",
        action="store_true",
        help=f"search also at {measuring.FULL_SIZES[0]} games x {measuring.FULL_SIZES[1]} "
        "simulations; with --scaling",
    )
    command.add_argument(
        "--rounds", metavar="N", type=cli.whole(1), help="timed repetitions: 5; quick: 3"
    )
    command.add_argument(
        "--scaling", action="store_true", help="fit the iteration's time to games and simulations"
    )
    command.add_argument(
        "--opponent",
        metavar="NAME",
        type=cli.choice(openspiel.OPPONENTS),
        help="beside it, openspiel: an actor of OpenSpiel's AlphaZero plays one game",
    )
    command.add_argument(
        "--json", metavar="FILE", type=cli.output_file, help="write all times there"
    )
    command.add_argument(
        "--compare", metavar="FILE", type=cli.named_path, help="print ratios to an earlier --json"
    )
    command.add_argument(
        "--profile",
        metavar="DIR",
        type=cli.output_folder,
        help="write XLA's profile of self-play there",
    )
    command.add_argument(
        "--card",
        action="store_true",
        help="instead, all that matters on a card, in one table and under 8 minutes: the config's "
        "own run, seed_workload, and their parts",
    )
    command.add_argument(
        "--iteration",
        action="store_true",
        help="instead, train some iterations; say what the devices did and for whom they waited",
    )
    command.add_argument(
        "--endgames", action="store_true", help="time the exact engine (extra: exact) instead"
    )
    command.add_argument(
        "--page",
        action="store_true",
        help="time the page's answers to 32 players, 40 analysts and 8 importers at once instead "
        "(extra: web)",
    )
    return command


_PARTS, _ITERATION, _CARD = "the usual benchmark", "--iteration", "--card"

_USES = {
    **dict.fromkeys(("quick", "full", "scaling", "opponent", "compare", "profile"), (_PARTS,)),
    "rounds": (_PARTS, _ITERATION),
    "json": (_PARTS, _CARD),
    "card": (_CARD,),
    "iteration": (_ITERATION,),
    "endgames": ("--endgames",),
    "page": ("--page",),
}
"""In what an option does something; all others always do."""


def _doing(options: BenchmarkOptions) -> str:
    """What is asked for, in the words of ``_USES``."""
    instead = ("page", "endgames", "iteration", "card")
    return next((f"--{name}" for name in instead if getattr(options, name)), _PARTS)


def _benchmark(options: BenchmarkOptions, overrides: dict[str, Any], console: Console) -> None:
    """Refuse what cannot be measured, then measure."""
    config = config_from_dict(presets.merge(presets.read_settings(options.config), overrides))
    extras.require_engine(config)
    if options.page:
        page_load.measure_page(page_load.PageLoad(), console)
        return
    if options.endgames:
        extras.require_numba("--endgames")
    if options.opponent is not None:
        openspiel.require_installed()
    before = speed_report.read_report(options.compare) if options.compare else None
    if options.endgames:
        board = board_of(config)
        endgame_times.measure_endgames(board, console)
        return
    device.divide_cpu(config)
    if options.iteration:
        variables = dict(os.environ)
        device.start()
        iteration_report.measure_iteration(config, options.rounds or 3, variables, console)
        return
    if options.card:
        variables = dict(os.environ)
        device.start()  # without a cap: the runs that are watched have their own
        card_report.measure_card(options.config, overrides, variables, options.json, console)
        return
    device.start(config)
    if jax.default_backend() == "cpu" and "parallel_games" not in overrides.get("selfplay", {}):
        config = measuring.for_a_cpu(config)
    measuring.measure_speed(options, config, before, console)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    given, overrides = command.parse(argv)
    options = cli.typed(BenchmarkOptions, given)
    console.is_all = not (options.json or options.profile)

    def work() -> None:
        command.refuse_idle(given, _doing(options), _USES)
        _benchmark(options, overrides, console)

    return command.run(work, console, "stopped; nothing was written")


if __name__ == "__main__":
    sys.exit(main())
