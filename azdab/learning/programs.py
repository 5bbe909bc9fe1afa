"""The compiled programs of an iteration: self-play, replay, learning, matches.

Each device plays games and stores them by itself. Only the learner's gradients are
averaged over all devices.

All programs are compiled before anything runs. So compile time does not count as
speed, and the memory of each program is known in advance.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from azdab.common.config import Config
from azdab.devices.device import device_share
from azdab.devices.mesh import (
    AXIS,
    SPLIT,
    WHOLE,
    divided,
    from_local,
    gather,
    local,
    own_key,
    placed,
    shardings,
)
from azdab.exact import dense_table, endings, oracle
from azdab.exact.dense_table import SolvedBoard
from azdab.exact.endings import Endings
from azdab.game.board import Board
from azdab.learning import agents, arena, learner, replay, selfplay
from azdab.learning.agents import Agent
from azdab.learning.arena import MatchGames
from azdab.learning.learner import LearnerState
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example, SelfPlayStats, UnfinishedGames
from azdab.network.model import Params
from azdab.search import tree_search


class Programs(NamedTuple):
    """Compiled functions.

    Attributes:
      self_play: ``(params, key) -> (examples, statistics)``, statistics per device.
      add: ``(replay, examples) -> replay``; donates the replay.
      learn: ``(learner, replay, key) -> (learner, losses)``; donates the learner.
      gate: ``(latest, best, key) -> match``, in numpy as the next.
      baselines: ``(params, solved, key) -> match``; opponents as in ``opponents``.
      opponents: names of the baselines; game ``g`` is against ``opponents[g % n]``.
      solved: the solved board, where it can be.
    """

    self_play: Callable[..., Any]
    add: Callable[..., Replay]
    learn: Callable[..., Any]
    gate: Callable[..., MatchGames]
    baselines: Callable[..., MatchGames]
    opponents: tuple[str, ...]
    solved: SolvedBoard | None


class ProgramMemory(NamedTuple):
    """Bytes one phase needs on the device, as XLA plans it."""

    arguments: int
    outputs: int
    temporary: int


class Plan(NamedTuple):
    """The result of compiling a config."""

    phases: Programs
    seconds: float
    memory: dict[str, ProgramMemory]


def _panel(panel: tuple[Agent, ...]) -> Agent:
    """Several opponents at once: game ``g`` is played by agent ``g % n``."""

    def act(params: tuple[Any, ...], key: Array, states: Any) -> Array:
        moves = []
        for i, agent in enumerate(panel):
            mine = jax.tree.map(lambda x, i=i: x[i :: len(panel)], states)
            moves.append(agent(params[i], jax.random.fold_in(key, i), mine).astype(jnp.int32))
        return jnp.stack(moves, axis=1).reshape(-1)

    return act


def against(match: MatchGames, opponent: int, num_opponents: int) -> MatchGames:
    """The games of a panel match against one opponent."""

    def take(x: Array, axis: int) -> Array:
        return jax.lax.slice_in_dim(x, opponent, None, num_opponents, axis)

    return MatchGames(
        states=jax.tree.map(lambda x: take(x, 1), match.states),
        actions=take(match.actions, 1),
        random=take(match.random, 1),
        a_seat=take(match.a_seat, 0),
        margin=take(match.margin, 0),
    )


def self_play_program(
    board: Board, config: Config, mesh: Mesh, params: Params, compile: Callable[..., Any]
) -> tuple[Callable[..., Any], Example]:
    """Self-play as one program, or as two with endings played on the host between them.

    Args:
      board: the config's board.
      config: the whole run's.
      mesh: the devices; each plays its share of the games.
      params: the network's parameters, or their shapes.
      compile: as :func:`compiler` makes them.

    Returns:
      ``(params, key) -> (examples, statistics)``, divided among the devices, and the
      shapes of the examples.
    """
    share = device_share(config, mesh.size)
    evaluator = tree_search.network_evaluator(board, config.network, config.search.utility)
    key = jax.random.key(0)

    def finished(examples: Example, stats: SelfPlayStats) -> tuple[Example, SelfPlayStats]:
        return examples, jax.tree.map(lambda x: x[None], stats)

    if not config.uses_engine:

        def whole(params: Params, key: Array) -> Any:
            return finished(*selfplay.self_play(board, share, evaluator, params, own_key(key)))

        program = divided(mesh, whole, (WHOLE, WHOLE), (SPLIT, SPLIT))
        compiled = compile("self-play", program, (WHOLE, WHOLE), (SPLIT, SPLIT), params, key)
        return compiled, jax.eval_shape(program, params, key)[0]

    engine = endings.Teacher(board, 1 + config.selfplay.solver_rollouts)
    games = UnfinishedGames(SPLIT, PartitionSpec(None, AXIS), SPLIT, SPLIT)  # type: ignore[arg-type]

    def opening(params: Params, key: Array) -> UnfinishedGames:
        return selfplay.play_to_horizon(board, share, evaluator, params, own_key(key))

    def ending(openings: UnfinishedGames, exact: Endings, key: Array) -> Any:
        return finished(*selfplay.finish(board, share, openings, exact, own_key(key)))

    play = divided(mesh, opening, (WHOLE, WHOLE), games)
    finish = divided(mesh, ending, (games, SPLIT, WHOLE), (SPLIT, SPLIT))
    openings = jax.eval_shape(play, params, key)
    blank = functools.partial(
        endings.blank_endings, horizon=config.solver_horizon, lines=engine.lines
    )
    exact = jax.eval_shape(blank, openings.states.edges)
    play_compiled = compile("self-play", play, (WHOLE, WHOLE), games, params, key)
    finish_compiled = compile(
        "endings", finish, (games, SPLIT, WHOLE), (SPLIT, SPLIT), openings, exact, key
    )

    def self_play(params: Params, key: Array) -> Any:
        play_key, endings_key, finish_key = jax.random.split(key, 3)
        openings = play_compiled(params, play_key)
        # Every process plays the endings of its own games.
        own = jax.random.fold_in(endings_key, jax.process_index())
        given = local(openings.rollouts)
        exact = from_local(mesh, engine(local(openings.states.edges), own, given))
        return finish_compiled(openings, exact, finish_key)

    return self_play, jax.eval_shape(finish, openings, exact, key)[0]


def compiler(
    mesh: Mesh, report: Callable[[str], None], memory: dict[str, ProgramMemory]
) -> Callable[..., Any]:
    """How programs are compiled: ``(name, function, inputs, outputs, *arguments)``.

    ``inputs`` and ``outputs`` say how arguments and results are divided among the
    devices, ``arguments`` are arrays or shapes. The compiled function takes arrays from
    wherever they are.

    Args:
      mesh: the devices.
      report: told the name of each program before it is compiled.
      memory: filled with what each program needs.
    """

    def compile(
        name: str, function: Callable[..., Any], inputs: Any, outputs: Any, *arguments: Any,
        donate: Any = (),
    ) -> Any:  # fmt: skip
        report(name)
        compiled = (
            jax.jit(
                function,
                in_shardings=shardings(mesh, inputs),
                out_shardings=shardings(mesh, outputs),
                donate_argnums=donate,
            )
            .lower(*arguments)
            .compile()
        )
        analysis: Any = compiled.memory_analysis()
        memory[name] = ProgramMemory(
            analysis.argument_size_in_bytes,
            # A donated argument's memory is the output's.
            analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
            analysis.temp_size_in_bytes,
        )
        return lambda *arguments: compiled(*placed(mesh, arguments, inputs))

    return compile


def compile_programs(
    board: Board,
    config: Config,
    mesh: Mesh,
    learner_state: LearnerState,
    buffer: Replay,
    report: Callable[[str], None],
) -> Plan:
    """Compile everything a run needs.

    Args:
      board: the board.
      config: the run's config.
      mesh: the devices that share the work.
      learner_state: arrays, or their shapes.
      buffer: the replay, or its shapes; divided among the devices.
      report: told the name of each phase before it is compiled.

    Raises:
      UserError: the work cannot be divided among so many devices.
    """
    start = time.perf_counter()
    memory: dict[str, ProgramMemory] = {}
    compile = compiler(mesh, report, memory)
    share = device_share(config, mesh.size)
    evaluator = tree_search.network_evaluator(board, config.network, config.search.utility)
    searcher = agents.search_agent(board, config.search, evaluator, config.arena.num_simulations)
    key = jax.random.key(0)
    params: Params = learner_state.params

    self_play, examples = self_play_program(board, config, mesh, params, compile)

    def learn(state: LearnerState, buffer: Replay, key: Array) -> Any:
        return learner.learn(state, buffer, board, config, mesh, key)

    def gate(latest: Params, best: Params, key: Array) -> MatchGames:
        games, plies = share.arena.num_games, share.arena.opening_plies
        both = (searcher, searcher)
        return arena.play_games(board, both, (latest, best), own_key(key), games, plies)

    opponents = {"random": agents.random_agent(board), "greedy": agents.greedy_agent(board)}
    solved = None
    if oracle.can_solve(board):
        report("exact solution of the board")
        solved = placed(mesh, dense_table.solve_board(board))
        opponents["perfect"] = agents.perfect_agent(board)

    def baselines(params: Params, solved: SolvedBoard | None, key: Array) -> MatchGames:
        panel_params = [solved if name == "perfect" else None for name in opponents]
        return arena.play_games(
            board,
            (searcher, _panel(tuple(opponents.values()))),
            (params, panel_params),
            own_key(key),
            share.arena.baseline_games * len(opponents),
            share.arena.opening_plies,
        )

    def matches(name: str, play: Callable[..., MatchGames], *arguments: Any) -> Any:
        whole = (WHOLE,) * len(arguments)
        plies = PartitionSpec(None, AXIS)
        games: Any = MatchGames(plies, plies, plies, SPLIT, SPLIT)  # type: ignore[arg-type]
        program = divided(mesh, play, whole, games)
        compiled = compile(name, program, whole, games, *arguments)
        return lambda *arguments: gather(compiled(*arguments))

    phases = Programs(
        self_play=self_play,
        add=compile(
            "replay", divided(mesh, replay.add_own, (SPLIT, SPLIT), SPLIT), (SPLIT, SPLIT), SPLIT,
            buffer, examples, donate=0,
        ),
        learn=compile(
            "learning", learn, (WHOLE, SPLIT, WHOLE), WHOLE, learner_state, buffer, key, donate=0
        ),
        gate=matches("arena", gate, params, params, key),
        baselines=matches("baselines", baselines, params, solved, key),
        opponents=tuple(opponents),
        solved=solved,
    )  # fmt: skip
    return Plan(phases, time.perf_counter() - start, memory)
