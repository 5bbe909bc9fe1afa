"""Training from zero. Read :func:`train` from top to bottom, then :func:`iterate`."""

import functools
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray
from rich.console import Console

from azdab.common import progress
from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices import device, mesh
from azdab.game.board import Board, board_of
from azdab.learning import arena, baselines, diverged, memory, programs, statistics
from azdab.learning.learner import LearnerState
from azdab.learning.programs import Programs
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example
from azdab.measure import judging
from azdab.network.model import Params
from azdab.runs import checkpoint, metrics, segments
from azdab.runs.checkpoint import TrainState
from azdab.runs.gamebook import Gamebook
from azdab.runs.retention import Checkpoints
from azdab.training import opening

Metrics = dict[str, Any]
"""Values by name, as in :mod:`azdab.common.metric_table`; numbers, or arrays of one."""


class Context(NamedTuple):
    """What stays the same through a run.

    Attributes:
      board: the board.
      config: the run's config.
      devices: they share the work.
      programs: what is compiled.
      display: told what is going on.
      gamebook: given every game.
    """

    board: Board
    config: Config
    devices: Mesh
    programs: Programs
    display: progress.Display
    gamebook: Gamebook


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
    gamebook = Gamebook(board, run / "games" if save_games else None)
    report = functools.partial(opening.say, console)
    checkpoints = Checkpoints(run, config, devices, report)
    with progress.Display(console) as display, stop_requests(console) as stop:
        # The state: a new one, or the newest intact checkpoint.
        display.phase("compiling")
        state = checkpoint.initial_state(board, config, devices, initial)
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
        done = int(state.iteration)

        # The programs, compiled before anything runs.
        plan = programs.compile_programs(
            board,
            config,
            devices,
            state.learner,
            state.replay,
            lambda name: display.phase(f"compiling {name}"),
        )
        report(f"Compiled in {plan.seconds:.0f} s for {device.describe_device()}.")
        report(memory.memory_summary(board, config, devices, plan.memory))
        added: list[Example] = []  # to the replay, and not saved yet
        add = segments.keeping(added, plan.phases.add) if config.replay.saved else plan.phases.add
        phases = plan.phases._replace(add=add)
        context = Context(board, config, devices, phases, display, gamebook)
        refilling = context._replace(config=memory.refilling(config, checkpoints.missing))

        # The metrics, which one process writes.
        if first := mesh.is_first():
            opening.record_start(run, config, done, console)
        writing = metrics.Writer(run, done, checkpoints.metrics, report) if first else nullcontext()

        # The loop.
        display.start(done, config.iterations)
        with writing as writer:
            for number in range(done + 1, config.iterations + 1):
                try:
                    fill = refilling if number == done + 1 else context
                    state, values = iterate(fill, state)
                except diverged.DivergedError as error:
                    raise UserError(diverged.keep(run, board, config, devices, error)) from None
                display.phase("saving")
                if writer:
                    writer.write(number, values)
                segment = segments.segment_of(devices.size, added)
                checkpoints.save(state, segment, writer.digest if writer else None)
                added.clear()
                display.iteration(number, config.iterations, values)
                if mesh.anyone(bool(stop)):
                    return False
    return True


def iterate(context: Context, state: TrainState) -> tuple[TrainState, dict[str, float]]:
    """One iteration: self-play, learning and, when due, the arena.

    Games flow from self-play into the replay, samples of it into the learner, and the
    learner's average into the arena, which decides whose games come next. Everything random
    derives from the seed and the iteration's number, so a run that was interrupted goes on
    as if it had not been.

    Returns:
      The next state and the iteration's metrics. ``state`` is donated.

    Raises:
      DivergedError: losses or parameters are not finite.
    """
    config, number = context.config, int(state.iteration) + 1
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    play_key, learn_key, gate_key, baseline_key = jax.random.split(key, 4)

    player = state.best_params if config.arena.gating else state.learner.ema_params
    buffer, played = self_play_phase(context, number, player, state.replay, play_key)
    learned, fitted = learning_phase(context, number, state.learner, buffer, learn_key)
    iteration = mesh.placed(context.devices, jnp.int32(number))
    state = state._replace(learner=learned, replay=buffer, iteration=iteration)
    values = played | fitted

    if number % config.arena.every == 0 or number == config.iterations:
        state, measured = arena_phase(context, state, gate_key, baseline_key)
        values |= measured
    return state, {k: float(v) for k, v in (values | device.device_metrics()).items()}


def self_play_phase(
    context: Context, number: int, player: Params, buffer: Replay, key: PRNGKeyArray
) -> tuple[Replay, Metrics]:
    """Self-play: play the iteration's games in waves, and add them to the replay.

    Args:
      context: the run's.
      number: the iteration's.
      player: parameters of the network that plays.
      buffer: the replay; donated.
      key: random key.

    Returns:
      The replay with the new examples, and metrics.
    """
    context.display.phase("self-play")
    start = time.perf_counter()
    config, run = context.config, context.programs
    games = config.selfplay.games_per_iteration
    waves = games // config.selfplay.parallel_games
    stats = []
    for wave, wave_key in enumerate(jax.random.split(key, waves)):
        examples, wave_stats = run.self_play(player, wave_key)
        each = games // waves // context.devices.size
        context.gamebook.self_play(number, wave, examples, each)
        buffer = run.add(buffer, examples)
        stats.append(wave_stats)
    played = statistics.summary([mesh.gather(one) for one in stats])
    seconds = time.perf_counter() - start
    searched = context.board.num_plies - config.solver_horizon
    simulations = config.search.num_simulations
    return buffer, {
        **{f"selfplay/{name}": value for name, value in played.items()},
        "speed/games_per_second": games / seconds,
        "speed/moves_per_second": games * searched / seconds,
        "speed/simulations_per_second": games * searched * simulations / seconds,
        "time/self_play": seconds,
    }


def learning_phase(
    context: Context, number: int, learner: LearnerState, buffer: Replay, key: PRNGKeyArray
) -> tuple[LearnerState, Metrics]:
    """Learning: a phase of optimiser steps on samples from the replay.

    Args:
      context: the run's.
      number: the iteration's.
      learner: donated.
      buffer: the replay, which stays.
      key: random key.

    Returns:
      The learner after it, and metrics.

    Raises:
      DivergedError: losses or parameters are not finite.
    """
    context.display.phase("learning")
    start = time.perf_counter()
    before = jax.device_get(learner)
    learned, losses = jax.block_until_ready(context.programs.learn(learner, buffer, key))
    seconds = time.perf_counter() - start
    fitted = {f"loss/{name}": value for name, value in losses._asdict().items()}
    fitted |= diverged.ranges(learned)
    if not diverged.finite(fitted):
        raise diverged.DivergedError(number, before, buffer, key)
    samples = context.config.learner.steps_per_iteration * context.config.learner.batch_size
    speed = {"speed/samples_per_second": samples / seconds, "time/learning": seconds}
    return learned, fitted | speed


def arena_phase(
    context: Context, state: TrainState, gate_key: PRNGKeyArray, baseline_key: PRNGKeyArray
) -> tuple[TrainState, Metrics]:
    """Arena: measure the latest network against the best, the baselines and the truth.

    Args:
      context: the run's.
      state: after learning.
      gate_key: random key of the match against the best.
      baseline_key: of the other matches.

    Returns:
      The state with ``best`` replaced if it was beaten, and metrics.
    """
    context.display.phase("arena")
    start = time.perf_counter()
    state, gated = play_gate(context, state, gate_key)
    measured = play_baselines(context, state, baseline_key)
    return state, gated | measured | {"time/arena": time.perf_counter() - start}


def play_gate(context: Context, state: TrainState, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
    """The match of the latest network with the best.

    Returns:
      The state with ``best`` replaced if it was beaten, and metrics.
    """
    config, latest = context.config.arena, state.learner.ema_params
    match = context.programs.gate(latest, state.best_params, key)
    context.gamebook.match(int(state.iteration), "arena-best", match, ("latest", "best"))
    score = arena.arena_score(match)
    promoted = not config.gating or score.rate >= config.threshold
    elo = float(state.best_elo) + arena.elo_difference(score.rate, config.num_games)
    if promoted:
        state = state._replace(
            best_params=jax.tree.map(jnp.copy, latest),
            best_iteration=state.iteration,
            best_elo=mesh.placed(context.devices, jnp.float32(elo)),
        )
    return state, {
        "arena/win_rate_best": score.rate,
        "arena/elo": elo,
        "arena/promoted": promoted,
    }


def play_baselines(context: Context, state: TrainState, key: PRNGKeyArray) -> Metrics:
    """The matches of the latest network with players of fixed strength.

    Returns:
      Metrics; where the board is solved, with what the network's moves gave away.
    """
    run, values = context.programs, {}
    match = run.baselines(state.learner.ema_params, run.solved, key)
    for i, name in enumerate(run.opponents):
        games = baselines.games_against(match, i, len(run.opponents))
        context.gamebook.match(int(state.iteration), f"arena-{name}", games, ("latest", name))
        score = arena.arena_score(games)
        metric = name.replace("-", "_")
        values[f"arena/win_rate_{metric}"] = score.rate
        values[f"arena/mean_margin_{metric}"] = score.mean_margin
        if name == "perfect":
            assert run.solved is not None
            regret = judging.regret(run.solved, games)
            values |= {"exact/regret": regret.loss, "exact/optimal_moves": regret.optimal}
    return values


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
