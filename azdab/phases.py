"""The compiled programs of an iteration: self-play, replay, learning, matches.

They are compiled before anything runs, so compile time is never mistaken for
speed and the memory each needs is known in advance.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from azdab import agents, arena, endings, exactness, learner, replay, search, selfplay
from azdab.agents import Agent, SolvedBoard
from azdab.arena import Match
from azdab.config import Config
from azdab.game import Board
from azdab.learner import LearnerState
from azdab.network import Params
from azdab.replay import Replay
from azdab.search import Evaluator
from azdab.selfplay import Example


class Phases(NamedTuple):
    """Compiled functions.

    Attributes:
      self_play: ``(params, key) -> (examples, statistics)``.
      add: ``(replay, examples) -> replay``; donates the replay.
      learn: ``(learner, replay, key) -> (learner, losses)``; donates the learner.
      gate: ``(latest, best, key) -> match``.
      baselines: ``(params, solved, key) -> match``; opponents as in ``opponents``.
      opponents: names of the baselines; game ``g`` is against ``opponents[g % n]``.
      solved: the solved board, where it can be.
    """

    self_play: Callable[..., Any]
    add: Callable[..., Replay]
    learn: Callable[..., Any]
    gate: Callable[..., Match]
    baselines: Callable[..., Match]
    opponents: tuple[str, ...]
    solved: SolvedBoard | None


class Memory(NamedTuple):
    """Bytes one phase needs on the device, as XLA plans it."""

    arguments: int
    outputs: int
    temporary: int


class Plan(NamedTuple):
    """What compiling a config gives."""

    phases: Phases
    seconds: float
    memory: dict[str, Memory]


def _panel(panel: tuple[Agent, ...]) -> Agent:
    """Several opponents at once: game ``g`` is played by agent ``g % n``."""

    def act(params: tuple[Any, ...], key: Array, states: Any) -> Array:
        moves = []
        for i, agent in enumerate(panel):
            mine = jax.tree.map(lambda x, i=i: x[i :: len(panel)], states)
            moves.append(agent(params[i], jax.random.fold_in(key, i), mine).astype(jnp.int32))
        return jnp.stack(moves, axis=1).reshape(-1)

    return act


def against(match: Match, opponent: int, num_opponents: int) -> Match:
    """The games of a panel match against one opponent."""

    def take(x: Array, axis: int) -> Array:
        return jax.lax.slice_in_dim(x, opponent, None, num_opponents, axis)

    return Match(
        states=jax.tree.map(lambda x: take(x, 1), match.states),
        actions=take(match.actions, 1),
        random=take(match.random, 1),
        a_seat=take(match.a_seat, 0),
        margin=take(match.margin, 0),
    )


def self_play_program(
    board: Board, config: Config, evaluator: Evaluator, params: Params, compile: Callable[..., Any]
) -> tuple[Callable[..., Any], Example]:
    """Self-play as one program, or as two with endings played on the host between them.

    Args:
      board: the config's board.
      config: the run's config.
      evaluator: guides the search.
      params: its parameters, or their shapes.
      compile: ``(name, function, *arguments) -> compiled function``.

    Returns:
      ``(params, key) -> (examples, statistics)``, and the shapes of the examples.
    """
    key = jax.random.key(0)
    if not config.uses_engine:
        whole = functools.partial(selfplay.self_play, board, config, evaluator)
        return compile("self-play", whole, params, key), jax.eval_shape(whole, params, key)[0]

    engine = endings.Engine(board, 1 + config.selfplay.solver_rollouts)
    play = functools.partial(selfplay.play, board, config, evaluator)
    finish = functools.partial(selfplay.finish, board, config)
    openings = jax.eval_shape(play, params, key)
    blank = functools.partial(endings.blank, horizon=config.solver_horizon, lines=engine.lines)
    shapes = jax.eval_shape(blank, openings.states.edges)
    compiled_play = compile("self-play", play, params, key)
    compiled_finish = compile("endings", finish, openings, shapes, key)

    def self_play(params: Params, key: Array) -> Any:
        play_key, endings_key, finish_key = jax.random.split(key, 3)
        openings = compiled_play(params, play_key)
        exact = engine(openings.states.edges, endings_key)
        return compiled_finish(openings, exact, finish_key)

    return self_play, jax.eval_shape(finish, openings, shapes, key)[0]


def compile_phases(
    board: Board,
    config: Config,
    learner_state: LearnerState,
    buffer: Replay,
    report: Callable[[str], None],
) -> Plan:
    """Compile everything a run needs.

    Args:
      board: the board.
      config: the run's config.
      learner_state: arrays, or their shapes.
      buffer: the replay, or its shapes.
      report: told the name of each phase before it is compiled.
    """
    start = time.perf_counter()
    memory: dict[str, Memory] = {}

    def compile(name: str, function: Callable[..., Any], *arguments: Any, donate: Any = ()) -> Any:
        report(name)
        compiled = jax.jit(function, donate_argnums=donate).lower(*arguments).compile()
        analysis: Any = compiled.memory_analysis()
        memory[name] = Memory(
            analysis.argument_size_in_bytes,
            # A donated argument's memory is the output's.
            analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
            analysis.temp_size_in_bytes,
        )
        return compiled

    evaluator = search.network_evaluator(board, config.network, config.search.utility)
    searcher = agents.search_agent(board, config.search, evaluator, config.arena.num_simulations)
    key = jax.random.key(0)
    params: Params = learner_state.params

    self_play, examples = self_play_program(board, config, evaluator, params, compile)

    def learn(state: LearnerState, buffer: Replay, key: Array) -> Any:
        return learner.learn(state, buffer, board, config, key)

    def gate(latest: Params, best: Params, key: Array) -> Match:
        games, plies = config.arena.num_games, config.arena.opening_plies
        return arena.play_match(board, (searcher, searcher), (latest, best), key, games, plies)

    opponents = {"random": agents.random_agent(board), "greedy": agents.greedy_agent(board)}
    solved = None
    if exactness.can_solve(board):
        report("exact solution of the board")
        solved = agents.solve_board(board)
        opponents["perfect"] = agents.perfect_agent(board)

    def baselines(params: Params, solved: SolvedBoard | None, key: Array) -> Match:
        panel_params = [solved if name == "perfect" else None for name in opponents]
        return arena.play_match(
            board,
            (searcher, _panel(tuple(opponents.values()))),
            (params, panel_params),
            key,
            config.arena.baseline_games * len(opponents),
            config.arena.opening_plies,
        )

    phases = Phases(
        self_play=self_play,
        add=compile("replay", replay.add, buffer, examples, donate=0),
        learn=compile("learning", learn, learner_state, buffer, key, donate=0),
        gate=compile("arena", gate, params, params, key),
        baselines=compile("baselines", baselines, params, solved, key),
        opponents=tuple(opponents),
        solved=solved,
    )
    return Plan(phases, time.perf_counter() - start, memory)
