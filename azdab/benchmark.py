"""``python -m azdab.benchmark``: how fast this machine runs a config's inner loops.

The programs are compiled first and then timed in turn, round after round, so that
a machine whose speed drifts slows all of them alike. Medians are printed.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array
from rich.console import Console
from rich.progress import track
from rich.table import Table

from azdab import agents, arena, cli, config, game, learner, mesh, phases, replay, search
from azdab.config import Config, ConfigError
from azdab.game import Board, State
from azdab.search import Evaluator


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


def bare_network(evaluate: Evaluator, count: int, params: Any, states: State) -> Array:
    """Evaluate the same batch ``count`` times, each depending on the one before."""

    def again(states: State, _: None) -> tuple[State, None]:
        value = evaluate(params, states).value
        # Never true, but the compiler cannot know.
        return states._replace(edges=states.edges ^ (value > 1e6)[:, None]), None

    return jax.lax.scan(again, states, length=count)[0].edges


def programs(
    board: Board, config: Config, key: Array
) -> dict[str, tuple[Callable[[], Any], float, str]]:
    """What is timed: a call, the units of work it does, and the unit."""
    games, simulations = config.selfplay.parallel_games, config.search.num_simulations
    evaluate = search.network_evaluator(board, config.network, config.search.utility)
    state = learner.init(key, board, config)
    states = jax.jit(random_states, static_argnums=(0, 2))(board, key, games)
    searched_plies = board.num_edges - config.solver_horizon

    one = Mesh(np.array(jax.devices()[:1]), (mesh.AXIS,))
    compile = phases.compiler(one, lambda name: None, {})
    play, _ = phases.self_play_program(board, config, one, state.params, compile)
    examples, _ = play(state.params, key)
    buffer = replay.stacked(replay.add(replay.init(board, config.replay.capacity), examples))
    look = jax.jit(functools.partial(search.search, board, config.search, evaluate))
    bare = jax.jit(functools.partial(bare_network, evaluate, simulations + 1))
    learn = jax.jit(lambda s, b, k: learner.learn(s, b, board, config, one, k))
    evaluations = games * (simulations + 1)
    samples = config.learner.batch_size * config.learner.steps_per_iteration
    return {
        "bare network": (lambda: bare(state.params, states), evaluations, "evaluations"),
        "search": (lambda: look(state.params, key, states), evaluations, "evaluations"),
        "self-play": (
            lambda: play(state.params, key),
            evaluations * searched_plies,
            "evaluations",
        ),
        "learning": (lambda: learn(state, buffer, key), samples, "samples"),
    }


def endgame_times(board: Board, positions: np.ndarray) -> list[float]:
    """Seconds to solve each of the positions ``bool[N, E]``, from nothing and on one core."""
    from azdab import exact  # only here is numba needed

    seconds = []
    for edges in positions:
        solver = exact.Solver(board)
        solver.value(np.ones(board.num_edges, bool))  # loads the compiled code
        start = time.perf_counter()
        solver.value(edges)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_endgames(board: Board, console: Console) -> None:
    """Print how long the exact engine takes on positions of greedy play, by edges left."""
    table = Table(title=f"exact values on {board}, one core", title_justify="left")
    for column in ("edges left", "positions", "median s", "max s"):
        table.add_column(column, justify="right")
    counts = {20: 40, 24: 40, 28: 40, 32: 40, 36: 40, 38: 20, 40: 10}
    # From nearer the empty board a search takes minutes.
    usable = {left: count for left, count in counts.items() if left <= 2 * board.num_edges // 3}
    greedy = agents.greedy_agent(board)
    play = functools.partial(arena.play_match, board, (greedy, greedy), (None, None))
    games = jax.jit(play, static_argnums=(1, 2))(jax.random.key(0), max(counts.values()), 0)
    edges = np.asarray(games.states.edges)
    for left, count in track(list(usable.items()), "solving", console=console, transient=True):
        seconds = endgame_times(board, edges[board.num_edges - left, :count])
        row = (left, count, f"{statistics.median(seconds):.5f}", f"{max(seconds):.5f}")
        table.add_row(*map(str, row))
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    command = cli.Parser(
        prog="python -m azdab.benchmark",
        usage="%(prog)s [--config NAME] [--rounds N] [--endgames] [--SETTING VALUE ...]",
        description="Measure a config's speed on this machine.",
    )
    command.add_argument("--config", metavar="NAME", default="rtx4060", help="a preset or a file")
    command.add_argument("--rounds", metavar="N", type=int, default=5, help="timed repetitions")
    command.add_argument(
        "--endgames", action="store_true", help="time the exact engine (extra: exact) instead"
    )
    options, settings = command.parse(argv)
    try:
        if options.rounds < 1:
            raise ConfigError(f"--rounds must be at least 1, got {options.rounds}")
        run_config = config.from_dict(config.merge(config.read(options.config), settings))
        config.require_engine(run_config)
        if options.endgames:
            config.require_numba("--endgames")
    except ConfigError as error:
        command.error(str(error))
    board = Board(run_config.board.rows, run_config.board.cols)
    console = Console()
    if options.endgames:
        measure_endgames(board, console)
        return 0
    timed = programs(board, run_config, jax.random.key(run_config.seed))
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for name, (call, _, _) in timed.items():
        with console.status(f"compiling {name}"):
            jax.block_until_ready(call())
    for _ in track(range(options.rounds), "measuring", console=console, transient=True):
        for name, (call, _, _) in timed.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - start)

    device = jax.devices()[0]
    table = Table(
        title=f"{board} board, {run_config.selfplay.parallel_games} games, "
        f"{run_config.search.num_simulations} simulations, {device.device_kind}",
        title_justify="left",
    )
    for column in ("", "median s", "min s", "max s", "per second", "of bare network"):
        table.add_column(column, justify="right" if column else "left")
    rates = {name: timed[name][1] / statistics.median(seconds[name]) for name in timed}
    for name, (_, _, unit) in timed.items():
        share = f"{rates[name] / rates['bare network']:.2f}" if unit == "evaluations" else ""
        times = seconds[name]
        numbers = (statistics.median(times), min(times), max(times))
        table.add_row(name, *(f"{x:.3f}" for x in numbers), f"{rates[name]:,.0f} {unit}", share)
    console.print(table)
    moves = rates["self-play"] / (run_config.search.num_simulations + 1)
    console.print(f"self-play: {moves:,.0f} searched moves/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
