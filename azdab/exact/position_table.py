"""The transposition table of :mod:`azdab.exact.chain_search`: what is known of positions.

An entry holds the whole position, so nothing rests on a hash: the words ``h`` and ``v``, a word
of facts, and a check. Two entries lie in one line of memory. The first keeps the position
that took more work; the second is always replaced.

Several threads may share a table without locks. An entry that was half written by one and
half by another fails its check and counts as unknown.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from azdab.common.limits import TABLE_ENTRY_BYTES
from azdab.exact.bitboard import ONE, Word, jit

_ENTRY_WORDS, _LINE_WORDS = TABLE_ENTRY_BYTES // 8, 8


@intrinsic
def _fetch(typing_context: Any, table: Any, index: Any) -> Any:
    """Have the processor fetch the row of a two-dimensional array of words."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        start = builder.mul(args[1], ir.Constant(ir.IntType(64), _ENTRY_WORDS))
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag]),
            "llvm.prefetch.p0i8",
        )
        place = builder.bitcast(builder.gep(array.data, [start]), byte)
        # To be read, and soon again, as data.
        builder.call(function, [place, *(ir.Constant(flag, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(table, types.int64), generate


fetch: Any = _fetch


def new_table(bits: int) -> np.ndarray:
    """A table without entries, ``uint64[2^bits, 4]``. There are at least two: they lie in pairs."""
    size = _ENTRY_WORDS << max(bits, 1)
    memory = np.zeros(size + _LINE_WORDS, np.uint64)
    skip = -(memory.ctypes.data // memory.itemsize) % _LINE_WORDS
    return memory[skip : skip + size].reshape(-1, _ENTRY_WORDS)


@jit
def slot(h: Any, v: Any, alone: Any, table: Any) -> Any:
    """The first of the two rows where a position may be."""
    x = h * Word(0x9E3779B97F4A7C15) ^ (v + Word(0x632BE59BD9B4E019)) * Word(0xC2B2AE3D27D4EB4F)
    x ^= (alone + Word(0x165667B19E3779F9)) * Word(0x27D4EB2F165667C5)
    x = (x ^ (x >> Word(32))) * Word(0xD6E8FEB86659FD93)
    return np.int64((x ^ (x >> Word(29))) & Word(len(table) - 2))


@jit
def _check(h: Any, v: Any, facts: Any) -> Any:
    return (h ^ facts) * Word(0x9E3779B97F4A7C15) ^ v


@jit
def _row(i: Any, h: Any, v: Any, alone: Any, table: Any) -> Any:
    """The row of the two from ``i`` on that holds a position, and its facts; -1 if none."""
    for row in range(i, i + 2):
        facts = table[row, 2]
        here = table[row, 0] == h and table[row, 1] == v and facts >> Word(32) == alone
        # An unused entry looks like the finished game, but took no work.
        if here and facts & Word(255) and table[row, 3] == _check(h, v, facts):
            return row, facts
    return -1, Word(0)


@jit
def _unpacked(facts: Any) -> Any:
    """The bounds and the best move that a word of facts holds."""
    low, high = np.int64(facts >> Word(24) & Word(255)), np.int64(facts >> Word(16) & Word(255))
    return low - 128, high - 128, np.int64(facts >> Word(8) & Word(255))


@jit
def look_up(i: Any, h: Any, v: Any, alone: Any, table: Any) -> Any:
    """The bounds and the best move stored for the position of slot ``i``.

    -128, 127 and 255 if nothing is known of it.
    """
    row, facts = _row(i, h, v, alone, table)
    if row < 0:
        return -128, 127, 255
    return _unpacked(facts)


@jit
def store(
    i: Any, h: Any, v: Any, alone: Any, low: Any, high: Any, move: Any, nodes: Any, table: Any
) -> None:
    """Remember the bounds and the best move of the position of slot ``i``.

    ``nodes`` is how many positions were looked at for that, at least one.
    """
    work = Word(0)
    while nodes:
        work, nodes = work + ONE, nodes >> 1
    facts = alone << Word(32) | Word(low + 128) << Word(24) | Word(high + 128) << Word(16)
    facts |= Word(move) << Word(8) | work
    row, _ = _row(i, h, v, alone, table)
    if row < 0:
        row = i + 1
        if work >= table[i, 2] & Word(255):
            # Not a row at once: numba takes seconds to compile that.
            for word in range(_ENTRY_WORDS):
                table[i + 1, word] = table[i, word]
            row = i
    table[row, 0], table[row, 1], table[row, 2] = h, v, facts
    table[row, 3] = _check(h, v, facts)


@jit
def _insert_all(rows: Any, table: Any) -> None:
    for i in range(len(rows)):
        h, v, facts, check = rows[i]
        work = facts & Word(255)
        if work and check == _check(h, v, facts):
            alone = facts >> Word(32)
            low, high, move = _unpacked(facts)
            nodes = np.int64(ONE << (work - ONE))
            store(slot(h, v, alone, table), h, v, alone, low, high, move, nodes, table)


def copy_entries(old: np.ndarray, table: np.ndarray) -> None:
    """Take over what another table of the same board holds, which may have another size."""
    if len(old) == len(table):
        table[:] = old
        return
    for start in range(0, len(old), 1 << 18):
        _insert_all(np.array(old[start : start + (1 << 18)]), table)
