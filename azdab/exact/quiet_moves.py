"""The moves of a quiet position and what comes after them, written into lists by depth.

A move is a number: 0-63 and 64-127 draw a bit of ``h`` and of ``v``, from ``OPEN_CHAIN`` on
the chain through a box is opened, and from ``OPEN_ALONE`` on the shortest chain or loop of a
kind that stands alone.
"""

from typing import Any

import numpy as np

from azdab.common.limits import ENGINE_EDGES
from azdab.exact.bitboard import (
    ONE,
    count,
    degrees,
    draw,
    erase,
    forced,
    grow,
    jit,
    lowest,
)
from azdab.exact.mirror import first_image
from azdab.exact.position_table import fetch, look_up, slot
from azdab.exact.standing import open_alone, set_apart

OPEN_CHAIN, OPEN_ALONE, NO_MOVE = 128, 252, 255

MANY_MOVES = 1 << 16
"""More moves than any position has."""

_MOVES = ENGINE_EDGES + 3  # the most in a position

# What a search writes to, beside its table.
Scratch = np.dtype(
    [
        ("visited", np.int64),  # nodes
        ("allowed", np.int64),  # nodes
        ("mirrored", np.int64),  # with so many open edges, one position for all its images
        ("history", np.int64, 128),  # how useful drawing each edge has been
        # Of each node on the path, by depth, the moves and the positions after them:
        ("moves", np.int64, (ENGINE_EDGES, _MOVES)),
        ("order", np.int64, (ENGINE_EDGES, _MOVES)),  # the largest comes first
        ("h", np.uint64, (ENGINE_EDGES, _MOVES)),
        ("v", np.uint64, (ENGINE_EDGES, _MOVES)),
        ("alone", np.uint64, (ENGINE_EDGES, _MOVES)),
        ("slot", np.int64, (ENGINE_EDGES, _MOVES)),
        ("taken", np.int64, (ENGINE_EDGES, _MOVES)),  # boxes that the opponent takes or leaves
        ("leave", np.int64, (ENGINE_EDGES, _MOVES)),  # and how many to hand back the turn
    ]
)


@jit
def _safe_edges(h: Any, v: Any, two: Any, g: Any) -> Any:
    """The edges beside no box of ``two``: after them nothing can be taken. One of each corner."""
    safe_h, safe_v = h & ~two & ~(two << g.width), v & ~two & ~(two << ONE)
    for i in range(4):
        if safe_h & g.corners[i, 0]:
            safe_v &= ~g.corners[i, 1]
    return safe_h, safe_v


@jit
def settle(h: Any, v: Any, alone: Any, start: Any, g: Any, m: Any) -> Any:
    """The one of all equal positions that is searched; ``start`` as in :func:`set_apart`."""
    h, v, alone = set_apart(h, v, alone, start, g)
    if count(h) + count(v) >= m.mirrored:
        h, v = first_image(h, v, g)
    return h, v, alone


@jit
def _add(
    n: Any, move: Any, h: Any, v: Any, alone: Any, taken: Any, leave: Any, depth: Any,
    m: Any, table: Any,
) -> None:  # fmt: skip
    """Write down the ``n``-th move of a node, and the position after it."""
    m.moves[depth, n], m.taken[depth, n], m.leave[depth, n] = move, taken, leave
    m.h[depth, n], m.v[depth, n], m.alone[depth, n] = h, v, alone
    i = slot(h, v, alone, table)
    m.slot[depth, n] = i
    fetch(table, i)


@jit
def add_safe(h: Any, v: Any, alone: Any, two: Any, depth: Any, g: Any, m: Any, table: Any) -> Any:
    """Write down all safe moves; returns how many."""
    safe_h, safe_v = _safe_edges(h, v, two, g)
    total = 0
    while safe_h | safe_v:
        if safe_h:
            move, edge = lowest(safe_h), safe_h & (~safe_h + ONE)
            safe_h ^= edge
            beside = edge | (edge >> g.width)
        else:
            move, edge = lowest(safe_v) + 64, safe_v & (~safe_v + ONE)
            safe_v ^= edge
            beside = edge | (edge >> ONE)
        next_h, next_v = draw(h, v, move)
        next_h, next_v, next_alone = settle(next_h, next_v, alone, beside, g, m)
        _add(total, move, next_h, next_v, next_alone, 0, 0, depth, m, table)
        total += 1
    return total


@jit
def keep_open(total: Any, bound: Any, depth: Any, m: Any, table: Any) -> Any:
    """Of the safe moves keep those of which it is not known whether they suffice.

    Returns:
      How many; an upper bound of the others' values; and the index of a move that is
      known to suffice and a lower bound of its value, or -1 and anything.
    """
    kept, best = 0, -128
    for i in range(total):
        h, v, alone = m.h[depth, i], m.v[depth, i], m.alone[depth, i]
        low, high, _ = look_up(m.slot[depth, i], h, v, alone, table)
        if -high >= bound:
            return kept, best, i, -high
        if -low < bound:
            best = max(best, -low)
            continue
        m.moves[depth, kept], m.slot[depth, kept] = m.moves[depth, i], m.slot[depth, i]
        m.h[depth, kept], m.v[depth, kept], m.alone[depth, kept] = h, v, alone
        kept += 1
    return kept, best, -1, 0


@jit
def unrefuted(
    h: Any, v: Any, alone: Any, bound: Any, depth: Any, g: Any, m: Any, table: Any
) -> Any:
    """How many moves of a position are not known to be worth less than ``bound``.

    ``MANY_MOVES`` if one is known to be worth as much. Writes to the lists of ``depth``.
    """
    _, two, _ = degrees(h, v, g)
    total = add_safe(h, v, alone, two, depth, g, m, table)
    left, _, enough, _ = keep_open(total, bound, depth, m, table)
    if enough >= 0:
        return MANY_MOVES
    todo = two
    while todo:
        chain = grow(todo & (~todo + ONE), two, h, v, g)
        todo &= ~chain
        length = count(chain)
        if length <= 2 or 2 - length >= bound:
            left += 1
    return left


@jit
def add_openings(
    total: Any, h: Any, v: Any, alone: Any, two: Any, bound: Any, depth: Any,
    g: Any, m: Any, table: Any,
) -> Any:  # fmt: skip
    """Write down the chains and loops that can be opened, except what is too dear.

    Returns:
      How many moves there are now, and an upper bound of what the dear ones are worth.
    """
    best = -128
    todo = two
    while todo:
        start = todo & (~todo + ONE)
        chain = grow(start, two, h, v, g)
        todo &= ~chain
        taken = count(chain)
        next_h, next_v = erase(chain, h, v, g)
        leave = 2 if taken > 2 else 0
        one, _, _ = degrees(next_h, next_v, g)
        if one:
            # It starts and ends at one box, which falls too: draw an edge to find out.
            next_h, next_v = h & ~start, v
            if next_h == h:
                next_h, next_v = h, v & ~start
                if next_v == v:
                    next_h = h & ~(start << g.width)
            taken, leave, next_h, next_v = forced(next_h, next_v, g)
        if leave and leave - taken < bound:
            best = max(best, leave - taken)
            continue
        next_h, next_v, next_alone = settle(next_h, next_v, alone, g.boxes, g, m)
        move = OPEN_CHAIN + lowest(start)
        _add(total, move, next_h, next_v, next_alone, taken, leave, depth, m, table)
        m.order[depth, total] = -taken
        total += 1
    for kind in range(3):
        taken, leave, next_alone = open_alone(alone, kind)
        if leave and leave - taken < bound:
            best = max(best, leave - taken)
        elif taken:
            _add(total, OPEN_ALONE + kind, h, v, next_alone, taken, leave, depth, m, table)
            m.order[depth, total] = -taken
            total += 1
    return total, best
