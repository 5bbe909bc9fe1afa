"""The earlier place of :mod:`azdab.players.matches`, for programs that were written for it."""

from azdab.players.matches import play_match

__all__ = ["play_match"]
