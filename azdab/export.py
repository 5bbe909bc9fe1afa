"""``python -m azdab.export``: a network to take elsewhere, see :mod:`azdab.runs.exported`."""

import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from azdab.common import cli, screen
from azdab.common.errors import UserError
from azdab.measure import network_card
from azdab.runs import exported, networks


class ExportOptions(NamedTuple):
    """What is exported, where to, and what its card says."""

    checkpoint: str
    to: Path
    name: str | None
    licence: str
    games: int
    runs: Path


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        overrides=False,
        prog="python -m azdab.export",
        usage="%(prog)s CHECKPOINT --to DIR [--OPTION VALUE ...]",
        description="Take a trained network elsewhere: parameters, a portable program, a card.",
    )
    made.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, or a bundled network",
    )
    made.add_argument(
        "--to", metavar="DIR", type=cli.named_path, required=True, help="must not exist yet"
    )
    made.add_argument("--name", metavar="NAME", help="for the card; default: the directory's")
    made.add_argument("--licence", metavar="TEXT", default="Apache-2.0", help="for the card")
    made.add_argument(
        "--games",
        metavar="N",
        type=cli.even(0),
        default=40,
        help="games to measure the strength; 0: no",
    )
    made.add_argument(
        "--runs", metavar="DIR", type=cli.named_path, default="runs", help="where runs live"
    )
    return made


def _export(options: ExportOptions, console: Console) -> None:
    """Measure the network and write everything."""
    if options.to.exists():
        raise UserError(f"{options.to} exists: choose another, or remove it first")
    path = networks.resolve(options.checkpoint, options.runs)
    trained = networks.load_network(path)
    figures = None
    if options.games:
        figures = network_card.measured_strength(trained, options.games, console)
    with console.status("writing"):
        name = options.name or options.to.name
        values = network_card.network_card(trained, name, options.licence, figures)
        text = network_card.card_markdown(trained, values)
        exported.write_export(trained, options.to, values, text)
    console.print(f"Exported iteration {trained.iteration} of {path} to {options.to}.")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = screen.open_screen()
    command = _parser()
    options = cli.typed(ExportOptions, command.parse(argv)[0])
    return command.run(lambda: _export(options, console), console, "Stopped; nothing is written.")


if __name__ == "__main__":
    sys.exit(main())
