"""Files that are there whole or not at all."""

from pathlib import Path


def write_whole(path: Path, text: str | bytes) -> None:
    """Put a file in place, text as UTF-8; a kill at any moment leaves the one before.

    What may then be left over is called ``<name>.tmp``.
    """
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(text.encode() if isinstance(text, str) else text)
    temporary.replace(path)
