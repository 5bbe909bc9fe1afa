"""Counting the edges of a board, and the lines that its variants have drawn from the start.

Plain arithmetic: settings need it as well as :class:`azdab.game.board.Board`. A further variant
is a name in :data:`Variant` and a function in :data:`VARIANTS`.
"""

import functools
from collections.abc import Callable
from typing import Literal

Variant = Literal["plain", "swedish", "icelandic"]
"""The kinds of boards by the lines that are drawn before the first move."""

PLAIN: Variant = "plain"
"""The board without lines."""


def count_horizontal(rows: int, cols: int) -> int:
    """Number of horizontal edges: the index of the first vertical one."""
    return (rows + 1) * cols


def count_edges(rows: int, cols: int) -> int:
    """Number of edges of a board of ``rows x cols`` boxes.

    >>> count_edges(5, 5)
    60
    """
    return count_horizontal(rows, cols) + rows * (cols + 1)


def _bottom(rows: int, cols: int) -> set[int]:
    return {rows * cols + col for col in range(cols)}


def _left(rows: int, cols: int) -> set[int]:
    return {count_horizontal(rows, cols) + row * (cols + 1) for row in range(rows)}


def _icelandic(rows: int, cols: int) -> set[int]:
    """The lines on the left and at the bottom."""
    return _left(rows, cols) | _bottom(rows, cols)


def _swedish(rows: int, cols: int) -> set[int]:
    """All outer lines."""
    right = {edge + cols for edge in _left(rows, cols)}
    return _icelandic(rows, cols) | right | set(range(cols))


VARIANTS: dict[Variant, Callable[[int, int], set[int]]] = {
    "plain": lambda rows, cols: set(),
    "swedish": _swedish,
    "icelandic": _icelandic,
}
"""For each variant the edges drawn at the start of a board of ``rows x cols`` boxes."""


@functools.cache
def start_edges(rows: int, cols: int, variant: str) -> tuple[int, ...]:
    """The edges drawn before the first move, in ascending order.

    >>> start_edges(1, 2, "icelandic")
    (2, 3, 4)

    Args:
      rows: of boxes, at least one.
      cols: of boxes, at least one.
      variant: a name in :data:`VARIANTS`.

    Raises:
      ValueError: there is no such variant, or a box would be closed before the first move.
    """
    drawn = next((lines for name, lines in VARIANTS.items() if name == variant), None)
    if drawn is None:
        raise ValueError(f"the kinds of boards are {', '.join(VARIANTS)}, got {variant!r}")
    start = drawn(rows, cols)
    first = count_horizontal(rows, cols)
    for row in range(rows):
        for col in range(cols):
            top, left = row * cols + col, first + row * (cols + 1) + col
            if {top, top + cols, left, left + 1} <= start:
                raise ValueError(f"{rows}x{cols} is too small for a board of kind {variant}")
    return tuple(sorted(start))
