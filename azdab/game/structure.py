"""What a strong player counts: chains, loops, and who will control the end of the game."""

from typing import NamedTuple

import numpy as np

from azdab.game import geometry
from azdab.game.board import boxes_beside
from azdab.game.position import Position

LONG = 3
"""A chain of at least this many boxes is long: its taker can leave the last two, and so keep
control."""


class Chain(NamedTuple):
    """Open boxes that fall together: two or three edges of each are drawn.

    Attributes:
      boxes: in ascending order.
      is_loop: whether it closes on itself; a loop has no ends.
    """

    boxes: tuple[int, ...]
    is_loop: bool

    @property
    def is_long(self) -> bool:
        """Whether it has three boxes or more, so that its taker can leave the last two."""
        return not self.is_loop and len(self.boxes) >= LONG


def chains_of(position: Position) -> list[Chain]:
    """All chains and loops, single boxes too, in the order of their first boxes."""
    around, beside = position.board.box_edges().tolist(), boxes_beside(position.board)
    open_edges = [[e for e in edges if not position.edges[e]] for edges in around]
    member = [len(edges) in (1, 2) for edges in open_edges]
    found: list[Chain] = []
    seen: set[int] = set()
    for start in range(position.board.num_boxes):
        if not member[start] or start in seen:
            continue
        boxes, border, ends = {start}, [start], 0
        while border:
            box = border.pop()
            ends += len(open_edges[box]) == 1
            for edge in open_edges[box]:
                others = [other for other in beside[edge] if other != box]
                if not others or not member[others[0]]:
                    ends += 1
                elif others[0] not in boxes:
                    boxes.add(others[0])
                    border.append(others[0])
        seen |= boxes
        found.append(Chain(tuple(sorted(boxes)), is_loop=not ends))
    return found


def long_chains(position: Position) -> int:
    """How many long chains there are now."""
    return sum(chain.is_long for chain in chains_of(position))


def double_crosses(position: Position) -> int:
    """How many moves have closed two boxes at once."""
    order = np.array(position.moves, int)
    history = np.tile(position.board.start_mask(), (len(order) + 1, 1))
    for ply, edge in enumerate(order.tolist(), 1):
        history[ply:, edge] = True
    return int((np.diff(geometry.closed_boxes(position.board, history)) == 2).sum())


def controller(position: Position) -> int:
    """Who will be in control if the number of long chains does not change.

    The long chain rule (Berlekamp, The Dots and Boxes Game, 2000): a game has as many
    turns as dots and double-crosses together, so the first player wants dots, long chains
    and double-crosses made so far to be an even number. Whether that comes true is what
    the middle of the game is about: before its end this names the winner no better than chance.

    A line drawn at the start is a turn less: with Euler's formula a game has as many turns
    as open edges at the start, less boxes, plus double-crosses, plus one. On the Swedish
    board those are the inner dots and the double-crosses.

    Returns:
      0 for the first player, 1 for the second.
    """
    board = position.board
    turns = board.num_dots - len(board.start_edges)
    return (turns + long_chains(position) + double_crosses(position)) % 2
