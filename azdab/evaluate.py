"""``python -m azdab.evaluate``: how far a network is from perfect play, and matches."""

import argparse
import sys

from rich.console import Console

from azdab.common import cli, screen
from azdab.common.errors import UserError
from azdab.common.limits import MAX_SIMULATIONS
from azdab.devices import device
from azdab.measure import ruler_command, strength, tournament
from azdab.measure.ruler_command import RulerOptions
from azdab.measure.strength import MeasureOptions
from azdab.measure.tournament import MatchOptions


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        overrides=False,
        prog="python -m azdab.evaluate",
        usage="%(prog)s [CHECKPOINT] [--full | --match A B | --tournament A B ... | "
        "--make-ruler FILE] "
        "[--OPTION VALUE ...]",
        description="Measure a network against perfect play, or play matches.",
    )
    add = made.add_argument
    add(
        "checkpoint",
        metavar="CHECKPOINT",
        nargs="?",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, or a bundled network",
    )
    add("--full", action="store_true", help="measure more of everything; takes long")
    add(
        "--simulations",
        metavar="N",
        type=cli.whole(0, MAX_SIMULATIONS),
        nargs="+",
        help="simulations per move to measure; 0 is the raw policy",
    )
    add("--positions", metavar="N", type=cli.whole(1, 1_000_000), help="positions per set")
    add("--games", metavar="N", type=cli.even(2), help="games per setting or match; even")
    add(
        "--opening-plies",
        metavar="N",
        type=cli.whole(0),
        default=2,
        help="random plies before a game",
    )
    add(
        "--max-edges",
        metavar="N",
        type=cli.whole(2),
        default=20,
        help="on boards of more than 24 edges, be exact with at most this many left",
    )
    middle = made.add_argument_group("middle game", "positions of strong play, with exact values")
    add_middle = middle.add_argument
    add_middle(
        "--level",
        metavar="LEVEL",
        type=cli.choice(strength.LEVEL_NAMES),
        nargs="+",
        help=f"of {', '.join(strength.LEVEL_NAMES)}, those to measure; by default {strength.LEVEL}",
    )
    add_middle(
        "--time-per-move", metavar="SECONDS", type=cli.seconds, help="that the engine may think"
    )
    add_middle(
        "--engine-positions",
        metavar="N",
        type=cli.whole(1),
        help="positions that the engine is shown; 60, or 240 with --full",
    )
    add_middle("--ruler", metavar="FILE", type=cli.named_path, help="made with --make-ruler")
    add_middle(
        "--make-ruler",
        metavar="FILE",
        type=cli.output_file,
        help="play games with the network, solve positions of them and write them here; takes "
        "hours. The same command goes on where it was stopped",
    )
    add_middle(
        "--ruler-edges",
        metavar=("LEAST", "MOST"),
        type=cli.whole(1),
        nargs=2,
        default=(33, 44),
        help="edges left in the positions of --make-ruler",
    )
    add("--seed", metavar="N", type=cli.whole(0), default=0, help="of everything random")
    add("--json", metavar="FILE", type=cli.output_file, help="write every figure here")
    add("--plot", metavar="FILE", type=cli.output_file, help="draw a picture here")
    add("--runs", metavar="DIR", type=cli.named_path, default="runs", help="where runs live")
    tournament.add_match_options(made)
    return made


_MEASURE, _MATCH, _TOURNAMENT, _RULER = (
    "a network to measure", "--match", "--tournament", "--make-ruler"
)  # fmt: skip

_USES = {
    **dict.fromkeys(
        ("full", "simulations", "max_edges", "level", "time_per_move", "engine_positions", "ruler"),
        (_MEASURE,),
    ),
    **dict.fromkeys(("games", "opening_plies", "json", "plot"), (_MEASURE, _MATCH, _TOURNAMENT)),
    **dict.fromkeys(("sprt", "batch"), (_MATCH, _TOURNAMENT)),
    **dict.fromkeys(("make_ruler", "ruler_edges"), (_RULER,)),
    "positions": (_MEASURE, _RULER),
}
"""In what an option does something; all others always do."""


def _doing(given: argparse.Namespace) -> str:
    """What is asked for, in the words of ``_USES``."""
    asked = {_MATCH: given.match, _TOURNAMENT: given.tournament, _RULER: given.make_ruler}
    return next((what for what, is_asked in asked.items() if is_asked), _MEASURE)


def _evaluate(given: argparse.Namespace, console: Console) -> None:
    """Measure a network or play matches, as the options ask."""
    device.divide_cpu()
    device.enable_cache()
    device.start()
    path = strength.asked_network(given.checkpoint, given.runs)
    match = cli.typed(MatchOptions, given)
    if match.match or match.tournament:
        tournament.run_from_options(match, path, console)
    elif path and given.make_ruler:
        ruler_command.make_from_options(path, cli.typed(RulerOptions, given), console)
    elif path:
        strength.measure_checkpoint(path, match.board, cli.typed(MeasureOptions, given), console)
    else:
        raise UserError("say which checkpoint to measure, or add --match or --tournament")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    given, _ = command.parse(argv)
    console.is_all = not (given.json or given.plot)

    def work() -> None:
        command.refuse_idle(given, _doing(given), _USES)
        _evaluate(given, console)

    return command.run(work, console, "Stopped.")


if __name__ == "__main__":
    sys.exit(main())
