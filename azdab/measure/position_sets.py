"""The position sets on which exactness is measured: fixed by their seeds.

Every set holds only positions whose exact values are known and whose moves differ in
value: elsewhere no move is wrong.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from azdab.exact.oracle import Oracle, has_choice
from azdab.game import geometry, rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning.arena import MatchGames
from azdab.players import host_players, matches

NOISE = 0.25
"""Share of random moves by the weaker side of the noisy set."""

_ROUNDS = 8  # to fill a set, at most this many times its size is looked at


class PositionSet(NamedTuple):
    """Positions with the truth about them.

    Attributes:
      edges: ``bool[N, E]``, the drawn edges.
      margin: ``int32[N]``, the mover's lead in boxes so far.
      values: ``int8[N, E]``, the mover's optimal future margin after each move.
    """

    edges: np.ndarray
    margin: np.ndarray
    values: np.ndarray


def states_of_set(board: Board, positions: PositionSet) -> State:
    """The positions as states, in numpy, in which the first player is to move."""
    closed = geometry.closed_boxes(board, positions.edges)
    scores = np.stack([closed + positions.margin, closed - positions.margin], axis=-1) // 2
    fields: dict[str, Any] = {
        "edges": positions.edges,
        "scores": scores.astype(np.int16),
        "to_play": np.zeros(len(closed), np.int8),
    }
    return State(**fields)


def select(
    truth: Oracle, edges: np.ndarray, margin: np.ndarray, count: int, seed: int
) -> PositionSet:
    """A random sample of the positions that pose a question, at most ``count``.

    Args:
      truth: the truth.
      edges: ``bool[N, E]``; positions that are not known are left out.
      margin: ``int[N]``, the movers' leads.
      count: size of the sample; it is smaller if there are fewer.
      seed: of the sample.
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(truth.known(edges)))
    kept: list[PositionSet] = []
    found = 0
    for start in range(0, min(len(order), _ROUNDS * count), max(count, 1)):
        rows = order[start : start + count]
        values = truth.action_values(edges[rows])
        asks = np.flatnonzero(has_choice(values))[: count - found]
        kept.append(PositionSet(edges[rows][asks], margin[rows][asks], values[asks]))
        found += len(asks)
        if found == count:
            break
    nothing = PositionSet(edges[:0], margin[:0], np.zeros((0, edges.shape[-1]), np.int8))
    return PositionSet(*(np.concatenate(parts) for parts in zip(nothing, *kept, strict=True)))


def random_subsets(truth: Oracle, count: int, seed: int) -> PositionSet:
    """Random sets of drawn edges, equally many of each size; closed boxes are shared at random."""
    board = truth.board
    rng = np.random.default_rng(seed)
    candidates = _ROUNDS * count
    left = rng.integers(2, truth.max_edges + 1, candidates)
    order = rng.random((candidates, board.num_edges))
    order[:, list(board.start_edges)] = 1  # the last to be left open
    edges = order.argsort(axis=-1).argsort(axis=-1) >= left[:, None]
    closed = geometry.closed_boxes(board, edges)
    margin = 2 * rng.binomial(closed, 0.5) - closed
    return select(truth, edges, margin.astype(np.int32), count, seed)


def from_match(
    truth: Oracle, match: MatchGames, count: int, seed: int, *, only_a: bool
) -> PositionSet:
    """Positions of played games after their openings, of A's moves only or of both sides'."""
    wanted = ~np.asarray(match.random)
    if only_a:
        wanted &= np.asarray(match.states.to_play == match.a_seat)
    edges = np.asarray(match.states.edges)[wanted]
    return select(truth, edges, np.asarray(rules.margin(match.states))[wanted], count, seed)


def noisy_play(truth: Oracle, count: int, seed: int) -> PositionSet:
    """Positions of strong play against play with errors, with either side to move."""
    strong = host_players.strong(truth)
    pairs = max(1, -(-_ROUNDS * count // (2 * truth.max_edges)))
    openings = matches.random_openings(truth.board, pairs, 2, seed)
    acts = (strong, host_players.noisy(strong, NOISE))
    match = matches.play_pairs(truth.board, acts, openings, jax.random.key(seed))
    return from_match(truth, match, count, seed, only_a=False)
