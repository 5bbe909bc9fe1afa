"""azdab: AlphaZero for Dots and Boxes as a functional JAX program.

    >>> from azdab import Board, Position
    >>> Position(Board(3, 3)).play("h 0 1").scores
    (0, 0)

The public names below are loaded when they are first used: importing azdab does not start JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azdab.engine.engine import Engine
    from azdab.game.board import Board
    from azdab.game.position import Position
    from azdab.players.matches import play_match
    from azdab.players.registry import Player, make_player

__version__ = "0.1.0"

__all__ = ["Board", "Engine", "Player", "Position", "__version__", "make_player", "play_match"]

_HOMES = {
    "Board": "azdab.game.board",
    "Engine": "azdab.engine.engine",
    "Player": "azdab.players.registry",
    "Position": "azdab.game.position",
    "make_player": "azdab.players.registry",
    "play_match": "azdab.players.matches",
}


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'azdab' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
