"""What ``azdab.analyze`` does: a recorded game judged move by move, printed and written."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from azdab.common import files, progress
from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.engine import review, review_page
from azdab.engine.engine import Engine
from azdab.engine.review import Review
from azdab.exact import oracle
from azdab.game import exchange, record, structure
from azdab.game.board import Board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import Position, move_name

_NIM_POSITIONS = 20_000  # looked at for a nimber: a few hundredths of a second

_NIM = (
    "nim: who is to move at 0 has to open the first long chain, and at any other number or where "
    "it is loony makes the other do so, if both play for that."
)


class AnalyzeOptions(NamedTuple):
    """Which game is judged by whom, and what is written.

    Attributes:
      file: of records.
      game: which game in it, from 1.
      board: of a history that does not say.
      checkpoint: the network; None: the one that comes with azdab.
      runs: where runs live.
      level: of the engine.
      time_per_move: seconds to think about each position; None: no limit.
      html, json, text: where the judged game is written.
    """

    file: Path
    game: int
    board: Board | None
    checkpoint: str | None
    runs: Path
    level: str
    time_per_move: float | None
    html: Path | None
    json: Path | None
    text: Path | None


def analyze_game(options: AnalyzeOptions, console: Console) -> None:
    """Judge the game that the options name, print it and write the files asked for.

    Raises:
      UserError: the record or an option cannot be used, or a file cannot be written.
    """
    games = exchange.load_games(options.file, options.board, console.print)
    if options.game > len(games):
        raise UserError(f"{options.file} has games 1 to {len(games)}, not {options.game}")
    game = games[options.game - 1]
    with console.status("loading the engine"):
        engine = Engine.load(
            options.checkpoint or game.board,
            options.level,
            board=game.board,
            runs=options.runs,
            seconds=options.time_per_move,
        )
    with progress.bar(console, "positions", transient=True) as shown:
        bar = shown.add_task("", total=len(game.position.moves) + 1)
        judged = review.review_game(game, engine, lambda: shown.advance(bar))

    def show() -> None:
        console.print(
            f"{game.first or 'A'} against {game.second or 'B'} on {game.board}, {game.result}. "
            f"Judged by {engine.name}; ~ is an estimate, the rest exact.",
            highlight=False,
        )
        nimbers = nimbers_after(judged.game.position)
        console.print(review_table(judged, nimbers))
        lost = ", ".join(f"{PLAYER_LETTERS[p]} {judged.boxes_lost(p):.1f}" for p in (0, 1))
        console.print(f"Boxes lost: {lost}.", highlight=False)
        if any(nimbers):
            console.print(_NIM, highlight=False)

    asked = (
        (options.html, lambda: review_page.page(judged)),
        (options.json, lambda: _as_json(judged)),
        (options.text, lambda: record.record_text(review.annotated(judged))),
    )
    files.deliver(asked, show)


def _as_json(judged: Review) -> str:
    return json_text(review.review_values(judged), indent=2, ascii_only=False) + "\n"


def nimbers_after(position: Position) -> list[str]:
    """What each position of a game is worth in Nimstring, in words; empty where it is not known."""
    number = len(position.moves) + 1
    if not oracle.can_search(position.board):
        return [""] * number
    from azdab.exact import nimstring  # only here is numba needed

    game = nimstring.Nimstring(position.board)
    found = [game.nimber(position.at(ply).edges, _NIM_POSITIONS) for ply in range(number)]
    return ["" if n is None else "loony" if n == nimstring.LOONY else str(n) for n in found]


def review_table(judged: Review, nimbers: list[str]) -> Table:
    """The game move by move; margins are the first player's.

    Args:
      judged: the game.
      nimbers: of :func:`nimbers_after`.
    """
    shown = Table(box=None, pad_edge=False)
    columns = ["", "", "move", "mark", "lost", "best", "margin of A", "scores", "chains", "nim"]
    for name in columns:
        shown.add_column(name, justify="right" if name in ("lost", "margin of A") else "left")
    margins = judged.margins()
    for ply, verdict in enumerate(judged.verdicts):
        after = judged.game.position.at(ply + 1)
        margin, exact = margins[ply + 1], judged.analyses[ply + 1].exact is not None
        value = "" if margin is None else f"{margin:+z.0f}" if exact else f"~{margin:+z.1f}"
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
            nimbers[ply + 1],
        )
    return shown
