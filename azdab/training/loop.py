"""Training from zero. Read :func:`train` from top to bottom."""

import functools
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from azdab.common import progress
from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices import device, mesh
from azdab.game.board import Board, board_of
from azdab.learning import arena, diverged, memory, programs
from azdab.learning.programs import Programs
from azdab.measure import judging
from azdab.network.model import Params
from azdab.runs import checkpoint, metrics
from azdab.runs.checkpoint import TrainState
from azdab.runs.gamebook import Gamebook
from azdab.runs.retention import Checkpoints
from azdab.training import opening


def iterate(
    board: Board,
    config: Config,
    devices: Mesh,
    run: Programs,
    state: TrainState,
    display: progress.Display,
    games_kept: Gamebook,
) -> tuple[TrainState, dict[str, float]]:
    """One iteration: self-play, learning and, when due, the arena.

    Everything random derives from the seed and the iteration's number, so a run
    that was interrupted goes on as if it had not been.

    Returns:
      The next state and the iteration's metrics. ``state`` is donated.

    Raises:
      DivergedError: losses or parameters are not finite.
    """
    number = int(state.iteration) + 1
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    play_key, learn_key, gate_key, baseline_key = jax.random.split(key, 4)
    values: dict[str, float] = {}

    display.phase("self-play")
    start = time.perf_counter()
    games = config.selfplay.games_per_iteration
    waves = games // config.selfplay.parallel_games
    params = state.best_params if config.arena.gating else state.learner.ema_params
    buffer = state.replay
    stats = []
    for wave, wave_key in enumerate(jax.random.split(play_key, waves)):
        examples, wave_stats = run.self_play(params, wave_key)
        games_kept.self_play(number, wave, examples, games // waves // devices.size)
        buffer = run.add(buffer, examples)
        stats.append(wave_stats)
    played = jax.tree.map(lambda *x: np.mean(x), *map(mesh.gather, stats))
    seconds = time.perf_counter() - start
    searched = board.num_plies - config.solver_horizon
    values |= {
        "selfplay/first_player_win_rate": played.first_player_win_rate,
        "selfplay/mean_margin": played.mean_margin,
        "selfplay/decided_ply": played.decided_ply,
        "selfplay/policy_entropy": played.policy_entropy,
        "selfplay/value_error": played.value_error,
        "speed/games_per_second": games / seconds,
        "speed/moves_per_second": games * searched / seconds,
        "speed/simulations_per_second": games * searched * config.search.num_simulations / seconds,
        "time/self_play": seconds,
    }

    display.phase("learning")
    start = time.perf_counter()
    before = jax.device_get(state.learner)
    learned, losses = jax.block_until_ready(run.learn(state.learner, buffer, learn_key))
    seconds = time.perf_counter() - start
    fitted = {f"loss/{name}": value for name, value in losses._asdict().items()}
    fitted |= diverged.ranges(learned)
    if not diverged.finite(fitted):
        raise diverged.DivergedError(number, before, buffer, learn_key)
    samples = config.learner.steps_per_iteration * config.learner.batch_size
    values |= fitted | {"speed/samples_per_second": samples / seconds, "time/learning": seconds}
    state = state._replace(
        learner=learned, replay=buffer, iteration=mesh.placed(devices, jnp.int32(number))
    )

    if number % config.arena.every == 0 or number == config.iterations:
        display.phase("arena")
        start = time.perf_counter()
        state, results = play_arena(config, devices, run, state, gate_key, baseline_key, games_kept)
        values |= results | {"time/arena": time.perf_counter() - start}
    return state, {k: float(v) for k, v in (values | device.device_metrics()).items()}


def play_arena(
    config: Config,
    devices: Mesh,
    run: Programs,
    state: TrainState,
    gate_key: jax.Array,
    baseline_key: jax.Array,
    games_kept: Gamebook,
) -> tuple[TrainState, dict[str, float]]:
    """Measure the latest network against the best, the baselines and the truth.

    Returns:
      The state with ``best`` replaced if it was beaten, and metrics.
    """
    latest, number = state.learner.ema_params, int(state.iteration)
    match = run.gate(latest, state.best_params, gate_key)
    games_kept.match(number, "arena-best", match, ("latest", "best"))
    score = arena.arena_score(match)
    promoted = not config.arena.gating or score.rate >= config.arena.threshold
    elo = float(state.best_elo) + arena.elo_difference(score.rate, config.arena.num_games)
    values: dict[str, float] = {
        "arena/win_rate_best": score.rate,
        "arena/elo": elo,
        "arena/promoted": promoted,
    }
    if promoted:
        state = state._replace(
            best_params=jax.tree.map(jnp.copy, latest),
            best_iteration=state.iteration,
            best_elo=mesh.placed(devices, jnp.float32(elo)),
        )
    match = run.baselines(latest, run.solved, baseline_key)
    for i, name in enumerate(run.opponents):
        games = programs.against(match, i, len(run.opponents))
        games_kept.match(number, f"arena-{name}", games, ("latest", name))
        score = arena.arena_score(games)
        values |= {
            f"arena/win_rate_{name}": score.rate,
            f"arena/mean_margin_{name}": score.mean_margin,
        }
        if name == "perfect":
            assert run.solved is not None
            regret = judging.regret(run.solved, games)
            values |= {"exact/regret": regret.loss, "exact/optimal_moves": regret.optimal}
    return state, values


@contextmanager
def stop_requests(console: Console) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying; a second SIGINT interrupts at once."""
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        console.print("Stopping after this iteration; press Ctrl-C again to drop it and stop now.")

    previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def train(
    run: Path,
    config: Config,
    console: Console,
    save_games: bool = False,
    initial: Params | None = None,
) -> bool:
    """Run or continue training.

    Args:
      run: the run's directory, with its ``config.yaml`` written.
      config: its config.
      console: where to report.
      save_games: whether to write all games of self-play and arena to ``games/``.
      initial: parameters that a run without checkpoints begins with; None: random ones.

    Returns:
      Whether it finished; False if it was asked to stop. Either way everything up
      to the last finished iteration is on disk.

    Raises:
      UserError: no checkpoint is intact, or the numbers went wrong; the line says what to do.
      OSError: the run cannot be written.
    """
    board = board_of(config)
    devices = mesh.all_devices()
    games_kept = Gamebook(board, run / "games" if save_games else None)
    report = functools.partial(opening.say, console)
    checkpoints = Checkpoints(run, config, devices, report)
    with (
        progress.Display(console) as display,
        stop_requests(console) as stop,
    ):
        display.phase("compiling")
        state = checkpoint.initial_state(board, config, devices, initial)
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
        plan = programs.compile_programs(
            board,
            config,
            devices,
            state.learner,
            state.replay,
            lambda name: display.phase(f"compiling {name}"),
        )
        opening.say(console, f"Compiled in {plan.seconds:.0f} s for {device.describe_device()}.")
        opening.say(console, memory.memory_summary(board, config, devices, plan.memory))
        done = int(state.iteration)
        if first := mesh.is_first():
            opening.record_start(run, config, done, console)
        display.start(done, config.iterations)
        writing = metrics.Writer(run, done, checkpoints.metrics, report) if first else nullcontext()
        with writing as writer:
            for number in range(done + 1, config.iterations + 1):
                try:
                    state, values = iterate(
                        board, config, devices, plan.phases, state, display, games_kept
                    )
                except diverged.DivergedError as error:
                    raise UserError(diverged.keep(run, board, config, devices, error)) from None
                display.phase("saving")
                if writer:
                    writer.write(number, values)
                checkpoints.save(state, writer.digest if writer else None)
                display.iteration(number, config.iterations, values)
                if mesh.anyone(bool(stop)):
                    return False
    return True


def dry_run(config: Config, console: Console) -> None:
    """Compile everything and print the memory it will need, without allocating any of it."""
    board = board_of(config)
    devices = mesh.all_devices()
    state = jax.eval_shape(lambda: checkpoint.initial_state(board, config, devices))
    with console.status("compiling") as status:
        plan = programs.compile_programs(
            board,
            config,
            devices,
            state.learner,
            state.replay,
            lambda name: status.update(f"compiling {name}"),
        )
    parameters = sum(x.size for x in jax.tree.leaves(state.learner.params))
    console.print(f"Device: {device.describe_device()}. Compiled in {plan.seconds:.0f} s.")
    console.print(
        f"{parameters:,} parameters, {config.replay.capacity:,} positions in the replay, "
        f"{config.selfplay.parallel_games:,} games at once."
    )
    console.print(memory.memory_table(board, config, devices, plan.memory))
