"""The compiled programs of an iteration: self-play, replay, learning, matches.

Each device plays games and stores them by itself. Only the learner's gradients are
averaged over all devices.

All programs are compiled before anything runs, on a card several at once. So compile time does not
count as speed, and the memory of each program is known in advance.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PRNGKeyArray

from azdab.common.at_once import AtOnce
from azdab.common.config import Config
from azdab.devices import device
from azdab.devices.device import device_share
from azdab.devices.mesh import (
    AXIS,
    SPLIT,
    WHOLE,
    divided,
    gather,
    own_key,
    placed,
    shardings,
)
from azdab.exact.dense_table import SolvedBoard
from azdab.exact.endings import GameValues
from azdab.game.board import Board
from azdab.learning import agents, arena, corrections, learner, replay, selfplay
from azdab.learning.agents import Agent
from azdab.learning.arena import MatchGames
from azdab.learning.baselines import Baselines, baselines_of, panel_agent
from azdab.learning.learner import LearnerState, Losses
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example, SelfPlayStats
from azdab.network.model import Params
from azdab.search.evaluator import Evaluator, network_evaluator

Compile = Callable[..., Any]
"""How a program is compiled, as :class:`Compiler` does."""

SelfPlay = Callable[[Params, PRNGKeyArray], tuple[Example, SelfPlayStats]]
"""A compiled round of self-play."""


class Programs(NamedTuple):
    """Compiled functions.

    Attributes:
      self_play: ``(params, key) -> (examples, statistics)``, statistics per device.
      add: ``(replay, examples) -> replay``; donates the replay.
      correct: ``(replay, values, back) -> replay``; donates the replay. None where the host's
        exact engine is not used.
      learn: ``(learner, replay, key) -> (learner, losses)``.
      gate: ``(latest, best, key) -> match``, in numpy as the next.
      baselines: ``(params, solved, key) -> match``; opponents as in ``opponents``.
      opponents: names of the baselines; game ``g`` is against ``opponents[g % n]``.
      solved: the solved board, where it can be.
    """

    self_play: SelfPlay
    add: Callable[[Replay, Example], Replay]
    correct: Callable[[Replay, GameValues, Array], Replay] | None
    learn: Callable[[LearnerState, Replay, PRNGKeyArray], tuple[LearnerState, Losses]]
    gate: Callable[[Params, Params, PRNGKeyArray], MatchGames]
    baselines: Callable[[Params, SolvedBoard | None, PRNGKeyArray], MatchGames]
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


class Compiler:
    """Compiles programs: ``compile(name, function, inputs, outputs, *arguments)``.

    ``inputs`` and ``outputs`` say how arguments and results are divided among the devices,
    ``arguments`` are arrays or shapes. The compiled function takes arrays from wherever they are.
    As a context it waits for all at its end.

    Args:
      mesh: the devices.
      report: told the name of each program that is traced or waited for.
      beside: whether a context compiles several at once, while the next are traced; None: unless
        they are for the CPU, whose compiler uses all cores by itself.
    """

    def __init__(
        self, mesh: Mesh, report: Callable[[str], None], beside: bool | None = None
    ) -> None:
        self._mesh, self._report = mesh, report
        self._beside = mesh.devices.flat[0].platform != "cpu" if beside is None else beside
        self._pool: Executor = AtOnce()
        self._building: dict[str, Future[Any]] = {}

    def __enter__(self) -> "Compiler":
        if self._beside:
            self._pool = ThreadPoolExecutor(device.cores())
        return self

    def __exit__(self, *exception: object) -> None:
        failed = exception[0] is not None
        self._pool.shutdown(wait=False, cancel_futures=failed)
        for name, building in () if failed else self._building.items():
            if not building.done():
                self._report(name)
            building.result()

    @property
    def memory(self) -> dict[str, ProgramMemory]:
        """What each program needs."""
        return {name: _needed(building.result()) for name, building in self._building.items()}

    def __call__(
        self, name: str, function: Callable[..., Any], inputs: Any, outputs: Any, *arguments: Any,
        donate: Any = (),
    ) -> Any:  # fmt: skip
        """Compile a program, see the class."""
        self._report(name)
        lowered = jax.jit(
            function,
            in_shardings=shardings(self._mesh, inputs),
            out_shardings=shardings(self._mesh, outputs),
            donate_argnums=donate,
        ).lower(*arguments)
        building = self._building[name] = self._pool.submit(lowered.compile)
        return lambda *arguments: building.result()(*placed(self._mesh, arguments, inputs))


def _needed(compiled: Any) -> ProgramMemory:
    """What a compiled program needs on the device."""
    analysis = compiled.memory_analysis()
    return ProgramMemory(
        analysis.argument_size_in_bytes,
        # A donated argument's memory is the output's.
        analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
        analysis.temp_size_in_bytes,
    )


def self_play_program(
    board: Board, config: Config, mesh: Mesh, params: Params, compile: Compile
) -> tuple[SelfPlay, Example]:
    """Self-play as one program, endings and all.

    Args:
      board: the config's board.
      config: the whole run's.
      mesh: the devices; each plays its share of the games.
      params: the network's parameters, or their shapes.
      compile: compiles it.

    Returns:
      ``(params, key) -> (examples, statistics)``, divided among the devices, and the
      shapes of the examples.
    """
    share, evaluate = device_share(config, mesh.size), _evaluator(board, config)

    def whole(params: Params, key: PRNGKeyArray) -> tuple[Example, SelfPlayStats]:
        examples, stats = selfplay.self_play(board, share, evaluate, params, own_key(key))
        return examples, jax.tree.map(lambda x: x[None], stats)

    key = jax.random.key(0)
    count = config.selfplay.parallel_games * config.examples_per_game
    examples = jax.eval_shape(lambda: selfplay.zero_examples(board, count))
    program = divided(mesh, whole, (WHOLE, WHOLE), (SPLIT, SPLIT))
    play = compile("self-play", program, (WHOLE, WHOLE), (SPLIT, SPLIT), params, key)
    return play, examples


def replay_program(
    mesh: Mesh, buffer: Replay, examples: Example, compile: Compile
) -> Callable[[Replay, Example], Replay]:
    """Adding examples to the replay, each device its own; donates the replay."""
    program = divided(mesh, replay.add_own, (SPLIT, SPLIT), SPLIT)
    return compile("replay", program, (SPLIT, SPLIT), SPLIT, buffer, examples, donate=0)


def correction_program(
    board: Board, config: Config, mesh: Mesh, buffer: Replay, compile: Compile
) -> Callable[[Replay, GameValues, Array], Replay]:
    """Correcting a wave of games in the replay; donates the replay."""
    share = device_share(config, mesh.size)
    plies = board.num_plies - config.solver_horizon
    values = corrections.blank_values(board, config.selfplay.parallel_games, plies)

    def correct(shard: Replay, values: GameValues, back: Array) -> Replay:
        return corrections.correct_own(board, share, shard, values, back)

    places = (SPLIT, SPLIT, WHOLE)
    program = divided(mesh, correct, places, SPLIT)
    return compile("corrections", program, places, SPLIT, buffer, values, np.int32(0), donate=0)


def learning_program(
    board: Board,
    config: Config,
    mesh: Mesh,
    learner_state: LearnerState,
    buffer: Replay,
    compile: Compile,
) -> Callable[[LearnerState, Replay, PRNGKeyArray], tuple[LearnerState, Losses]]:
    """A learning phase on all devices."""

    def learn(
        state: LearnerState, buffer: Replay, key: PRNGKeyArray
    ) -> tuple[LearnerState, Losses]:
        return learner.learn(state, buffer, board, config, mesh, key)

    places, key = (WHOLE, SPLIT, WHOLE), jax.random.key(0)
    return compile("learning", learn, places, WHOLE, learner_state, buffer, key)


def gate_program(
    board: Board, config: Config, mesh: Mesh, params: Params, compile: Compile
) -> Callable[[Params, Params, PRNGKeyArray], MatchGames]:
    """The match of two networks, the latest and the best."""
    share, searcher = device_share(config, mesh.size), _searcher(board, config)

    def gate(latest: Params, best: Params, key: PRNGKeyArray) -> MatchGames:
        games, plies = share.arena.num_games, share.arena.opening_plies
        both = (searcher, searcher)
        return arena.play_games(board, both, (latest, best), own_key(key), games, plies)

    return _match_program("arena", mesh, gate, compile, params, params, jax.random.key(0))


def baselines_program(
    board: Board,
    config: Config,
    mesh: Mesh,
    params: Params,
    against: Baselines,
    compile: Compile,
) -> Callable[[Params, SolvedBoard | None, PRNGKeyArray], MatchGames]:
    """The matches of a network with all baselines at once."""
    share, searcher = device_share(config, mesh.size), _searcher(board, config)

    def play(params: Params, solved: SolvedBoard | None, key: PRNGKeyArray) -> MatchGames:
        panel_params = [solved if name == "perfect" else None for name in against.agents]
        return arena.play_games(
            board,
            (searcher, panel_agent(tuple(against.agents.values()))),
            (params, panel_params),
            own_key(key),
            share.arena.baseline_games * len(against.agents),
            share.arena.opening_plies,
        )

    key = jax.random.key(0)
    return _match_program("baselines", mesh, play, compile, params, against.solved, key)


def _match_program(
    name: str, mesh: Mesh, play: Callable[..., MatchGames], compile: Compile, *arguments: Any
) -> Callable[..., MatchGames]:
    """A match of which each device plays its share; the games come back in numpy."""
    whole, plies = (WHOLE,) * len(arguments), PartitionSpec(None, AXIS)
    games: Any = MatchGames(plies, plies, plies, SPLIT, SPLIT)  # type: ignore[arg-type]
    compiled = compile(name, divided(mesh, play, whole, games), whole, games, *arguments)
    return lambda *arguments: gather(compiled(*arguments))


def _evaluator(board: Board, config: Config) -> Evaluator:
    return network_evaluator(board, config.network, config.search.utility)


def _searcher(board: Board, config: Config) -> Agent:
    """The network as it plays in the arena."""
    evaluate, simulations = _evaluator(board, config), config.arena.num_simulations
    return agents.search_agent(board, config.search, evaluate, simulations)


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
    params: Params = learner_state.params
    with Compiler(mesh, report) as compile:
        # The largest first, so that all are done at about the same time.
        self_play, examples = self_play_program(board, config, mesh, params, compile)
        learn = learning_program(board, config, mesh, learner_state, buffer, compile)
        gate = gate_program(board, config, mesh, params, compile)
        against = baselines_of(board, mesh, report)
        play_baselines = baselines_program(board, config, mesh, params, against, compile)
        add = replay_program(mesh, buffer, examples, compile)
        correct = None
        if config.selfplay.engine_positions:
            correct = correction_program(board, config, mesh, buffer, compile)
    phases = Programs(
        self_play=self_play,
        add=add,
        correct=correct,
        learn=learn,
        gate=gate,
        baselines=play_baselines,
        opponents=tuple(against.agents),
        solved=against.solved,
    )
    return Plan(phases, time.perf_counter() - start, compile.memory)
