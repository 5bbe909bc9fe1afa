"""``python -m azdab.export``: a network or a run to take elsewhere.

See :mod:`azdab.runs.exported` and :mod:`azdab.runs.moving`.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from azdab.common import cli, files, screen
from azdab.common.errors import UserError
from azdab.devices import device
from azdab.measure import network_card
from azdab.runs import exported, moving, networks


class ExportOptions(NamedTuple):
    """What is exported, a network or a run, where to, and what the network's card says."""

    checkpoint: str | None
    training: str | None
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
        usage="%(prog)s CHECKPOINT --to DIR [--OPTION VALUE ...]\n"
        "       %(prog)s --training RUN --to DIR_OR_ARCHIVE",
        description="Take a trained network elsewhere: parameters, a portable program, a card. "
        "Or a run, without its replay, to go on with training there.",
    )
    made.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        nargs="?",
        help="a run, a checkpoint, 'best' or 'latest' of the newest run, or a bundled network",
    )
    made.add_argument("--training", metavar="RUN", help="a run, by name or directory")
    made.add_argument(
        "--to", "-o", metavar="DIR", type=cli.named_path, required=True,
        help="must not exist yet; for a run, also a .tar.gz or .zip",
    )  # fmt: skip
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
    if (options.checkpoint is None) == (options.training is None):
        raise UserError("say what to export: a CHECKPOINT, or a run with --training RUN")
    if options.training is not None:
        run = files.named(options.training)
        run = run if run.is_dir() else options.runs / options.training
        iteration = moving.export_training(run, options.to)
        console.print(
            f"Exported {run} after iteration {iteration}, without replay, to {options.to}."
        )
        return
    assert options.checkpoint is not None
    device.start()
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
    given, _ = command.parse(argv)
    options = cli.typed(ExportOptions, given)

    def work() -> None:
        doing = "a CHECKPOINT" if options.training is None else "--training"
        about = dict.fromkeys(("name", "licence", "games"), ("a CHECKPOINT",))
        command.refuse_idle(given, doing, about)
        _export(options, console)

    return command.run(work, console, "Stopped; nothing is written.")


if __name__ == "__main__":
    sys.exit(main())
