"""Names of directories that orbax would misread."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def plain_path(path: Path) -> Iterator[Path]:
    """The same path, or where it has to be another path to the same place, for orbax.

    Orbax takes ``[``, ``*`` and the like in the name of a checkpoint, or of a directory around
    it, for a pattern, and what it writes there is never read again.
    """
    name = str(path)
    if name.isprintable() and not set(name) & set("[]*?\\"):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="azdab-") as folder:
        link = Path(folder, "runs")
        link.symlink_to(path.parent.absolute(), target_is_directory=True)
        yield link / path.name
