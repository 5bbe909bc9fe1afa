"""A board of ``rows x cols`` *boxes*: how its edges and boxes are numbered, and which touch.

Edges are numbered as in OpenSpiel's ``dots_and_boxes``, horizontal ones first, row by row:

    horizontal (r, c), r in 0..rows, c in 0..cols-1  ->  r * cols + c
    vertical   (r, c), r in 0..rows-1, c in 0..cols  ->  H + r * (cols + 1) + c

with ``H = (rows + 1) * cols``. Boxes are numbered row by row. Some lines may be drawn before the
first move, see :mod:`azdab.common.lattice`; they belong to nobody.
"""

import dataclasses
import functools
import re

import numpy as np
from jaxtyping import Bool, Int

from azdab.common import lattice
from azdab.common.config import Config
from azdab.common.errors import UserError, suggest
from azdab.common.lattice import PLAIN, VARIANTS, Variant
from azdab.common.limits import MAX_SIDE


@dataclasses.dataclass(frozen=True)
class Board:
    """The size of a board in boxes, and its kind. Hashable, so it can be a static argument.

    >>> board = Board(5, 5, "swedish")
    >>> str(board), board.num_edges, board.num_plies
    ('5x5:swedish', 60, 40)

    Raises:
      ValueError: there is no box, or one is closed before the first move.
    """

    rows: int
    cols: int
    variant: Variant = PLAIN

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise ValueError(f"a board needs at least one box, got {self.rows}x{self.cols}")
        lattice.start_edges(self.rows, self.cols, self.variant)

    def __str__(self) -> str:
        return self.size if self.variant == PLAIN else f"{self.size}:{self.variant}"

    @property
    def size(self) -> str:
        """Rows and columns, ``5x5``: boards of a size have the same edges and boxes."""
        return f"{self.rows}x{self.cols}"

    @property
    def num_horizontal(self) -> int:
        """Number of horizontal edges: the index of the first vertical edge."""
        return lattice.count_horizontal(self.rows, self.cols)

    @property
    def num_edges(self) -> int:
        """Number of edges, drawn at the start or not: the number of actions."""
        return lattice.count_edges(self.rows, self.cols)

    @property
    def start_edges(self) -> tuple[int, ...]:
        """The edges drawn before the first move, in ascending order."""
        return lattice.start_edges(self.rows, self.cols, self.variant)

    def start_mask(self) -> Bool[np.ndarray, "E"]:
        """The same as ``bool[E]``: the drawn edges of the first position."""
        drawn = np.zeros(self.num_edges, bool)
        drawn[list(self.start_edges)] = True
        return drawn

    @property
    def num_plies(self) -> int:
        """Number of moves of every game: the edges that are open at the start."""
        return self.num_edges - len(self.start_edges)

    @property
    def num_boxes(self) -> int:
        """Number of boxes: the points to be shared."""
        return self.rows * self.cols

    @property
    def num_dots(self) -> int:
        """Number of dots."""
        return (self.rows + 1) * (self.cols + 1)

    @property
    def num_symmetries(self) -> int:
        """8 on squares, 4 on rectangles; fewer where lines drawn at the start break some."""
        return len(lattice_images(self))

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

    def box_edges(self) -> Int[np.ndarray, "boxes 4"]:
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


def board_of(config: Config) -> Board:
    """The board that a config names."""
    return Board(config.board.rows, config.board.cols, config.board.start)


def parse_board(text: str) -> Board:
    """A board written ``rows x cols`` in boxes, such as ``5x5``, or with its kind, ``5x5:swedish``.

    Raises:
      UserError: it is written otherwise, or too large, or there is no such board.
    """
    found = re.fullmatch(
        r"([1-9]\d?)x([1-9]\d?)(?::([a-z][a-z0-9]{0,19}))?", text.strip().lower(), re.A
    )
    if not found:
        raise UserError(f"write rows and columns of boxes as 5x5, got {text!r}")
    rows, cols, named = int(found[1]), int(found[2]), found[3] or PLAIN
    if max(rows, cols) > MAX_SIDE:
        raise UserError(
            f"boards have at most {MAX_SIDE}x{MAX_SIDE} boxes here, {found[0]} has more"
        )
    variant = next((name for name in VARIANTS if name == named), None)
    if variant is None:
        known: list[str] = [*VARIANTS]
        raise UserError(
            f"there is no board of kind '{named}'{suggest(named, known)}; "
            f"the kinds are {', '.join(known)}"
        )
    try:
        return Board(rows, cols, variant)
    except ValueError as error:
        raise UserError(str(error)) from None


@functools.cache
def boxes_beside(board: Board) -> tuple[tuple[int, ...], ...]:
    """The one or two boxes beside each edge of a board."""
    beside: list[list[int]] = [[] for _ in range(board.num_edges)]
    for box, edges in enumerate(board.box_edges().tolist()):
        for edge in edges:
            beside[edge].append(box)
    return tuple(map(tuple, beside))


def edges_of_image(image: np.ndarray) -> Int[np.ndarray, "E"]:
    """The edges of one of :func:`lattice_images`, in the order of their numbers."""
    return np.concatenate([image[0::2, 1::2].ravel(), image[1::2, 0::2].ravel()])


@functools.cache
def lattice_images(board: Board) -> list[np.ndarray]:
    """The board as drawn, ``int[2 rows + 1, 2 cols + 1]``, in all symmetric forms, itself first.

    Edges are their numbers, boxes ``-1 - box``, dots ``-1 - num_boxes``. Symmetries are those
    that keep the shape and the lines drawn at the start.
    """
    drawn = np.full((2 * board.rows + 1, 2 * board.cols + 1), -1 - board.num_boxes)
    edges = np.arange(board.num_edges)
    drawn[0::2, 1::2] = edges[: board.num_horizontal].reshape(board.rows + 1, board.cols)
    drawn[1::2, 0::2] = edges[board.num_horizontal :].reshape(board.rows, board.cols + 1)
    drawn[1::2, 1::2] = -1 - np.arange(board.num_boxes).reshape(board.rows, board.cols)
    turns = range(4) if board.rows == board.cols else (0, 2)
    images = [flip(np.rot90(drawn, turn)) for flip in (np.array, np.fliplr) for turn in turns]
    start = board.start_mask()
    return [image for image in images if (start[edges_of_image(image)] == start).all()]
