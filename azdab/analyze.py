"""``python -m azdab.analyze``: what the engine thinks of a recorded game."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from azdab.common import cli, progress
from azdab.common.errors import UserError
from azdab.devices import device
from azdab.engine import review, review_page
from azdab.engine.engine import DEFAULT_LEVEL, LEVELS, Engine
from azdab.engine.review import Review
from azdab.game import exchange, record, structure
from azdab.game.board import parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import move_name


def review_table(judged: Review) -> Table:
    """The game move by move; margins are the first player's."""
    shown = Table(box=None, pad_edge=False)
    columns = ["", "", "move", "mark", "lost", "best", "margin of A", "scores", "chains", "control"]
    for name in columns:
        shown.add_column(name, justify="right" if name in ("lost", "margin of A") else "left")
    margins = judged.margins()
    for ply, verdict in enumerate(judged.verdicts):
        after = judged.game.position.at(ply + 1)
        margin, exact = margins[ply + 1], judged.analyses[ply + 1].exact is not None
        value = "" if margin is None else f"{margin:+.0f}" if exact else f"~{margin:+.1f}"
        loss = verdict.loss or 0.0
        costs = round(loss, 1) > 0
        shown.add_row(
            f"{ply + 1}.",
            PLAYER_LETTERS[verdict.before.to_play],
            move_name(after.board, verdict.edge),
            verdict.mark,
            "" if not costs else f"{loss:.0f}" if verdict.exact else f"~{loss:.1f}",
            move_name(after.board, verdict.best) if costs else "",
            value,
            "{}-{}".format(*after.scores),
            str(structure.long_chains(after)),
            PLAYER_LETTERS[structure.controller(after)],
        )
    return shown


def _parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        settings=False,
        prog="python -m azdab.analyze",
        usage="%(prog)s FILE [--html FILE] [--json FILE] [--text FILE] [--OPTION VALUE ...]",
        description="Judge a recorded game move by move: azdab's text, the Chinese "
        "competition's JSON, or an OpenSpiel history.",
    )
    made.add_argument("file", metavar="FILE", help="the record")
    made.add_argument("--game", metavar="N", type=int, default=1, help="which game of the file")
    made.add_argument("--board", metavar="RxC", help="of an OpenSpiel history without one")
    made.add_argument(
        "--checkpoint", metavar="NAME", help="a network; otherwise the one that comes with azdab"
    )
    made.add_argument("--runs", metavar="DIR", default="runs", help="where runs live")
    made.add_argument("--level", metavar="LEVEL", default=DEFAULT_LEVEL, help=", ".join(LEVELS))
    made.add_argument(
        "--time-per-move", metavar="SECONDS", type=float, help="to think about each position"
    )
    made.add_argument("--html", metavar="FILE", help="write a page with boards and a curve")
    made.add_argument("--json", metavar="FILE", help="write every figure")
    made.add_argument("--text", metavar="FILE", help="write the record with remarks")
    return made


def _analyze(options: Any, console: Console) -> None:
    """Judge what the options name, print it and write the files asked for.

    Raises:
      UserError: the record or an option cannot be used.
    """
    outputs = {name: getattr(options, name) for name in ("html", "json", "text")}
    for name, path in outputs.items():
        if path and not Path(path).absolute().parent.is_dir():
            raise UserError(f"--{name}: there is no directory {Path(path).parent}")
    if options.time_per_move is not None and not 0 < options.time_per_move <= 3600:
        raise UserError(f"--time-per-move must be 0 to 3600 seconds, got {options.time_per_move}")
    board = parse_board(options.board) if options.board else None
    games = exchange.load_games(Path(options.file), board)
    if not 1 <= options.game <= len(games):
        raise UserError(f"{options.file} has games 1 to {len(games)}, not {options.game}")
    game = games[options.game - 1]
    with console.status("loading the engine"):
        engine = Engine.load(
            options.checkpoint or game.board,
            options.level,
            runs=Path(options.runs),
            seconds=options.time_per_move,
        )
    if engine.board != game.board:
        raise UserError(f"{options.checkpoint} plays on {engine.board}, not on {game.board}")
    with progress.bar(console, "positions", transient=True) as shown:
        bar = shown.add_task("", total=len(game.position.moves) + 1)
        judged = review.review_game(game, engine, lambda: shown.advance(bar))
    if options.html:
        record.write_text(Path(options.html), review_page.page(judged))
    if options.json:
        text = json.dumps(review.review_values(judged), ensure_ascii=False, indent=2)
        record.write_text(Path(options.json), text + "\n")
    if options.text:
        record.write_text(Path(options.text), record.record_text(review.annotated(judged)))
    console.print(
        f"{game.first or 'A'} against {game.second or 'B'} on {game.board}, {game.result}. "
        f"Judged by {engine.name}; ~ is an estimate, the rest exact.",
        markup=False,
        highlight=False,
    )
    console.print(review_table(judged))
    lost = ", ".join(f"{PLAYER_LETTERS[p]} {judged.boxes_lost(p):.1f}" for p in (0, 1))
    console.print(f"Boxes lost: {lost}.", highlight=False)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = Console()
    command = _parser()
    options, _ = command.parse(argv)
    device.enable_cache()
    return command.run(lambda: _analyze(options, console), lambda: console.print("Stopped."))


if __name__ == "__main__":
    sys.exit(main())
