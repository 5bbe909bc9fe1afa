"""The exact ruler: what moves cost against perfect play.

A move is *optimal* if it loses no boxes, and it *keeps the outcome* if perfect play
after it still gets what perfect play before it got: a win, a draw or a loss, by
the final score. An optimal move always keeps the outcome.

In a position whose moves are all worth the same nothing can go wrong, so such positions
are left out of shares and means. For the same reason, the share that keeps the outcome
counts only positions where some move would change it. Losses per game are sums, and
count every move.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from azdab.exact import dense_table
from azdab.exact.dense_table import SolvedBoard
from azdab.exact.oracle import ILLEGAL, Oracle, has_choice
from azdab.game import geometry, rules
from azdab.game.board import Board
from azdab.learning.arena import MatchGames

PHASES = ("opening", "middle", "endgame")
"""See :func:`phases_of`."""

EDGES_PER_GROUP = 4
"""Figures by edges left are grouped: this many numbers of edges form one group."""


class Regret(NamedTuple):
    """Agent A's moves after the opening of a match against the truth.

    Attributes:
      loss: mean boxes of final margin lost per move.
      optimal: share of moves that lose nothing.
    """

    loss: float
    optimal: float


def regret(solved: SolvedBoard, match: MatchGames) -> Regret:
    """Boxes lost by A's moves in ``match``, of which there is at least one."""
    states, actions = match.states, np.asarray(match.actions)
    values = np.asarray(dense_table.exact_values(solved, states.edges))
    chosen = np.take_along_axis(values, actions[..., None], axis=-1)[..., 0]
    mine = np.asarray(states.to_play) == np.asarray(match.a_seat)
    mine &= ~np.asarray(match.random)
    loss = (values.max(axis=-1) - chosen)[mine]
    return Regret(loss=float(loss.mean()), optimal=float((loss == 0).mean()))


class Judgement(NamedTuple):
    """Moves against the truth, ``float64[N]`` each: probabilities if the mover is random.

    Attributes:
      optimal: whether the move loses no boxes.
      keeps: whether it keeps the outcome; NaN where every move does.
      loss: boxes of final margin lost.
    """

    optimal: np.ndarray
    keeps: np.ndarray
    loss: np.ndarray


class Quality(NamedTuple):
    """Means of judgements; NaN over no moves.

    Attributes:
      moves: number of moves.
      optimal: share of optimal moves.
      loss: boxes lost per move.
      stakes: in how many positions the outcome was at stake.
      keeps: share of moves there that keep it.
    """

    moves: int
    optimal: float
    loss: float
    stakes: int
    keeps: float


class GameLosses(NamedTuple):
    """What A lost in each game of a match.

    Attributes:
      loss: boxes, ``int64[G]``; moves whose truth is not known count nothing.
      judgement: of A's moves that posed a question.
      edges: ``bool[N, E]``, the positions of those moves.
    """

    loss: np.ndarray
    judgement: Judgement
    edges: np.ndarray


def _judge_all(values: np.ndarray, margin: np.ndarray) -> Judgement:
    """Every move of every position, ``float64[N, E]``; meaningless where illegal."""
    wide = values.astype(np.float64)
    best = wide.max(axis=-1, keepdims=True)
    lead = margin[:, None]
    keeps = np.sign(lead + wide) == np.sign(lead + best)
    at_stake = (~keeps & (values != ILLEGAL)).any(axis=-1, keepdims=True)
    return Judgement(
        optimal=(wide == best).astype(np.float64),
        keeps=np.where(at_stake, keeps, np.nan),
        loss=best - wide,
    )


def judge(values: np.ndarray, margin: np.ndarray, actions: np.ndarray) -> Judgement:
    """Judge one move per position.

    Args:
      values: ``int8[N, E]``, exact action values.
      margin: ``int[N]``, the movers' leads in boxes.
      actions: ``int[N]``, the moves, all legal.
    """
    rows = np.arange(len(actions))
    return Judgement(*(field[rows, actions] for field in _judge_all(values, margin)))


def judge_random(values: np.ndarray, margin: np.ndarray) -> Judgement:
    """What a uniformly random move is worth on average."""
    legal = values != ILLEGAL
    return Judgement(
        *(
            np.where(legal, field, 0).sum(axis=-1) / legal.sum(axis=-1)
            for field in _judge_all(values, margin)
        )
    )


def quality(judgement: Judgement, mask: np.ndarray | None = None) -> Quality:
    """Mean of the judgements, or of those where ``bool[N]`` is True."""
    optimal, keeps, loss = (field if mask is None else field[mask] for field in judgement)
    keeps = keeps[~np.isnan(keeps)]

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return Quality(len(optimal), mean(optimal), mean(loss), len(keeps), mean(keeps))


def phases_of(board: Board, edges: np.ndarray) -> np.ndarray:
    """The phase of each position, ``int[N]``, an index into ``PHASES``.

    The endgame begins when no move is safe: each closes a box or lets the opponent
    close one. Before it, the opening lasts until half of the moves are made.
    """
    safe = geometry.safe_edges(board, edges).any(axis=-1)
    early = 2 * (edges.sum(axis=-1) - len(board.start_edges)) < board.num_plies
    return np.where(safe, np.where(early, 0, 1), 2)


def edge_groups(edges: np.ndarray) -> np.ndarray:
    """The group of each position by edges left, ``int[N]``; see :func:`edge_labels`."""
    return (np.sum(~edges, axis=-1) - 1) // EDGES_PER_GROUP


def edge_labels(max_edges: int) -> list[str]:
    """Names of the groups of positions with 1 to ``max_edges`` edges left."""
    starts = range(1, max_edges + 1, EDGES_PER_GROUP)
    return [f"{first}-{min(first + EDGES_PER_GROUP - 1, max_edges)}" for first in starts]


def breakdown(
    judgement: Judgement, groups: np.ndarray, labels: Sequence[str]
) -> dict[str, Quality]:
    """Quality per group; ``groups`` is ``int[N]``, indices into ``labels``."""
    return {label: quality(judgement, groups == i) for i, label in enumerate(labels)}


def game_losses(known: Oracle, match: MatchGames) -> GameLosses:
    """Judge A's moves after the opening, as far as the truth is known."""
    edges = np.asarray(match.states.edges)
    mine = np.asarray((match.states.to_play == match.a_seat) & ~match.random) & known.known(edges)
    edges = edges[mine]
    values = known.action_values(edges)
    margin = np.asarray(rules.margin(match.states))[mine]
    judged = judge(values, margin, np.asarray(match.actions)[mine])
    loss = np.bincount(np.nonzero(mine)[1], judged.loss, len(match.margin)).astype(np.int64)
    asks = has_choice(values)
    return GameLosses(loss, Judgement(*(field[asks] for field in judged)), edges[asks])
