"""The ruler of the middle game: positions of strong play, with the exact values of all moves.

It is a file. One comes with azdab for each board that is named in ``rulers/``, and
:mod:`azdab.measure.ruler_making` makes others. Positions keep their games, so that every player
can be asked about them; a move is judged by a look-up.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from azdab.common import files
from azdab.common.errors import UserError
from azdab.exact.oracle import ILLEGAL, has_choice
from azdab.game.board import Board, parse_board
from azdab.game.position import Position
from azdab.measure.position_sets import PositionSet

NO_EDGE = 255
"""Fills up the rows of :attr:`Ruler.moves`: no board has so many edges."""


class Ruler(NamedTuple):
    """N positions with the truth about them.

    Attributes:
      board: the board.
      moves: ``uint8[N, plies]``, the moves that led to each position, then ``NO_EDGE``.
      values: ``int8[N, E]``, the mover's optimal future margin in boxes after each move,
        ``ILLEGAL`` where the edge is drawn. In every position they differ.
    """

    board: Board
    moves: Int[np.ndarray, "N plies"]
    values: Int[np.ndarray, "N E"]

    def sample(self, count: int) -> "Ruler":
        """At most ``count`` positions, with each number of edges left as far as possible alike."""
        left = self.edges_left
        earlier = np.tril(left[:, None] == left, -1).sum(axis=1)
        rows = np.sort(np.lexsort((left, earlier))[:count])
        return self._replace(moves=self.moves[rows], values=self.values[rows])

    def positions(self) -> list[Position]:
        """The positions, with their games."""
        return [Position(self.board, tuple(row[row != NO_EDGE].tolist())) for row in self.moves]

    def position_set(self) -> PositionSet:
        """The positions as judging takes them."""
        found = self.positions()
        lead = [here.lead if here.to_play == 0 else -here.lead for here in found]
        edges = np.array([here.edges for here in found], bool).reshape(self.values.shape)
        return PositionSet(edges, np.array(lead, np.int32), self.values)

    @property
    def edges_left(self) -> Int[np.ndarray, "N"]:
        """How many edges are open in each position."""
        return np.asarray((self.values != ILLEGAL).sum(axis=1))


def packed_moves(games: list[tuple[int, ...]], plies: int) -> np.ndarray:
    """Moves as :attr:`Ruler.moves`, ``uint8[N, plies]``."""
    rows = np.full((len(games), plies), NO_EDGE, np.uint8)
    for row, game in zip(rows, games, strict=True):
        row[: len(game)] = game
    return rows


def bundled_ruler(board: Board) -> Path | None:
    """The ruler for a board that comes with azdab, if there is one."""
    path = Path(__file__).with_name("rulers") / f"{board}.npz"
    return path if path.is_file() else None


def write_ruler(path: Path, ruler: Ruler, **more: Any) -> None:
    """Write a ruler, and ``more`` arrays beside it; the same ruler gives the same bytes.

    Raises:
      UserError: it cannot be written.
    """
    content = io.BytesIO()
    fields = {"board": str(ruler.board), "moves": ruler.moves, "values": ruler.values}
    save: Any = np.savez_compressed  # its type takes names of arrays for its own options
    save(content, **fields, **more)
    files.write_text(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything that :func:`write_ruler` wrote.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception:  # numpy and zlib raise many kinds for what is no such file
        raise UserError(f"{path} is no ruler") from None


def read_ruler(path: Path) -> Ruler:
    """Read and check a ruler.

    Raises:
      UserError: it cannot be read, or is none.
    """
    arrays = read_arrays(path)
    try:
        board = parse_board(str(arrays["board"]))
        ruler = Ruler(board, arrays["moves"], arrays["values"])
        found = ruler.position_set()
        right = ruler.moves.dtype == np.uint8 and ruler.values.dtype == np.int8
        right = right and len(ruler.moves) == len(ruler.values) > 0
        right = right and bool((found.edges == (found.values == ILLEGAL)).all())
        right = right and bool(has_choice(found.values).all())
    except (KeyError, ValueError, UserError):
        right = False
    if not right:
        raise UserError(f"{path} is no ruler")
    return ruler
