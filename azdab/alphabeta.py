"""A classical player: alpha-beta search to the depth that a node budget allows.

Like :mod:`azdab.exact`, whose bit boards and theory it uses, it searches *quiet*
positions, where nothing can be taken: runs of captures are resolved at once, and all
edges of a chain are one move. Unlike there, the search stops at a depth, and what
stands then is estimated by playing on by rule: safe edges in a fixed order, then
always the shortest chain, with control kept where that pays. Iterative deepening
with a transposition table goes deeper until the budget is spent.
"""

from typing import Any, NamedTuple

import numpy as np

from azdab import exact
from azdab.exact import ONE, U, jit
from azdab.game import Board

degrees: Any = exact._degrees
lowest: Any = exact._lowest
neighbours: Any = exact._neighbours
popcount: Any = exact._popcount
resolve: Any = exact._resolve

integer: Any = np.int64
"""Numba keeps 64 bits; the type checker need not tell them from Python's integers."""

Word = Any
"""64 bits, ``np.uint64``: open edges ``h`` and ``v``, or a set of boxes."""

_INFINITY = 127  # more boxes than any board has
_CERTAIN = 255  # the depth of a value that rests on no estimate
_NO_MOVE = 255  # moves are 0 to 63 for bits of h, 64 to 127 for bits of v

# Places in the array ``control``.
_NODES, _LIMIT, _STOPPED, _ESTIMATED = range(4)


class _Tables(NamedTuple):
    """What the search carries along.

    Attributes:
      w: ``uint64``, bits per row of boxes.
      boxes: ``uint64``, all boxes.
      positions: ``uint64[2^k, 3]``, the transposition table: ``h``, ``v`` and, in bytes,
        depth, lower and upper bound (plus 128) and best move.
      moves, scores: ``int64[depth, count]``, the moves at each depth with their order.
      history: ``int64[128]``, how often a move was the best before.
      gifts: ``int64[boxes, 2]``, chains given away in an estimate.
      control: ``int64[4]``, nodes visited and allowed, whether the search ran out of
        them, and whether a value rests on an estimate.
    """

    w: Word
    boxes: Word
    positions: np.ndarray
    moves: np.ndarray
    scores: np.ndarray
    history: np.ndarray
    gifts: np.ndarray
    control: np.ndarray


@jit
def _draw(move: Any, h: Word, v: Word) -> tuple[Word, Word]:
    if move < 64:
        return h & ~(ONE << U(move)), v
    return h, v & ~(ONE << U(move - 64))


@jit
def _chain_at(box: Word, two: Word, h: Word, v: Word, t: _Tables) -> Word:
    """All boxes of the chain or loop of boxes with two open edges around ``box``."""
    chain = box
    while True:
        grown = chain | (neighbours(chain, h, v, t.w, t.boxes) & two)
        if grown == chain:
            return chain
        chain = grown


@jit
def _opening(chain: Word, h: Word, v: Word, t: _Tables) -> Any:
    """The move that opens a chain: the middle edge of two boxes, otherwise any."""
    in_h = h & (chain | (chain << t.w))
    in_v = v & (chain | (chain << ONE))
    if popcount(chain) == 2:
        if h & chain & (chain << t.w):
            in_h = h & chain & (chain << t.w)
        elif v & chain & (chain << ONE):
            in_h, in_v = U(0), v & chain & (chain << ONE)
    return integer(lowest(in_h)) if in_h else integer(lowest(in_v)) + 64


@jit
def _estimate(h: Word, v: Word, t: _Tables) -> Any:
    """The mover's future margin in a quiet position if both sides play on by rule."""
    sign = 1
    while True:
        _, two, _ = degrees(h, v, t.w, t.boxes)
        safe_h = h & ~two & ~(two << t.w)
        safe_v = v & ~two & ~(two << ONE)
        if safe_h:
            h ^= safe_h & (~safe_h + ONE)
        elif safe_v:
            v ^= safe_v & (~safe_v + ONE)
        else:
            break
        sign = -sign
    count = 0
    while h | v:
        _, two, _ = degrees(h, v, t.w, t.boxes)
        shortest = U(0)
        least = integer(_INFINITY)
        todo = two
        while todo:
            chain = _chain_at(todo & (~todo + ONE), two, h, v, t)
            todo &= ~chain
            if integer(popcount(chain)) < least:
                least = integer(popcount(chain))
                shortest = chain
        h, v = _draw(_opening(shortest, h, v, t), h, v)
        captured, held, keep, h, v = resolve(h, v, t.w, t.boxes)
        t.gifts[count, 0] = captured + held
        t.gifts[count, 1] = keep
        count += 1
    value = 0
    for i in range(count - 1, -1, -1):
        taken, keep = t.gifts[i]
        value = -(taken - keep + abs(value + keep)) if keep else -(taken + value)
    return sign * value


@jit
def _generate(h: Word, v: Word, depth: Any, t: _Tables) -> Any:
    """Fill in the moves of a quiet position, likely good ones with high scores."""
    moves, scores = t.moves[depth], t.scores[depth]
    _, two, _ = degrees(h, v, t.w, t.boxes)
    count = 0
    for part in range(2):
        safe = v & ~two & ~(two << ONE) if part else h & ~two & ~(two << t.w)
        while safe:
            moves[count] = integer(lowest(safe)) + 64 * part
            scores[count] = t.history[moves[count]]
            safe &= safe - ONE
            count += 1
    todo = two
    while todo:
        chain = _chain_at(todo & (~todo + ONE), two, h, v, t)
        todo &= ~chain
        moves[count] = _opening(chain, h, v, t)
        scores[count] = -integer(popcount(chain))
        count += 1
    return count


@jit
def _position(h: Word, v: Word, depth: Any, alpha: Any, beta: Any, t: _Tables) -> Any:
    """The mover's future margin after ``depth`` quiet moves, in any position; fail-soft."""
    captured, held, keep, h, v = resolve(h, v, t.w, t.boxes)
    if held == 0:
        alpha, beta = alpha - captured, beta - captured
        rest = _quiet(h, v, depth, alpha, beta, t)
        return captured + rest
    # The mover chooses between taking all and keeping control.
    base = captured + held - keep
    reach = beta - base
    if reach <= 0:
        return base
    alpha, beta = -keep - reach, -keep + reach
    rest = _quiet(h, v, depth, alpha, beta, t)
    return base + abs(rest + keep)


@jit
def _quiet(h: Word, v: Word, depth: Any, alpha: Any, beta: Any, t: _Tables) -> Any:
    """The same for a quiet position."""
    if not (h | v):
        return 0
    t.control[_NODES] += 1
    if t.control[_NODES] > t.control[_LIMIT]:
        t.control[_STOPPED] = 1
        return 0
    if depth == 0:
        t.control[_ESTIMATED] = 1
        return _estimate(h, v, t)

    key = h * U(0x9E3779B97F4A7C15) ^ (v + U(0x632BE59BD9B4E019)) * U(0xC2B2AE3D27D4EB4F)
    slot = integer((key >> U(32)) & U(len(t.positions) - 1))
    first = _NO_MOVE
    if t.positions[slot, 0] == h and t.positions[slot, 1] == v:
        word = t.positions[slot, 2]
        low = integer((word >> U(16)) & U(255)) - 128
        high = integer((word >> U(8)) & U(255)) - 128
        first = integer(word & U(255))
        known = integer(word >> U(24))
        if known >= depth and (low >= beta or high <= alpha or low == high):
            if known != _CERTAIN:
                t.control[_ESTIMATED] = 1
            return low if low >= beta or low == high else high

    estimated_before = t.control[_ESTIMATED]
    t.control[_ESTIMATED] = 0
    mine, order = t.moves[depth], t.scores[depth]
    count = _generate(h, v, depth, t)
    best, best_move = -_INFINITY, integer(_NO_MOVE)
    lower = alpha
    for i in range(count):
        top = i
        for j in range(i, count):
            if mine[j] == first:
                top = j
                break
            if order[j] > order[top]:
                top = j
        move = mine[top]
        mine[top], order[top] = mine[i], order[i]
        next_h, next_v = _draw(move, h, v)
        value = -_position(next_h, next_v, depth - 1, -beta, -lower, t)
        if t.control[_STOPPED]:
            return 0
        if value > best:
            best, best_move = value, move
            lower = max(lower, value)
            if lower >= beta:
                t.history[move] += depth * depth
                break
    known = depth if t.control[_ESTIMATED] else _CERTAIN
    t.control[_ESTIMATED] |= estimated_before
    low = best if best > alpha else -_INFINITY
    high = best if best < beta else _INFINITY
    t.positions[slot, 0] = h
    t.positions[slot, 1] = v
    t.positions[slot, 2] = (
        (U(known) << U(24)) | (U(low + 128) << U(16)) | (U(high + 128) << U(8)) | U(best_move)
    )
    return best


@jit
def _choose(h: Word, v: Word, candidates: np.ndarray, t: _Tables) -> Any:
    """The best of the candidate edges, reordered in place; the earliest among equals."""
    choice = candidates[0]
    for depth in range(len(candidates)):
        t.control[_ESTIMATED] = 0
        best, place = -_INFINITY, 0
        for i in range(len(candidates)):
            next_h, next_v = _draw(candidates[i], h, v)
            open_before = ((h | (h >> t.w)) | (v | (v >> ONE))) & t.boxes
            open_after = ((next_h | (next_h >> t.w)) | (next_v | (next_v >> ONE))) & t.boxes
            closed = integer(popcount(open_before & ~open_after))
            low, high = best - closed, _INFINITY
            if closed == 0:
                low, high = -_INFINITY, -best
            value = _position(next_h, next_v, depth, low, high, t)
            if t.control[_STOPPED]:
                return choice
            value = closed + value if closed else -value
            if value > best:
                best, place = value, i
        choice = candidates[place]
        candidates[1 : place + 1] = candidates[:place].copy()
        candidates[0] = choice
        if not t.control[_ESTIMATED]:
            break
    return choice


class Searcher:
    """The compiled search with its tables.

    Args:
      board: of at most 64 dots.
      nodes: quiet positions to visit per move.
    """

    def __init__(self, board: Board, nodes: int) -> None:
        self._solver: Any = exact.Solver(board, table_bits=1)  # for its layout only
        self._tables = _Tables(
            w=self._solver.w,
            boxes=self._solver.boxes,
            positions=np.zeros((1 << min(max(nodes.bit_length(), 10), 20), 3), np.uint64),
            moves=np.zeros((128, 128), np.int64),
            scores=np.zeros((128, 128), np.int64),
            history=np.zeros(128, np.int64),
            gifts=np.zeros((board.num_boxes, 2), np.int64),
            control=np.array([0, nodes, 0, 0]),
        )

    def choose(self, rng: np.random.Generator, edges: np.ndarray) -> int:
        """The move in a position; the same for the same random numbers.

        Args:
          rng: breaks ties.
          edges: ``bool[E]``, the drawn edges.
        """
        tables = self._tables
        tables.positions[:] = 0
        tables.history[:] = 0
        tables.control[[_NODES, _STOPPED]] = 0
        h, v = self._solver._words(edges)
        bits = self._solver.edge_bit
        move = _choose(h, v, bits[rng.permutation(np.flatnonzero(~edges))], tables)
        return int(np.flatnonzero(bits == move)[0])
