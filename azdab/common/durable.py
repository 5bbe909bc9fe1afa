"""What was written is there after a power failure: it is on the disk before it has its name.

A file or folder is written under another name, synced with all that is in it, and renamed;
then the folder that holds the name is synced.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    windows = os.name == "nt"
    if windows and path.is_dir():  # which Windows cannot open
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that knows no such thing
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """The same for everything in a folder, at any depth, and for the folder."""
    for inside in folder.iterdir():
        if inside.is_dir():
            sync_all(inside)
        else:
            sync(inside)
    sync(folder)


def rename(path: Path, name: Path) -> None:
    """Give what is synced its name; a file there is replaced."""
    path.replace(name)
    sync(name.parent)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which has its name when it is complete; a file there is replaced.

    If it cannot be completed, nothing has changed. A process that is killed may leave
    ``<name>.tmp``.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they do not exist."""
    if not path.exists():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)
