"""The work that the benchmark times: a config's inner loops as compiled calls."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from azdab import config as settings
from azdab import game, learner, mesh, phases, presets, replay, search
from azdab.config import Config
from azdab.game import Board, State
from azdab.search import Evaluator
from azdab.timing import Timed, Work, compiled


def random_states(board: Board, key: Array, count: int) -> State:
    """Positions after a random number of random moves."""
    key, length_key = jax.random.split(key)
    lengths = jax.random.randint(length_key, (count,), 0, board.num_edges)
    start = game.init_batch(board, count)

    def play_ply(states: State, inputs: tuple[Array, Array]) -> tuple[State, None]:
        ply, key = inputs
        actions = game.random_actions(key, game.legal_actions(states))
        moved = game.step_batch(board, states, actions)

        def choose(new: Array, old: Array) -> Array:
            more = (ply < lengths).reshape((count,) + (1,) * (new.ndim - 1))
            return jnp.where(more, new, old)

        return jax.tree.map(choose, moved, states), None

    plies = jnp.arange(board.num_edges), jax.random.split(key, board.num_edges)
    return jax.lax.scan(play_ply, start, plies)[0]


def random_games(board: Board, count: int, key: Array) -> State:
    """Whole games of random moves: the environment and nothing else."""

    def play_ply(states: State, key: Array) -> tuple[State, None]:
        actions = game.random_actions(key, game.legal_actions(states))
        return game.step_batch(board, states, actions), None

    keys = jax.random.split(key, board.num_edges)
    return jax.lax.scan(play_ply, game.init_batch(board, count), keys)[0]


def bare_network(evaluate: Evaluator, count: int, params: Any, states: State) -> Array:
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
    return settings.from_dict(presets.merge(settings.to_dict(config), changes))


class Workloads:
    """What can be timed for a config; programs are compiled when asked for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.board = Board(config.board.rows, config.board.cols)
        self.mesh = mesh.alone()  # what is measured is one device
        self.key = jax.random.key(config.seed)
        self.evaluate = search.network_evaluator(self.board, config.network, config.search.utility)
        self.learner = jax.jit(lambda key: learner.init(key, self.board, config))(self.key)
        self.buffer = replay.stacked(replay.init(self.board, config.replay.capacity))
        self._learn: tuple[Callable[..., Any], float] | None = None

    @property
    def params(self) -> Any:
        """The parameters of an untrained network."""
        return self.learner.params

    def learning(self) -> tuple[Callable[..., Any], float]:
        """A learning phase, which no size of self-play changes, and its seconds of compiling."""
        if self._learn is None:

            def learn(state: Any, buffer: Any, key: Array) -> Any:
                return learner.learn(state, buffer, self.board, self.config, self.mesh, key)

            self._learn = compiled(learn, self.learner, self.buffer, self.key)
        return self._learn

    def environment(self, games: int) -> Work:
        """Random games: steps of the rules per second."""
        run, seconds = compiled(functools.partial(random_games, self.board, games), self.key)
        steps = games * self.board.num_edges
        return Work("environment", games, 0, lambda: run(self.key), steps, "steps", seconds)

    def searching(self, games: int, simulations: int) -> tuple[Work, Work]:
        """The bare network and the search on the same batch, as many evaluations of each."""
        config = dataclasses.replace(self.config.search, num_simulations=simulations)
        states = jax.jit(random_states, static_argnums=(0, 2))(self.board, self.key, games)
        count = simulations + 1
        bare, bare_seconds = compiled(
            functools.partial(bare_network, self.evaluate, count), self.params, states
        )
        look, look_seconds = compiled(
            functools.partial(search.search, self.board, config, self.evaluate),
            self.params,
            self.key,
            states,
        )

        def work(name: str, call: Callable[[], Any], seconds: float) -> Work:
            return Work(name, games, simulations, call, games * count, "evaluations", seconds)

        return (
            work("bare network", lambda: bare(self.params, states), bare_seconds),
            work("search", lambda: look(self.params, self.key, states), look_seconds),
        )

    def iteration(self, games: int, simulations: int) -> "Iteration":
        """Self-play, replay and learning, of at most as many games as the config's."""
        return Iteration(self, resized(self.config, games, simulations))


class Iteration:
    """An iteration as training runs it, without arena, checkpoint and metrics.

    Its parts are timed where they run, and so are not run twice.
    """

    def __init__(self, work: Workloads, config: Config) -> None:
        self.config, self._work = config, work
        self.seconds: dict[str, list[float]] = {"self-play": [], "replay": [], "learning": []}
        self.compile_seconds = dict.fromkeys(self.seconds, 0.0)

        def compile(
            name: str, function: Callable[..., Any], inputs: Any, outputs: Any, *arguments: Any
        ) -> Any:
            program, seconds = compiled(function, *arguments)
            part = name if name in self.compile_seconds else "self-play"
            self.compile_seconds[part] += seconds
            return program

        self._play, examples = phases.self_play_program(
            work.board, config, work.mesh, work.params, compile
        )
        start = time.perf_counter()
        self._add = jax.jit(replay.add_own, donate_argnums=0).lower(work.buffer, examples).compile()
        self.compile_seconds["replay"] += time.perf_counter() - start
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
        config, edges = self.config, self._work.board.num_edges
        searched = games * (edges - config.solver_horizon)
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
