"""A run to take elsewhere: all that ``azdab.train --resume`` needs, but for the replay."""

import json
import shutil
from pathlib import Path

from azdab.common import durable
from azdab.common.errors import UserError
from azdab.runs import atomic, checkpoint

_ARCHIVES = {".tar.gz": "gztar", ".tgz": "gztar", ".tar": "tar", ".zip": "zip"}
"""Kinds of archives by the end of their name, as :mod:`shutil` calls them."""

_BESIDE = ("config.yaml", "metrics.jsonl", "environment.json")
"""What is taken along beside a checkpoint and the best network."""


def export_training(run: Path, to: Path) -> int:
    """Write a run directory with the newest intact checkpoint, without the replay.

    The run may be training meanwhile.

    Args:
      run: its directory.
      to: must not exist. Named like an archive (``.tar.gz``, ``.tgz``, ``.tar``, ``.zip``) it
        becomes one, with the run's directory in it.

    Returns:
      The checkpoint's iteration.

    Raises:
      UserError: there is no run, no intact checkpoint, or ``to`` cannot be written.
    """
    if to.exists():
        raise UserError(f"{to} exists: choose another, or remove it first")
    if not run.is_dir():
        raise UserError(f"there is no run in {run}")
    unfinished = to.with_name(f"{to.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    inside = unfinished / run.absolute().name
    try:
        durable.make_folder(inside)
        iteration = _copy_newest(run / "checkpoints", inside / "checkpoints")
        if iteration is None:
            raise UserError(f"no checkpoint in {run / 'checkpoints'} is intact")
        _leave_replay(inside / "checkpoints" / str(iteration))
        _copy_newest(run / "best", inside / "best")
        for name in _BESIDE:
            if (run / name).is_file():
                shutil.copyfile(run / name, inside / name)
        _finish(inside, to)
    except OSError as error:
        raise UserError(f"cannot write {to}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return iteration


def _copy_newest(folder: Path, to: Path) -> int | None:
    """Copy the newest intact checkpoint of a folder; None if there is none."""
    for _ in range(3):  # one that is copied may be deleted, because there is a newer one
        for step in atomic.steps(folder):
            copy = to / str(step)
            try:
                shutil.copytree(folder / str(step), copy)
            except (FileNotFoundError, NotADirectoryError, shutil.Error):
                shutil.rmtree(copy, ignore_errors=True)
                continue
            if atomic.damage(copy) is None:
                return step
            shutil.rmtree(copy)
    return None


def _leave_replay(copy: Path) -> None:
    """Make a checkpoint one without replay: it names no segments."""
    if checkpoint.read_metadata(copy)["format"] == checkpoint.WITH_REPLAY:
        raise UserError(
            "its checkpoints are of an earlier version of azdab and hold the replay: "
            "--resume the run for one more iteration first"
        )
    path = copy / atomic.METADATA
    values = json.loads(path.read_text(encoding="utf-8"))
    values["custom_metadata"]["segments"] = []
    path.write_text(json.dumps(values), encoding="utf-8")
    (copy / atomic.SUMS).unlink(missing_ok=True)
    atomic.write_sums(copy)


def _finish(inside: Path, to: Path) -> None:
    """Give what is complete its name."""
    kind = next((_ARCHIVES[end] for end in _ARCHIVES if to.name.endswith(end)), None)
    if kind is None:
        durable.sync_all(inside)
        durable.rename(inside, to)
        return
    unfinished = inside.parent
    packed = Path(shutil.make_archive(str(unfinished / "packed"), kind, unfinished, inside.name))
    durable.sync(packed)
    durable.rename(packed, to)
