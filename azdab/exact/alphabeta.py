"""A classical player: alpha-beta search to the depth that a node budget allows.

It uses the representation and the theory of :mod:`azdab.exact.solver`. It too searches
*quiet* positions, where nothing can be taken: runs of captures are resolved at once,
and all edges of a chain are one move. But this search stops at a depth. The position
there is estimated by playing on by rule: safe edges in a fixed order, then always the
shortest chain, with control kept where that pays. Iterative deepening
with a transposition table goes deeper until the budget is spent.

Moves are 0 to 63 for the bits of ``h`` and 64 to 127 for those of ``v``.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np

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
    in_all,
    jit,
    lowest,
    unfinished,
    words,
)
from azdab.game.board import Board

# More boxes than any board has. Not a Python integer: for a literal bound, numba would
# compile the search again and could not load that from its cache.
_INFINITY: Any = np.int64(127)
_CERTAIN = 255  # the depth of a value that rests on no estimate
_NO_MOVE = 255
_PATIENCE = 0.002  # seconds until it is asked again whether to stop

# Places in ``Memory.control``.
_NODES, _LIMIT, _ESTIMATED = range(3)


class SearchMemory(NamedTuple):
    """What the search writes to.

    Attributes:
      table: ``uint64[2^k, 3]``, known positions: ``h``, ``v`` and, in bytes, depth, lower
        and upper bound (plus 128) and best move.
      moves, order: ``int64[depths, moves]``, the moves of the position at each depth, and
        how early each is to be tried.
      history: ``int64[128]``, how often each move has cut off the search so far.
      gifts: ``int64[num_boxes, 2]``, chains given away in an estimate.
      control: ``int64[3]``, positions visited and allowed, and whether a value rests on an
        estimate.
    """

    table: np.ndarray
    moves: np.ndarray
    order: np.ndarray
    history: np.ndarray
    gifts: np.ndarray
    control: np.ndarray


@jit
def _safe(h: Any, v: Any, g: Any) -> Any:
    """The open edges of a quiet position that give nothing away."""
    _, two, _ = degrees(h, v, g)
    return h & ~two & ~(two << g.width), v & ~two & ~(two << ONE)


@jit
def _opening(chain: Any, h: Any, v: Any, g: Any) -> Any:
    """The move that opens a chain: the middle edge of two boxes, otherwise any."""
    in_h, in_v = h & (chain | (chain << g.width)), v & (chain | (chain << ONE))
    if count(chain) == 2:
        if in_h & chain & (chain << g.width):
            in_h &= chain & (chain << g.width)
        elif in_v & chain & (chain << ONE):
            in_h, in_v = ZERO, in_v & chain & (chain << ONE)
    return lowest(in_h) if in_h else lowest(in_v) + 64


@jit
def _estimate(h: Any, v: Any, g: Any, m: SearchMemory) -> Any:
    """The mover's future margin in a quiet position if both sides play on by rule."""
    sign = 1
    while True:
        safe_h, safe_v = _safe(h, v, g)
        if safe_h:
            h, v = draw(h, v, lowest(safe_h))
        elif safe_v:
            h, v = draw(h, v, lowest(safe_v) + 64)
        else:
            break
        sign = -sign
    gifts = 0
    while h | v:
        _, two, _ = degrees(h, v, g)
        shortest, least, todo = ZERO, _INFINITY, two
        while todo:
            chain = grow(todo & (~todo + ONE), two, h, v, g)
            todo &= ~chain
            if count(chain) < least:
                shortest, least = chain, count(chain)
        h, v = draw(h, v, _opening(shortest, h, v, g))
        taken, leave, h, v = forced(h, v, g)
        m.gifts[gifts, 0], m.gifts[gifts, 1] = taken, leave
        gifts += 1
    value = 0
    for i in range(gifts - 1, -1, -1):
        taken, leave = m.gifts[i]
        value = -(taken - leave + abs(value + leave)) if leave else -(taken + value)
    return sign * value


@jit
def _list_moves(h: Any, v: Any, depth: Any, g: Any, m: SearchMemory) -> Any:
    """Fill in the moves of a quiet position; returns how many there are."""
    moves, order = m.moves[depth], m.order[depth]
    number = 0
    safe_h, safe_v = _safe(h, v, g)
    while safe_h | safe_v:
        move = lowest(safe_h) if safe_h else lowest(safe_v) + 64
        safe_h, safe_v = draw(safe_h, safe_v, move)
        moves[number], order[number] = move, m.history[move]
        number += 1
    _, two, _ = degrees(h, v, g)
    todo = two
    while todo:
        chain = grow(todo & (~todo + ONE), two, h, v, g)
        todo &= ~chain
        moves[number], order[number] = _opening(chain, h, v, g), -count(chain)
        number += 1
    return number


@jit
def _search(h: Any, v: Any, depth: Any, alpha: Any, beta: Any, g: Any, m: SearchMemory) -> Any:
    """The mover's future margin, estimated ``depth`` quiet moves later; fail-soft."""
    taken, leave, h, v = forced(h, v, g)
    if leave:
        reach = beta - (taken - leave)
        if reach <= 0:
            return beta - reach
        alpha, beta = -leave - reach, -leave + reach
    else:
        alpha, beta = alpha - taken, beta - taken

    # From here on the position is quiet, and alpha and beta are those of its value.
    if not h | v:
        return in_all(0, taken, leave)
    m.control[_NODES] += 1
    if m.control[_NODES] > m.control[_LIMIT]:
        return 0
    if depth == 0:
        m.control[_ESTIMATED] = 1
        return in_all(_estimate(h, v, g, m), taken, leave)
    mixed = h * Word(0x9E3779B97F4A7C15) ^ (v + ONE) * Word(0xC2B2AE3D27D4EB4F)
    entry = m.table[(mixed >> Word(32)) & Word(len(m.table) - 1)]
    first: Any = _NO_MOVE
    if entry[0] == h and entry[1] == v:
        packed: Any = np.int64(entry[2])
        known, low, high = packed >> 24, (packed >> 16 & 255) - 128, (packed >> 8 & 255) - 128
        first = packed & 255
        if known >= depth and (low >= beta or high <= alpha or low == high):
            if known != _CERTAIN:
                m.control[_ESTIMATED] = 1
            return in_all(high if high <= alpha else low, taken, leave)

    estimated_before = m.control[_ESTIMATED]
    m.control[_ESTIMATED] = 0
    moves, order = m.moves[depth], m.order[depth]
    number = _list_moves(h, v, depth, g, m)
    best, best_move, lower = -_INFINITY, _NO_MOVE, alpha
    for i in range(number):
        top = i
        for j in range(i, number):
            if moves[j] == first:
                top = j
                break
            if order[j] > order[top]:
                top = j
        move = moves[top]
        moves[top], order[top] = moves[i], order[i]
        next_h, next_v = draw(h, v, move)
        value = -_search(next_h, next_v, depth - 1, -beta, -lower, g, m)
        if m.control[_NODES] > m.control[_LIMIT]:
            return 0
        if value > best:
            best, best_move, lower = value, move, max(lower, value)
            if best >= beta:
                m.history[move] += depth * depth
                break
    reached = depth if m.control[_ESTIMATED] else _CERTAIN
    m.control[_ESTIMATED] |= estimated_before
    at_least = best if best > alpha else -_INFINITY
    at_most = best if best < beta else _INFINITY
    entry[0], entry[1] = h, v
    entry[2] = reached << 24 | (at_least + 128) << 16 | (at_most + 128) << 8 | best_move
    return in_all(best, taken, leave)


@jit
def _choose(h: Any, v: Any, moves: Any, g: Any, m: SearchMemory) -> Any:
    """The best of ``moves``, which are reordered, and its estimate; the earliest among equals."""
    estimate: Any = np.int64(0)
    for depth in range(len(moves)):
        m.control[_ESTIMATED] = 0
        best, place = -_INFINITY, 0
        for i in range(len(moves)):
            next_h, next_v = draw(h, v, moves[i])
            closed = unfinished(h, v, g) - unfinished(next_h, next_v, g)
            if closed:
                value = _search(next_h, next_v, depth, best - closed, _INFINITY, g, m) + closed
            else:
                value = -_search(next_h, next_v, depth, -_INFINITY, -best, g, m)
            if m.control[_NODES] > m.control[_LIMIT]:
                return moves[0], estimate
            if value > best:
                best, place = value, i
        estimate = best
        # The best move of this depth is searched first at the next.
        choice = moves[place]
        moves[1 : place + 1] = moves[:place].copy()
        moves[0] = choice
        if not m.control[_ESTIMATED]:
            break
    return moves[0], estimate


class Searcher:
    """The compiled search with its memory; not for several threads.

    Args:
      board: of at most 64 dots.
      nodes: quiet positions to visit per move.

    Raises:
      ValueError: the board is too large.
    """

    def __init__(self, board: Board, nodes: int) -> None:
        self._geometry = geometry(board)
        self._edge_bits = edge_bits(board)
        self._limit = nodes
        self._pool = ThreadPoolExecutor(1)
        self._memory = SearchMemory(
            table=np.zeros((1 << min(max(nodes.bit_length(), 10), 20), 3), np.uint64),
            moves=np.zeros((board.num_edges + 1, board.num_edges), np.int64),
            order=np.zeros((board.num_edges + 1, board.num_edges), np.int64),
            history=np.zeros(128, np.int64),
            gifts=np.zeros((board.num_boxes, 2), np.int64),
            control=np.zeros(3, np.int64),
        )

    def choose(self, rng: np.random.Generator, edges: np.ndarray) -> int:
        """The move in a position; the same for the same random numbers.

        Args:
          rng: breaks ties.
          edges: ``bool[E]``, the drawn edges.
        """
        return self.look(rng, edges)[0]

    def look(
        self,
        rng: np.random.Generator,
        edges: np.ndarray,
        enough: Callable[[], bool] | None = None,
    ) -> tuple[int, int]:
        """The move in a position, and the mover's future margin in boxes as the search sees it.

        Args:
          rng: breaks ties.
          edges: ``bool[E]``, the drawn edges.
          enough: asked again and again whether to stop.
        """
        self._memory.table[:] = 0
        self._memory.history[:] = 0
        self._memory.control[:] = 0, self._limit, 0
        moves = self._edge_bits[rng.permutation(np.flatnonzero(~edges))]
        h, v = words(self._edge_bits, edges)
        if enough is None:
            move, value = _choose(h, v, moves, self._geometry, self._memory)
        else:
            going = self._pool.submit(_choose, h, v, moves, self._geometry, self._memory)
            try:
                while not enough() and not wait([going], _PATIENCE).done:
                    pass
            finally:
                self._memory.control[_LIMIT] = 0  # it stops at its next position
            move, value = going.result()
        return int(np.flatnonzero(self._edge_bits == move)[0]), int(value)
