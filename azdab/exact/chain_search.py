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
* **Where a chain lies does not matter.** Chains between borders, and loops, become
  counts by length. Of the short chains (one or two boxes, which cannot hand over the
  turn), of the long ones and of the loops only the shortest is ever opened.

What remains is a search with null windows and a transposition table, whose entries
hold the whole position, so that nothing rests on a hash. The tests compare its
values with the table's on every small board.
"""

from typing import Any

import numpy as np

from azdab.common.limits import ENGINE_EDGES
from azdab.exact.bitboard import (
    LOOP_BITS,
    ONE,
    ZERO,
    Word,
    count,
    degrees,
    erase,
    forced,
    grow,
    in_all,
    jit,
    lowest,
    split_off,
    unfinished,
)

# A move in a quiet position: 0-63 and 64-127 draw a bit of h and of v, and
_OPEN_CHAIN_AT = 128  # + box: open the chain through a box
_OPEN_LOOP, _OPEN_SHORT, _OPEN_LONG = 252, 253, 254  # the shortest that stands alone
_NO_MOVE = 255

_RESULT_BITS = Word(64 - LOOP_BITS)

_USEFUL = 8192  # the history of an edge lies between minus this and this

# What a search writes to, beside its table.
Scratch = np.dtype(
    [
        ("visited", np.int64),  # nodes
        ("allowed", np.int64),  # nodes
        ("history", np.int64, (128,)),  # how useful drawing each edge has been
        ("moves", np.int64, (ENGINE_EDGES, ENGINE_EDGES)),  # of each node on the path
        ("order", np.int64, (ENGINE_EDGES, ENGINE_EDGES)),  # theirs: the largest comes first
    ]
)


@jit
def _slot(h: Any, v: Any, chains: Any, loops: Any, table: Any) -> Any:
    x = h * Word(0x9E3779B97F4A7C15) ^ (v + Word(0x632BE59BD9B4E019)) * Word(0xC2B2AE3D27D4EB4F)
    x ^= (chains + Word(0x165667B19E3779F9)) * Word(0x27D4EB2F165667C5)
    x ^= loops * Word(0x94D049BB133111EB)
    x = (x ^ (x >> Word(32))) * Word(0xD6E8FEB86659FD93)
    return np.int64((x ^ (x >> Word(29))) & Word(len(table) - 1))


@jit
def _look_up(h: Any, v: Any, chains: Any, loops: Any, table: Any) -> Any:
    """The bounds and the best move stored for a position; -128, 127 and no move if none."""
    i = _slot(h, v, chains, loops, table)
    word = table[i, 3]
    if table[i, 0] != h or table[i, 1] != v or table[i, 2] != chains:
        return -128, 127, _NO_MOVE
    if word >> _RESULT_BITS != loops:
        return -128, 127, _NO_MOVE
    if word == ZERO:  # an unused entry looks like the finished game
        return -128, 127, _NO_MOVE
    low, high = np.int64(word >> Word(16) & Word(255)), np.int64(word >> Word(8) & Word(255))
    return low - 128, high - 128, np.int64(word & Word(255))


@jit
def draw(h: Any, v: Any, move: Any) -> Any:
    """Draw the edge with bit ``move`` of ``h``, or ``move - 64`` of ``v``."""
    if move < 64:
        return h & ~(ONE << Word(move)), v
    return h, v & ~(ONE << Word(move - 64))


@jit
def _by_kind(chains: Any, g: Any) -> Any:
    """The counts of chains of one or two boxes, and those of longer ones."""
    short = chains & (g.fields[0, 3] - ONE)  # a board too small for long ones has none
    return short, chains ^ short


@jit
def _list_moves(h: Any, v: Any, chains: Any, loops: Any, depth: Any, g: Any, m: Any) -> Any:
    """Write the moves of a quiet position; returns how many, and how many are safe."""
    _, two, _ = degrees(h, v, g)
    # A safe edge is beside no box with two open edges: nothing can be taken after it.
    safe_h, safe_v = h & ~two & ~(two << g.width), v & ~two & ~(two << ONE)
    for i in range(4):
        if safe_h & g.corners[i, 0]:
            safe_v &= ~g.corners[i, 1]
    total = 0
    while safe_h:
        m.moves[depth, total] = lowest(safe_h)
        safe_h &= safe_h - ONE
        total += 1
    while safe_v:
        m.moves[depth, total] = lowest(safe_v) + 64
        safe_v &= safe_v - ONE
        total += 1
    safe = total
    for i in range(safe):
        m.order[depth, i] = (1 << 20) + m.history[m.moves[depth, i]]
    todo = two
    while todo:
        start = todo & (~todo + ONE)
        chain = grow(start, two, h, v, g)
        todo &= ~chain
        m.moves[depth, total], m.order[depth, total] = _OPEN_CHAIN_AT + lowest(start), -count(chain)
        total += 1
    short, long = _by_kind(chains, g)
    if short:
        m.moves[depth, total], m.order[depth, total] = _OPEN_SHORT, -g.lengths[0, lowest(short)]
        total += 1
    if long:
        m.moves[depth, total], m.order[depth, total] = _OPEN_LONG, -g.lengths[0, lowest(long)]
        total += 1
    if loops:
        m.moves[depth, total], m.order[depth, total] = _OPEN_LOOP, -g.lengths[1, lowest(loops)]
        total += 1
    return total, safe


@jit
def _next_move(i: Any, total: Any, first: Any, depth: Any, m: Any) -> Any:
    """The best of the moves from index ``i`` on; it changes places with the one at ``i``."""
    top = i
    for j in range(i, total):
        if m.moves[depth, j] == first:
            top = j
            break
        if m.order[depth, j] > m.order[depth, top]:
            top = j
    move = m.moves[depth, top]
    m.moves[depth, top], m.order[depth, top] = m.moves[depth, i], m.order[depth, i]
    m.moves[depth, i] = move
    return move


@jit
def _remember(i: Any, depth: Any, m: Any) -> Any:
    """The ``i``-th move refuted the position; those before it did not."""
    for j in range(i + 1):
        move = m.moves[depth, j]
        if move < _OPEN_CHAIN_AT:
            goal = _USEFUL if j == i else -_USEFUL
            m.history[move] += (goal - m.history[move]) // 128


@jit
def _reply_suffices(
    h: Any, v: Any, chains: Any, loops: Any, bound: Any, safe: Any, depth: Any,
    g: Any, m: Any, table: Any,
) -> Any:  # fmt: skip
    """A value of at least ``bound`` that some safe move is already known to reach, or -128."""
    for i in range(safe):
        next_h, next_v = draw(h, v, m.moves[depth, i])
        next_h, next_v, next_chains, next_loops = split_off(next_h, next_v, chains, loops, g)
        _, high, _ = _look_up(next_h, next_v, next_chains, next_loops, table)
        if -high >= bound:
            return -high
    return -128


@jit
def _open(h: Any, v: Any, chains: Any, loops: Any, move: Any, g: Any) -> Any:
    """Open a chain or a loop.

    Returns:
      The boxes that the opponent takes or leaves, the boxes it leaves when it hands
      the turn back (0: it cannot), and the position after that.
    """
    if move in (_OPEN_SHORT, _OPEN_LONG):
        short, long = _by_kind(chains, g)
        length = g.lengths[0, lowest(short if move == _OPEN_SHORT else long)]
        return length, 2 if length > 2 else 0, h, v, chains - g.fields[0, length], loops
    if move == _OPEN_LOOP:
        length = g.lengths[1, lowest(loops)]
        return length, 4, h, v, chains, loops - g.fields[1, length]
    box = ONE << Word(move - _OPEN_CHAIN_AT)
    _, two, _ = degrees(h, v, g)
    chain = grow(box, two, h, v, g)
    length = count(chain)
    after_h, after_v = erase(chain, h, v, g)
    one, _, _ = degrees(after_h, after_v, g)
    if not one:
        return length, 2 if length > 2 else 0, after_h, after_v, chains, loops
    # The chain starts and ends at one box, which falls too: draw an edge to find out.
    if h & box:
        after_h, after_v = h & ~box, v
    elif v & box:
        after_h, after_v = h, v & ~box
    else:
        after_h, after_v = h & ~(box << g.width), v
    length, leave, after_h, after_v = forced(after_h, after_v, g)
    return length, leave, after_h, after_v, chains, loops


@jit
def _search(
    h: Any, v: Any, chains: Any, loops: Any, boxes: Any, bound: Any, depth: Any,
    g: Any, m: Any, table: Any,
) -> Any:  # fmt: skip
    """Whether a quiet position is worth at least ``bound`` to the mover.

    It is given the open edges and what is set aside, the number of boxes left, whose
    parity the value and ``bound`` have, and its own depth.

    Returns:
      A lower bound of the value if it is at least ``bound``, else an upper bound.
      Anything once the nodes allowed are spent.
    """
    if bound > boxes:
        return boxes
    if bound <= -boxes:
        return -boxes
    h, v, chains, loops = split_off(h, v, chains, loops, g)
    low, high, first = _look_up(h, v, chains, loops, table)
    if low >= bound:
        return low
    if high < bound:
        return high
    m.visited += 1
    if m.visited > m.allowed:
        return 0
    total, safe = _list_moves(h, v, chains, loops, depth, g, m)
    known = _reply_suffices(h, v, chains, loops, bound, safe, depth, g, m, table)
    if known >= bound:
        return known

    best, best_move = -128, _NO_MOVE
    for i in range(total):
        move = _next_move(i, total, first, depth, m)
        if move < _OPEN_CHAIN_AT:
            next_h, next_v = draw(h, v, move)
            value = -_search(
                next_h, next_v, chains, loops, boxes, 2 - bound, depth + 1, g, m, table
            )
        else:
            length, leave, next_h, next_v, next_chains, next_loops = _open(
                h, v, chains, loops, move, g
            )
            rest = boxes - length
            if leave == 0:
                need = 2 - bound - length
                value = -length - _search(
                    next_h, next_v, next_chains, next_loops, rest, need, depth + 1, g, m, table
                )
            else:
                # value = -(length - leave) - |x + leave|: x must be neither low nor high.
                value = leave - length
                reach = value - bound
                if reach >= 0:
                    x = _search(
                        next_h, next_v, next_chains, next_loops, rest,
                        -leave - reach, depth + 1, g, m, table,
                    )  # fmt: skip
                    if x < -leave - reach:
                        value += x + leave
                    else:
                        x = _search(
                            next_h, next_v, next_chains, next_loops, rest,
                            reach + 2 - leave, depth + 1, g, m, table,
                        )  # fmt: skip
                        value = value - x - leave if x >= reach + 2 - leave else bound
        if m.visited > m.allowed:
            return 0
        if value > best:
            best, best_move = value, move
            if value >= bound:
                _remember(i, depth, m)
                break
    if (best ^ boxes) & 1:
        best += 1 if best >= bound else -1
    if best < bound:
        high = min(high, best)
    else:
        low = max(low, best)
    low, high = max(low, -boxes), min(high, boxes)
    bounds = Word(low + 128) << Word(16) | Word(high + 128) << Word(8)
    i = _slot(h, v, chains, loops, table)
    table[i, 0], table[i, 1], table[i, 2] = h, v, chains
    table[i, 3] = loops << _RESULT_BITS | bounds | Word(best_move)
    return best


@jit
def position_value(h: Any, v: Any, guess: Any, g: Any, m: Any, table: Any) -> Any:
    """The mover's future margin in any position, by null windows from a guess (MTD(f))."""
    taken, leave, h, v = forced(h, v, g)
    boxes = unfinished(h, v, g)
    low, high = -boxes, boxes
    value = min(max(guess + ((guess ^ boxes) & 1), low), high)
    while low < high and m.visited <= m.allowed:
        bound = max(value, low + 2)
        # A literal 0 would compile the search twice, and numba's cache would mix the two up.
        value = _search(h, v, ZERO, ZERO, boxes, bound, np.int64(0), g, m, table)
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
    taken, leave, h, v = forced(h, v, g)
    boxes, need = unfinished(h, v, g), bound - taken + leave
    if leave and need <= 0:
        return True
    high, low = need - leave, 2 - need - leave
    if _search(h, v, ZERO, ZERO, boxes, high, np.int64(0), g, m, table) >= high:
        return True
    # Handing over the turn pays if the rest is bad enough for whoever must move in it.
    return leave > 0 and _search(h, v, ZERO, ZERO, boxes, low, np.int64(0), g, m, table) < low
