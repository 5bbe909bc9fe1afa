"""Checkpoints as directories: written whole, checked before use, deleted whole.

    checkpoints/<n>/            complete; ``SHA256SUMS`` in it as ``sha256sum -c`` reads it
    checkpoints/<n>.new/        being written
    checkpoints/<n>.old/        being deleted

Only a complete directory is renamed to a name without suffix, and only when it is on the disk,
so if the process is killed or the power fails at any moment, what was there before stays.
Checkpoints without ``SHA256SUMS``, written by earlier versions of azdab, are accepted as they
are.
"""

import errno
import hashlib
import re
import shutil
from pathlib import Path

from azdab.common import durable
from azdab.common.errors import UserError

SUMS = "SHA256SUMS"
"""The file of digests in a checkpoint."""

METADATA = "_CHECKPOINT_METADATA"
"""The file that makes a directory a checkpoint."""

_MAX_SUMS = 10_000_000

_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Numbers of the errors that tell that a file is not what it should be; others do not."""


def steps(folder: Path) -> list[int]:
    """The checkpoints in a folder by number, the newest first, damaged or not."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir()]
    return sorted((int(name) for name in names if re.fullmatch(r"\d{1,12}", name)), reverse=True)


def commit(directory: Path) -> None:
    """Give a complete ``<n>.new`` its digests and its name."""
    write_sums(directory)
    durable.sync_all(directory)
    durable.rename(directory, directory.with_suffix(""))


def delete(checkpoint: Path) -> None:
    """Delete a checkpoint; if the process is killed meanwhile, nothing looks like a checkpoint."""
    old = checkpoint.with_suffix(".old")
    if old.exists():
        shutil.rmtree(old)
    durable.rename(checkpoint, old)
    shutil.rmtree(old)


def keep_newest(folder: Path, count: int) -> None:
    """Delete all but the newest checkpoints."""
    for step in steps(folder)[count:]:
        delete(folder / str(step))


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that died was writing or deleting."""
    for path in folder.glob("*"):
        if re.fullmatch(r"\d+\.(new|old)|.*orbax-checkpoint-tmp.*", path.name):
            shutil.rmtree(path, ignore_errors=True)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(directory: Path) -> None:
    """Write the digests of every file in a directory.

    The first line counts them, so that a list cut short at the end of a line is noticed.
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = [f"# sha256 of {len(files)} files\n"]
    lines += [f"{digest(path)}  {path.relative_to(directory).as_posix()}\n" for path in files]
    with (directory / SUMS).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def damage(checkpoint: Path, part: str = "") -> str | None:
    """What is wrong with a checkpoint's files, in a few words; None if nothing is.

    Args:
      checkpoint: its directory.
      part: check only the files in this folder of it, and those beside the folder.

    Raises:
      UserError: the system does not let it be read, which says nothing of its files.
    """
    try:
        if not checkpoint.is_dir():
            return "it is not a directory"
        if (checkpoint / SUMS).exists():
            return _differences(checkpoint, part)
        if not (checkpoint / METADATA).is_file():
            return f"{METADATA} is missing"
    except OSError as error:
        refuse_if_unreadable(checkpoint, error)
        return f"it cannot be read: {error.strerror or error}"
    return None


def refuse_if_unreadable(path: Path, error: OSError) -> None:
    """Refuse a checkpoint that the system does not let be read: it may well be intact.

    Raises:
      UserError: unless the error tells that files are missing or of another kind.
    """
    if isinstance(error, TimeoutError) or (error.errno and error.errno not in _DAMAGE):
        reason = error.strerror or str(error) or type(error).__name__
        name = Path(str(error.filename or path)).name
        inside = f" ({name})" if name != path.name else ""
        raise UserError(f"{path} cannot be read: {reason}{inside}; it was left as it is") from None


def file_damage(path: Path, expected: str) -> str | None:
    """What is wrong with a file of a known digest, as a verb; None if nothing is.

    Raises:
      OSError: it cannot be read.
    """
    if not path.is_file():
        return "is missing"
    if not path.stat().st_size and expected != hashlib.sha256().hexdigest():
        return "is empty"
    return "has changed" if digest(path) != expected else None


def _differences(checkpoint: Path, part: str) -> str | None:
    if (checkpoint / SUMS).stat().st_size > _MAX_SUMS:
        return f"{SUMS} is too large"
    text = (checkpoint / SUMS).read_bytes().decode("ascii", errors="replace")
    first, *lines = text.splitlines() or [""]
    count = re.fullmatch(r"# sha256 of (\d{1,9}) files", first)
    listed = [re.fullmatch(r"([0-9a-f]{64})  ([\w.-]+(?:/[\w.-]+)*)", line) for line in lines]
    if not count or not all(listed) or len(listed) != int(count[1]):
        return f"{SUMS} is damaged"
    for found in listed:
        assert found is not None
        expected, name = found[1], found[2]
        if ".." in name.split("/"):
            return f"{SUMS} names a file elsewhere"
        if part and "/" in name and not name.startswith(f"{part}/"):
            continue
        if problem := file_damage(checkpoint / name, expected):
            return f"{name} {problem}"
    return None
