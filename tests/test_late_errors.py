"""What orbax raises after it gave up is not printed; all else is, and nothing stays replaced."""

import logging
import shutil
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from azdab.runs import atomic, checkpoint, late_errors
from azdab.runs.late_errors import hushed

LATE = RuntimeError("Event loop is closed")
OTHER = RuntimeError("a fault of somebody else's")


def wait_for_timers() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What Python would print of errors that nobody waits for."""
    said: list[str] = []
    wait_for_timers()  # of failures in other tests

    def usual(found: Any) -> None:
        said.append(str(found.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", usual)
    monkeypatch.setattr(late_errors, "LATE_SECONDS", 0.5)
    yield said
    wait_for_timers()
    assert sys.unraisablehook is usual
    assert not logging.getLogger("asyncio").filters


def raise_late(error: Exception) -> None:
    """What Python does with an error that nobody waits for."""
    found: Any = types.SimpleNamespace(exc_value=error, exc_traceback=None)
    sys.unraisablehook(found)


def test_only_late_errors_are_dropped_and_only_inside(printed: list[str]) -> None:
    usual, level = sys.unraisablehook, logging.getLogger("absl").level
    with hushed():
        assert sys.unraisablehook is not usual
        for error in (LATE, OTHER, ValueError("... tensorstore_spec='{}'")):
            raise_late(error)
    assert sys.unraisablehook is usual
    assert logging.getLogger("absl").level == level
    raise_late(LATE)
    assert printed == [str(OTHER), str(LATE)]


def test_they_are_dropped_for_a_while_after_a_failure(printed: list[str]) -> None:
    def failing() -> None:
        with hushed():
            raise ValueError("it is damaged")

    with pytest.raises(ValueError, match="it is damaged"):
        failing()
    raise_late(LATE)
    raise_late(OTHER)
    assert printed == [str(OTHER)]


def test_several_threads(printed: list[str]) -> None:
    usual, entered = sys.unraisablehook, threading.Barrier(9)
    leave = [threading.Event() for _ in range(8)]

    def work(mine: threading.Event) -> None:
        with hushed():
            entered.wait()
            mine.wait()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in leave]
    for thread in threads:
        thread.start()
    entered.wait()
    for thread, mine in zip(threads, leave, strict=True):
        raise_late(LATE)
        mine.set()
        thread.join()
    assert sys.unraisablehook is usual
    assert not printed


def test_a_hook_that_others_set_meanwhile_stays(
    printed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, heard = sys.unraisablehook, list[str]()
    with monkeypatch.context() as patch:
        with hushed():
            below = sys.unraisablehook

            def theirs(found: Any) -> None:
                heard.append(str(found.exc_value))
                below(found)

            patch.setattr(sys, "unraisablehook", theirs)
        assert sys.unraisablehook is theirs
        raise_late(LATE)
    assert heard == printed == [str(LATE)]
    monkeypatch.setattr(sys, "unraisablehook", usual)


def test_of_a_damaged_checkpoint_nothing_is_printed(
    tmp_path: Path, printed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    tree = {str(i): jnp.arange(40_000, dtype=jnp.float32) * (i + 1.1) for i in range(8)}
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = {"params": checkpoint.abstract(tree, jax.tree.map(lambda x: place, tree))}
    checkpoint.write_checkpoint(tmp_path, 1, {"params": tree}, {"format": checkpoint.FORMAT})
    whole = tmp_path / "1"
    assert jax.tree.all(
        jax.tree.map(
            lambda x, y: bool((x == y).all()), checkpoint.load_parts(whole, like)["params"], tree
        )
    )
    for number, path in enumerate(whole.rglob("*")):
        if not path.is_file() or path.name == atomic.SUMS:
            continue
        damaged = tmp_path / f"damaged-{number}"
        shutil.copytree(whole, damaged)
        (damaged / path.relative_to(whole)).write_bytes(bytes(path.stat().st_size))
        try:
            checkpoint.load_parts(damaged, like)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert not printed
    assert not [line for line in caplog.records if line.name in ("absl", "asyncio")]
