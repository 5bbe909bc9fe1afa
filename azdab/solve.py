"""``python -m azdab.solve``: prove the value of a board or of any position of a game."""

import sys

from azdab.common import cli, screen
from azdab.measure import solving
from azdab.measure.solving import SolveOptions


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        overrides=False,
        prog="python -m azdab.solve",
        usage="%(prog)s BOARD|FILE [MOVE ...] [--OPTION VALUE ...]",
        description="Prove what a position is worth with best play, and each of its moves. It may "
        "be stopped or killed at any time: the same command goes on. Needs the extra 'exact'.",
    )
    add = made.add_argument
    add("start", metavar="BOARD|FILE", help="an empty board, such as 4x4, or a recorded game")
    add("moves", metavar="MOVE", nargs="*", help="moves after that, such as 'h 0 0'")
    add("--game", metavar="N", type=cli.whole(1), default=1, help="which game of the file")
    add("--ply", metavar="N", type=cli.whole(0), help="after so many moves of it; otherwise all")
    add("--value-only", action="store_true", help="leave out the values of the moves")
    add("--threads", metavar="N", type=cli.whole(1, 256), help="otherwise one for each core")
    add(
        "--memory",
        metavar="MB",
        type=cli.whole(1),
        help="for what the search remembers; otherwise half of what is free, 512 at most",
    )
    add(
        "--folder",
        metavar="DIR",
        type=cli.output_folder,
        help="where the proof is kept; otherwise proofs/ and the size of the board",
    )
    add(
        "--save-seconds",
        metavar="N",
        type=cli.whole(0),
        default=600,
        help="how often it is written there",
    )
    add("--json", metavar="FILE", type=cli.output_file, help="write the values of all moves there")
    add(
        "--book",
        metavar="FILE",
        type=cli.output_file,
        help="also make the board's opening book, and write it there",
    )
    add(
        "--quick",
        metavar="N",
        type=cli.whole(1),
        default=solving.QUICK,
        help="the book has what is not solved by looking at so many positions",
    )
    add(
        "--lines",
        metavar="N",
        type=cli.whole(1),
        help="the book has what has at most so many lines drawn; otherwise all",
    )
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    given, _ = command.parse(argv)
    options = cli.typed(SolveOptions, given)

    def work() -> None:
        doing = "a proof alone" if options.book is None else "--book"
        command.refuse_idle(given, doing, {"quick": ("--book",), "lines": ("--book",)})
        solving.solve_position(options, console)

    return command.run(work, console, "Stopped.")


if __name__ == "__main__":
    sys.exit(main())
