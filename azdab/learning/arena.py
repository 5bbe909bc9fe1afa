"""Matches between two agents, all games at once on the device."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning.agents import Agent


class MatchGames(NamedTuple):
    """A finished match between A and B, on the device or in numpy.

    Attributes:
      states: positions before each of the ``T = board.num_plies`` plies, ``[T, G, ...]``.
      actions: ``int32[T, G]``.
      random: ``bool[T, G]``, True where the move belonged to the opening.
      a_seat: ``int8[G]``, 0 where A is the first player.
      margin: ``int32[G]``, A's final margin in boxes.
    """

    states: State
    actions: Int[Array, "T G"]
    random: Bool[Array, "T G"]
    a_seat: Int[Array, "G"]
    margin: Int[Array, "G"]


def play_games(
    board: Board,
    agents: tuple[Agent, Agent],
    params: tuple[Any, Any],
    key: Array,
    num_games: int,
    opening_plies: int | Int[Array, ""],
) -> MatchGames:
    """Play ``num_games`` games; A starts half of them, B the others.

    Games ``i`` and ``i + num_games / 2`` share their random opening with the sides swapped.

    Args:
      board: the board.
      agents: A and B. Two networks that one function plays are searched in turn by one program.
      params: the parameters of A and B.
      key: random key.
      num_games: even.
      opening_plies: every game starts with this many random plies; the last is always chosen.
    """
    pairs = num_games // 2
    a_seat = jnp.repeat(jnp.arange(2, dtype=jnp.int8), pairs)
    start = rules.init_states(board, num_games)
    opening_plies = jnp.minimum(opening_plies, board.num_plies - 1)
    shapes = [jax.tree.map(jnp.shape, x) for x in params]
    alike = agents[0] is agents[1] and shapes[0] == shapes[1]
    either = jax.tree.map(lambda *x: jnp.stack(x), *params) if alike else None

    def play_ply(states: State, inputs: tuple[Array, Array]) -> tuple[State, Any]:
        ply, key = inputs
        a_key, b_key, opening_key = jax.random.split(key, 3)
        pair = jax.tree.map(lambda x: x[:pairs], states)
        opening = jnp.tile(rules.random_actions(opening_key, rules.legal_actions(pair)), 2)
        if alike:  # half as much to compile
            one_by_one = either, jnp.stack([a_key, b_key])
            moves = jax.lax.map(lambda one: agents[0](one[0], one[1], states), one_by_one)
            a_moves, b_moves = moves
        else:
            a_moves = agents[0](params[0], a_key, states)
            b_moves = agents[1](params[1], b_key, states)
        chosen = jnp.where(states.to_play == a_seat, a_moves, b_moves)
        random = jnp.full(num_games, ply < opening_plies)
        action = jnp.where(random, opening, chosen).astype(jnp.int32)
        next_states = rules.step_batch(board, states, action)
        return next_states, (states, action, random)

    plies = jnp.arange(board.num_plies), jax.random.split(key, board.num_plies)
    final, (states, actions, random) = jax.lax.scan(play_ply, start, plies)
    lead = final.scores[:, 0].astype(jnp.int32) - final.scores[:, 1]
    return MatchGames(states, actions, random, a_seat, jnp.where(a_seat == 0, lead, -lead))


class ArenaScore(NamedTuple):
    """A match in numbers, from A's side.

    Attributes:
      wins, draws, losses: games.
      rate: score rate, a draw counts half.
      mean_margin: in boxes.
      first_player_rate: score rate of whoever moved first.
    """

    wins: int
    draws: int
    losses: int
    rate: float
    mean_margin: float
    first_player_rate: float


def arena_score(match: MatchGames) -> ArenaScore:
    """Summarise a match on the host."""
    margin, seat = np.asarray(match.margin), np.asarray(match.a_seat)
    points = 0.5 + 0.5 * np.sign(margin)
    return ArenaScore(
        wins=int(np.sum(margin > 0)),
        draws=int(np.sum(margin == 0)),
        losses=int(np.sum(margin < 0)),
        rate=float(points.mean()),
        mean_margin=float(margin.mean()),
        first_player_rate=float(np.where(seat == 0, points, 1 - points).mean()),
    )


def elo_difference(rate: float, num_games: int) -> float:
    """Elo points by which a player with this score rate leads.

    The rate is kept half a game away from 0 and 1, where the difference is infinite.
    """
    margin = 0.5 / num_games
    rate = min(max(rate, margin), 1 - margin)
    return 400 * math.log10(rate / (1 - rate))
