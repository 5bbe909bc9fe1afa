"""Players on the host: functions from numpy positions to moves.

:mod:`azdab.learning.agents` holds the players that training compiles into its own programs.
Here they stand beside players that are not array programs, under one interface.
:mod:`azdab.players.registry` makes them by name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from azdab.common.errors import UserError
from azdab.common.extras import missing_numba
from azdab.common.limits import SEARCH_EDGES
from azdab.devices import batching, mesh
from azdab.devices.mesh import AXIS, SPLIT, WHOLE
from azdab.engine import handwritten
from azdab.exact import oracle
from azdab.exact.oracle import Oracle
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import agents
from azdab.learning.agents import Agent
from azdab.runs import networks
from azdab.search.evaluator import network_evaluator

Act = Callable[[Array, State, np.ndarray], np.ndarray]
"""``(key, states, history) -> actions``.

``states`` are numpy positions ``[B, ...]``, none terminal, and ``history``,
``int32[B, ply]``, the moves that led to them; positions that are not of games have
none, ``int32[B, 0]``, and can be shown only to players who look at the edges: not to
:func:`mcts_player` and those of :mod:`azdab.players.choosers`. ``actions``, ``int32[B]``, are
legal. The same arguments give the same actions, unless a player says otherwise.
"""

CHUNK = 16
"""Positions per call of a compiled agent, on each device; small, so that little is wasted."""


def generator(key: Array) -> np.random.Generator:
    """Numpy's random numbers from a JAX key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def take(states: State, rows: np.ndarray) -> State:
    """Some positions of a batch."""
    return State(*(x[rows] for x in states))


def from_agent(
    agent: Agent,
    params: Any = None,
    chunk: int = CHUNK,
    report: Callable[[int], None] | None = None,
) -> Act:
    """An agent of :mod:`azdab.learning.agents`, compiled for ``chunk`` positions on each device.

    Its moves do not depend on the number of devices.

    Args:
      agent: the agent.
      params: its parameters.
      chunk: positions per call of each device.
      report: told how many moves are made.
    """
    devices = mesh.all_devices()
    params = mesh.placed(devices, params)

    def part(params: Any, key: Array, call: Array, states: State) -> Array:
        number = call * devices.size + jax.lax.axis_index(AXIS)
        return agent(params, jax.random.fold_in(key, number), states)

    compiled = jax.jit(mesh.divided(devices, part, (WHOLE, WHOLE, WHOLE, SPLIT), SPLIT))

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        del history
        calls = iter(range(len(states.to_play)))

        def once(states: State) -> Any:
            return compiled(params, key, next(calls), states)

        size = chunk * devices.size
        return batching.in_chunks(once, size, report)(states).astype(np.int32)

    return act


def one_by_one(choose: Callable[[np.random.Generator, np.ndarray], int]) -> Act:
    """A player who looks at the drawn edges, ``bool[E]``, of one position at a time."""

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        del history
        rng = generator(key)
        return np.array([choose(rng, edges) for edges in np.asarray(states.edges)], np.int32)

    return act


def exact_within(known: Oracle, other: Act) -> Act:
    """A random optimal move where the truth is known, else ``other``'s."""

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        edges = np.asarray(states.edges)
        actions = np.full(len(edges), -1, np.int32)
        within = known.known(edges)
        actions[within] = known.optimal_actions(generator(key), edges[within])
        (left,) = np.nonzero(actions < 0)
        if len(left):
            actions[left] = other(key, take(states, left), history[left])
        return actions

    return act


def strong(known: Oracle) -> Act:
    """A random optimal move where the truth is known, else ``greedy-min``'s."""
    return exact_within(known, greedy_min_player(known.board))


def noisy(act: Act, share: float) -> Act:
    """A player who, with probability ``share``, draws any edge instead."""

    def slip(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        own_key, key = jax.random.split(key)
        rng, edges = generator(key), np.asarray(states.edges)
        slips = rng.random(len(edges)) < share
        return np.where(slips, rules.random_choices(rng, ~edges), act(own_key, states, history))

    return slip


def of_network(
    trained: networks.TrainedNetwork,
    simulations: int,
    chunk: int = CHUNK,
    report: Callable[[int], None] | None = None,
) -> Act:
    """A trained network: alone with 0 simulations, else with its config's search.

    Args:
      trained: the network.
      simulations: per move.
      chunk: positions per call of the network or search on each device.
      report: told how many moves are made.
    """
    config = trained.config.search
    evaluate = network_evaluator(trained.board, trained.config.network, config.utility)
    if simulations == 0:
        agent = agents.network_agent(evaluate)
    else:
        agent = agents.search_agent(trained.board, config, evaluate, simulations)
    return from_agent(agent, trained.params, chunk, report)


def random_player(board: Board) -> Act:
    """A uniformly random edge."""
    return from_agent(agents.random_agent(board))


def greedy_player(board: Board) -> Act:
    """Closes a box if it can, else plays a safe edge, else any edge."""

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        del history
        return handwritten.greedy_actions(board, generator(key), np.asarray(states.edges))

    return act


def greedy_min_player(board: Board) -> Act:
    """Closes a box if it can, else gives away as few boxes as possible, counting chains."""
    return from_agent(agents.greedy_agent(board))


def chains_player(board: Board, *, exact: int = 20) -> Act:
    """``greedy-min`` that also keeps control of chains; exact with at most ``exact`` edges left."""
    _within("exact", exact, 0)
    player = handwritten.ChainPlayer(board)

    def choose(rng: np.random.Generator, edges: np.ndarray) -> int:
        return int(rng.choice(player.choices(set(np.flatnonzero(~edges).tolist()))))

    by_rule = one_by_one(choose)
    return exact_within(oracle.searching_oracle(board, exact), by_rule) if exact else by_rule


def alphabeta_player(board: Board, *, nodes: int = 20_000) -> Act:
    """Alpha-beta search of ``nodes`` nodes per move, without a network."""
    _within("nodes", nodes, 1)
    oracle.require_search(board)
    try:
        from azdab.exact import alphabeta
    except ImportError:
        raise missing_numba() from None
    return one_by_one(alphabeta.Searcher(board, nodes).choose)


def openspiel_state(loaded: Any, moves: np.ndarray) -> Any:
    """OpenSpiel's position after moves, ``int32[ply]``: its edges are numbered as ours."""
    state = loaded.new_initial_state()
    for move in moves.tolist():
        state.apply_action(move)
    return state


def mcts_player(board: Board, *, simulations: int = 1000, uct_c: float = 2.0) -> Act:
    """OpenSpiel's Monte Carlo tree search with random rollouts."""
    _within("simulations", simulations, 1)
    try:
        import pyspiel
    except ImportError:
        raise UserError(
            "needs OpenSpiel, which is not installed: pip install 'open-spiel'"
        ) from None
    if board.start_edges:
        raise UserError(f"OpenSpiel has no lines drawn at the start, and {board} has some")
    loaded = pyspiel.load_game(f"dots_and_boxes(num_rows={board.rows},num_cols={board.cols})")

    def act(key: Array, states: State, history: np.ndarray) -> np.ndarray:
        del states
        seeds = generator(key).integers(2**31, size=len(history))
        actions = []
        for moves, seed in zip(history, seeds, strict=True):
            rollouts = pyspiel.RandomRolloutEvaluator(1, int(seed))
            bot = pyspiel.MCTSBot(
                loaded, rollouts, uct_c, simulations, max_memory_mb=1000, solve=True,
                seed=int(seed), verbose=False,
            )  # fmt: skip
            actions.append(bot.step(openspiel_state(loaded, moves)))
        return np.array(actions, np.int32)

    return act


def network_player(board: Board, *, checkpoint: str) -> Act:
    """A trained network alone: the edge with the highest prior."""
    return of_network(_load(board, checkpoint), 0)


def search_player(board: Board, *, checkpoint: str, simulations: int = 64) -> Act:
    """A trained network with search."""
    _within("simulations", simulations, 1, 100_000)
    return of_network(_load(board, checkpoint), simulations)


def engine_player(
    board: Board,
    *,
    checkpoint: str,
    simulations: int = 64,
    edges: int = SEARCH_EDGES,
    nodes: int = 1_000_000,
) -> Act:
    """A network with search, exact once few edges are left.

    If the exact solver would visit more than ``nodes`` positions, the search moves instead.
    By default this is after about half a second on one core, with 40 edges of 5x5 left.
    """
    _within("edges", edges, 0)
    _within("nodes", nodes, 1)
    look = search_player(board, checkpoint=checkpoint, simulations=simulations)
    return exact_within(oracle.searching_oracle(board, edges, nodes), look)


def solver_player(board: Board, *, edges: int = SEARCH_EDGES, nodes: int = 1_000_000) -> Act:
    """Exact where it can be, else ``greedy-min``."""
    _within("edges", edges, 0)
    _within("nodes", nodes, 1)
    return exact_within(oracle.searching_oracle(board, edges, nodes), greedy_min_player(board))


def _within(option: str, value: int, least: int, most: int = 10**12) -> None:
    if value < least:
        raise UserError(f"{option} must be at least {least}, got {value}")
    if value > most:
        raise UserError(f"{option} must be at most {most}, got {value}")


def shared_network(checkpoint: str) -> networks.TrainedNetwork:
    """The network in a checkpoint's directory."""
    return networks.load_network(Path(checkpoint))


def _load(board: Board, checkpoint: str) -> networks.TrainedNetwork:
    return shared_network(checkpoint).playing_on(board, checkpoint)
