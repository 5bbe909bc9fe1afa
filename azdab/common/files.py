"""Files that are written whole or not at all."""

from pathlib import Path


def write_whole(path: Path, text: str | bytes) -> None:
    """Write a file, text as UTF-8; if the process is killed, the old file is still whole.

    A file ``<name>.tmp`` may then be left over.
    """
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(text.encode() if isinstance(text, str) else text)
    temporary.replace(path)
