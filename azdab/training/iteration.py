"""One iteration: games, learning, arena, in a pipeline that keeps the device at work.

An iteration is *started* by dispatching its games and *completed* by everything that needs them.
The next one is started as soon as this one's network is known. So the device plays on while
metrics are written and the checkpoint is saved, and while the host's exact engine looks at the
games: what it finds is put into the replay when the next iteration is completed. That point
never depends on time, so the same seed gives the same run.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from azdab.common.config import Config
from azdab.devices import mesh
from azdab.devices.timeline import Timeline
from azdab.exact.endings import GameValues
from azdab.game.board import Board
from azdab.learning import arena, baselines, diverged, replay, statistics
from azdab.learning.programs import Programs
from azdab.learning.selfplay import Example, SelfPlayStats
from azdab.measure import judging
from azdab.runs.checkpoint import TrainState
from azdab.runs.gamebook import Gamebook
from azdab.training import teaching
from azdab.training.teaching import Beside, Parts

Metrics = dict[str, Any]
"""Values by name, as in :mod:`azdab.common.metric_table`; numbers, or arrays of one."""

Taught = Future[list[GameValues]]
"""What the host's exact engine finds out about an iteration's games, wave by wave."""


class Context(NamedTuple):
    """What stays the same through a run.

    Attributes:
      board: the board.
      config: the run's config.
      devices: they share the work.
      programs: what is compiled.
      beside: the threads that read and teach games.
      timeline: watches the devices.
      gamebook: given every game.
      phase: told what goes on.
    """

    board: Board
    config: Config
    devices: Mesh
    programs: Programs
    beside: Beside
    timeline: Timeline
    gamebook: Gamebook
    phase: Callable[[str], None]


class Keys(NamedTuple):
    """An iteration's random keys, from the seed and its number."""

    play: PRNGKeyArray
    learn: PRNGKeyArray
    gate: PRNGKeyArray
    baselines: PRNGKeyArray


class Started(NamedTuple):
    """An iteration whose games are being played.

    Attributes:
      number: from 1.
      keys: its random keys.
      waves: examples and statistics of each wave, on the devices.
      games: the examples on the host, wave by wave.
      taught: what the exact engine finds in them; None if it is not used.
    """

    number: int
    keys: Keys
    waves: list[Future[tuple[Example, SelfPlayStats]]]
    games: list[Future[Parts]]
    taught: Taught | None


def keys_of(config: Config, number: int) -> Keys:
    """The random keys of an iteration: a run that was interrupted goes on as if it had not been."""
    return Keys(*jax.random.split(jax.random.fold_in(jax.random.key(config.seed), number), 4))


def begin_games(context: Context, state: TrainState, number: int) -> Started:
    """Begin to play an iteration's games, in waves. Waits for nothing.

    Args:
      context: the run's.
      state: after the iteration before.
      number: the iteration's.
    """
    context.phase("self-play")
    config, keys = context.config, keys_of(context.config, number)
    player = state.best_params if config.arena.gating else state.learner.ema_params
    count = config.selfplay.games_per_iteration // config.selfplay.parallel_games
    wave_keys = mesh.placed(context.devices, list(jax.random.split(keys.play, count)))

    def play(key: PRNGKeyArray) -> tuple[Example, SelfPlayStats]:
        with context.timeline.dispatching("self-play") as results:
            examples, stats = context.programs.self_play(player, key)
            results.set_result(stats)
        return examples, stats

    def read(wave: Future[tuple[Example, SelfPlayStats]]) -> Parts:
        return teaching.on_host(wave.result()[0])

    waves = [context.beside.player.submit(play, key) for key in wave_keys]
    games = [context.beside.reader.submit(read, wave) for wave in waves]
    taught = teaching.begin(context.beside, context.board, config, games)
    return Started(number, keys, waves, games, taught)


def complete(
    context: Context, state: TrainState, started: Started, earlier: Taught | None
) -> tuple[TrainState, Metrics]:
    """Everything that follows an iteration's games.

    What the exact engine found in the games before is put right in the replay, the new games
    are added, the learner learns from samples of it, and its average goes into the arena when
    that is due, which decides whose games come next.

    Args:
      context: the run's.
      state: as it was when the iteration was started; its replay is donated.
      started: the iteration.
      earlier: the same of the iteration before; None if there is nothing.

    Returns:
      The next state and metrics.

    Raises:
      DivergedError: losses or parameters are not finite.
    """
    run, config, number = context.programs, context.config, started.number
    found: list[GameValues] = []
    if earlier is not None:
        with context.timeline.waiting("teacher"):
            found = earlier.result()
    waves = [wave.result() for wave in started.waves]
    jax.block_until_ready([stats for _, stats in waves])

    context.phase("learning")
    buffer = state.replay
    if found and run.correct is not None:
        each = examples_of_wave(context)
        buffer = teaching.put_right(context.devices, run.correct, buffer, found, each)
    for examples, _ in waves:
        buffer = run.add(buffer, examples)
    with context.timeline.dispatching("learning") as results:
        learned, losses = run.learn(state.learner, buffer, started.keys.learn)
        results.set_result(losses)
    fitted = {f"loss/{name}": value for name, value in losses._asdict().items()}
    fitted = jax.device_get(fitted | diverged.ranges(learned))
    if not diverged.finite(fitted):
        before = jax.device_get(state.learner)
        raise diverged.DivergedError(number, before, buffer, started.keys.learn)

    iteration = mesh.placed(context.devices, jnp.int32(number))
    state = state._replace(learner=learned, replay=buffer, iteration=iteration)
    values = fitted
    if number % config.arena.every == 0 or number == config.iterations:
        context.phase("arena")
        with context.timeline.running("arena"):
            state, gated = play_gate(context, state, started.keys.gate)
            values = values | gated | play_baselines(context, state, started.keys.baselines)
    return state, values


def examples_of_wave(context: Context) -> int:
    """How many examples a wave of games adds to the replay of each device."""
    config = context.config
    return config.selfplay.parallel_games * config.examples_per_game // context.devices.size


def taught_again(context: Context, state: TrainState, newest: int) -> Taught | None:
    """What the engine was finding out when a run was interrupted: it begins anew.

    Args:
      context: the run's.
      state: as it was saved.
      newest: examples that the last iteration added to the replay of each device, and that are
        there; 0 if they are not, or are of games of another kind.
    """
    count = examples_of_wave(context)
    if context.beside.teach is None or not newest or newest % count:
        return None
    held = teaching.on_host(replay.newest_examples(state.replay, newest))
    games = [
        [jax.tree.map(lambda x, at=at: x[0, at : at + count], part) for part in held]
        for at in range(0, newest, count)
    ]
    there = [context.beside.reader.submit(list, wave) for wave in games]
    return teaching.begin(context.beside, context.board, context.config, there)


def measured(context: Context, started: Started) -> Metrics:
    """What is known of an iteration's games and of the time since the last call, as metrics."""
    config, took = context.config, context.timeline.read()
    played = statistics.summary([mesh.gather(wave.result()[1]) for wave in started.waves])
    games = config.selfplay.games_per_iteration
    searched = games * (context.board.num_plies - config.solver_horizon)
    samples = config.learner.steps_per_iteration * config.learner.batch_size
    playing, learning = (max(took.busy.get(name, 0), 1e-9) for name in ("self-play", "learning"))
    values: Metrics = {f"selfplay/{name}": value for name, value in played.items()}
    values |= {
        "speed/games_per_second": games / playing,
        "speed/moves_per_second": searched / playing,
        "speed/simulations_per_second": searched * config.search.num_simulations / playing,
        "speed/samples_per_second": samples / learning,
        "time/iteration": took.seconds,
        "time/self_play": playing,
        "time/learning": learning,
        "device/idle": sum(took.idle.values()) / took.seconds,
    }
    values |= {f"time/idle_{name}": took.idle.get(name, 0.0) for name in IDLE}
    if "arena" in took.busy:
        values["time/arena"] = took.busy["arena"]
    return values


def slow_teacher(config: Config, values: Metrics) -> str:
    """One line if the devices wait for the exact engine; empty if they do not.

    Args:
      config: the run's.
      values: an iteration's, from :func:`measured`.

    Example:
      >>> from azdab.common.config import SelfPlayConfig
      >>> config = Config(selfplay=SelfPlayConfig(engine_positions=10_000))
      >>> slow_teacher(config, {"time/iteration": 10.0, "time/idle_teacher": 4.0})
      "The devices wait 40% of the time for the host's exact engine: lower \
--selfplay.engine_positions 10000, for example to 6000."
    """
    waits = values["time/idle_teacher"] / values["time/iteration"]
    if waits < _BEARABLE:
        return ""
    positions = config.selfplay.engine_positions
    return (
        f"The devices wait {waits:.0%} of the time for the host's exact engine: lower "
        f"--selfplay.engine_positions {positions}, for example to {int(positions * (1 - waits))}."
    )


_BEARABLE = 0.05
"""Share of the time that the devices may wait before it is said."""

IDLE = ("teacher", "saving", "python")
"""For whom the devices may wait."""


def write_games(context: Context, started: Started) -> None:
    """Give an iteration's games to the gamebook."""
    config = context.config
    each = config.selfplay.parallel_games // context.devices.size
    for wave, parts in enumerate(started.games):
        context.gamebook.self_play(started.number, wave, parts.result(), each)


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
