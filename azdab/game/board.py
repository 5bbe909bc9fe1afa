"""A board of ``rows x cols`` *boxes*: how its edges and boxes are numbered, and which touch.

Edges are numbered as in OpenSpiel's ``dots_and_boxes``, horizontal ones first, row by row:

    horizontal (r, c), r in 0..rows, c in 0..cols-1  ->  r * cols + c
    vertical   (r, c), r in 0..rows-1, c in 0..cols  ->  H + r * (cols + 1) + c

with ``H = (rows + 1) * cols``. Boxes are numbered row by row.
"""

import dataclasses
import functools
import re

import numpy as np

from azdab.common.errors import UserError
from azdab.common.limits import MAX_SIDE


@dataclasses.dataclass(frozen=True)
class Board:
    """The size of a board in boxes. Hashable, so it can be a static argument.

    >>> board = Board(2, 3)
    >>> board.num_boxes, board.num_edges
    (6, 17)
    >>> board.vertical(1, 0), board.place(13)
    (13, ('v', 1, 0))
    """

    rows: int
    cols: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise ValueError(f"a board needs at least one box, got {self.rows}x{self.cols}")

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"

    @property
    def num_horizontal(self) -> int:
        """Number of horizontal edges: the index of the first vertical edge."""
        return (self.rows + 1) * self.cols

    @property
    def num_edges(self) -> int:
        """Number of edges: the number of actions and of plies in a game."""
        return self.num_horizontal + self.rows * (self.cols + 1)

    @property
    def num_boxes(self) -> int:
        """Number of boxes: the points to be shared."""
        return self.rows * self.cols

    @property
    def num_symmetries(self) -> int:
        """8 on squares, 4 on rectangles."""
        return 8 if self.rows == self.cols else 4

    def horizontal(self, row: int, col: int) -> int:
        """The action that draws the horizontal edge ``(row, col)``."""
        if not (0 <= row <= self.rows and 0 <= col < self.cols):
            raise ValueError(f"there is no horizontal edge {row} {col} on a {self} board")
        return row * self.cols + col

    def vertical(self, row: int, col: int) -> int:
        """The action that draws the vertical edge ``(row, col)``."""
        if not (0 <= row < self.rows and 0 <= col <= self.cols):
            raise ValueError(f"there is no vertical edge {row} {col} on a {self} board")
        return self.num_horizontal + row * (self.cols + 1) + col

    def place(self, edge: int) -> tuple[str, int, int]:
        """The kind of an edge, ``h`` or ``v``, its row and its column."""
        if edge < self.num_horizontal:
            return ("h", *divmod(edge, self.cols))
        return ("v", *divmod(edge - self.num_horizontal, self.cols + 1))

    def box_edges(self) -> np.ndarray:
        """The edges around each box, ``int32[num_boxes, 4]``: top, bottom, left, right."""
        return np.array(
            [
                [
                    self.horizontal(r, c),
                    self.horizontal(r + 1, c),
                    self.vertical(r, c),
                    self.vertical(r, c + 1),
                ]
                for r in range(self.rows)
                for c in range(self.cols)
            ],
            np.int32,
        )


def parse_board(text: str) -> Board:
    """A board written ``rows x cols`` in boxes, such as ``5x5``.

    Raises:
      UserError: it is written otherwise, or too large.
    """
    sizes = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text.strip().lower(), re.ASCII)
    if not sizes:
        raise UserError(f"write rows and columns of boxes as 5x5, got {text!r}")
    board = Board(int(sizes[1]), int(sizes[2]))
    if max(board.rows, board.cols) > MAX_SIDE:
        raise UserError(f"boards have at most {MAX_SIDE}x{MAX_SIDE} boxes here, {board} has more")
    return board


@functools.cache
def boxes_beside(board: Board) -> tuple[tuple[int, ...], ...]:
    """The one or two boxes beside each edge of a board."""
    beside: list[list[int]] = [[] for _ in range(board.num_edges)]
    for box, edges in enumerate(board.box_edges().tolist()):
        for edge in edges:
            beside[edge].append(box)
    return tuple(map(tuple, beside))
