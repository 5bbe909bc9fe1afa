"""The engine for other programs: a line protocol on standard input and output.

It resembles the Go Text Protocol: one command per line, perhaps with a number before it,
arguments separated by spaces. A success is answered by ``=``, a failure by ``?``, then the
number if there was one, the answer, and an empty line:

    1 board 3x3
    =1

    play h 0 1
    =

    genmove
    = v 1 2

    play h 0 1
    ? h 0 1 is drawn already

A command is done as a whole or refused, also where it has an argument too many. The engine for
a board is loaded and compiled when the board or the level is chosen, not when it has to move.
Empty lines and everything after ``#`` are ignored. ``list_commands`` lists what there is.
Whoever closes a box moves again, so two ``genmove`` in a row can belong to one player.
"""

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TextIO

from azdab import __version__
from azdab.common import cli
from azdab.common.errors import UserError, one_line
from azdab.common.json_text import json_text
from azdab.common.screen import Output
from azdab.engine.engine import Engine
from azdab.engine.levels import LEVELS, Pace
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import IllegalMoveError, Position, move_name

VERSION = 1
"""Version of this protocol."""

MAX_LINE = 10_000
"""How many characters of a line are read; the rest is dropped."""

MAX_ID = 2**31 - 1
"""The largest number before a command."""


class Protocol:
    """One conversation.

    Args:
      load: makes the engine for a board at a level.
      board: to begin with.
      level: a name in :data:`azdab.engine.engine.LEVELS`; None is what ``load`` does by itself.
    """

    def __init__(
        self, load: Callable[[Board, str | None], Engine], board: Board, level: str | None = None
    ) -> None:
        self._load, self._level = load, level
        self._pace: Pace | None = None
        self._made: Engine | None = None
        self.position = Position(board)
        self.open = True
        self._commands: dict[str, Callable[..., str]] = {
            name.removeprefix("do_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("do_")
        }

    def answer(self, line: str) -> str | None:
        """The answer to a line, with an empty line after it; None for an empty line."""
        printable = "".join(c if c.isprintable() else " " for c in line[:MAX_LINE])
        words = printable.split("#")[0].split(maxsplit=1)
        number = words[0] if words and re.fullmatch(r"\d+", words[0], re.ASCII) else ""
        if number:
            words = words[1].split(maxsplit=1) if len(words) > 1 else []
        if not words:
            return None if not number else f"?{number[:40]} a command is missing\n\n"
        try:
            if number and (len(number) > 40 or int(number) > MAX_ID):
                raise UserError(f"numbers of commands are at most {MAX_ID}")
            return f"={number} {self._done(words[0], *words[1:])}".rstrip() + "\n\n"
        except Exception as error:
            reason = cli.explanation(error)
            if reason is None:
                raise
            return f"?{number[:40]} {one_line(reason)}\n\n"

    def _done(self, name: str, argument: str = "") -> str:
        """Do a command, and give its answer."""
        command = self._commands.get(name)
        if command is None:
            raise UserError(f"unknown command '{name[:40]}'; try list_commands")
        argument = argument.strip()
        if inspect.signature(command).parameters:
            return command(argument)
        if argument:
            raise UserError(f"{name} takes nothing, got '{argument[:40]}'")
        return command()

    @property
    def engine(self) -> Engine:
        """The engine for the board at the level."""
        if self._made is None:
            self._made = self._ready(self.position.board, self._level)
        return self._made

    def _ready(self, board: Board, level: str | None) -> Engine:
        """An engine that has moved once, so that all it needs is loaded and compiled."""
        made = self._load(board, level)
        if self._pace is not None:
            made.set_pace(self._pace)
        made.choose(Position(board))
        return made

    def _timed(self, pace: Pace) -> str:
        """Let the engine think so long from now on."""
        self._pace = pace
        self.engine.set_pace(pace)
        self.engine.choose(Position(self.position.board))
        return ""

    def do_protocol_version(self) -> str:
        return str(VERSION)

    def do_name(self) -> str:
        return "azdab"

    def do_version(self) -> str:
        return __version__

    def do_list_commands(self) -> str:
        return "\n".join(sorted(self._commands))

    def do_known_command(self, argument: str) -> str:
        return str(argument in self._commands).lower()

    def do_board(self, argument: str) -> str:
        """Begin a game on a board, ``board 5x5`` or ``board 5x5:swedish``."""
        board = parse_board(argument)
        if self._made is None or board != self._made.board:
            self._made = self._ready(board, self._level)
        self.position = Position(board)
        return ""

    def do_new(self, argument: str) -> str:
        """Begin a game on the same board, or on the board that is named."""
        return self.do_board(argument or str(self.position.board))

    def do_level(self, argument: str) -> str:
        """Set how hard the engine tries."""
        if argument not in LEVELS:
            raise UserError(f"the levels are {', '.join(LEVELS)}")
        self._made, self._level = self._ready(self.position.board, argument), argument
        return ""

    def do_time_per_move(self, argument: str) -> str:
        """Set how many seconds the engine thinks about a move; ``off``: as the level does."""
        old = self.engine.pace
        return self._timed(old._replace(move=_seconds(argument)))

    def do_time_per_game(self, argument: str) -> str:
        """Set how many seconds each side has for all its moves; ``off``: any number."""
        old = self.engine.pace
        return self._timed(old._replace(game=_seconds(argument)))

    def do_ponder(self, argument: str) -> str:
        """Whether the engine thinks on the opponent's time, ``on`` or ``off``."""
        if argument not in ("on", "off"):
            raise UserError("ponder is on or off")
        return self._timed(self.engine.pace._replace(ponder=argument == "on"))

    def do_clock(self, argument: str) -> str:
        """Tell how many seconds whoever is to move has left, for this move and all later ones."""
        if self.engine.clock is None:
            raise UserError("there is no time for the game; time_per_game sets one")
        seconds = _seconds(argument)
        if seconds is None:
            raise UserError("clock takes a number of seconds")
        self.engine.clock.set_left(self.position, seconds)
        return ""

    def do_play(self, argument: str) -> str:
        """Draw an edge for whoever is to move."""
        self.position = self.position.play(argument)
        return ""

    def do_genmove(self, argument: str) -> str:
        """Choose a move for whoever is to move, and play it; ``genmove A`` only if A is."""
        if self.position.is_over:
            raise IllegalMoveError("the game is over")
        turn = PLAYER_LETTERS[self.position.to_play]
        if argument.upper() not in ("", turn):
            raise IllegalMoveError(f"{turn} is to move, not {argument[:40]}")
        mover = self.position.to_play
        edge = self.engine.choose(self.position)
        self.position = self.position.play(edge)
        if self.position.to_play != mover:
            self.engine.ponder(self.position)
        return move_name(self.position.board, edge)

    def do_undo(self, argument: str) -> str:
        """Take back one move, or as many as are said."""
        played = len(self.position.moves)
        if not re.fullmatch(r"[1-9]\d{0,3}", argument or "1", re.ASCII):
            raise UserError(f"undo takes a whole number of moves, not '{argument[:40]}'")
        count = int(argument or 1)
        if count > played:
            raise IllegalMoveError(
                f"there are {played} moves to take back" if played
                else "there is no move to take back"
            )  # fmt: skip
        self.position = self.position.undo(count)
        return ""

    def do_show(self) -> str:
        """Draw the board in text."""
        return "\n" + self.position.text().plain.rstrip("\n")

    def do_moves(self) -> str:
        """List the moves played, one a line."""
        return "\n".join(move_name(self.position.board, edge) for edge in self.position.moves)

    def do_legal(self) -> str:
        """List the legal moves, one a line."""
        return "\n".join(move_name(self.position.board, edge) for edge in self.position.legal)

    def do_state(self) -> str:
        """Whose turn it is, the scores, and whether the game is over, as JSON."""
        here = self.position
        first, second = here.scores
        return json_text(
            {
                "board": str(here.board),
                "to_play": PLAYER_LETTERS[here.to_play],
                "scores": [first, second],
                "over": here.is_over,
            }
        )

    def do_analyze(self) -> str:
        """What the engine thinks, as JSON: margins and probability are of the player to move."""
        found = self.engine.analyze(self.position)
        values = {
            "margin": _rounded(found.margin),
            "win_probability": _rounded(found.win_probability),
            "exact": found.exact,
            "moves": [
                {
                    "move": move_name(self.position.board, c.edge),
                    "visits": c.visits,
                    "prior": _rounded(c.prior),
                    "margin": _rounded(c.margin),
                    "exact": c.exact,
                }
                for c in found.candidates
            ],
        }
        return json_text(values)

    def do_quit(self) -> str:
        """End the conversation."""
        self.open = False
        return ""


def _seconds(argument: str) -> float | None:
    """A number of seconds; None for ``off``."""
    if argument == "off":
        return None
    try:
        return cli.seconds(argument)
    except argparse.ArgumentTypeError as error:
        raise UserError(str(error)) from None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def converse(protocol: Protocol, lines: Iterable[str], out: Output | TextIO) -> None:
    """Answer lines until ``quit`` or their end; the engine is made ready before the first.

    Raises:
      UserError: the engine cannot be made.
    """
    _ = protocol.engine
    for line in lines:
        answer = protocol.answer(line)
        if answer is not None:
            out.write(answer)
            out.flush()
        if not protocol.open:
            return


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of any stream of bytes; of long lines only the beginning."""
    while line := stream.readline(MAX_LINE):
        yield line.decode("utf-8", errors="replace")
        while not line.endswith(b"\n") and (line := stream.readline(MAX_LINE)):
            pass
