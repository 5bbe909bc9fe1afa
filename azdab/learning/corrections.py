"""What is found out about games after they were played: exact values far from the end.

The device finishes every game by itself, so nothing waits for the host. Meanwhile the host's
exact engine works backward along the games of the iteration before
(:mod:`azdab.exact.valuation`), and what it finds replaces the targets of their examples in
the replay, always at the same point of the next iteration.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from azdab.common.config import Config
from azdab.exact.endings import GameValues
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


def packed(found: Sequence[GameValues]) -> dict[str, np.ndarray]:
    """What was found of waves of games as arrays for the disk, ``[waves, B, ...]``."""
    arrays = {
        name: np.stack(parts)
        for name, parts in zip(GameValues._fields, zip(*found, strict=True), strict=True)
    }
    return arrays | {"optimal": np.packbits(arrays["optimal"], axis=-1)}


def corrected_segment(board: Board, examples: Example, stored: Mapping[str, np.ndarray]) -> Example:
    """Correct the examples of an iteration in numpy, as :func:`correct` does in the replay.

    Args:
      board: the board.
      examples: ``[devices, number, ...]``, the waves of each device one after the other.
      stored: from :func:`packed`, the games of each wave divided among the devices.

    Raises:
      ValueError: they do not fit together.
    """
    try:
        optimal = np.unpackbits(stored["optimal"], axis=-1, count=board.num_edges).view(bool)
        values = GameValues(stored["value"], stored["first"], optimal, stored["first_optimal"])
        waves, games, plies = values.value.shape
        devices, number = examples.margin.shape
        each, rows = games // devices, number // waves
        chex.assert_shape([values.first, values.first_optimal], (waves, games))
        chex.assert_shape(optimal, (waves, games, plies, board.num_edges))
        if games % devices or number % waves or plies * each > rows:
            raise ValueError("there are too many corrections")
    except (KeyError, AssertionError, ValueError) as error:
        raise ValueError("corrections do not fit the examples") from error
    made = jax.tree.map(np.copy, examples)
    for wave, device in itertools.product(range(waves), range(devices)):
        own = slice(device * each, (device + 1) * each)
        place = device, slice(wave * rows, wave * rows + plies * each)
        part = jax.tree.map(lambda x, place=place: x[place], examples)
        found = jax.tree.map(lambda x, wave=wave, own=own: x[wave, own], values)
        for whole, new in zip(made, _corrected(board, part, found), strict=True):
            whole[place] = new
    return made


_corrected = jax.jit(corrected, static_argnums=0)


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
