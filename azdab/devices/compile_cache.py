"""JAX's compiled programs on disk: what is wrong with one makes it compile again, and no more."""

import functools
import stat
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
from jax._src import compilation_cache  # JAX itself warns, and keeps what it cannot read

MOST_BYTES = 2_000_000_000
"""How much the directory may hold when a program starts."""


def prune(directory: Path, limit: int = MOST_BYTES) -> None:
    """Remove the files that nobody used for the longest time, until the rest is small enough.

    JAX's own limit, ``jax_compilation_cache_max_size``, is not used: with it nothing is written any
    more once there is an entry whose use was not noted, as in every directory filled without it.
    Other processes may use the directory, and prune it, at the same time.

    Args:
      directory: may be missing.
      limit: bytes that are left at most.
    """
    found: list[tuple[float, int, Path]] = []
    for path in directory.rglob("*"):
        with suppress(OSError):  # somebody else removed it
            about = path.stat()
            if stat.S_ISREG(about.st_mode):
                found.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    size = sum(each for _, each, _ in found)
    for _, each, path in sorted(found):
        if size <= limit:
            return
        with suppress(OSError):
            path.unlink(missing_ok=True)
            size -= each


def forgive_damage() -> None:
    """Take an entry that cannot be read for one that is not there, and remove it if it is damaged.

    A crash, a full disk or a power failure may leave one cut short. JAX would warn of it at every
    start, and never replace it. Where the cache cannot be written, JAX works without it.
    """
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    cache: Any = compilation_cache
    read = getattr(cache, "get_executable_and_time", None)
    if read is None or hasattr(read, "forgiving"):
        return

    @functools.wraps(read)
    def forgiving(key: str, *arguments: Any, **named: Any) -> Any:
        try:
            return read(key, *arguments, **named)
        except (OSError, MemoryError):
            return None, None
        except Exception:  # decompression and XLA raise nearly anything
            folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
            with suppress(OSError, TypeError):
                Path(folder, f"{key}-cache").unlink(missing_ok=True)
            return None, None

    forgiving.forgiving = True  # type: ignore[attr-defined]
    cache.get_executable_and_time = forgiving
