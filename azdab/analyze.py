"""``python -m azdab.analyze``: what the engine thinks of a recorded game."""

import sys

from rich.console import Console

from azdab.common import cli, screen
from azdab.devices import device
from azdab.engine.levels import DEFAULT_LEVEL, LEVELS
from azdab.game.board import parse_board
from azdab.terminal import verdicts


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        overrides=False,
        prog="python -m azdab.analyze",
        usage="%(prog)s FILE [--html FILE] [--json FILE] [--text FILE] [--OPTION VALUE ...]",
        description="Judge a recorded game move by move: azdab's text, the Chinese "
        "competition's JSON, or an OpenSpiel history.",
    )
    made.add_argument("file", metavar="FILE", type=cli.named_path, help="the record")
    made.add_argument(
        "--game", metavar="N", type=cli.whole(1), default=1, help="which game of the file"
    )
    made.add_argument(
        "--board",
        metavar="RxC",
        type=cli.argument(parse_board),
        help="of an OpenSpiel history without one",
    )
    made.add_argument(
        "--checkpoint", metavar="NAME", help="a network; otherwise the one that comes with azdab"
    )
    made.add_argument(
        "--runs", metavar="DIR", type=cli.named_path, default="runs", help="where runs live"
    )
    made.add_argument(
        "--level",
        metavar="LEVEL",
        type=cli.choice(list(LEVELS)),
        default=DEFAULT_LEVEL,
        help=", ".join(LEVELS),
    )
    made.add_argument(
        "--time-per-move",
        metavar="SECONDS",
        type=cli.seconds,
        help="to think about each position",
    )
    made.add_argument(
        "--html", metavar="FILE", type=cli.output_file, help="write a page with boards and a curve"
    )
    made.add_argument("--json", metavar="FILE", type=cli.output_file, help="write every figure")
    made.add_argument(
        "--text", metavar="FILE", type=cli.output_file, help="write the record with remarks"
    )
    return made


def _analyze(options: verdicts.AnalyzeOptions, console: Console) -> None:
    device.enable_cache()
    device.start()
    verdicts.analyze_game(options, console)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    options = cli.typed(verdicts.AnalyzeOptions, command.parse(argv)[0])
    console.is_all = not (options.html or options.json or options.text)
    return command.run(lambda: _analyze(options, console), console, "Stopped.")


if __name__ == "__main__":
    sys.exit(main())
