"""Files: whole or not at all, and those that a person named."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from azdab.common import durable
from azdab.common.errors import UserError, one_line

_DEVICES = ("/dev/", "/proc/")


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file, text as UTF-8, see :func:`azdab.common.durable.new_file`."""
    with durable.new_file(path) as file:
        file.write(text.encode() if isinstance(text, str) else text)


def named(text: str) -> Path:
    """The file or directory that a person means by a name; ``~`` is a home directory.

    Every name that people write, on a command line, in a config or at a prompt, is read here.

    Raises:
      UserError: no file can have this name, or nobody has this home.
    """
    if not text:
        raise UserError("say which file")
    if "\0" in text:
        raise UserError(f"no file is called {one_line(repr(text), 80)}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"there is no home directory for {one_line(repr(text), 80)}") from None


def read_bounded(path: Path, most: int) -> bytes:
    """What a person named for reading, of which no more is read than the limit.

    A size that is asked for first says nothing of a device, a pipe or a file that grows.

    Raises:
      OSError: it cannot be read.
      UserError: it holds more than ``most`` bytes.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"{path} is larger than {most / 1_000_000:g} MB")
    return content


def write_text(path: Path, text: str | bytes) -> None:
    """Write a file that a person asked for: beside it first, so that it is whole or not there.

    Text is written as UTF-8, with escapes for the halves of characters that names of files may
    hold. Links are followed, and what is no ordinary file is written as it is.

    Raises:
      UserError: it cannot be written. What was there before is still there.
    """
    content = text.encode(errors="backslashreplace") if isinstance(text, str) else text
    try:
        special = path.exists() and not path.is_file()
        if special or str(path.absolute()).startswith(_DEVICES):
            path.write_bytes(content)
        else:
            target = Path(os.path.realpath(path))
            with durable.new_file(target) as file:
                if target.exists():
                    shutil.copymode(target, file.name)
                file.write(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def deliver(
    asked: Sequence[tuple[Path | None, Callable[[], str | bytes]]], show: Callable[[], None]
) -> None:
    """Write the files that a person asked for, and then show what was found.

    One that cannot be written keeps nothing else from being written or shown.

    Args:
      asked: files, and what makes their content; None: it was not asked for.
      show: prints.

    Raises:
      UserError: says which files could not be written, and why.
    """
    problems = []
    for path, make in asked:
        if path is not None:
            try:
                write_text(path, make())
            except UserError as error:
                problems.append(str(error))
    try:
        show()
    finally:
        if problems:
            raise UserError("; ".join(problems))
