"""A time for all moves of a game: what is not spent on easy moves is there for the hard ones."""

import collections

from azdab.common.limits import TIMED_EDGES
from azdab.game.position import Position

_PROVEN_EDGES = 34  # with so few edges left, a proof takes hardly any time
_EARLY = 0.15  # the share of a move from which no proof reaches the end, where a hard one has 1
_SAVED = 0.1  # of the time: for moves that take longer than was thought
_LEAST = 0.001  # seconds for a move of someone whose time is up
_REMEMBERED = 10_000  # positions


def share_of_time(left: int, seconds: float) -> float:
    """How many of the seconds left in a game a move may take.

    Args:
      left: edges that are not drawn yet.
      seconds: that the player has for this move and all later ones.

    A hard move, from which a proof may be in reach, gets more than an early one:

    >>> share_of_time(40, 60.0) > 3 * share_of_time(60, 60.0)
    True
    """

    def weight(edges: int) -> float:
        return _EARLY if edges > TIMED_EDGES else 1.0

    # Of the moves to come, each player makes about every second.
    others = sum(weight(edges) for edges in range(left - 2, _PROVEN_EDGES, -2))
    return max(seconds * (1 - _SAVED) * weight(left) / (weight(left) + 1.0 + others), _LEAST)


class GameClock:
    """How much of its time each side has spent, in any number of games at once.

    A game is known by its moves. So moves may be taken back, and then the time is what it was.

    Args:
      seconds: that a side has for all its moves.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # What a side has left, by the moves after one of its own, or before the one it is to make.
        self._left: collections.OrderedDict[tuple[tuple[int, ...], int], float] = (
            collections.OrderedDict()
        )

    def left(self, position: Position) -> float:
        """Seconds that whoever is to move has for this move and all later ones."""
        side = position.to_play
        for ply in range(len(position.moves), -1, -1):
            known = self._left.get((position.moves[:ply], side))
            if known is not None:
                return known
        return self._seconds

    def set_left(self, position: Position, seconds: float) -> None:
        """Say how many seconds whoever is to move has left."""
        self._note(position.moves, position.to_play, seconds)

    def spend(self, position: Position, edge: int, seconds: float) -> None:
        """Note that a move took whoever played it so many seconds."""
        left = max(self.left(position) - seconds, 0.0)
        self._note((*position.moves, edge), position.to_play, left)

    def _note(self, moves: tuple[int, ...], side: int, seconds: float) -> None:
        self._left[moves, side] = seconds
        self._left.move_to_end((moves, side))
        while len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
