"""What ``azdab.solve`` does: a proof with its progress, kept in a folder, and what came of it."""

import datetime
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.status import Status
from rich.table import Table

from azdab.common import durable, files
from azdab.common.errors import UserError
from azdab.common.json_text import json_text
from azdab.devices import device
from azdab.exact import oracle
from azdab.exact.book import book_text, canonical_of, lying_board
from azdab.game import exchange
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import Position, move_name
from azdab.game.record import Record
from azdab.runs import run_directory

if TYPE_CHECKING:  # they need numba
    from azdab.exact import proof
    from azdab.exact.proof import Known, Prover

_LONG = 10  # seconds after which the steps of a proof are worth a line
_OFTEN = 60  # seconds between the lines that say how far a book is

QUICK = 200_000
"""Positions that the engine may look at for a move without being slow, with room to spare."""


class SolveOptions(NamedTuple):
    """Which position is solved, with what, and what is written.

    Attributes:
      start: a board, or the name of a file of records.
      moves: after that.
      game: which game of the file, from 1.
      ply: after so many of its moves; None: all.
      value_only: whether the values of the moves are left out.
      threads: None: one for each core.
      memory: megabytes for what the search remembers; None: by what is free.
      folder: where the proof is kept; None: by the board.
      save_seconds: how often it is written there.
      json: where the values go.
      book: where the board's opening book goes.
      quick, lines: what the book leaves out, see :func:`azdab.exact.bookmaking.make_book`.
    """

    start: str
    moves: list[str]
    game: int
    ply: int | None
    value_only: bool
    threads: int | None
    memory: int | None
    folder: Path | None
    save_seconds: int
    json: Path | None
    book: Path | None
    quick: int
    lines: int | None


def _position(options: SolveOptions, console: Console) -> Position:
    """The position that is meant.

    Raises:
      UserError: there is no such board, file, game or move, or nothing is left to play.
    """
    try:
        games = [Record(Position(parse_board(options.start)))]
    except UserError as error:
        path = files.named(options.start)
        if not path.exists():
            raise UserError(f"{error}, and there is no such file") from None
        games = exchange.load_games(path, None, console.print)
    if options.game > len(games):
        raise UserError(f"{options.start} has games 1 to {len(games)}, not {options.game}")
    position = games[options.game - 1].position
    if options.ply is not None:
        if options.ply > len(position.moves):
            raise UserError(f"--ply: this game has moves 0 to {len(position.moves)}")
        position = position.at(options.ply)
    for move in options.moves:
        position = position.play(move)
    if position.is_over:
        raise UserError("the game is over there: say after how many moves with --ply")
    return position


class MoveValue(NamedTuple):
    """What a move is worth.

    Attributes:
      edges: the moves that are alike: the positions after them are equal.
      value: the mover's optimal future margin after it, in boxes.
    """

    edges: list[int]
    value: int


class _Progress:
    """Shows how far a proof is: a line that changes, and one that stays for each new bound."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console, self._status = console, status
        self.what = ""
        self._shown: object = None
        self._began = self._said = time.monotonic()

    def __call__(self, now: "proof.Slice") -> None:
        known = now.known
        done = f"{known.nodes / 1e6:,.0f} million positions, {_clock(known.seconds)}"
        between = f"{self.what}: {known.low:+} to {known.high:+} for the player to move, {done}"
        self._status.update(
            f"{between}, {now.rate / 1e6:.2f} million a second, table {now.full:.0%} full"
        )
        bounds = (now.form.key, known.low, known.high)
        if known.seconds >= _LONG and bounds != self._shown:
            self._console.print(between, highlight=False, soft_wrap=True)
        self._shown = bounds

    def book(self, done: int, left: int) -> None:
        """Say how many positions of the book are done, and how many are left by now."""
        self.what = f"book, {done} positions done, {left} left or more"
        self._status.update(self.what)
        if (now := time.monotonic()) >= self._said + _OFTEN:
            self._said = now
            line = f"{self.what}, {_clock(now - self._began)}"
            self._console.print(line, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


def _move_values(
    prover: "Prover", position: Position, value: int, show: _Progress
) -> list[MoveValue]:
    """The value of each kind of move, the best first."""
    board = position.board
    kinds: dict[str, list[int]] = {}
    for edge in position.legal:
        kinds.setdefault(canonical_of(board, position.play(edge).edges).key, []).append(edge)
    found = []
    for alike in kinds.values():
        after = position.play(alike[0])
        closed = sum(after.scores) - sum(position.scores)
        show.what = f"{board} after {move_name(board, alike[0])}"
        guess = value - closed if closed else -value
        later = prover.value(board, after.edges, guess)
        found.append(MoveValue(alike, closed + later if closed else -later))
    return sorted(found, key=lambda move: (-move.value, move.edges))


def solve_position(options: SolveOptions, console: Console) -> None:
    """Prove what the options ask for, print it and write the files.

    Raises:
      UserError: an option cannot be used, or a file cannot be read or written.
      KeyboardInterrupt: it was stopped; its message says how to go on.
    """
    position = _position(options, console)
    board = position.board
    oracle.require_search(board)
    folder = options.folder or Path("proofs") / str(lying_board(board))
    durable.make_folder(folder)
    with run_directory.locked(folder), console.status("loading") as status:
        from azdab.exact import bookmaking, proof  # only here is numba needed

        run_directory.remove_temporary_files(folder)
        show = _Progress(console, status)
        prover = proof.Prover(
            board,
            folder,
            proof.table_bits(board, options.memory and options.memory << 20),
            options.threads or device.cores(),
            show,
            options.save_seconds,
        )
        try:
            show.what = str(board)
            value = prover.value(board, position.edges)
            moves = [] if options.value_only else _move_values(prover, position, value, show)
            book = None
            if options.book is not None:
                openings = bookmaking.make_book(prover, options.quick, show.book, options.lines)
                note = f"what takes more than {options.quick} positions to solve"
                if options.lines is not None:
                    note += f", with at most {options.lines} lines drawn"
                book = book_text(prover.board, openings, note)
        except KeyboardInterrupt:
            prover.save()
            said = f"Stopped. What is proven is in {folder}; the same command goes on."
            raise KeyboardInterrupt(said) from None
        prover.save()
    effort = prover.known[canonical_of(board, position.edges).key]
    asked = (
        (options.json, lambda: _as_json(position, value, moves, effort)),
        (options.book, lambda: book or ""),
    )
    files.deliver(asked, lambda: _show(position, value, moves, effort, console))


def _names(board: Board, edges: list[int]) -> str:
    return ", ".join(move_name(board, edge) for edge in edges)


def _as_json(position: Position, value: int, moves: list[MoveValue], effort: "Known") -> str:
    content = {
        "board": str(position.board),
        "moves": list(position.moves),
        "to_play": position.to_play,
        "scores": position.scores,
        "value": value,
        "move_values": [move._asdict() for move in moves],
        "positions": effort.nodes,
        "seconds": round(effort.seconds, 3),
    }
    return json_text(content, indent=1) + "\n"


def _show(
    position: Position, value: int, moves: list[MoveValue], effort: "Known", console: Console
) -> None:
    """Print the values of the moves, and what the game comes to."""
    board, mover = position.board, position.to_play
    if moves:
        table = Table(box=None, pad_edge=False)
        for name in ("value", "moves"):
            table.add_column(name, justify="right" if name == "value" else "left")
        for move in moves:
            table.add_row(f"{move.value:+}", _names(board, move.edges))
        console.print(table)
    margin = position.lead + (value if mover == 0 else -value)
    result = "a tie" if not margin else f"{PLAYER_LETTERS[margin < 0]} wins by {abs(margin)}"
    console.print(
        f"Proven: with best play {result}; {PLAYER_LETTERS[mover]} is to move and gets {value:+} "
        f"of what is left. {effort.nodes:,} positions, {_clock(effort.seconds)}.",
        highlight=False,
    )
