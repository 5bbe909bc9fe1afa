"""Self-play: hundreds of games in one ``lax.scan``, and the examples they yield.

Every game lasts exactly ``E`` plies, so a batch of games is one scan with nothing
to reset and nothing padded. With a solver horizon ``k`` the search plays the first
``E - k`` plies; the position then reached is solved together with all of its
``2^k`` descendants, the rest of the game is played from that table, and more exact
examples are drawn from it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from azdab import game, solver
from azdab.config import Config
from azdab.game import Board, State
from azdab.network import Params
from azdab.search import Evaluator, search


class Example(NamedTuple):
    """Positions to learn from, seen by the player to move.

    Attributes:
      edges: ``bool[N, E]``.
      margin: ``int8[N]``, the mover's score margin so far.
      policy: ``float16[N, E]``, the target policy.
      search_margin: ``float16[N]``, the search's estimate of the future margin in
        boxes; NaN under the win utility, which does not estimate it.
      outcome: ``int8[N]``, the future margin as the game went or as solved.
      outcome_valid: ``bool[N]``, False where a later move was random.
      ownership: ``int8[N, boxes]``, +1 the mover closes the box, -1 the opponent,
        0 closed already or unknown.
    """

    edges: Bool[Array, "N E"]
    margin: Int[Array, "N"]
    policy: Float[Array, "N E"]
    search_margin: Float[Array, "N"]
    outcome: Int[Array, "N"]
    outcome_valid: Bool[Array, "N"]
    ownership: Int[Array, "N boxes"]


class SelfPlayStats(NamedTuple):
    """Means over a batch of games, ``float32[]`` each.

    Attributes:
      first_player_win_rate: a draw counts half.
      mean_margin: the first player's final margin in boxes.
      decided_ply: ply from which the leader could no longer be caught.
      policy_entropy: of the search's policies, in nats.
      value_error: root-mean-square error of root values against outcomes, in boxes
        (margin utility) or results (win utility).
    """

    first_player_win_rate: Array
    mean_margin: Array
    decided_ply: Array
    policy_entropy: Array
    value_error: Array


class _Ply(NamedTuple):
    """One ply of every game."""

    states: State
    policy: Float[Array, "B E"]
    value: Float[Array, "B"]


def zero_examples(board: Board, count: int) -> Example:
    """``count`` blank examples: the storage of a replay buffer."""
    return Example(
        edges=jnp.zeros((count, board.num_edges), bool),
        margin=jnp.zeros(count, jnp.int8),
        policy=jnp.zeros((count, board.num_edges), jnp.float16),
        search_margin=jnp.zeros(count, jnp.float16),
        outcome=jnp.zeros(count, jnp.int8),
        outcome_valid=jnp.zeros(count, bool),
        ownership=jnp.zeros((count, board.num_boxes), jnp.int8),
    )


def _uniform_over(mask: Array) -> Array:
    return mask / jnp.maximum(mask.sum(axis=-1, keepdims=True), 1)


def _searched_plies(
    board: Board, config: Config, evaluate: Evaluator, params: Params, key: Array, num_plies: int
) -> tuple[State, _Ply, Array]:
    """Play the first plies with search.

    Every position is searched, but the first few moves of each game, a random
    number of them, are then replaced by random ones: the games spread over the
    board, and the searches still teach.

    Returns:
      The states reached, the plies stacked on a leading time axis, and the number
      of random plies per game.
    """
    games = config.selfplay.parallel_games
    key, opening_key = jax.random.split(key)
    num_random = jax.random.randint(
        opening_key, (games,), 0, min(config.selfplay.max_opening_plies, num_plies) + 1
    )
    start = game.init_batch(board, games)

    def play_ply(states: State, inputs: tuple[Array, Array]) -> tuple[State, _Ply]:
        ply, key = inputs
        search_key, random_key = jax.random.split(key)
        output = search(board, config.search, evaluate, params, search_key, states)
        random_action = game.random_actions(random_key, game.legal_actions(states))
        action = jnp.where(ply < num_random, random_action, output.action)
        next_states = game.step_batch(board, states, action)
        return next_states, _Ply(states, output.action_weights, output.value)

    keys = jax.random.split(key, num_plies)
    states, plies = jax.lax.scan(play_ply, start, (jnp.arange(num_plies), keys))
    return states, plies, num_random


class _Solved(NamedTuple):
    """The solved endgames of a batch of games."""

    position: solver.Endgame
    table: Int[Array, "B N"]

    def look_up(self, subset: Int[Array, "B *s"]) -> tuple[Array, Array]:
        """Values of subsets, ``[B, *s]``, and of their moves, ``[B, *s, k]``."""
        values = jax.vmap(solver.action_values)(self.position.box_masks, self.table, subset)
        return values.max(axis=-1), values


def _solve(board: Board, states: State, horizon: int) -> _Solved:
    position = jax.vmap(lambda edges: solver.endgame(board, edges, horizon))(states.edges)
    return _Solved(position, solver.solve_table(position.box_masks).T)


def _to_edges(position: solver.Endgame, num_edges: int, values: Array) -> Array:
    """Scatter per-open-edge values ``[B, k]`` to ``[B, E]``, zero elsewhere."""
    zeros = jnp.zeros((len(values), num_edges), values.dtype)
    return jax.vmap(lambda z, index, v: z.at[index].set(v))(zeros, position.open_edges, values)


def _solved_plies(
    board: Board, solved: _Solved, states: State, key: Array, horizon: int
) -> tuple[State, _Ply]:
    """Play the last ``horizon`` plies perfectly, choosing among optimal moves at random."""

    def play_ply(carry: tuple[State, Array], key: Array) -> tuple[tuple[State, Array], _Ply]:
        states, subset = carry
        value, move_values = solved.look_up(subset)
        optimal = move_values == value[:, None]
        bit = game.random_actions(key, optimal)
        action = jnp.take_along_axis(solved.position.open_edges, bit[:, None], axis=1)[:, 0]
        policy = _to_edges(solved.position, board.num_edges, _uniform_over(optimal))
        next_states = game.step_batch(board, states, action)
        return (next_states, subset | (1 << bit)), _Ply(states, policy, value / board.num_boxes)

    start = (states, jnp.zeros(len(states.to_play), jnp.int32))
    (states, _), plies = jax.lax.scan(play_ply, start, jax.random.split(key, horizon))
    return states, plies


def _noisy_descendants(
    solved: _Solved, key: Array, horizon: int, rollouts: int
) -> Int[Array, "B R"]:
    """Subsets met by imperfect play from each solved position.

    Every rollout plays optimal moves except that, with a probability of its own
    drawn from U(0, 1)^2, a move is random: from nearly perfect to nearly random play.

    Returns:
      ``int32[B, rollouts * (horizon - 1)]``, the positions after each move but the last.
    """
    shape = (len(solved.table), rollouts)
    bits = (1 << jnp.arange(horizon, dtype=jnp.int32))[None, None]
    noise_key, key = jax.random.split(key)
    noise = jax.random.uniform(noise_key, shape) ** 2

    def play_ply(subset: Array, key: Array) -> tuple[Array, Array]:
        explore_key, move_key = jax.random.split(key)
        value, move_values = solved.look_up(subset)
        explore = jax.random.uniform(explore_key, shape) < noise
        legal = (subset[..., None] & bits) == 0
        moves = jnp.where(explore[..., None], legal, move_values == value[..., None])
        subset = subset | (1 << game.random_actions(move_key, moves))
        return subset, subset

    start = jnp.zeros(shape, jnp.int32)
    _, subsets = jax.lax.scan(play_ply, start, jax.random.split(key, horizon - 1))
    return jnp.moveaxis(subsets, 0, -1).reshape(shape[0], -1)


def _solved_examples(
    board: Board, solved: _Solved, states: State, key: Array, horizon: int, rollouts: int
) -> Example:
    """Exactly labelled descendants of solved positions, as imperfect players meet them."""
    rollout_key, margin_key = jax.random.split(key)
    subset = _noisy_descendants(solved, rollout_key, horizon, rollouts)
    games, per_game = subset.shape
    value, move_values = solved.look_up(subset)
    optimal = _uniform_over(move_values == value[..., None])
    drawn = (subset[..., None] >> jnp.arange(horizon)[None, None]) & 1 == 1

    def flat(x: Array) -> Array:
        return x.reshape(games * per_game, *x.shape[2:])

    position = jax.tree.map(lambda x: jnp.repeat(x, per_game, axis=0), solved.position)
    new_edges = _to_edges(position, board.num_edges, flat(drawn))
    edges = jnp.repeat(states.edges, per_game, axis=0) | new_edges
    # Any score can precede these positions, and none changes the optimal margin.
    closed = jnp.sum(game.box_degrees(board, edges) == 4, axis=(-1, -2))
    margin = 2 * jax.random.binomial(margin_key, closed.astype(jnp.float32), 0.5) - closed
    return Example(
        edges=edges,
        margin=margin.astype(jnp.int8),
        policy=_to_edges(position, board.num_edges, flat(optimal)).astype(jnp.float16),
        search_margin=flat(value).astype(jnp.float16),
        outcome=flat(value),
        outcome_valid=jnp.ones(games * per_game, bool),
        ownership=jnp.zeros((games * per_game, board.num_boxes), jnp.int8),
    )


def _first_player_lead(states: State) -> Int[Array, "*b"]:
    return states.scores[..., 0].astype(jnp.int32) - states.scores[..., 1]


def _owners(board: Board, states: State) -> Int[Array, "B boxes"]:
    """Who closes each box, +1 the first, -1 the second player, in games ``[T, B, ...]``."""
    closed = game.box_degrees(board, states.edges) == 4
    last = jnp.ones_like(closed[:1])  # every box is closed at the end
    newly = jnp.concatenate([closed[1:], last]) & ~closed
    mover = jnp.where(states.to_play == 0, 1, -1)[..., None, None]
    return jnp.sum(newly * mover, axis=0).reshape(closed.shape[1], board.num_boxes)


def _examples(
    board: Board, config: Config, plies: _Ply, final: State, num_random: Array, horizon: int
) -> Example:
    """Turn plies ``[T, B, ...]`` into examples ``[T * B, ...]``."""
    states = plies.states
    num_plies, games = states.to_play.shape
    sign = jnp.where(states.to_play == 0, 1, -1)
    outcome = (_first_player_lead(final)[None] - _first_player_lead(states)) * sign
    is_open = (game.box_degrees(board, states.edges) < 4).reshape(num_plies, games, -1)
    ownership = _owners(board, states)[None] * sign[..., None] * is_open
    ply = jnp.arange(num_plies)[:, None]
    search_margin = plies.value * board.num_boxes
    if config.search.utility == "win":
        exact = ply >= num_plies - horizon
        search_margin = jnp.where(exact, search_margin, jnp.nan)
    examples = Example(
        edges=states.edges,
        margin=game.margin(states).astype(jnp.int8),
        policy=plies.policy.astype(jnp.float16),
        search_margin=search_margin.astype(jnp.float16),
        outcome=outcome.astype(jnp.int8),
        outcome_valid=ply >= num_random[None],
        ownership=ownership.astype(jnp.int8),
    )
    return jax.tree.map(lambda x: x.reshape(num_plies * games, *x.shape[2:]), examples)


def _statistics(
    board: Board, config: Config, searched: _Ply, final: State, num_random: Array
) -> SelfPlayStats:
    lead = _first_player_lead(final)
    states = searched.states
    future = lead[None] - _first_player_lead(states)
    truth = jnp.sign(lead)[None] if config.search.utility == "win" else future / board.num_boxes
    error = jnp.where(states.to_play == 0, truth, -truth) - searched.value
    valid = jnp.arange(len(error))[:, None] >= num_random[None]
    scale = 1.0 if config.search.utility == "win" else float(board.num_boxes)
    undecided = jnp.abs(_first_player_lead(states)) <= board.num_boxes - states.scores.sum(axis=-1)
    entropy = jax.scipy.special.entr(searched.policy).sum(axis=-1)
    return SelfPlayStats(
        first_player_win_rate=jnp.mean(0.5 + 0.5 * jnp.sign(lead)),
        mean_margin=jnp.mean(lead.astype(jnp.float32)),
        decided_ply=jnp.mean(undecided.sum(axis=0).astype(jnp.float32)),
        policy_entropy=jnp.mean(entropy),
        value_error=scale * jnp.sqrt(jnp.mean(error**2, where=valid)),
    )


def self_play(
    board: Board, config: Config, evaluate: Evaluator, params: Params, key: Array
) -> tuple[Example, SelfPlayStats]:
    """Play ``parallel_games`` games.

    Args:
      board: the config's board.
      config: the run's config; static.
      evaluate: the evaluator that guides the search.
      params: its parameters.
      key: random key.

    Returns:
      ``parallel_games * examples_per_game`` examples, and statistics.
    """
    horizon = config.solver_horizon
    search_key, play_key, sample_key = jax.random.split(key, 3)
    num_searched = board.num_edges - horizon
    states, plies, num_random = _searched_plies(
        board, config, evaluate, params, search_key, num_searched
    )
    searched = plies
    extra = None
    if horizon:
        solved = _solve(board, states, horizon)
        rollouts = config.selfplay.solver_rollouts
        if rollouts and horizon > 1:
            extra = _solved_examples(board, solved, states, sample_key, horizon, rollouts)
        states, exact = _solved_plies(board, solved, states, play_key, horizon)
        plies = jax.tree.map(lambda *x: jnp.concatenate(x), plies, exact)
    examples = _examples(board, config, plies, states, num_random, horizon)
    if extra is not None:
        examples = jax.tree.map(lambda *x: jnp.concatenate(x), examples, extra)
    return examples, _statistics(board, config, searched, states, num_random)
