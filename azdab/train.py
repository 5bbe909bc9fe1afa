"""``python -m azdab.train``: AlphaZero from zero. Read :func:`train` from top to bottom."""

import functools
import signal
import sys
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

from azdab import (
    arena,
    checkpoint,
    cli,
    config,
    device,
    diverged,
    exactness,
    launch,
    memory,
    mesh,
    metrics,
    phases,
    progress,
)
from azdab.checkpoint import TrainState
from azdab.config import Config, ConfigError
from azdab.device import shared
from azdab.game import Board
from azdab.gamebook import Gamebook
from azdab.network import Params
from azdab.phases import Phases
from azdab.saving import Checkpoints


def iterate(
    board: Board,
    config: Config,
    devices: Mesh,
    run: Phases,
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
    searched = board.num_edges - config.solver_horizon
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
        learner=learned, replay=buffer, iteration=mesh.put(devices, jnp.int32(number))
    )

    if number % config.arena.every == 0 or number == config.iterations:
        display.phase("arena")
        start = time.perf_counter()
        state, results = play_arena(config, devices, run, state, gate_key, baseline_key, games_kept)
        values |= results | {"time/arena": time.perf_counter() - start}
    return state, {k: float(v) for k, v in (values | device.metrics()).items()}


def play_arena(
    config: Config,
    devices: Mesh,
    run: Phases,
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
    score = arena.score(match)
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
            best_elo=mesh.put(devices, jnp.float32(elo)),
        )
    match = run.baselines(latest, run.solved, baseline_key)
    for i, name in enumerate(run.opponents):
        games = phases.against(match, i, len(run.opponents))
        games_kept.match(number, f"arena-{name}", games, ("latest", name))
        score = arena.score(games)
        values |= {
            f"arena/win_rate_{name}": score.rate,
            f"arena/mean_margin_{name}": score.mean_margin,
        }
        if name == "perfect":
            assert run.solved is not None
            regret = exactness.regret(run.solved, games)
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
      ConfigError: no checkpoint is intact, or the numbers went wrong; the line says what to do.
      OSError: the run cannot be written.
    """
    board = Board(config.board.rows, config.board.cols)
    devices = mesh.make()
    games_kept = Gamebook(board, run / "games" if save_games else None)
    report = functools.partial(launch.say, console)
    checkpoints = Checkpoints(run, config, devices, report)
    with (
        progress.Display(console) as display,
        stop_requests(console) as stop,
    ):
        display.phase("compiling")
        state = checkpoint.initial_state(board, config, devices, initial)
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
        plan = phases.compile_phases(
            board,
            config,
            devices,
            state.learner,
            state.replay,
            lambda name: display.phase(f"compiling {name}"),
        )
        launch.say(console, f"Compiled in {plan.seconds:.0f} s for {device.describe()}.")
        launch.say(console, memory.summary(board, config, devices, plan.memory))
        done = int(state.iteration)
        if first := mesh.is_first():
            launch.record(run, config, done, console)
        display.start(done, config.iterations)
        writing = metrics.Writer(run, done, checkpoints.metrics, report) if first else nullcontext()
        with writing as writer:
            for number in range(done + 1, config.iterations + 1):
                try:
                    state, values = iterate(
                        board, config, devices, plan.phases, state, display, games_kept
                    )
                except diverged.DivergedError as error:
                    raise ConfigError(diverged.keep(run, board, config, devices, error)) from None
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
    board = Board(config.board.rows, config.board.cols)
    devices = mesh.make()
    state = jax.eval_shape(lambda: checkpoint.initial_state(board, config, devices))
    with console.status("compiling") as status:
        plan = phases.compile_phases(
            board,
            config,
            devices,
            state.learner,
            state.replay,
            lambda name: status.update(f"compiling {name}"),
        )
    parameters = sum(x.size for x in jax.tree.leaves(state.learner.params))
    console.print(f"Device: {device.describe()}. Compiled in {plan.seconds:.0f} s.")
    console.print(
        f"{parameters:,} parameters, {config.replay.capacity:,} positions in the replay, "
        f"{config.selfplay.parallel_games:,} games at once."
    )
    console.print(memory.table(board, config, devices, plan.memory))


def parser() -> cli.Parser:
    """The command line."""
    made = cli.Parser(
        prog="python -m azdab.train",
        usage="%(prog)s --config NAME [--run NAME] [--resume [--from-step N]] [--dry-run] "
        "[--SETTING VALUE ...]",
        description="Train a Dots-and-Boxes player from zero.",
    )
    made.add_argument("--config", metavar="NAME", help="a preset or a YAML file")
    made.add_argument("--run", metavar="NAME", help="name of the run; default: the config's")
    made.add_argument("--runs", metavar="DIR", default="runs", help="where runs live")
    made.add_argument("--resume", action="store_true", help="continue the run")
    made.add_argument(
        "--from-step", type=int, metavar="N", help="with --resume: go back to checkpoint N"
    )
    made.add_argument("--dry-run", action="store_true", help="compile, print memory, stop")
    made.add_argument(
        "--save-games", action="store_true", help="keep the records of all games in games/"
    )
    made.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="cap the memory of each device, such as 4GB, and play as many games at once as fit",
    )
    made.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="several processes: address of process 0, or 'auto' to ask the cluster",
    )
    made.add_argument("--num-processes", metavar="N", type=int, help="how many there are")
    made.add_argument("--process-id", metavar="I", type=int, help="which this one is, from 0")
    made.add_argument("--list-configs", action="store_true", help="print the presets")
    return made


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    console = Console()
    command = parser()
    options, settings = command.parse(argv)
    run = Path(options.runs)
    try:
        if options.list_configs:
            launch.list_configs(console)
            return 0
        mesh.join(options.coordinator, options.num_processes, options.process_id)
        run, run_config = launch.open_run(options, settings)
        config.require_engine(run_config)
        limit = memory.parse(options.max_memory) if options.max_memory else None
        device.apply_settings(run_config, limit)
        device.divide_cpu(run_config, alone=options.coordinator is None)
        device.enable_cache()
        shared(run_config, jax.device_count())  # refused here if they cannot share the work
        console.quiet = not mesh.is_first()
        if limit is not None:
            run_config = launch.fitted(run_config, limit, console)
        if options.dry_run:
            dry_run(run_config, console)
            return 0
        launch.check_memory(run_config)
        initial = launch.initial_params(run, run_config)
        with launch.opened(run, run_config, options, console):
            launch.say(console, f"Run {run}: {run_config.description}")
            finished = train(run, run_config, console, options.save_games, initial)
    except ConfigError as error:
        command.error(str(error))
    except OSError as error:
        command.error(launch.explain(run, error))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            command.error(device.out_of_memory_advice(run_config))
        if jax.process_count() == 1:
            raise
        mesh.leave(
            f"{command.prog}: error: a process failed or is lost; what is saved in {run} continues "
            f"with --resume, with as many processes as there are ({error})"
        )
    except KeyboardInterrupt:
        finished = False
    if not finished:
        console.print(f"Stopped. Continue with: {command.prog} --resume --run {run.name}")
        return 130
    console.print(f"Finished. Best and latest networks are in {run}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
