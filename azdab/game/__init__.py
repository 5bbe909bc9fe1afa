"""Dots and Boxes: the board, the rules, positions as people see them, records.

May import common. Knows of no network, search or player. Programs on the device use
:mod:`azdab.game.rules`; people's programs use :class:`Position`.
"""

from azdab.game.board import Board
from azdab.game.position import Position

__all__ = ["Board", "Position"]
