"""Files: whole or not at all, and those that a person named."""

from pathlib import Path

from azdab.common import durable
from azdab.common.errors import UserError


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file, text as UTF-8, see :func:`azdab.common.durable.new_file`."""
    with durable.new_file(path) as file:
        file.write(text.encode() if isinstance(text, str) else text)


def write_text(path: Path, text: str, *, append: bool = False) -> None:
    """Write a text file that a person named, or add to it.

    Raises:
      UserError: it cannot be written.
    """
    try:
        if append and path.exists() and path.stat().st_size:
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" + text)
        else:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
