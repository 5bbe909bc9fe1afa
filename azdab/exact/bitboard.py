"""Boxes as bits: chains and forced captures.

Compiled by numba for :mod:`azdab.exact.solver`. A position is two 64-bit words of *open*
edges. With ``W = cols + 1``, box ``(r, c)`` is bit ``r * W + c``; its top edge has
the same bit in ``h`` and its left edge in ``v``, its bottom edge is bit ``+ W`` in
``h`` and its right edge bit ``+ 1`` in ``v``. One shift thus compares all boxes with
their neighbours.
"""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
import platformdirs
from jaxtyping import Bool
from llvmlite import ir
from numba import types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

from azdab.common import limits
from azdab.common.limits import ENGINE_DOTS
from azdab.game.board import Board

Word = np.uint64
ONE, ZERO = Word(1), Word(0)

Function = TypeVar("Function", bound=Callable[..., Any])


def _cache_directory() -> Path:
    """Where compiled code is kept: a new place whenever anything that is compiled here changes.

    Numba itself looks only at the file of a function, not at those of its callees and constants.
    """
    sources = [*sorted(Path(__file__).parent.glob("*.py")), Path(limits.__file__)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    kept = platformdirs.user_cache_path("azdab") / f"numba-{digest[:16]}"
    _remove_old(kept)
    return kept


def _remove_old(kept: Path) -> None:
    """Remove what was compiled of earlier code, a month after it was."""
    for path in kept.parent.glob("numba-*"):
        with contextlib.suppress(OSError):
            if path != kept and time.time() - path.stat().st_mtime > 30 * 86400:
                shutil.rmtree(path, ignore_errors=True)


_CACHE = str(_cache_directory())


class _Cache(FunctionCache):
    """Numba's cache, in which nothing can go wrong: what cannot be read is compiled again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # cut short by a crash, say: pickle raises nearly anything
            with suppress(OSError):
                self.flush()  # an empty index, in place of one that may be damaged
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk, say
            super().save_overload(sig, data)


def jit(function: Function) -> Function:
    """Compile, to run without the interpreter's lock; the result is kept on disk."""
    settings: Any = numba.config
    compiled: Any = numba.njit(nogil=True)(function)
    before, settings.CACHE_DIR = settings.CACHE_DIR, _CACHE
    try:
        compiled._cache = _Cache(function)
    except RuntimeError:  # no directory can be written: it is compiled at every start
        pass
    finally:
        settings.CACHE_DIR = before
    return cast(Function, compiled)


@intrinsic
def _count(typing_context: Any, x: Any) -> Any:
    """The set bits of a word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def _lowest(typing_context: Any, x: Any) -> Any:
    """The index of the lowest set bit of a word that has one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


# Compiled code calls them without the context.
count: Any = _count
lowest: Any = _lowest

# A board for compiled code: a record, which numba passes as one pointer.
Geometry = np.dtype(
    [
        ("width", np.uint64),  # W
        ("boxes", np.uint64),  # the bits of all boxes
        ("corners", np.uint64, (4, 2)),  # the bits in h and in v of each corner's outer edges
        ("rows", np.int64),
        ("square", np.bool_),
        ("last", np.uint64, 2),  # the highest bit in h and in v
        ("columns", np.uint64, 256),  # of a square board: a row's bits, made a column
    ]
)


def geometry(board: Board) -> np.void:
    """Describe a board.

    Raises:
      ValueError: it has more than ``ENGINE_DOTS`` dots.
    """
    rows, cols, width = board.rows, board.cols, board.cols + 1
    if board.num_dots > ENGINE_DOTS:
        raise ValueError(f"the exact engine takes boards of up to {ENGINE_DOTS} dots, got {board}")
    g: np.void = np.zeros(1, Geometry)[0]
    g["width"] = width
    g["boxes"] = sum(1 << (row * width + col) for row in range(rows) for col in range(cols))
    last_h, last_v = rows * width, (rows - 1) * width
    corners = [(0, 0), (cols - 1, cols), (last_h, last_v), (last_h + cols - 1, last_v + cols)]
    g["corners"] = [[1 << h, 1 << v] for h, v in corners]
    g["rows"], g["square"], g["last"] = rows, rows == cols, (last_h + cols - 1, last_v + cols)
    if rows == cols:
        places = range(width)
        g["columns"][: 1 << width] = [
            sum(1 << place * width for place in places if row >> place & 1)
            for row in range(1 << width)
        ]
    return g


def edge_bits(board: Board) -> np.ndarray:
    """Each edge's bit in ``h``, or 64 + its bit in ``v``, ``int64[E]``."""
    rows, cols, width = board.rows, board.cols, board.cols + 1
    horizontal = [row * width + col for row in range(rows + 1) for col in range(cols)]
    vertical = [64 + row * width + col for row in range(rows) for col in range(cols + 1)]
    return np.array(horizontal + vertical)


def words(bits: np.ndarray, edges: Bool[np.ndarray, "E"]) -> tuple[np.uint64, np.uint64]:
    """The open edges of a position as ``h`` and ``v``.

    Args:
      bits: from :func:`edge_bits`.
      edges: ``bool[E]``, the drawn edges.
    """
    made = [0, 0]
    for bit in bits[~np.asarray(edges, bool)].tolist():
        made[bit // 64] |= 1 << bit % 64
    return Word(made[0]), Word(made[1])


@jit
def draw(h: Any, v: Any, move: Any) -> Any:
    """Draw the edge with bit ``move`` of ``h``, or ``move - 64`` of ``v``."""
    if move < 64:
        return h & ~(ONE << Word(move)), v
    return h, v & ~(ONE << Word(move - 64))


@jit
def degrees(h: Any, v: Any, g: Any) -> Any:
    """The boxes with one, with two, and with three or four open edges."""
    top, bottom = h & g.boxes, (h >> g.width) & g.boxes
    left, right = v & g.boxes, (v >> ONE) & g.boxes
    odd = top ^ bottom ^ left ^ right
    two = (top & bottom) ^ (left & right) ^ ((top ^ bottom) & (left ^ right))
    four = top & bottom & left & right
    return odd & ~two, two & ~odd, (odd & two) | four


@jit
def open_boxes(h: Any, v: Any, g: Any) -> Any:
    """The boxes that have an open edge."""
    return (h | (h >> g.width) | v | (v >> ONE)) & g.boxes


@jit
def unfinished(h: Any, v: Any, g: Any) -> Any:
    """How many boxes have an open edge."""
    return count(open_boxes(h, v, g))


@jit
def neighbours(x: Any, h: Any, v: Any, g: Any) -> Any:
    """The boxes across an open edge from those in ``x``."""
    up, down = (x & h) >> g.width, (x & (h >> g.width)) << g.width
    left, right = (x & v) >> ONE, (x & (v >> ONE)) << ONE
    return (up | down | left | right) & g.boxes


@jit
def erase(x: Any, h: Any, v: Any, g: Any) -> Any:
    """Draw all edges of the boxes in ``x``."""
    return h & ~(x | (x << g.width)), v & ~(x | (x << ONE))


@jit
def grow(start: Any, within: Any, h: Any, v: Any, g: Any) -> Any:
    """The boxes reached from ``start`` through open edges and boxes in ``within``."""
    reached = start
    while True:
        grown = reached | (neighbours(reached, h, v, g) & within)
        if grown == reached:
            return reached
        reached = grown


@jit
def forced(h: Any, v: Any, g: Any) -> Any:
    """Close every box that can be closed, and how many could hand over the turn instead.

    In any order the same boxes fall: those that lose their open edges one by one from
    the leaves, as trees with at most one edge that leads elsewhere. To hand
    over the turn the mover leaves two boxes of a tree with such an edge, by drawing
    it last, or else four in a row of a tree without, by drawing the edge in their
    middle. Once is enough, and two are better than four.

    Returns:
      The boxes that fall; of them how many to leave to hand over the turn, 0 if that
      cannot be done; the open edges after all have fallen.
    """
    after_h, after_v = h, v
    leaves, _, _ = degrees(h, v, g)
    if not leaves:
        return 0, 0, h, v
    one = leaves
    while one:
        after_h, after_v = erase(one, after_h, after_v, g)
        one, _, _ = degrees(after_h, after_v, g)
    fallen = open_boxes(h, v, g) ^ open_boxes(after_h, after_v, g)
    beside = neighbours(fallen, h, v, g) & fallen
    above, below = h & ~(fallen << g.width), (h >> g.width) & ~(fallen >> g.width)
    left, right = v & ~(fallen << ONE), (v >> ONE) & ~(fallen >> ONE)
    leave = 0
    if beside & (above | below | left | right):
        leave = 2
    elif beside:
        inner = fallen & ~leaves
        leave = 4 if neighbours(inner, h, v, g) & inner else 0
    return count(fallen), leave, after_h, after_v


@jit
def in_all(rest: Any, taken: Any, leave: Any) -> Any:
    """The margin after :func:`forced`, from what the rest is worth to whoever opens it.

    The mover takes all of it or, if it can, leaves some to hand over the turn.
    """
    return taken - leave + abs(rest + leave) if leave else taken + rest
