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

Empty lines and everything after ``#`` are ignored. ``list_commands`` lists what there is.
Whoever closes a box moves again, so two ``genmove`` in a row can belong to one player.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TextIO

from azdab import __version__
from azdab.common.errors import UserError
from azdab.engine.engine import LEVELS, Engine
from azdab.game.board import Board, parse_board
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.position import IllegalMoveError, Position, move_name

VERSION = 1
"""Version of this protocol."""

MAX_LINE = 10_000
"""How many characters of a line are read; the rest is dropped."""


class Protocol:
    """One conversation.

    Args:
      load: makes the engine for a board at a level; called when it is first needed.
      board: to begin with.
      level: a name in :data:`azdab.engine.engine.LEVELS`; None is what ``load`` does by itself.
    """

    def __init__(
        self, load: Callable[[Board, str | None], Engine], board: Board, level: str | None = None
    ) -> None:
        self._load, self._level = load, level
        self._engine: Engine | None = None
        self.position = Position(board)
        self.open = True
        self._commands: dict[str, Callable[[str], str]] = {
            name.removeprefix("do_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("do_")
        }

    def answer(self, line: str) -> str | None:
        """The answer to a line, with an empty line after it; None for an empty line."""
        printable = "".join(c if c.isprintable() else " " for c in line[:MAX_LINE])
        found = re.fullmatch(r"\s*(\d{1,9}(?=\s))?\s*(\S*)\s*(.*?)\s*", printable.split("#")[0])
        assert found is not None  # the pattern takes every line
        number, name, argument = found[1] or "", found[2], found[3]
        if not name:
            return None if not number else f"?{number} a command is missing\n\n"
        if name not in self._commands:
            return f"?{number} unknown command '{name[:40]}'; try list_commands\n\n"
        try:
            return f"={number} {self._commands[name](argument)}".rstrip() + "\n\n"
        except UserError as error:
            return f"?{number} {error}\n\n"

    @property
    def engine(self) -> Engine:
        """The engine for the board, made when it is first needed."""
        if self._engine is None or self._engine.board != self.position.board:
            self._engine = self._load(self.position.board, self._level)
        return self._engine

    def do_protocol_version(self, argument: str) -> str:
        return str(VERSION)

    def do_name(self, argument: str) -> str:
        return "azdab"

    def do_version(self, argument: str) -> str:
        return __version__

    def do_list_commands(self, argument: str) -> str:
        return "\n".join(sorted(self._commands))

    def do_known_command(self, argument: str) -> str:
        return str(argument in self._commands).lower()

    def do_board(self, argument: str) -> str:
        """Begin a game on a board, ``board 5x5`` or ``board 5x5:swedish``."""
        self.position = Position(parse_board(argument))
        return ""

    def do_new(self, argument: str) -> str:
        """Begin a game on the same board."""
        self.position = Position(self.position.board)
        return ""

    def do_level(self, argument: str) -> str:
        """Set how hard the engine tries."""
        if argument not in LEVELS:
            raise UserError(f"the levels are {', '.join(LEVELS)}")
        self._level, self._engine = argument, None
        return ""

    def do_play(self, argument: str) -> str:
        """Draw an edge for whoever is to move."""
        self.position = self.position.play(argument)
        return ""

    def do_genmove(self, argument: str) -> str:
        """Choose a move for whoever is to move, and play it."""
        self._refuse_the_end()
        edge = self.engine.choose(self.position)
        self.position = self.position.play(edge)
        return move_name(self.position.board, edge)

    def do_undo(self, argument: str) -> str:
        """Take back one move."""
        if not self.position.moves:
            raise IllegalMoveError("there is no move to take back")
        self.position = self.position.undo()
        return ""

    def do_show(self, argument: str) -> str:
        """Draw the board in text."""
        return "\n" + self.position.text().plain.rstrip("\n")

    def do_moves(self, argument: str) -> str:
        """List the moves played, one a line."""
        return "\n".join(move_name(self.position.board, edge) for edge in self.position.moves)

    def do_legal(self, argument: str) -> str:
        """List the legal moves, one a line."""
        return "\n".join(move_name(self.position.board, edge) for edge in self.position.legal)

    def do_state(self, argument: str) -> str:
        """Whose turn it is, the scores, and whether the game is over, as JSON."""
        here = self.position
        first, second = here.scores
        return json.dumps(
            {
                "board": str(here.board),
                "to_play": PLAYER_LETTERS[here.to_play],
                "scores": [first, second],
                "over": here.is_over,
            }
        )

    def do_analyze(self, argument: str) -> str:
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
        return json.dumps(values)

    def do_quit(self, argument: str) -> str:
        """End the conversation."""
        self.open = False
        return ""

    def _refuse_the_end(self) -> None:
        if self.position.is_over:
            raise IllegalMoveError("the game is over")


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


def converse(protocol: Protocol, lines: Iterable[str], out: TextIO) -> None:
    """Answer lines until ``quit`` or their end."""
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
