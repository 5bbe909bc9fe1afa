"""One game as people see it: moves, whose boxes, whose turn. Plain Python and numpy.

:class:`azdab.game.rules.State` is what programs on the device step through by the hundred; a
:class:`Position` is what a person, a record or a page looks at.

    >>> from azdab.game.board import Board
    >>> position = Position(Board(1, 2)).play("h 0 0").play("v 0 0").play("h 1 0")
    >>> position.play("v 0 1").scores
    (0, 1)
    >>> [move_name(position.board, edge) for edge in position.legal]
    ['h 0 1', 'h 1 1', 'v 0 1', 'v 0 2']
"""

import dataclasses
import functools
import re
from typing import Any

import numpy as np
from rich.text import Text

from azdab.common.errors import UserError
from azdab.game import drawing
from azdab.game.board import Board, boxes_beside
from azdab.game.drawing import PLAYER_LETTERS
from azdab.game.rules import State


class IllegalMoveError(UserError):
    """A move that cannot be played; the message is one line for the player."""


def move_name(board: Board, edge: int) -> str:
    """An edge as people write it: ``h 1 0`` or ``v 2 1``, row before column, from 0."""
    return "{} {} {}".format(*board.place(edge))


def parse_move(board: Board, text: str) -> int:
    """The edge meant by ``h 1 0``, ``v 2 1`` or an edge's number, perhaps after who moves.

    Every move that people or programs write is read here, but for those of other formats:
    ``V2 1``, ``h 1,0`` and ``A H 1 0`` are understood too.

    Raises:
      IllegalMoveError: there is no such edge.
    """
    return _read_move(board, text)[1]


def _read_move(board: Board, text: str) -> tuple[int | None, int]:
    """Who moves, 0 or 1, where the text says it, and the edge."""
    found = re.fullmatch(
        rf"(?:([{PLAYER_LETTERS}])\s+)?(?:([HV])\s*(\d{{1,3}})[\s,]+(\d{{1,3}})|(\d{{1,4}}))",
        text.strip().upper() if text.isascii() else "",
    )
    if not found:
        shown = text.strip()[:40]
        raise IllegalMoveError(
            f"write a move as 'h 1 0', 'v 2 1' or an edge's number, not {shown!r}"
        )
    mover = None if found[1] is None else PLAYER_LETTERS.index(found[1])
    if found[5] is not None:
        if int(found[5]) < board.num_edges:
            return mover, int(found[5])
        raise IllegalMoveError(f"the edges of a {board} board are 0 to {board.num_edges - 1}")
    edge_of = board.horizontal if found[2] == "H" else board.vertical
    try:
        return mover, edge_of(int(found[3]), int(found[4]))
    except ValueError as error:
        raise IllegalMoveError(str(error)) from None


def _whole(edge: object) -> int:
    """A number of an edge, from Python's or numpy's integers only."""
    if isinstance(edge, bool) or not isinstance(edge, int | np.integer):
        raise IllegalMoveError(f"an edge is a whole number, got {str(edge)[:40]!r}")
    return int(edge)


def _check_turn(mover: int, to_play: int) -> None:
    """Refuse a move that is said to be that of the player who is not to move."""
    if mover != to_play:
        turn, other = PLAYER_LETTERS[to_play], PLAYER_LETTERS[mover]
        raise IllegalMoveError(f"{turn} is to move, not {other}")


def _draw(board: Board, edge: int, drawn: set[int]) -> None:
    """Add an edge to those that are drawn, if it can be drawn."""
    if not 0 <= edge < board.num_edges:
        raise IllegalMoveError(f"there is no edge {edge} on a {board} board")
    if edge in drawn:
        raise IllegalMoveError(f"{move_name(board, edge)} is drawn already")
    drawn.add(edge)


class Playthrough:
    """A game from its first move on. Every move takes the same time, however many came before.

    Attributes:
      board: the board.
      moves: the edges drawn so far, as in :class:`Position`.
      owners: who closed each box, see :attr:`Position.owners`.
      movers: who made each move, and at the end who is to move.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.moves: list[int] = []
        self.owners = [-1] * board.num_boxes
        self.movers = [0]
        self._beside = boxes_beside(board)
        self._drawn = set(board.start_edges)
        self._missing = [4] * board.num_boxes
        for edge in self._drawn:
            self._close(edge)

    def _close(self, edge: int) -> list[int]:
        """Count an edge as drawn; the boxes that it closes."""
        for box in self._beside[edge]:
            self._missing[box] -= 1
        return [box for box in self._beside[edge] if not self._missing[box]]

    def play(self, move: int | str) -> None:
        """Play a move, see :meth:`Position.play`; one that is refused changes nothing.

        Raises:
          IllegalMoveError: it cannot be played, or it is said to be the other player's.
        """
        to_play = self.movers[-1]
        if isinstance(move, str):
            mover, edge = _read_move(self.board, move)
            if mover is not None:
                _check_turn(mover, to_play)
        else:
            edge = _whole(move)
        _draw(self.board, edge, self._drawn)
        closed = self._close(edge)
        for box in closed:
            self.owners[box] = to_play
        self.moves.append(edge)
        self.movers.append(to_play if closed else 1 - to_play)

    def position(self) -> "Position":
        """The position after the last move."""
        return Position(self.board, tuple(self.moves))


@dataclasses.dataclass(frozen=True)
class Position:
    """A board and the moves played on it. Immutable; playing a move gives another.

    Attributes:
      board: the board.
      moves: edges in the order they were drawn, numbered as in :mod:`azdab.game.board`;
        lines drawn at the start are not among them.

    Raises:
      IllegalMoveError: an edge does not exist, or is drawn twice.
    """

    board: Board
    moves: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", tuple(map(_whole, self.moves)))
        drawn = set(self.board.start_edges)
        for edge in self.moves:
            _draw(self.board, edge, drawn)

    @functools.cached_property
    def _played(self) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """Drawn edges, owners of boxes, and the mover before each move and after the last."""
        game = Playthrough(self.board)
        for edge in self.moves:
            game.play(edge)
        edges = self.board.start_mask()
        edges[list(self.moves)] = True
        owners = np.array(game.owners, np.int8)
        edges.flags.writeable = owners.flags.writeable = False
        return edges, owners, tuple(game.movers)

    @property
    def edges(self) -> np.ndarray:
        """The drawn edges, those of the start among them, ``bool[E]``."""
        return self._played[0]

    @property
    def owners(self) -> np.ndarray:
        """Who closed each box, ``int8[boxes]``: 0 the first player, 1 the second, -1 nobody."""
        return self._played[1]

    @property
    def movers(self) -> tuple[int, ...]:
        """Who made each move, and at the end who is to move."""
        return self._played[2]

    @property
    def to_play(self) -> int:
        """0 if the first player is to move, else 1."""
        return self.movers[-1]

    @property
    def scores(self) -> tuple[int, int]:
        """Boxes of the first and the second player."""
        return int(np.sum(self.owners == 0)), int(np.sum(self.owners == 1))

    @property
    def lead(self) -> int:
        """The first player's boxes minus the second's."""
        first, second = self.scores
        return first - second

    @property
    def legal(self) -> list[int]:
        """The edges that can be drawn, in ascending order."""
        return [int(edge) for edge in np.flatnonzero(~self.edges)]

    @property
    def is_over(self) -> bool:
        """Whether every edge is drawn."""
        return len(self.moves) == self.board.num_plies

    def play(self, move: int | str) -> "Position":
        """The position after one more move.

        Args:
          move: an edge's number, or anything :func:`parse_move` reads.

        Raises:
          IllegalMoveError: it cannot be played, or it is said to be the other player's.
        """
        if not isinstance(move, str):
            return Position(self.board, (*self.moves, move))
        mover, edge = _read_move(self.board, move)
        if mover is not None:
            _check_turn(mover, self.to_play)
        return Position(self.board, (*self.moves, edge))

    def at(self, ply: int) -> "Position":
        """The position after the first ``ply`` moves, at least 0."""
        return Position(self.board, self.moves[: max(ply, 0)])

    def undo(self, plies: int = 1) -> "Position":
        """The position some moves earlier; the first position at most."""
        return self.at(len(self.moves) - plies)

    def state(self) -> State:
        """The same for programs: a batch of one, in numpy."""
        arrays: Any = (
            self.edges[None],
            np.array([self.scores], np.int16),
            np.array([self.to_play], np.int8),
        )
        return State(*arrays)

    def _repr_svg_(self) -> str:
        return self.svg()

    def svg(self, heat: np.ndarray | None = None) -> str:
        """A picture, see :func:`azdab.game.drawing.to_svg`, with the last move highlighted."""
        return drawing.to_svg(self.board, self.edges, self.owners, self._last, heat)

    def text(self, numbers: bool = True) -> Text:
        """For the terminal, see :func:`azdab.game.drawing.to_text`."""
        return drawing.to_text(self.board, self.edges, self.owners, self._last, numbers=numbers)

    @property
    def _last(self) -> int | None:
        return self.moves[-1] if self.moves else None
