"""Caches of compiled programs: what is wrong with one costs time, and nothing else."""

import errno
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import platformdirs
import pytest
from jax._src.lru_cache import LRUCache
from jax.experimental.compilation_cache import compilation_cache

from azdab.devices import compile_cache, device

DAMAGE: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """JAX's cache, in a directory of its own."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = [getattr(jax.config, name) for name in names]

    def use(values: list[object]) -> None:
        for name, value in zip(names, values, strict=True):
            jax.config.update(name, value)
        compilation_cache.reset_cache()

    use([str(tmp_path / "cache"), 0, -1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        device.enable_cache()
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        yield tmp_path / "cache"
    use(before)


def hits_of_jax() -> int:
    """Compile a program, use it, and count what came from the cache."""
    hits: list[str] = []

    def heard(event: str, **more: str | int) -> None:
        if "cache_hits" in event:
            hits.append(event)

    jax.monitoring.register_event_listener(heard)
    try:
        assert jax.jit(lambda x: x * 3 + 1)(jnp.ones(5)).tolist() == [4.0] * 5
    finally:
        jax.monitoring.unregister_event_listener(heard)
    return len(hits)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_program_is_compiled_again_and_replaced(
    damage: Callable[[Path], object], cache: Path
) -> None:
    jnp.ones(5)
    assert not hits_of_jax()
    assert hits_of_jax()
    entries = list(cache.glob("*-cache"))
    assert entries
    for path in entries:
        damage(path)
    assert not hits_of_jax()
    assert hits_of_jax()


@pytest.mark.usefixtures("cache")
def test_programs_are_compiled_where_none_can_be_read_or_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refusing(*arguments: object, **named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(LRUCache, "put", refusing)
        assert not hits_of_jax()
    assert not hits_of_jax()
    with monkeypatch.context() as patch:
        patch.setattr(LRUCache, "get", refusing)
        assert not hits_of_jax()
    assert hits_of_jax()  # what could not be read is still there


def hits_of_numba() -> int:
    """The same for code that numba compiles."""
    from azdab.exact import bitboard

    compiled = bitboard.jit(_plus_one)
    assert compiled(41) == 42
    return sum(compiled.stats.cache_hits.values())  # type: ignore[attr-defined]


def _plus_one(x: int) -> int:
    return x + 1


@pytest.fixture
def numba_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("numba")
    from azdab.exact import bitboard

    monkeypatch.setattr(bitboard, "_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_compiled_code_is_compiled_again_and_replaced(
    kind: str, damage: Callable[[Path], object], numba_cache: Path
) -> None:
    assert not hits_of_numba()
    assert hits_of_numba()
    (path,) = numba_cache.rglob(f"*.{kind}")
    damage(path)
    assert not hits_of_numba()
    assert hits_of_numba()


@pytest.mark.usefixtures("numba_cache")
def test_code_is_compiled_where_none_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core.caching import CacheImpl, IndexDataCacheFile

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, "_save_data", full)
        assert not hits_of_numba()
    with monkeypatch.context() as patch:
        patch.setattr(CacheImpl, "_locator_classes", [])
        assert not hits_of_numba()
    hits_of_numba()
    assert hits_of_numba()


def fill(folder: Path, sizes: list[int]) -> list[Path]:
    """Files, each used later than the one before."""
    made = []
    for number, size in enumerate(sizes):
        path = folder / ("inside" if number % 2 else ".") / f"{number}-cache"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (1e9 + number, 1e9))  # used then, written before
        made.append(path)
    return made


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    paths = fill(tmp_path / "xla", [40, 30, 20, 10])
    compile_cache.prune(tmp_path / "xla", 100)
    assert all(path.exists() for path in paths)
    os.utime(paths[0], (2e9, 1e9))
    compile_cache.prune(tmp_path / "xla", 60)
    assert [path.exists() for path in paths] == [True, False, False, True]
    compile_cache.prune(tmp_path / "xla", 0)
    assert not any(path.exists() for path in paths)
    compile_cache.prune(tmp_path / "missing", 0)


def test_several_processes_prune_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = fill(tmp_path, [1] * 400)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(compile_cache.prune, tmp_path, 100) for _ in range(4)]:
            done.result()
    assert all(path.exists() for path in paths[300:])

    def gone(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # as Windows, if it is read

    monkeypatch.setattr(Path, "unlink", gone)
    compile_cache.prune(tmp_path, 0)


def test_only_a_directory_of_our_own_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(compile_cache, "prune", asked.append)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    try:
        for directory in (str(tmp_path / "theirs"), None):
            jax.config.update("jax_compilation_cache_dir", directory)
            device.enable_cache()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert asked == [tmp_path / "azdab" / "xla"]
