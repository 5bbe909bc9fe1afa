"""How hard the engine tries, and how long."""

from typing import NamedTuple

from azdab.common.errors import UserError
from azdab.common.limits import TIMED_EDGES


class Level(NamedTuple):
    """How hard the engine tries, in counts: its moves are the same on every machine.

    Attributes:
      simulations: of the search per move; 0: the network alone, -1: simple rules.
      edges: play exactly with at most this many edges left; 0: never.
      nodes: most positions the exact solver may look at for one move.
      visits: positions that the alpha-beta search visits for a move, on boards without a
        network; None: 300 for each simulation.
    """

    simulations: int
    edges: int
    nodes: int = 300_000
    visits: int | None = None


class Pace(NamedTuple):
    """How long the engine thinks; then a level that searches does so until the time is up.

    Attributes:
      move: seconds for each move; None: no limit.
      game: seconds for all moves of a game, of each side; None: no limit.
      ponder: whether to think on the opponent's time too; only where there is a limit.
    """

    move: float | None = None
    game: float | None = None
    ponder: bool = False

    @property
    def usual(self) -> float | None:
        """Seconds that a hard move may take; None: no limit."""
        share = None if self.game is None else self.game / 20
        return share if self.move is None else self.move


LEVELS = {
    "easy": Level(-1, 0),
    "medium": Level(0, 0),
    "hard": Level(256, 44, 500_000),
    "max": Level(2048, TIMED_EDGES, 5_000_000),
}
"""``easy`` takes boxes and avoids giving them away; ``medium`` is the network alone; ``hard``
thinks for a fraction of a second, ``max`` for some seconds. On boards without a network
``medium`` gives away as little as possible, and the others search by alpha-beta."""

DEFAULT_LEVEL = "hard"


def level_named(name: str) -> Level:
    """The level of a name.

    Raises:
      UserError: there is none.
    """
    if name not in LEVELS:
        raise UserError(f"the levels are {', '.join(LEVELS)}; got '{name}'")
    return LEVELS[name]
