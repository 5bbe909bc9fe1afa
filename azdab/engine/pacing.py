"""How much thinking fits into so many seconds on this machine: measured, once per engine."""

import time

import numpy as np

from azdab.engine import outlook
from azdab.exact import oracle
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.runs.networks import TrainedNetwork

_SIMULATIONS = 64  # of a search that is timed
_VISITS = 20_000  # of an alpha-beta search that is timed


def simulations_within(trained: TrainedNetwork, seconds: float, most: int) -> int:
    """Simulations of a network's search: a power of two, from 16 to ``most``.

    Each number is a program of its own to compile.
    """
    start = Position(trained.board)
    outlook.ask_position(trained, start, _SIMULATIONS)  # compiles
    begin = time.perf_counter()
    outlook.ask_position(trained, start, _SIMULATIONS)
    wanted = max(seconds * _SIMULATIONS / (time.perf_counter() - begin), 1)
    return int(min(max(2 ** int(np.log2(wanted)), 16), most))


def visits_within(board: Board, seconds: float) -> int:
    """Positions that the alpha-beta search visits, at least 1,000; 1,000 where there is none."""
    if not oracle.can_search(board):
        return 1000
    from azdab.exact import alphabeta

    searcher, rng = alphabeta.Searcher(board, _VISITS), np.random.default_rng(0)
    nothing = board.start_mask()
    searcher.choose(rng, nothing)  # compiles
    begin = time.perf_counter()
    searcher.choose(rng, nothing)
    return max(int(seconds * _VISITS / (time.perf_counter() - begin)), 1000)
