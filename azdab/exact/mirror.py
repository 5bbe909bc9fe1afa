"""One position for all its mirror images: the images of a board as operations on its bits."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from azdab.exact.bitboard import ONE, Word, jit


@intrinsic
def _reversed_bits(typing_context: Any, x: Any) -> Any:
    """A word with its bits in reverse order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        name = "llvm.bitreverse.i64"
        known = builder.module.globals.get(name)
        function = known or ir.Function(builder.module, ir.FunctionType(word, [word]), name)
        return builder.call(function, args)

    return types.uint64(types.uint64), generate


# Compiled code calls it without the context.
reversed_bits: Any = _reversed_bits


@jit
def _turned(h: Any, v: Any, g: Any) -> Any:
    """By half a turn: the last edge becomes the first."""
    top = Word(63)
    return reversed_bits(h) >> (top - g.last[0]), reversed_bits(v) >> (top - g.last[1])


@jit
def _upside_down(h: Any, v: Any, g: Any) -> Any:
    row_bits = (ONE << g.width) - ONE
    new_h, new_v = Word(0), Word(0)
    for _ in range(g.rows):
        new_h, new_v = (new_h | (h & row_bits)) << g.width, (new_v << g.width) | (v & row_bits)
        h, v = h >> g.width, v >> g.width
    return new_h | h, new_v


@jit
def _transposed(h: Any, v: Any, g: Any) -> Any:
    """Of a square board. Of a corner with one edge left the horizontal one stays open."""
    row_bits = (ONE << g.width) - ONE
    new_h, new_v = Word(0), Word(0)
    for row in range(g.rows + 1):
        new_v |= g.columns[np.int64(h & row_bits)] << Word(row)
        new_h |= g.columns[np.int64(v & row_bits)] << Word(row)
        h, v = h >> g.width, v >> g.width
    for i in range(4):
        outer_h, outer_v = g.corners[i, 0], g.corners[i, 1]
        if new_v & outer_v and not new_h & outer_h:
            new_h, new_v = new_h | outer_h, new_v ^ outer_v
    return new_h, new_v


@jit
def first_image(h: Any, v: Any, g: Any) -> Any:
    """The least of a position's mirror images, which is the same for all of them.

    Of a corner with one edge left, the horizontal one must be open.
    """
    least_h, least_v = h, v
    for turn in range(2):
        if turn:
            if not g.square:
                break
            h, v = _transposed(h, v, g)
        for mirror in range(2):
            if mirror:
                h, v = _upside_down(h, v, g)
            other_h, other_v = _turned(h, v, g)
            if h < least_h or (h == least_h and v < least_v):
                least_h, least_v = h, v
            if other_h < least_h or (other_h == least_h and other_v < least_v):
                least_h, least_v = other_h, other_v
    return least_h, least_v
