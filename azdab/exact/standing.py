"""What is only a length: chains and loops that stand alone, set aside in one word.

Where such a chain or loop lies does not matter, so a position is its open edges without them
and the word *alone*, which counts them. Three facts make the word small. ``v(X)`` is the
mover's margin in a quiet position ``X``, ``c`` a chain of so many boxes that stands alone and
``H`` anything:

* **Two equal short chains cancel**: ``v(H + c1 + c1) = v(H)``, and the same with ``c2``. Whoever
  opens the one is answered with the other, which costs as much.
* **Chains of four or more boxes are one**: ``v(H + ca + cb) = v(H + c(a + b - 4))`` if ``a`` and
  ``b`` are at least 4. Whoever keeps control pays 2 boxes for a chain and the other player
  gets them, so a chain of four is worth nothing beside another.
* **Loops of eight or more are one**: a loop of ``a`` and one of ``b`` are one of ``a + b - 8``.

Proof of the second, the third is alike. Opening ``cn`` is worth ``-(n - 2 + |x + 2|)`` where ``x``
is the value of the rest. By induction over the moves, values with ``cm`` and ``cn`` differ by
at most ``|m - n|`` for lengths from 3 on. Let ``n = a + b - 4``, ``w = v(H + cn)`` and
``y = v(H + cb)``, and let the fact be known after every move in ``H``. Such moves are
equal on both sides; what remains is opening a chain. On the left, opening ``ca`` is worth at
most ``w``: if ``y <= -2`` it is ``y - (a - 4) <= w``, and otherwise ``-a - y <= y - (a - 4) <= w``.
If ``w`` is that of opening ``cn``, opening ``ca`` reaches it: then ``y >= w + a - 4``, which gives
``-(a - 2) + (y + 2) >= w`` if ``y <= -2``; otherwise ``-a - y >= w`` follows from
``y <= w + a - 4`` and ``w <= -(n - 2) <= 2 - a``.
"""

from typing import Any

import numpy as np

from azdab.exact.bitboard import ONE, Word, count, degrees, erase, grow, jit, neighbours

# The bits of the word: whether there is a chain of one box, and of two; from these bits on
# how many chains of three boxes, loops of four and loops of six; and how long are the one
# chain of at least four boxes and the one loop of at least eight, 0 if there is none.
_THREES, _FOURS, _SIXES, _CHAIN, _LOOP = Word(2), Word(7), Word(12), Word(16), Word(23)
ALONE_BITS = 30
"""Bits of the word that counts what stands alone."""


@jit
def _field(alone: Any, place: Any, bits: Any) -> Any:
    return np.int64((alone >> place) & ((ONE << Word(bits)) - ONE))


@jit
def boxes_alone(alone: Any) -> Any:
    """How many boxes the chains and loops have that are counted."""
    return (
        _field(alone, Word(0), 1)
        + 2 * _field(alone, ONE, 1)
        + 3 * _field(alone, _THREES, 5)
        + 4 * _field(alone, _FOURS, 5)
        + 6 * _field(alone, _SIXES, 4)
        + _field(alone, _CHAIN, 7)
        + _field(alone, _LOOP, 7)
    )


@jit
def with_chain(alone: Any, length: Any) -> Any:
    """The word with one more chain of so many boxes."""
    if length < 3:
        return alone ^ Word(length)
    if length == 3:
        return alone + (ONE << _THREES)
    more = length - 4 if _field(alone, _CHAIN, 7) else length
    return alone + (Word(more) << _CHAIN)


@jit
def with_loop(alone: Any, length: Any) -> Any:
    """The word with one more loop of so many boxes."""
    if length < 8:
        return alone + (ONE << (_FOURS if length == 4 else _SIXES))
    more = length - 8 if _field(alone, _LOOP, 7) else length
    return alone + (Word(more) << _LOOP)


@jit
def open_alone(alone: Any, kind: Any) -> Any:
    """Open the shortest of a kind; the longer ones need not be opened.

    Args:
      alone: the word.
      kind: 0: chains of one or two boxes, 1: longer chains, 2: loops.

    Returns:
      The boxes that the opponent takes or leaves, 0 if there is nothing of the kind; how many
      it leaves when it hands the turn back; and the word after that.
    """
    if kind == 0:
        if alone & ONE:
            return 1, 0, alone ^ ONE
        if alone & Word(2):
            return 2, 0, alone ^ Word(2)
    elif kind == 1:
        if _field(alone, _THREES, 5):
            return 3, 2, alone - (ONE << _THREES)
        length = _field(alone, _CHAIN, 7)
        return length, 2, alone - (Word(length) << _CHAIN)
    else:
        if _field(alone, _FOURS, 5):
            return 4, 4, alone - (ONE << _FOURS)
        if _field(alone, _SIXES, 4):
            return 6, 4, alone - (ONE << _SIXES)
        length = _field(alone, _LOOP, 7)
        return length, 4, alone - (Word(length) << _LOOP)
    return 0, 0, alone


@jit
def set_apart(h: Any, v: Any, alone: Any, start: Any, g: Any) -> Any:
    """Move chains and loops that stand alone out of a quiet position into the word.

    The two outer edges of a corner box are interchangeable: the horizontal one stays open.

    Where it has come to stand alone lately it must have a box in ``start``.

    Returns:
      The open edges of the rest, and the word.
    """
    for i in range(4):
        outer_h, outer_v = g.corners[i, 0], g.corners[i, 1]
        if v & outer_v and not h & outer_h:
            h, v = h | outer_h, v ^ outer_v
    _, two, more = degrees(h, v, g)
    todo = two & start
    while todo:
        chain = grow(todo & (~todo + ONE), two, h, v, g)
        todo &= ~chain
        if neighbours(chain, h, v, g) & more:
            continue
        length = count(chain)
        down = chain & (chain >> g.width) & (h >> g.width)
        right = chain & (chain >> ONE) & (v >> ONE)
        if count(down) + count(right) == length:
            alone = with_loop(alone, length)
        else:
            alone = with_chain(alone, length)
        h, v = erase(chain, h, v, g)
    return h, v, alone
