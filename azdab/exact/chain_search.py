"""Exact play far from the end: alpha-beta over the positions that matter.

:mod:`azdab.exact.dense_table` visits all ``2^r`` subsets of ``r`` open edges. Three facts about
the game leave far fewer (Berlekamp, "The Dots and Boxes Game", 2000; Barker and
Korf, "Solving Dots-And-Boxes", AAAI 2012):

* **Captures are forced.** The mover takes every box it can, except that it may leave
  two of the last (four where two will not do) to hand over the turn. ``k`` boxes are
  then worth ``k - 2 + |x + 2|``, where ``x`` is what the rest is worth to whoever must
  move in it. The search sees *quiet* positions only.
* **A chain is opened in one way.** All edges beside its boxes are the same move; of
  two boxes, the edge between them is the best.
* **Where a chain lies does not matter.** Chains between borders, and loops, are set aside
  (:mod:`azdab.exact.standing`). Of the short chains (one or two boxes, which cannot hand over the
  turn), of the long ones and of the loops only the shortest is ever opened.

What remains is a search with null windows and a transposition table. A position is refuted at
once if a reply to it is known to suffice. Otherwise, far from the end, the reply comes first
that leaves the opponent the fewest moves of which it is not known that they fail: most
of what is left to prove is then proven already. The tests compare the values with the dense
table's on every small board.
"""

from typing import Any

import numpy as np

from azdab.exact.bitboard import ZERO, count, degrees, forced, in_all, jit, unfinished
from azdab.exact.position_table import look_up, slot, store
from azdab.exact.quiet_moves import (
    NO_MOVE,
    OPEN_CHAIN,
    add_openings,
    add_safe,
    keep_open,
    settle,
    unrefuted,
)
from azdab.exact.standing import boxes_alone

_USEFUL = 8192  # the history of an edge lies between minus this and this
_FAR = 20  # from so many open edges on it pays to look ahead before a move is chosen
_SAFE_FIRST = 1 << 40


@jit
def _swap(numbers: Any, i: Any, j: Any) -> None:
    numbers[i], numbers[j] = numbers[j], numbers[i]


@jit
def _bring_forward(i: Any, total: Any, depth: Any, m: Any) -> None:
    """Let the best of the moves from index ``i`` on change places with the one at ``i``."""
    top = i
    for j in range(i + 1, total):
        if m.order[depth, j] > m.order[depth, top]:
            top = j
    if top == i:
        return
    _swap(m.moves[depth], i, top)
    _swap(m.order[depth], i, top)
    _swap(m.taken[depth], i, top)
    _swap(m.leave[depth], i, top)
    _swap(m.h[depth], i, top)
    _swap(m.v[depth], i, top)
    _swap(m.alone[depth], i, top)


@jit
def _learn(i: Any, depth: Any, m: Any) -> None:
    """The ``i``-th move refuted the position; those before it did not."""
    for j in range(i + 1):
        move = m.moves[depth, j]
        if move < OPEN_CHAIN:
            goal = _USEFUL if j == i else -_USEFUL
            m.history[move] += (goal - m.history[move]) // 128


@jit
def _search(h: Any, v: Any, alone: Any, bound: Any, depth: Any, g: Any, m: Any, table: Any) -> Any:
    """Whether a quiet position is worth at least ``bound`` to the mover.

    It is given as :func:`settle` leaves it. ``bound`` has the parity of the boxes left,
    as the value has.

    Returns:
      A lower bound of the value if it is at least ``bound``, else an upper bound.
      Anything once the nodes allowed are spent.
    """
    boxes = unfinished(h, v, g) + boxes_alone(alone)
    if bound > boxes:
        return boxes
    if bound <= -boxes:
        return -boxes
    here = slot(h, v, alone, table)
    low, high, first = look_up(here, h, v, alone, table)
    if low >= bound:
        return low
    if high < bound:
        return high
    before = m.visited
    m.visited = min(before, m.allowed) + 1
    if m.visited > m.allowed:
        return 0
    _, two, _ = degrees(h, v, g)
    total = add_safe(h, v, alone, two, depth, g, m, table)
    total, best, enough, value = keep_open(total, bound, depth, m, table)
    if enough >= 0:
        move = m.moves[depth, enough]
        store(here, h, v, alone, max(low, value), high, move, np.int64(1), table)
        return value

    look_ahead = total > 1 and count(h) + count(v) >= _FAR
    for i in range(total):
        move = m.moves[depth, i]
        order = _SAFE_FIRST + m.history[move]
        if look_ahead:
            left = unrefuted(
                m.h[depth, i], m.v[depth, i], m.alone[depth, i], 2 - bound, depth + 1, g, m, table
            )
            order -= left * _USEFUL
        m.order[depth, i] = order
    total, dear = add_openings(total, h, v, alone, two, bound, depth, g, m, table)
    best = max(best, dear)
    for i in range(total):
        if m.moves[depth, i] == first:
            m.order[depth, i] = 2 * _SAFE_FIRST

    best_move = NO_MOVE
    for i in range(total):
        _bring_forward(i, total, depth, m)
        move, taken, leave = m.moves[depth, i], m.taken[depth, i], m.leave[depth, i]
        next_h, next_v, next_alone = m.h[depth, i], m.v[depth, i], m.alone[depth, i]
        if leave == 0:
            need = 2 - bound - taken
            value = -taken - _search(next_h, next_v, next_alone, need, depth + 1, g, m, table)
        else:
            # value = -(taken - leave) - |x + leave|: x must be neither low nor high.
            value = leave - taken
            reach = value - bound
            x = _search(next_h, next_v, next_alone, -leave - reach, depth + 1, g, m, table)
            if x < -leave - reach:
                value += x + leave
            else:
                need = reach + 2 - leave
                x = _search(next_h, next_v, next_alone, need, depth + 1, g, m, table)
                value = value - x - leave if x >= need else bound
        if m.visited > m.allowed:
            return 0
        if value > best:
            best, best_move = value, move
            if value >= bound:
                _learn(i, depth, m)
                break
    if (best ^ boxes) & 1:
        best += 1 if best >= bound else -1
    if best < bound:
        high = min(high, best)
    else:
        low = max(low, best)
    low, high = max(low, -boxes), min(high, boxes)
    store(here, h, v, alone, low, high, best_move, m.visited - before, table)
    return best


@jit
def _quiet(h: Any, v: Any, g: Any, m: Any) -> Any:
    """What can be taken, what to leave of it, and the position after that as it is searched."""
    taken, leave, h, v = forced(h, v, g)
    h, v, alone = settle(h, v, ZERO, g.boxes, g, m)
    return taken, leave, h, v, alone


@jit
def position_value(h: Any, v: Any, guess: Any, g: Any, m: Any, table: Any) -> Any:
    """The mover's future margin in any position, by null windows from a guess (MTD(f))."""
    taken, leave, h, v, alone = _quiet(h, v, g, m)
    boxes = unfinished(h, v, g) + boxes_alone(alone)
    low, high = -boxes, boxes
    value = min(max(guess + ((guess ^ boxes) & 1), low), high)
    while low < high and m.visited <= m.allowed:
        bound = max(value, low + 2)
        # A literal 0 would compile the search twice, and numba's cache would mix the two up.
        value = _search(h, v, alone, bound, np.int64(0), g, m, table)
        if value < bound:
            high = value
        else:
            low = value
    return in_all(low, taken, leave)


@jit
def reaches(h: Any, v: Any, bound: Any, g: Any, m: Any, table: Any) -> Any:
    """Whether the mover's future margin is at least ``bound``, which has its parity.

    Anything once the nodes allowed are spent.
    """
    taken, leave, h, v, alone = _quiet(h, v, g, m)
    need = bound - taken + leave
    if leave and need <= 0:
        return True
    high, low = need - leave, 2 - need - leave
    if _search(h, v, alone, high, np.int64(0), g, m, table) >= high:
        return True
    # Handing over the turn pays if the rest is bad enough for whoever must move in it.
    return leave > 0 and _search(h, v, alone, low, np.int64(0), g, m, table) < low
