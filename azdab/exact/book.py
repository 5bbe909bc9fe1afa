"""What is proven of openings: a value and an optimal move, looked up without searching.

A book is a text file in ``books/``, made and proven by ``python -m azdab.solve BOARD --book FILE``.
A line holds a position, its value and an optimal move. Mirror images are one position, boards
that are each other's on the side too, and so are the lines around a corner box that belong to
no other box: they are interchangeable. It holds what a player who follows it can meet, until
a quick search knows the rest.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from azdab.common.errors import UserError
from azdab.game.board import Board, boxes_beside
from azdab.game.symmetry import edge_permutations

_FOLDER = Path(__file__).parent / "books"


class Canonical(NamedTuple):
    """A position as it is known by: the first of all that are equal to it.

    Attributes:
      edges: ``bool[E]``, its drawn edges, on :func:`lying_board`.
      own: ``int32[E]``, for each of its open edges the one of the position itself.
    """

    edges: np.ndarray
    own: np.ndarray

    @property
    def key(self) -> str:
        """Its drawn edges as hexadecimal digits, the first edge in the highest bit."""
        return np.packbits(self.edges).tobytes().hex()


def lying_board(board: Board) -> Board:
    """The plain board of a size, or of that size on its side, that has no more rows than columns.

    >>> str(lying_board(Board(4, 3, "swedish")))
    '3x4'
    """
    return Board(min(board.rows, board.cols), max(board.rows, board.cols))


@functools.cache
def _images(rows: int, cols: int) -> Int[np.ndarray, "S E"]:
    """For each image on the lying board, and each of its edges, the edge that comes to be there."""
    given = Board(rows, cols)
    images = edge_permutations(lying_board(given))
    if rows <= cols:
        return images
    places = map(lying_board(given).place, range(given.num_edges))
    stood = [(given.vertical if kind == "h" else given.horizontal)(c, r) for kind, r, c in places]
    return np.array(stood, np.int32)[images]


@functools.cache
def _corners(board: Board) -> list[np.ndarray]:
    """Edges that belong to the same box and to no other, two or more of them, in their order."""
    alone: dict[int, list[int]] = {}
    for edge, beside in enumerate(boxes_beside(board)):
        if len(beside) == 1:
            alone.setdefault(beside[0], []).append(edge)
    return [np.array(edges) for edges in alone.values() if len(edges) > 1]


def canonical_of(board: Board, edges: Bool[np.ndarray, "E"]) -> Canonical:
    """The form of a position, the same for all that are equal to it.

    Args:
      board: of any kind: lines drawn at the start are drawn edges.
      edges: ``bool[E]``, the drawn edges.
    """
    own = _images(board.rows, board.cols).copy()
    drawn = np.asarray(edges, bool)[own]
    for corner in _corners(lying_board(board)):
        # The drawn ones last; each keeps the edge that it stands for.
        order = np.argsort(drawn[:, corner], axis=1, kind="stable")
        drawn[:, corner] = np.take_along_axis(drawn[:, corner], order, axis=1)
        own[:, corner] = np.take_along_axis(own[:, corner], order, axis=1)
    first = min(range(len(drawn)), key=lambda image: drawn[image].tobytes())
    return Canonical(drawn[first], own[first])


class Opening(NamedTuple):
    """What is proven of a position.

    Attributes:
      value: the mover's optimal future margin, in boxes.
      edge: an optimal move.
    """

    value: int
    edge: int


def book_text(board: Board, openings: dict[str, Opening], note: str) -> str:
    """A book as a file holds it.

    Args:
      board: of a size as :func:`lying_board` gives it.
      openings: by the keys of positions, with moves in their forms.
      note: one line that says how it was made.
    """
    lines = [f"{key} {value} {edge}\n" for key, (value, edge) in sorted(openings.items())]
    return f"# {board}, {len(lines)} positions: {note}\n" + "".join(lines)


def parse_book(text: str) -> dict[str, Opening]:
    """The openings of :func:`book_text`.

    Raises:
      UserError: it is no book.
    """
    openings = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        try:
            key, value, edge = line.split()
            openings[bytes.fromhex(key).hex()] = Opening(int(value), int(edge))
        except ValueError:
            raise UserError(f"line {number} is no line of a book") from None
    return openings


@functools.cache
def shipped_book(board: Board) -> dict[str, Opening]:
    """The openings that come with azdab for boards of a size; empty if there are none."""
    path = _FOLDER / f"{lying_board(board)}.txt"
    return parse_book(path.read_text(encoding="ascii")) if path.is_file() else {}


def known_opening(board: Board, edges: Bool[np.ndarray, "E"]) -> Opening | None:
    """What the book says of a position; None if it is not in the book.

    Args:
      board: of any kind.
      edges: ``bool[E]``, the drawn edges.
    """
    openings = shipped_book(board)
    if not openings:
        return None
    form = canonical_of(board, edges)
    found = openings.get(form.key)
    return None if found is None else Opening(found.value, int(form.own[found.edge]))
