"""The earlier place of :mod:`azdab.game.position`, for programs that were written for it."""

from azdab.game.position import IllegalMoveError, Position

__all__ = ["IllegalMoveError", "Position"]
