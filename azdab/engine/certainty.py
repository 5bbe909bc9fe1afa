"""What is known exactly about a position, in one form, wherever it comes from."""

from typing import NamedTuple

import numpy as np

from azdab.exact import book
from azdab.exact.oracle import ILLEGAL
from azdab.game.position import Position


class Certainty(NamedTuple):
    """What is known. Values are the mover's future margins, in boxes.

    Attributes:
      value: the position's.
      move: an optimal move.
      bounds: ``int64[E, 2]``, the value after each move, at least and at most; -128 where illegal.
    """

    value: int
    move: int
    bounds: np.ndarray


def certain_of_values(rng: np.random.Generator, values: np.ndarray) -> Certainty:
    """From the values of all moves, ``int8[E]``; the move is a random optimal one."""
    best = values.max()
    move = int(rng.choice(np.flatnonzero(values == best)))
    return Certainty(int(best), move, np.repeat(values.astype(np.int64)[:, None], 2, axis=1))


def certain_of_move(position: Position, value: int, move: int) -> Certainty:
    """From the value of an unfinished position and an optimal move, as a book has them."""
    boxes = position.board.num_boxes - sum(position.scores)
    bounds = np.full((position.board.num_edges, 2), ILLEGAL, np.int64)
    bounds[position.legal] = -boxes, value
    bounds[move] = value
    return Certainty(value, move, bounds)


def certain_of_book(position: Position) -> Certainty | None:
    """From the opening book, for an unfinished position.

    A move has its value too if the position after it is in the book.
    """
    opening = book.known_opening(position.board, position.edges)
    if opening is None:
        return None
    certain = certain_of_move(position, opening.value, opening.edge)
    for edge in position.legal:
        after = position.play(edge)
        if later := book.known_opening(after.board, after.edges):
            closed = sum(after.scores) - sum(position.scores)
            certain.bounds[edge] = closed + later.value if closed else -later.value
    return certain
