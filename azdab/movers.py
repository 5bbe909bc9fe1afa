"""Players driven from the host, for measuring against solvers that run there.

A :class:`azdab.arena.Match` between agents is one program on the device. The exact
engine is not an array program, so these players take numpy positions, any number
of them, and give numpy moves.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from azdab import agents, batching, game, search
from azdab.agents import Agent
from azdab.arena import Match
from azdab.config import Config
from azdab.game import Board, State
from azdab.truth import Truth

Mover = Callable[[State], np.ndarray]
"""From positions ``[N, ...]`` in numpy to moves, ``int32[N]``; may draw random numbers."""


@functools.cache
def _compiled_step(board: Board) -> Callable[..., State]:
    return jax.jit(functools.partial(game.step_batch, board))


@functools.cache
def _compiled_greedy(board: Board) -> Agent:
    return jax.jit(agents.greedy_agent(board))


def from_agent(
    compiled: Agent, params: Any, seed: int, chunk: int, report: Callable[[int], None] | None = None
) -> Mover:
    """An agent of :mod:`azdab.agents`, asked for ``chunk`` moves at a time.

    Args:
      compiled: the agent, under ``jax.jit``.
      params: its parameters.
      seed: of its random choices; every call continues the sequence.
      chunk: positions per call of the compiled agent.
      report: told how many moves are made.
    """
    calls = iter(range(2**31))

    def once(states: State) -> Any:
        return compiled(params, jax.random.fold_in(jax.random.key(seed), next(calls)), states)

    return batching.in_chunks(once, chunk, report)


def engine(
    board: Board,
    config: Config,
    params: Any,
    num_simulations: int,
    seed: int,
    chunk: int,
    report: Callable[[int], None] | None = None,
) -> Mover:
    """A trained network: alone with 0 simulations, else with the config's search."""
    evaluate = search.network_evaluator(board, config.network, config.search.utility)
    if num_simulations == 0:
        agent = agents.network_agent(evaluate)
    else:
        agent = agents.search_agent(board, config.search, evaluate, num_simulations)
    return from_agent(jax.jit(agent), params, seed, chunk, report)


def choose(rng: np.random.Generator, choices: np.ndarray) -> np.ndarray:
    """A uniformly random True in each row of ``bool[N, E]``, ``int32[N]``."""
    ranks = np.where(choices, rng.random(choices.shape), -1)
    return ranks.argmax(axis=-1).astype(np.int32)


def random_mover(seed: int) -> Mover:
    """Draws a uniformly random edge."""
    rng = np.random.default_rng(seed)
    return lambda states: choose(rng, ~np.asarray(states.edges))


def strong(truth: Truth, seed: int, chunk: int) -> Mover:
    """A random optimal move where the truth is known, else ``greedy``'s."""
    rng = np.random.default_rng(seed)
    greedy = from_agent(_compiled_greedy(truth.board), None, seed, chunk)

    def move(states: State) -> np.ndarray:
        edges = np.asarray(states.edges)
        known = truth.known(edges)
        actions = np.zeros(len(known), np.int32)
        if known.any():
            values = truth.action_values(edges[known])
            actions[known] = choose(rng, values == values.max(axis=-1, keepdims=True))
        if not known.all():
            actions[~known] = greedy(jax.tree.map(lambda x: x[~known], states))
        return actions

    return move


def noisy(mover: Mover, share: float, seed: int) -> Mover:
    """A player who, with probability ``share``, draws any edge instead."""
    rng = np.random.default_rng(seed)

    def move(states: State) -> np.ndarray:
        edges = np.asarray(states.edges)
        slips = rng.random(len(edges)) < share
        return np.where(slips, choose(rng, ~edges), mover(states))

    return move


def play(
    board: Board, movers: tuple[Mover, Mover], num_games: int, opening_plies: int, seed: int
) -> Match:
    """Games between A and B in numpy arrays; otherwise as :func:`azdab.arena.play_match`.

    Args:
      board: the board.
      movers: A and B, each asked only for its own moves.
      num_games: even; game ``i`` and ``i + num_games / 2`` share the opening, sides swapped.
      opening_plies: every game starts with this many random plies.
      seed: of the openings.
    """
    rng = np.random.default_rng(seed)
    a_seat = np.repeat(np.arange(2, dtype=np.int8), num_games // 2)
    states: Any = jax.tree.map(np.asarray, game.init_batch(board, num_games))
    history, moves = [], []
    for ply in range(board.num_edges):
        actions = np.zeros(num_games, np.int32)
        if ply < opening_plies:
            actions = np.tile(choose(rng, ~states.edges[: num_games // 2]), 2)
        else:
            for mover, mine in zip(
                movers, (states.to_play == a_seat, states.to_play != a_seat), strict=True
            ):
                if mine.any():
                    actions[mine] = mover(jax.tree.map(lambda x, mine=mine: x[mine], states))
        history.append(states)
        moves.append(actions)
        states = jax.tree.map(np.asarray, _compiled_step(board)(states, actions))
    lead = states.scores[:, 0].astype(np.int32) - states.scores[:, 1]
    opening = np.arange(board.num_edges) < opening_plies
    played: dict[str, Any] = {
        "states": jax.tree.map(lambda *x: np.stack(x), *history),
        "actions": np.stack(moves),
        "random": np.repeat(opening[:, None], num_games, axis=1),
        "a_seat": a_seat,
        "margin": np.where(a_seat == 0, lead, -lead),
    }
    return Match(**played)
