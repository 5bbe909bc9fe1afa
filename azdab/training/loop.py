"""Training from zero: read :func:`train`, then :mod:`azdab.training.iteration`."""

import functools
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from azdab.common import progress
from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices import card, device, mesh
from azdab.devices.timeline import Timeline
from azdab.game.board import board_of
from azdab.learning import diverged, memory, programs
from azdab.network.model import Params
from azdab.runs import checkpoint, metrics
from azdab.runs.checkpoint import TrainState
from azdab.runs.gamebook import Gamebook
from azdab.runs.retention import Checkpoints
from azdab.training import iteration, opening, saving, teaching
from azdab.training.iteration import Context


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
    report = functools.partial(opening.say, console)
    checkpoints = Checkpoints(run, config, devices, report)
    with progress.Display(console) as display, stop_requests(console) as stop:
        # The state: a new one, or the newest intact checkpoint.
        display.phase("compiling")
        state = checkpoint.initial_state(board, config, devices, initial)
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
        done = int(state.iteration)

        # The programs, compiled before anything runs; beside them the host's exact engine.
        beside = teaching.beside(board, config)
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

        # The metrics, which one process writes.
        if first := mesh.is_first():
            opening.record_start(run, config, done, console)
        writing = metrics.Writer(run, done, checkpoints.metrics, report) if first else nullcontext()

        # The loop. While an iteration is written down, the next one's games are played.
        with (
            writing as writer,
            saving.Saver(checkpoints, config, devices, display) as saver,
            Timeline() as timeline,
            card.UtilisationMeter(jax.local_devices()) as meter,
        ):
            gamebook = Gamebook(board, run / "games" if save_games else None)
            context = Context(
                board, config, devices, plan.phases, beside, timeline, gamebook, display.phase
            )
            display.start(done, config.iterations)
            try:
                return _iterations(context, state, checkpoints, display, stop, writer, saver, meter)
            except diverged.DivergedError as error:
                raise UserError(diverged.keep(run, board, config, devices, error)) from None
            finally:
                beside.close()


def _iterations(
    context: Context,
    state: TrainState,
    checkpoints: Checkpoints,
    display: progress.Display,
    stop: list[int],
    writer: metrics.Writer | None,
    saver: saving.Saver,
    meter: card.UtilisationMeter,
) -> bool:
    """All iterations that are left; whether they were finished."""
    done, last = int(state.iteration), context.config.iterations
    if done >= last:
        return True
    # Where the replay holds less than is sampled, the first iteration plays that much more.
    now = context._replace(config=memory.refilling(context.config, checkpoints.missing))
    earlier = iteration.taught_again(context, state, checkpoints.newest)
    started = iteration.begin_games(now, state, done + 1)
    while True:
        number = started.number
        state, values = iteration.complete(now, state, started, earlier)
        ended = number == last or mesh.anyone(bool(stop))
        following = None if ended else iteration.begin_games(context, state, number + 1)

        values = values | iteration.measured(now, started)
        values = values | device.device_metrics() | meter.metrics()
        values = {name: float(value) for name, value in values.items()}
        iteration.write_games(now, started)
        with context.timeline.waiting("saving"):
            saver.wait()  # metrics are never more than a line ahead of the checkpoints
            if writer:
                writer.write(number, values)
            saver.save(state, started, earlier, writer.digest if writer else None)
        display.iteration(number, last, values)
        if number == done + 2 and (advice := iteration.slow_teacher(context.config, values)):
            opening.say(display.console, advice)
        if following is None:
            return number == last
        now, started, earlier = context, following, started.taught


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


def dry_run(config: Config, console: Console, limit: int | None = None) -> None:
    """Compile everything and print the memory it will need, without allocating any of it.

    Args:
      config: the run's config.
      console: where to print.
      limit: most bytes of each device, instead of the config's limit.
    """
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
    opening.say(console, memory.memory_verdict(board, config, devices, plan.memory, limit))
