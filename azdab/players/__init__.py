"""Players by name, on the host, and matches between them.

May import engine and the rooms below. ``registry`` makes them from their specifications.
"""

from azdab.players.choosers import from_chooser
from azdab.players.matches import play_match
from azdab.players.registry import Player, make_player
from azdab.players.registry import make_player as make  # its earlier name

__all__ = ["Player", "from_chooser", "make", "make_player", "play_match"]
