"""Files: whole or not at all, and those that a person named."""

from pathlib import Path

from azdab.common.errors import UserError


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file, text as UTF-8; if the process is killed, the old file is still whole.

    A file ``<name>.tmp`` may then be left over.
    """
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(text.encode() if isinstance(text, str) else text)
    temporary.replace(path)


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
