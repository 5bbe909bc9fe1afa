"""The work that the benchmark times: a config's inner loops as compiled calls.

All devices share it, as in training.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from azdab.bench.timing import Timed, Work
from azdab.common import presets
from azdab.common.config import Config, config_from_dict, config_to_dict
from azdab.devices import mesh
from azdab.devices.mesh import SPLIT, WHOLE
from azdab.game import rules
from azdab.game.board import Board, board_of
from azdab.game.rules import State
from azdab.learning import learner, programs, replay
from azdab.learning.learner import LearnerState, Losses
from azdab.learning.replay import Replay
from azdab.network.model import Params
from azdab.runs import checkpoint
from azdab.search import tree_search
from azdab.search.evaluator import Evaluator, network_evaluator
from azdab.search.tree_search import SearchOutput


def random_states(board: Board, key: PRNGKeyArray, count: int) -> State:
    """Positions after a random number of random moves."""
    key, length_key = jax.random.split(key)
    lengths = jax.random.randint(length_key, (count,), 0, board.num_plies)
    start = rules.init_states(board, count)

    def play_ply(states: State, inputs: tuple[Array, Array]) -> tuple[State, None]:
        ply, key = inputs
        actions = rules.random_actions(key, rules.legal_actions(states))
        moved = rules.step_batch(board, states, actions)

        def choose(new: Array, old: Array) -> Array:
            more = (ply < lengths).reshape((count,) + (1,) * (new.ndim - 1))
            return jnp.where(more, new, old)

        return jax.tree.map(choose, moved, states), None

    plies = jnp.arange(board.num_plies), jax.random.split(key, board.num_plies)
    return jax.lax.scan(play_ply, start, plies)[0]


def random_games(board: Board, count: int, key: PRNGKeyArray) -> State:
    """Whole games of random moves: the environment and nothing else."""

    def play_ply(states: State, key: PRNGKeyArray) -> tuple[State, None]:
        actions = rules.random_actions(key, rules.legal_actions(states))
        return rules.step_batch(board, states, actions), None

    keys = jax.random.split(key, board.num_plies)
    return jax.lax.scan(play_ply, rules.init_states(board, count), keys)[0]


def bare_network(evaluate: Evaluator, count: int, params: Params, states: State) -> Array:
    """Evaluate the same batch ``count`` times, each depending on the one before."""

    def again(states: State, _: None) -> tuple[State, None]:
        evaluation = evaluate(params, states)
        # Never true, but the compiler cannot know; without the priors it would not
        # compute the head they come from, which every search needs.
        never = evaluation.prior_logits + evaluation.value[:, None] > 1e6
        return states._replace(edges=states.edges ^ never), None

    return jax.lax.scan(again, states, length=count)[0].edges


def resized(config: Config, games: int, simulations: int) -> Config:
    """The config with other sizes, and one batch of games per iteration."""
    changes = {
        "selfplay": {"parallel_games": games, "games_per_iteration": games},
        "search": {"num_simulations": simulations},
    }
    return config_from_dict(presets.merge(config_to_dict(config), changes))


class Workloads:
    """What can be timed for a config; programs are compiled when asked for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.board = board_of(config)
        self.mesh = mesh.all_devices()
        self.key = jax.random.key(config.seed)
        self.evaluate = network_evaluator(self.board, config.network, config.search.utility)
        state = checkpoint.initial_state(self.board, config, self.mesh)
        self.learner, self.buffer = state.learner, state.replay
        self._learn: tuple[Callable[..., Any], float] | None = None

    @property
    def params(self) -> Params:
        """The parameters of an untrained network."""
        return self.learner.params

    def compile(
        self, function: Callable[..., Any], inputs: Any, outputs: Any, *arguments: Any,
        donate: Any = (),
    ) -> tuple[Callable[..., Any], float]:  # fmt: skip
        """Compile as :class:`programs.Compiler` does; returns the program and its seconds."""
        start = time.perf_counter()
        compile = programs.Compiler(self.mesh, lambda name: None)
        program = compile("", function, inputs, outputs, *arguments, donate=donate)
        return program, time.perf_counter() - start

    def learning(self) -> tuple[Callable[..., Any], float]:
        """A learning phase, which is the same for all sizes, and its seconds of compiling."""
        if self._learn is None:

            def learn(
                state: LearnerState, buffer: Replay, key: Array
            ) -> tuple[LearnerState, Losses]:
                return learner.learn(state, buffer, self.board, self.config, self.mesh, key)

            self._learn = self.compile(
                learn, (WHOLE, SPLIT, WHOLE), WHOLE, self.learner, self.buffer, self.key
            )
        return self._learn

    def environment(self, games: int) -> Work:
        """Random games: steps of the rules per second."""

        def play(key: PRNGKeyArray) -> State:
            return random_games(self.board, games // self.mesh.size, mesh.own_key(key))

        program = mesh.divided(self.mesh, play, WHOLE, SPLIT)
        run, seconds = self.compile(program, (WHOLE,), SPLIT, self.key)
        steps = games * self.board.num_plies
        return Work("environment", games, 0, lambda: run(self.key), steps, "steps", seconds)

    def searching(self, games: int, simulations: int) -> tuple[Work, Work]:
        """The bare network and the search, on the same batch and with equally many evaluations."""
        config = dataclasses.replace(self.config.search, num_simulations=simulations)
        made = jax.jit(random_states, static_argnums=(0, 2))(self.board, self.key, games)
        states = mesh.placed(self.mesh, made, SPLIT)
        count = simulations + 1

        def evaluate(params: Params, states: State) -> Array:
            return bare_network(self.evaluate, count, params, states)

        def look(params: Params, states: State) -> SearchOutput:
            key = mesh.own_key(self.key)
            return tree_search.search(self.board, config, self.evaluate, params, key, states)

        def work(name: str, function: Callable[..., Any]) -> Work:
            places = (WHOLE, SPLIT)
            program = mesh.divided(self.mesh, function, places, SPLIT)
            run, seconds = self.compile(program, places, SPLIT, self.params, states)
            units = games * count

            def call() -> Any:
                return run(self.params, states)

            return Work(name, games, simulations, call, units, "evaluations", seconds)

        return work("bare network", evaluate), work("search", look)

    def iteration(self, games: int, simulations: int) -> "Iteration":
        """Self-play, replay and learning, with at most as many games as the config has."""
        return Iteration(self, resized(self.config, games, simulations))


class Iteration:
    """An iteration as training runs it, without arena, checkpoint and metrics.

    The parts are timed while the whole runs, so they are not run twice.
    """

    def __init__(self, work: Workloads, config: Config) -> None:
        self.config, self._work = config, work
        self.seconds: dict[str, list[float]] = {"self-play": [], "replay": [], "learning": []}
        self.compile_seconds = dict.fromkeys(self.seconds, 0.0)

        def compile(
            name: str, function: Callable[..., Any], inputs: Any, outputs: Any, *arguments: Any
        ) -> Any:
            program, seconds = work.compile(function, inputs, outputs, *arguments)
            part = name if name in self.compile_seconds else "self-play"
            self.compile_seconds[part] += seconds
            return program

        self._play, examples = programs.self_play_program(
            work.board, config, work.mesh, work.params, compile
        )
        places = (SPLIT, SPLIT)
        add = mesh.divided(work.mesh, replay.add_own, places, SPLIT)
        self._add, self.compile_seconds["replay"] = work.compile(
            add, places, SPLIT, work.buffer, examples, donate=0
        )
        self._learn, self.compile_seconds["learning"] = work.learning()

    def __call__(self) -> None:
        """Run it once."""
        work = self._work

        def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            start = time.perf_counter()
            result = jax.block_until_ready(function(*arguments))
            self.seconds[name].append(time.perf_counter() - start)
            return result

        examples, _ = timed("self-play", self._play, work.params, work.key)
        work.buffer = timed("replay", self._add, work.buffer, examples)
        timed("learning", self._learn, work.learner, work.buffer, work.key)

    def play(self) -> Any:
        """The self-play alone."""
        return self._play(self._work.params, self._work.key)

    def work(self) -> Work:
        """The whole as something to time."""
        games, simulations = self._sizes()
        total = sum(self.compile_seconds.values())
        return Work("iteration", games, simulations, self, games, "games", total)

    def parts(self) -> Iterator[Timed]:
        """The parts' times, after the whole was timed; its first, untimed run is left out."""
        games, simulations = self._sizes()
        config, plies = self.config, self._work.board.num_plies
        searched = games * (plies - config.solver_horizon)
        amounts = {
            "self-play": (searched * (simulations + 1), "evaluations"),
            "replay": (games * config.examples_per_game, "positions"),
            "learning": (
                config.learner.batch_size * config.learner.steps_per_iteration,
                "samples",
            ),
        }
        for name, seconds in self.seconds.items():
            units, unit = amounts[name]
            compiling = self.compile_seconds[name]
            yield Timed(name, games, simulations, units, unit, compiling, seconds[1:])

    def _sizes(self) -> tuple[int, int]:
        return self.config.selfplay.parallel_games, self.config.search.num_simulations
