"""Nimstring: who is made to open the first long chain, as a sum of games.

The rules are those of Dots and Boxes, but boxes are worth nothing: who cannot move loses. Whoever
closes the last box must move again, and cannot. So the last to move loses. Who counts long
chains plays this game: see Berlekamp, "The Dots and Boxes Game" (2000), and chapter 16 of
"Winning Ways".

A position in which nothing can be taken is worth as much as a heap of nim, and parts that do
not touch are added as heaps are. Where boxes can be taken the mover takes them, which changes
nothing, unless it may choose who moves on in the rest: then it wins, whatever is added. Such
a position is called *loony*.

A nimber is found by asking for 0, 1, 2, ... whether the position and a heap of that size is lost
for the player to move: it is for one size only (Lemoine and Viennot, "Nimbers are inevitable",
2012).

Needs numba: ``pip install 'azdab[exact]'``.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from azdab.exact.bitboard import (
    ONE,
    ZERO,
    Word,
    count,
    degrees,
    draw,
    edge_bits,
    forced,
    geometry,
    grow,
    jit,
    lowest,
    open_boxes,
    words,
)
from azdab.exact.mirror import first_image
from azdab.exact.position_table import look_up, new_table, slot, store
from azdab.game.board import Board

LOONY = -1
"""What stands for the nimber of a position in which the mover may choose who moves on."""

_LARGEST = 1 << 16  # more than any nimber
_NODES, _LIMIT = range(2)  # places of what is counted
_MIRRORED = 10  # open edges from which on it pays to look for mirror images


@jit
def _split(h: Any, v: Any, g: Any) -> Any:
    """The open edges of the first region of a position: of boxes that open edges join."""
    boxes = open_boxes(h, v, g)
    region = grow(boxes & (~boxes + ONE), boxes, h, v, g)
    return h & (region | (region << g.width)), v & (region | (region << ONE))


@jit
def _simple(h: Any, v: Any, g: Any) -> Any:
    """The nimber of a region that is a chain or a loop; -1 of another."""
    _, two, more = degrees(h, v, g)
    if more:
        return -1
    length, edges = count(two), count(h) + count(v)
    return 1 if edges > length and length <= 2 else 0


@jit
def _first_form(h: Any, v: Any, g: Any) -> Any:
    """One region for all that are equal to it."""
    for i in range(4):
        outer_h, outer_v = g.corners[i, 0], g.corners[i, 1]
        if v & outer_v and not h & outer_h:
            h, v = h | outer_h, v ^ outer_v
    if count(h) + count(v) >= _MIRRORED:
        return first_image(h, v, g)
    return h, v


@jit
def _wins(h: Any, v: Any, heap: Any, g: Any, spent: Any, table: Any) -> Any:
    """Whether the mover wins where nothing can be taken, with a heap of nim beside.

    Anything once the positions allowed are spent.
    """
    rest_h, rest_v = h, v
    h, v = ZERO, ZERO
    while rest_h | rest_v:
        part_h, part_v = _split(rest_h, rest_v, g)
        rest_h, rest_v = rest_h ^ part_h, rest_v ^ part_v
        if count(part_h) + count(part_v) > count(h) + count(v):
            part_h, part_v, h, v = h, v, part_h, part_v
        if part_h | part_v:
            # All but the largest region become heaps.
            size = np.int64(0)
            while spent[_NODES] <= spent[_LIMIT] and _wins(part_h, part_v, size, g, spent, table):
                size += 1
            heap ^= size
    simple = _simple(h, v, g)
    if simple >= 0:
        return simple != heap

    h, v = _first_form(h, v, g)
    here = slot(h, v, Word(heap), table)
    known, _, _ = look_up(here, h, v, Word(heap), table)
    if known >= 0:
        return known == 1
    spent[_NODES] += 1
    before = spent[_NODES]
    if before > spent[_LIMIT]:
        return False
    wins = False
    for less in range(heap):
        wins = wins or not _wins(h, v, np.int64(less), g, spent, table)
    todo_h, todo_v = h, v
    for i in range(4):
        if h & g.corners[i, 0]:
            todo_v &= ~g.corners[i, 1]
    while (todo_h | todo_v) and not wins:
        move = lowest(todo_h) if todo_h else lowest(todo_v) + 64
        todo_h, todo_v = draw(todo_h, todo_v, move)
        next_h, next_v = draw(h, v, move)
        _, leave, next_h, next_v = forced(next_h, next_v, g)
        wins = leave == 0 and not _wins(next_h, next_v, heap, g, spent, table)
    if spent[_NODES] <= spent[_LIMIT]:
        result = np.int64(1) if wins else np.int64(0)
        nodes = spent[_NODES] - before + 1
        store(here, h, v, Word(heap), result, result, np.int64(0), nodes, table)
    return wins


@jit
def _value(h: Any, v: Any, most: Any, g: Any, spent: Any, table: Any) -> Any:
    """The nimber of any position, or ``most`` if it is at least that."""
    _, leave, h, v = forced(h, v, g)
    if leave:
        return LOONY
    heap = np.int64(0)
    while heap < most and spent[_NODES] <= spent[_LIMIT] and _wins(h, v, heap, g, spent, table):
        heap += 1
    return heap


class Nimstring:
    """Values of Nimstring on one board. It remembers what it has searched; not for several threads.

    Args:
      board: of at most 64 dots.
      table_bits: it remembers ``2^table_bits`` positions at most.

    Raises:
      ValueError: the board is too large.

    >>> nimstring = Nimstring(Board(1, 1))
    >>> nimstring.nimber(np.zeros(4, bool)), nimstring.wins(np.zeros(4, bool))
    (1, True)
    """

    def __init__(self, board: Board, table_bits: int = 16) -> None:
        self._edge_bits, self._geometry = edge_bits(board), geometry(board)
        self._table = new_table(table_bits)
        self._spent = np.zeros(2, np.int64)

    def _search(self, edges: np.ndarray, most: int, limit: int | None) -> int | None:
        self._spent[:] = 0, np.iinfo(np.int64).max if limit is None else limit
        h, v = words(self._edge_bits, edges)
        found = _value(h, v, most, self._geometry, self._spent, self._table)
        return int(found) if self._spent[_NODES] <= self._spent[_LIMIT] else None

    def nimber(self, edges: Bool[np.ndarray, "E"], limit: int | None = None) -> int | None:
        """The nimber of a position.

        Args:
          edges: ``bool[E]``, the drawn edges.
          limit: most positions to look at; None: as many as needed.

        Returns:
          The nimber, ``LOONY``, or None if the limit was too low.
        """
        return self._search(edges, _LARGEST, limit)

    def wins(self, edges: Bool[np.ndarray, "E"], limit: int | None = None) -> bool | None:
        """Whether the player to move wins, at less cost than the nimber.

        Arguments as in :meth:`nimber`, and None too if the limit was too low.
        """
        found = self._search(edges, 1, limit)
        return None if found is None else found != 0
