"""A run's directory: one process at a time, what is damaged kept aside, where it ran recorded.

runs/<name>/
    .lock                   held by the process that trains; left behind, and harmless
    running.json            who trains: process, host, since when; removed at the end
    environment.json        versions, device, command and config of every start
    aside/                  what was damaged or rolled back; azdab never deletes it
"""

import datetime
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from azdab import __version__
from azdab.common import durable
from azdab.common.errors import UserError, one_line
from azdab.common.files import write_whole
from azdab.common.json_text import json_text
from azdab.devices.device import cores

ASIDE = "aside"
"""The folder of a run for things that must not be lost."""

MAX_STARTS = 20
"""How many starts ``environment.json`` keeps: the first and the newest."""

_PACKAGES = ("chex", "flax", "jax", "jaxlib", "mctx", "numpy", "optax", "orbax-checkpoint")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Lock an existing run; the system releases the lock when the process dies.

    Raises:
      UserError: another process holds it; the message names the process and its host.
    """
    owner = run / "running.json"
    lock = filelock.FileLock(run / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"{run} is in use by {_owner(owner)}: wait for it, or stop it") from None
    try:
        mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
        write_json(owner, mine)
        yield
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def set_aside(run: Path, path: Path, name: str) -> Path:
    """Move a file or directory into ``aside/``, under ``name`` or, if taken, with a number.

    Returns:
      Where it is now.
    """
    place = place_aside(run, name)
    path.rename(place)
    return place


def place_aside(run: Path, name: str) -> Path:
    """A free path in ``aside/``, which is made if need be."""
    folder = run / ASIDE
    durable.make_folder(folder)
    place, number = folder / name, 1
    while place.exists():
        number += 1
        place = folder / f"{name}-{number}"
    return place


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_whole(path, json_text(value, indent=1) + "\n")


def remove_temporary_files(run: Path) -> None:
    """Remove the temporary files of a process that died. Hold the run's lock."""
    for path in run.glob("*.tmp"):
        path.unlink()


def environment(
    device: str, devices: int, iteration: int, config: dict[str, Any]
) -> dict[str, Any]:
    """What a run depends on beside its checkpoint, ready for JSON.

    Args:
      device: the kind of device.
      devices: how many.
      iteration: from which the run goes on.
      config: the run's settings.
    """
    versions = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    names = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES")
    return {
        "time": _now(),
        "iteration": iteration,
        "azdab": __version__,
        "git": _revision(),
        "python": platform.python_version(),
        "packages": versions,
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "device": device,
        "devices": devices,
        "cores": cores(),
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(names)},
        "command": sys.argv,
        "config": config,
    }


def _revision() -> str | None:
    """The commit of azdab's repository, with ``-dirty`` if files differ; None without one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()
    return None


def last_start(run: Path) -> dict[str, Any]:
    """What ``environment.json`` says of the newest start; nothing if it cannot be read."""
    try:
        last = json.loads((run / "environment.json").read_text(encoding="utf-8"))["starts"][-1]
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return {}
    return last if isinstance(last, dict) else {}


def record_environment(run: Path, entry: object) -> str | None:
    """Add a start to ``environment.json``; of more than ``MAX_STARTS`` the second is dropped.

    Returns:
      One line if what was there could not be read and was set aside.
    """
    path, note = run / "environment.json", None
    starts: list[Any] = []
    if path.exists():
        try:
            starts = json.loads(path.read_text(encoding="utf-8"))["starts"]
            if not isinstance(starts, list):
                raise TypeError("starts is no list")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            starts = []
            place = set_aside(run, path, "damaged-environment.json")
            note = f"{path} cannot be read ({one_line(str(error), 80)}); it is kept as {place}"
    starts = [*starts, entry]
    if len(starts) > MAX_STARTS:
        starts = [starts[0], *starts[1 - MAX_STARTS :]]
    write_json(path, {"starts": starts})
    return note
