"""Opening a run: what the command line means, what is on disk, and what is wrong with it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table

from azdab.common import durable, presets
from azdab.common.config import Config, config_differences, config_from_dict, config_to_dict
from azdab.common.errors import UserError, one_line
from azdab.devices import card, device, mesh
from azdab.game.board import board_of
from azdab.learning import memory, replay
from azdab.network.model import Params
from azdab.runs import atomic, metrics, networks, retention, rollback, run_directory

FIXED = (
    "board.",
    "network.",
    "replay.capacity",
    "search.utility",
    "learner.optimizer",
    "seed",
    "initial",
)
"""Settings that a run keeps to its end, or the beginnings of their names."""


class RunOptions(NamedTuple):
    """What a command line says about which run to train.

    Attributes:
      config: a preset or a YAML file; None: that of the run.
      run: the run's name; None: the config's.
      runs: where runs live.
      resume: whether to continue a run.
      from_step: the checkpoint to go back to; None: the newest.
    """

    config: str | None
    run: str | None
    runs: Path
    resume: bool
    from_step: int | None


def open_run(options: RunOptions, overrides: dict[str, Any]) -> tuple[Path, Config]:
    """The run's directory and config, from the command line. Nothing is written.

    Args:
      options: which run.
      overrides: nested settings, on top of the config's.

    Raises:
      UserError: the run exists, does not exist, or changes what cannot change.
    """
    given = presets.read_settings(options.config) if options.config else {}
    given = presets.merge(given, overrides)
    name = options.run or Path(options.config or "").stem
    if not name:
        raise UserError("say what to train with --config NAME, or what to --resume with --run NAME")
    if name != Path(name).name or "\\" in name or not name.isprintable() or name == "..":
        raise UserError(f"--run takes a name, not a path, got {name!r}; --runs DIR is the place")
    if name in ("best", "latest"):
        raise UserError(f"'{name}' means a checkpoint of the newest run: choose another --run NAME")
    if not str(options.runs).isprintable():
        raise UserError(f"--runs must be a directory, got {str(options.runs)!r}")
    run = options.runs / name
    if options.from_step is not None and not options.resume:
        raise UserError("--from-step N goes back to a checkpoint of a run: add --resume")
    if not options.resume:
        if any((run / part).exists() for part in ("config.yaml", "checkpoints", "metrics.jsonl")):
            raise UserError(f"{run} exists: add --resume to continue it, or --run NEW_NAME")
        if not options.config:
            raise UserError("a new run needs --config NAME; --list-configs shows the presets")
        return run, config_from_dict(given)
    stored = stored_settings(run).values
    old, new = config_from_dict(stored), config_from_dict(presets.merge(stored, given))
    changed = _fixed_differences(old, new)
    if changed:
        raise UserError(
            f"{run} cannot continue with another {', '.join(changed)}: "
            + ", ".join(f"{key} is {a}, not {b}" for key, (a, b) in changed.items())
        )
    return run, new


def _fixed_differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    changed = config_differences(old, new)
    return {key: values for key, values in changed.items() if key.startswith(FIXED)}


class Stored(NamedTuple):
    """The settings of a run on disk.

    Attributes:
      values: those of ``config.yaml``; where it is damaged or gone, of the checkpoints.
      saved: those of the newest intact checkpoint, if there is one.
      problem: what is wrong with ``config.yaml``, if anything is.
    """

    values: dict[str, Any]
    saved: dict[str, Any] | None
    problem: str | None = None


def stored_settings(run: Path) -> Stored:
    """Read a run's settings.

    Raises:
      UserError: there is no run, or nothing of its settings can be trusted.
    """
    path = run / "config.yaml"
    saved = checkpoint_settings(run)
    try:
        if not path.is_file():
            raise UserError("it is missing")
        values = presets.current_settings(presets.read_settings(str(path)))
        stored = config_from_dict(values)
        if saved and (lacking := _lacking(saved, values)):
            raise UserError(f"it ends early, without {lacking[0]}")
    except UserError as error:
        if saved is not None:
            return Stored(saved, saved, error.reason)
        if not path.exists():
            raise UserError(f"there is no run to resume in {run}") from None
        raise UserError(f"{path} cannot be used: {error.reason}") from None
    differ = _fixed_differences(config_from_dict(saved), stored) if saved else {}
    if differ:
        raise UserError(
            f"{path} does not fit the checkpoints: "
            + ", ".join(f"{key} was {a}, not {b}" for key, (a, b) in differ.items())
            + "; mend it, or remove it to go on with the settings of the checkpoints"
        )
    return Stored(values, saved)


def _lacking(whole: dict[str, Any], part: dict[str, Any], prefix: str = "") -> list[str]:
    """The keys of ``whole`` that ``part`` does not have."""
    found = [prefix + key for key in whole if key not in part]
    for key, value in whole.items():
        if isinstance(value, dict) and isinstance(part.get(key), dict):
            found += _lacking(value, part[key], f"{prefix}{key}.")
    return found


def checkpoint_settings(run: Path) -> dict[str, Any] | None:
    """The settings that the newest intact checkpoint holds, if any.

    Raises:
      UserError: it is of another format.
    """
    recorded = retention.recorded(run)
    if recorded is None:
        return None
    try:
        settings = presets.current_settings(recorded["config"])
        config_from_dict(settings)
    except (UserError, KeyError):
        return None
    return dict(settings)


def initial_params(run: Path, config: Config) -> Params | None:
    """The parameters that a run without checkpoints begins with; None: random ones.

    Raises:
      UserError: there is no such network, or it is not of the run's board and shape.
    """
    if config.initial is None or atomic.steps(run / "checkpoints"):
        return None
    trained = networks.load_network(networks.resolve(config.initial, run.parent))
    for part in ("board", "network"):
        differ = config_differences(getattr(trained.config, part), getattr(config, part))
        differ.pop("start", None)  # a network plays on every board of its size
        if differ:
            key, (theirs, ours) = next(iter(differ.items()))
            raise UserError(
                f"initial: {config.initial} has {part}.{key} {theirs}, and this run {ours}"
            )
    return trained.params


def check_memory(config: Config) -> None:
    """Raise an error if a device cannot hold its part of the replay, before it is made.

    Raises:
      UserError: says how much it needs and how much there is.
    """
    board = board_of(config)
    devices = jax.device_count()
    part = device.device_share(config, devices).replay.capacity
    needed, available = replay.replay_num_bytes(board, part), device.memory_bytes()
    if needed > available:
        each = f" on each of {devices} devices" if devices > 1 else ""
        raise UserError(
            f"replay.capacity: {config.replay.capacity:,} positions take "
            f"{needed / 1e9:,.1f} GB{each}, and there are {available / 1e9:,.1f} GB: lower it"
        )


@contextmanager
def opened(run: Path, config: Config, options: RunOptions, console: Console) -> Iterator[None]:
    """Create or open a run, lock it, and put its directory in order for training.

    Of several processes the first does; the others wait for it.

    Raises:
      UserError: another process holds it, or there is no checkpoint to go back to.
      OSError: it cannot be written.
    """
    mesh.barrier("all have looked into the run")
    if not mesh.is_first():
        mesh.barrier("the run is open")
        yield
        return
    created = not run.exists()
    durable.make_folder(run)
    try:
        with run_directory.locked(run):
            run_directory.remove_temporary_files(run)
            if options.resume:
                _prepare(run, options.from_step, console)
            presets.write_settings(config, run / "config.yaml")
            created = False
            mesh.barrier("the run is open")
            yield
    finally:
        if created:  # and nothing of the run is in it yet
            shutil.rmtree(run, ignore_errors=True)


def _prepare(run: Path, from_step: int | None, console: Console) -> None:
    path = run / "config.yaml"
    values, saved, problem = stored_settings(run)
    changed = config_differences(config_from_dict(saved or values), config_from_dict(values))
    if what := [f"{key} {a} to {b}" for key, (a, b) in changed.items() if key != "iterations"]:
        say(console, f"{path} differs from the newest checkpoint: {', '.join(what)}")
    if problem is not None:
        kept = ""
        if path.exists():
            kept = f"; it is kept as {run_directory.set_aside(run, path, 'damaged-config.yaml')}"
        say(console, f"{path} is damaged ({problem}): settings are the newest checkpoint's{kept}")
    if from_step is not None:
        place = rollback.roll_back(run, from_step)
        if place is not None:
            say(console, f"Back to checkpoint {from_step}; what came after it is in {place}")
    elif not atomic.steps(run / "checkpoints"):
        lines = len(metrics.read_metrics(run / "metrics.jsonl"))
        if lines > 1 or atomic.steps(run / "best"):
            raise UserError(
                f"the checkpoints of {run} are gone, after {lines} iterations: put them back "
                "into checkpoints/, or train anew with --run NEW_NAME"
            )
        say(console, f"No iteration of {run} was finished: it starts from the beginning")


def fitted(config: Config, limit: int, console: Console) -> Config:
    """The config with the largest batch of games that fits into ``limit`` bytes."""
    board = board_of(config)
    if jax.default_backend() == "cpu":  # all CPU devices share one memory
        limit //= jax.local_device_count()
    else:
        limit -= int(card.CONTEXT_GB * 1e9)
    with console.status("compiling small batches") as status:
        found = memory.largest_batch(
            board,
            config,
            mesh.all_devices(),
            limit,
            lambda name: status.update(f"compiling {name}"),
        )
    say(console, f"{found.selfplay.parallel_games:,} games at once fit.")
    return found


def list_configs(console: Console) -> None:
    """Print every preset with its purpose."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in presets.known_presets():
        table.add_row(name, config_from_dict(presets.read_settings(name)).description)
    console.print(table)


def say(console: Console, line: str) -> None:
    """Print a line as it is, however long."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def record_start(run: Path, config: Config, iteration: int, console: Console) -> None:
    """Add this start to the run's ``environment.json``; say what differs from the last one."""
    devices = jax.devices()
    kind = f"{devices[0].platform}: {devices[0].device_kind}"
    entry = run_directory.environment(kind, len(devices), iteration, config_to_dict(config))
    before = run_directory.last_start(run)
    if note := run_directory.record_environment(run, entry):
        say(console, note)
    if iteration and (changed := _environment_differences(before, entry)):
        say(
            console,
            f"Not as at the last start: {', '.join(changed)}. The run goes on, but not bit for bit "
            "as it would have.",
        )


def _environment_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What of two starts decides how numbers are rounded, and differs, in words."""
    parts = [(form, now.get(key), before.get(key)) for key, form in _STARTS_DIFFER.items()]
    packages, earlier = now.get("packages"), before.get("packages")
    if isinstance(packages, dict) and isinstance(earlier, dict):
        parts += [
            (f"{name} {{}}, was {{}}", packages[name], earlier.get(name)) for name in packages
        ]
    return [
        one_line(form.format(new, old), 200) for form, new, old in parts if old not in (None, new)
    ]


_STARTS_DIFFER = {
    "device": "device {}, was {}",
    "devices": "devices {}, were {}",
    "cores": "cores {}, were {}",
    "azdab": "azdab {}, was {}",
}
