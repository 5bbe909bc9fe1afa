"""The exact ruler: what moves cost against perfect play."""

from typing import NamedTuple

import numpy as np

from azdab import agents
from azdab.agents import SolvedBoard
from azdab.arena import Match
from azdab.game import Board

MAX_EXACT_EDGES = 24
"""Boards with at most this many edges are solved whole: 2^24 bytes, under a second."""


class Regret(NamedTuple):
    """Agent A's moves in a match against the truth.

    Attributes:
      loss: mean boxes of final margin lost per move.
      optimal: share of moves that lose nothing.
      loss_choice, optimal_choice: the same over positions where moves differ in value.
      by_ply: ``float64[E]``, mean loss per move at each ply; NaN where A had none.
      num_moves: moves counted; the random opening is not.
    """

    loss: float
    optimal: float
    loss_choice: float
    optimal_choice: float
    by_ply: np.ndarray
    num_moves: int


def can_solve(board: Board) -> bool:
    """Whether the whole board can be solved for :func:`regret`."""
    return board.num_edges <= MAX_EXACT_EDGES


def regret(solved: SolvedBoard, match: Match) -> Regret:
    """Boxes lost by A's moves in ``match``."""
    edges = np.asarray(match.states.edges)
    values = np.asarray(agents.exact_values(solved, match.states.edges))
    best = values.max(axis=-1)
    worst = np.where(edges, best[..., None], values).min(axis=-1)
    chosen = np.take_along_axis(values, np.asarray(match.actions)[..., None], axis=-1)[..., 0]
    mine = (np.asarray(match.states.to_play) == np.asarray(match.a_seat)) & ~np.asarray(
        match.random
    )
    loss = np.where(mine, best - chosen, 0)
    choice = mine & (worst < best)
    moves = mine.sum(axis=1)
    by_ply = np.where(moves > 0, loss.sum(axis=1) / np.maximum(moves, 1), np.nan)
    return Regret(
        loss=float(loss.sum() / mine.sum()),
        optimal=float((mine & (loss == 0)).sum() / mine.sum()),
        loss_choice=float(loss[choice].mean()),
        optimal_choice=float((loss[choice] == 0).mean()),
        by_ply=by_ply,
        num_moves=int(mine.sum()),
    )
