"""Self-play: hundreds of games in one ``lax.scan``, and the examples they yield.

Every game lasts equally long, ``T = board.num_plies``, so nothing is reset and nothing padded.
With a solver horizon ``k`` the search plays the first ``T - k`` plies (:func:`play_to_horizon`),
the rest is played and labelled exactly (:mod:`azdab.exact.endings`). :func:`finish` makes examples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from azdab.common.config import Config
from azdab.common.limits import TABLE_ROOM
from azdab.exact import endings
from azdab.exact.endings import Endings
from azdab.game import geometry, rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import agents
from azdab.network.model import Params
from azdab.search.evaluator import Evaluator
from azdab.search.tree_search import search


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
    """Of a batch of games, ``float32[]`` each: means, and two sums over searched positions.

    :func:`azdab.learning.statistics.summary` makes metrics of several.

    Attributes:
      first_player_win_rate: a draw counts half.
      mean_margin: the first player's final margin in boxes.
      decided_ply: ply from which the leader could no longer be caught.
      policy_entropy: of the search's policies, in nats.
      squared_errors: of root values against outcomes after the openings, in boxes (margin
        utility) or results (win utility): their sum.
      valued: in how many positions.
    """

    first_player_win_rate: Array
    mean_margin: Array
    decided_ply: Array
    policy_entropy: Array
    squared_errors: Array
    valued: Array


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


class UnfinishedGames(NamedTuple):
    """Games played up to the solver's horizon.

    Attributes:
      states: where they stand, ``[B, ...]``.
      plies: how they got there, ``[T - horizon, B, ...]``.
      num_random: ``int32[B]``, random plies at the start of each.
      rollouts: ``int32[B, N, horizon]``, how the network would play on, ``N`` times.
    """

    states: State
    plies: _Ply
    num_random: Int[Array, "B"]
    rollouts: Int[Array, "B N k"]


def play_to_horizon(
    board: Board, config: Config, evaluate: Evaluator, params: Params, key: Array
) -> UnfinishedGames:
    """Play ``parallel_games`` games with search up to the solver's horizon.

    Every position is searched. But the first few moves of each game, a random number of
    them, come from :func:`azdab.learning.agents.opening_agent` instead: so the games differ,
    and their searches still teach.
    """
    games = config.selfplay.parallel_games
    num_plies = board.num_plies - config.solver_horizon
    key, opening_key = jax.random.split(key)
    opening = agents.opening_agent(
        board, config.selfplay.greedy_openings, games, jax.random.fold_in(opening_key, 1)
    )
    most = config.selfplay.max_opening_plies
    num_random = jax.random.randint(opening_key, (games,), 0, most + 1)
    num_random = jnp.minimum(num_random, num_plies)
    start = rules.init_states(board, games)

    def play_ply(states: State, inputs: tuple[Array, Array]) -> tuple[State, _Ply]:
        ply, key = inputs
        search_key, random_key = jax.random.split(key)
        output = search(board, config.search, evaluate, params, search_key, states)
        opening_action = opening(None, random_key, states)
        action = jnp.where(ply < num_random, opening_action, output.action)
        next_states = rules.step_batch(board, states, action)
        return next_states, _Ply(states, output.action_weights, output.value)

    keys = jax.random.split(key, num_plies + 1)
    states, plies = jax.lax.scan(play_ply, start, (jnp.arange(num_plies), keys[:-1]))
    rollouts = _rollouts(board, config, evaluate, params, keys[-1], states)
    return UnfinishedGames(states, plies, num_random, rollouts)


def _rollouts(
    board: Board, config: Config, evaluate: Evaluator, params: Params, key: Array, states: State
) -> Int[Array, "B N k"]:
    """Play the network against itself, without search, from the solver's horizon to the end.

    Each side draws its moves at a temperature of its own from U(0, 1): nearly always the
    likeliest move, or as the policy says.
    """
    games, lines = len(states.to_play), config.selfplay.network_rollouts
    if not lines:
        return jnp.zeros((games, 0, config.solver_horizon), jnp.int32)
    copies = jax.tree.map(lambda x: jnp.repeat(x, lines, axis=0), states)
    heat_key, key = jax.random.split(key)
    heat = jax.random.uniform(heat_key, (games * lines, 2), minval=0.01)

    def play_ply(states: State, key: Array) -> tuple[State, Array]:
        logits = evaluate(params, states).prior_logits
        mine = jnp.take_along_axis(heat, states.to_play.astype(jnp.int32)[:, None], axis=1)
        logits = jnp.where(rules.legal_actions(states), logits / mine, -jnp.inf)
        action = jax.random.categorical(key, logits).astype(jnp.int32)
        return rules.step_batch(board, states, action), action

    _, actions = jax.lax.scan(play_ply, copies, jax.random.split(key, config.solver_horizon))
    return actions.T.reshape(games, lines, config.solver_horizon)


def _solved_plies(board: Board, states: State, endings: Endings) -> tuple[State, _Ply]:
    """The first line of every game as plies, ``[k, B, ...]``."""
    line = jax.tree.map(lambda x: jnp.moveaxis(x[:, 0], 1, 0), endings)

    def play_ply(states: State, action: Array) -> tuple[State, State]:
        return rules.step_batch(board, states, action), states

    final, states = jax.lax.scan(play_ply, states, line.action)
    policy = _uniform_over(line.optimal)
    return final, _Ply(states, policy, line.value / board.num_boxes)


def _noisy_examples(board: Board, endings: Endings, key: Array) -> Example:
    """The positions of the other lines, after their first move."""

    def flat(x: Array) -> Array:
        x = x[:, 1:, 1:]
        return x.reshape(-1, *x.shape[3:])

    edges, value, optimal = flat(endings.edges), flat(endings.value), flat(endings.optimal)
    # Any score can precede these positions, and none changes the optimal margin.
    closed = geometry.closed_boxes(board, edges)
    margin = 2 * jax.random.binomial(key, closed.astype(jnp.float32), 0.5) - closed
    return Example(
        edges=edges,
        margin=margin.astype(jnp.int8),
        policy=_uniform_over(optimal).astype(jnp.float16),
        search_margin=value.astype(jnp.float16),
        outcome=value,
        outcome_valid=jnp.ones(len(edges), bool),
        ownership=jnp.zeros((len(edges), board.num_boxes), jnp.int8),
    )


def _first_player_lead(states: State) -> Int[Array, "*b"]:
    return states.scores[..., 0].astype(jnp.int32) - states.scores[..., 1]


def _owners(board: Board, states: State) -> Int[Array, "B boxes"]:
    """Who closes each box, +1 the first, -1 the second player, in games ``[T, B, ...]``."""
    closed = geometry.box_degrees(board, states.edges) == 4
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
    is_open = (geometry.box_degrees(board, states.edges) < 4).reshape(num_plies, games, -1)
    ownership = _owners(board, states)[None] * sign[..., None] * is_open
    ply = jnp.arange(num_plies)[:, None]
    search_margin = plies.value * board.num_boxes
    if config.search.utility == "win":
        exact = ply >= num_plies - horizon
        search_margin = jnp.where(exact, search_margin, jnp.nan)
    examples = Example(
        edges=states.edges,
        margin=rules.margin(states).astype(jnp.int8),
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
        squared_errors=jnp.sum((scale * error) ** 2, where=valid),
        valued=jnp.sum(valid, dtype=jnp.float32),
    )


def finish(
    board: Board, config: Config, openings: UnfinishedGames, endings: Endings | None, key: Array
) -> tuple[Example, SelfPlayStats]:
    """Turn games and their endings into ``parallel_games * examples_per_game`` examples.

    Args:
      board: the config's board.
      config: the run's config; static.
      openings: from :func:`play_to_horizon`.
      endings: of the same games; None without a solver horizon.
      key: random key.
    """
    states, plies, num_random, _ = openings
    if endings is not None:
        states, exact = _solved_plies(board, states, endings)
        plies = jax.tree.map(lambda *x: jnp.concatenate(x), plies, exact)
    examples = _examples(board, config, plies, states, num_random, config.solver_horizon)
    if endings is not None:
        noisy = _noisy_examples(board, endings, key)
        examples = jax.tree.map(lambda *x: jnp.concatenate(x), examples, noisy)
    return examples, _statistics(board, config, openings.plies, states, num_random)


def moves(board: Board, edges: np.ndarray, games: int) -> np.ndarray:
    """The moves of the games that a device's examples come from, ``int32[games, T]``.

    Args:
      board: the board.
      edges: ``bool[N, E]`` of the examples; the plies of all games come first.
      games: how many there were.
    """
    plies = board.num_plies
    before = edges[: plies * games].reshape(plies, games, board.num_edges)
    after = np.concatenate([before[1:], np.ones_like(before[:1])])
    return np.argmax(after & ~before, axis=-1).T.astype(np.int32)


def self_play(
    board: Board, config: Config, evaluate: Evaluator, params: Params, key: Array
) -> tuple[Example, SelfPlayStats]:
    """A whole round of self-play as one program, with endings from the table.

    Args:
      board: the config's board.
      config: the run's config; static.
      evaluate: the evaluator that guides the search.
      params: its parameters.
      key: random key.

    Returns:
      ``parallel_games * examples_per_game`` examples, and statistics.

    Three games on one box, of four plies each, guided by a network that knows nothing:

    >>> from azdab.common.config import config_from_dict
    >>> from azdab.search.evaluator import Evaluation
    >>> config = config_from_dict({
    ...     "board": {"rows": 1, "cols": 1},
    ...     "search": {"num_simulations": 2},
    ...     "selfplay": {"parallel_games": 3, "games_per_iteration": 3},
    ... })
    >>> def evaluate(params, states):
    ...     return Evaluation(jnp.zeros(states.edges.shape), jnp.zeros(len(states.edges)))
    >>> play = jax.jit(lambda key: self_play(Board(1, 1), config, evaluate, None, key))
    >>> examples, _ = play(jax.random.key(0))
    >>> examples.edges.shape, examples.edges.sum(axis=-1).tolist()
    ((12, 4), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    """
    play_key, endings_key, finish_key = jax.random.split(key, 3)
    openings = play_to_horizon(board, config, evaluate, params, play_key)
    lines = 1 + config.selfplay.solver_rollouts
    horizon = config.solver_horizon
    exact = None
    if horizon:
        chunk = endings.chunk_size(config.selfplay.parallel_games, horizon, TABLE_ROOM)
        edges, given = openings.states.edges, openings.rollouts
        exact = endings.endings_from_table(board, edges, endings_key, horizon, lines, given, chunk)
    return finish(board, config, openings, exact, finish_key)
