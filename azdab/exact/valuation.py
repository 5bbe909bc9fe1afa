"""STUB until h-exact is merged."""

from typing import NamedTuple

import numpy as np

from azdab.exact.solver import Solver


class GameValues(NamedTuple):
    value: np.ndarray
    first: np.ndarray
    optimal: np.ndarray
    first_optimal: np.ndarray


class GameTeacher:
    def __init__(self, board, positions, threads=None):
        self.board, self.positions = board, positions

    def __call__(self, moves, value, plies):
        b, e = len(moves), self.board.num_edges
        out = GameValues(
            np.zeros((b, plies), np.int8),
            np.full(b, plies, np.int32),
            np.zeros((b, plies, e), bool),
            np.full(b, plies, np.int32),
        )
        for g in range(b):
            solver, left = Solver(self.board, 12), self.positions
            for p in range(plies - 1, -1, -1):
                edges = self.board.start_mask().copy()
                edges[moves[g, :p]] = True
                values = solver.action_values(edges, left)
                if values is None:
                    break
                left -= solver.nodes
                out.value[g, p] = values.max()
                out.optimal[g, p] = values == values.max()
                out.first[g] = out.first_optimal[g] = p
        return out
