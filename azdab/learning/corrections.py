"""What is found out about games after they were played: exact values far from the end.

The device finishes every game by itself, so nothing waits for the host. Meanwhile the host's
exact engine works backward along the games of the iteration before
(:mod:`azdab.exact.valuation`), and what it finds replaces the targets of their examples in
the replay, always at the same point of the next iteration.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from azdab.common.config import Config
from azdab.exact.valuation import GameValues
from azdab.game import geometry
from azdab.game.board import Board
from azdab.learning import replay, selfplay
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example


def blank_values(board: Board, games: int, plies: int) -> GameValues:
    """Values of ``games`` games of which nothing is known, in numpy."""
    return GameValues(
        value=np.zeros((games, plies), np.int8),
        first=np.full(games, plies, np.int32),
        optimal=np.zeros((games, plies, board.num_edges), bool),
        first_optimal=np.full(games, plies, np.int32),
    )


class Played(NamedTuple):
    """What the engine has to know of games, in numpy.

    Attributes:
      moves: ``int32[B, T]``.
      value: ``int8[B]``, the mover's exact margin in boxes at ply ``plies``.
      plies: how many plies the search played.
    """

    moves: np.ndarray
    value: np.ndarray
    plies: int


def played_games(board: Board, config: Config, examples: Example) -> Played:
    """The games that examples of one device come from.

    Args:
      board: the board.
      config: the run's.
      examples: in numpy, in the order of :func:`azdab.learning.selfplay.finish`.
    """
    games = len(examples.margin) // config.examples_per_game
    plies = board.num_plies - config.solver_horizon
    value = np.zeros(games, np.int8)
    if plies < board.num_plies:
        value = np.asarray(examples.outcome)[plies * games : (plies + 1) * games]
    return Played(selfplay.moves(board, np.asarray(examples.edges), games), value, plies)


def corrected(board: Board, examples: Example, values: GameValues) -> Example:
    """The plies that the search played, with what is known of them now.

    Where a ply is solved, its value replaces outcome and search value, and its optimal moves,
    where known, the policy. Before the first solved ply the outcome is what perfect play
    from there on would have made of it.

    Args:
      board: the board.
      examples: ``[P * B, ...]``, ply by ply.
      values: of the same games.
    """
    games, plies = values.value.shape

    def by_ply(x: Array) -> Array:
        return x.reshape(plies, games, *x.shape[1:])

    value = jnp.moveaxis(values.value, 0, 1).astype(jnp.int32)
    ply = jnp.arange(plies)[:, None]
    solved = ply >= values.first[None]
    outcome = by_ply(examples.outcome).astype(jnp.int32)

    # +1 for whoever moves first, found from which moves closed a box.
    closed = geometry.closed_boxes(board, by_ply(examples.edges))
    passes = jnp.concatenate([jnp.zeros_like(closed[:1]), closed[1:] == closed[:-1]])
    side = 1 - 2 * (jnp.cumsum(passes, axis=0) % 2)
    at = jnp.minimum(values.first, plies - 1)[None]
    gained = jnp.take_along_axis((value - outcome) * side, at, axis=0)
    gained = jnp.where(solved.any(axis=0, keepdims=True), gained, 0)
    outcome = jnp.where(solved, value, outcome + gained * side)

    best = jnp.moveaxis(values.optimal, 0, 1)
    uniform = best / jnp.maximum(best.sum(axis=-1, keepdims=True), 1)
    known = (ply >= values.first_optimal[None])[..., None]
    policy = jnp.where(known, uniform.astype(jnp.float16), by_ply(examples.policy))
    margin = by_ply(examples.search_margin)

    def flat(x: Array) -> Array:
        return x.reshape(plies * games, *x.shape[2:])

    return examples._replace(
        policy=flat(policy),
        search_margin=flat(jnp.where(solved, value.astype(jnp.float16), margin)),
        outcome=flat(outcome.astype(jnp.int8)),
        outcome_valid=flat(solved | by_ply(examples.outcome_valid)),
    )


def correct(
    board: Board, config: Config, buffer: Replay, values: GameValues, back: Int[Array, ""]
) -> Replay:
    """Correct a batch of games where it lies in a device's replay.

    Args:
      board: the board.
      config: the run's.
      buffer: the device's; donate it.
      values: of its ``B`` games.
      back: how many examples were added after theirs.
    """
    games, plies = values.value.shape
    capacity = len(buffer.examples.margin)
    number = jnp.arange(plies * games) - games * config.examples_per_game - back
    index = (buffer.total + number) % capacity
    examples = jax.tree.map(lambda x: x[index], buffer.examples)
    index = jnp.where(number >= -capacity, index, capacity)  # what is overwritten is left alone
    storage = jax.tree.map(
        lambda old, new: old.at[index].set(new, mode="drop"),
        buffer.examples,
        corrected(board, examples, values),
    )
    return Replay(storage, buffer.total)


def correct_own(
    board: Board, config: Config, shard: Replay, values: GameValues, back: Int[Array, ""]
) -> Replay:
    """:func:`correct` for a device's part of a buffer, see :func:`azdab.learning.replay.own`."""
    return replay.stacked(correct(board, config, replay.own(shard), values, back))
