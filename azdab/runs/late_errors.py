"""What orbax raises after it has given up is printed by nobody.

Reads and writes that orbax gave up still end in other threads, with errors that nobody waits for:
Python prints them through ``sys.unraisablehook``, or asyncio logs them. What is wrong is known
by then, and is said in one line.
"""

import contextlib
import logging
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LATE_SECONDS = 10.0
"""How long after a failure such errors are waited for."""

_lock = threading.Lock()
_holders = 0
_undo: Callable[[], None] | None = None


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Nothing is printed of late errors here, and for a while after a failure.

    Python's hook and the loggers are changed while any thread is in here, and put back then.
    """
    _hold()
    try:
        yield
    except BaseException:
        timer = threading.Timer(LATE_SECONDS, _release)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the program is ending
            _release()
        raise
    _release()


def _hold() -> None:
    global _holders, _undo
    with _lock:
        _holders += 1
        if _undo is None:
            _undo = _replace()


def _release() -> None:
    global _holders, _undo
    with _lock:
        _holders -= 1
        if not _holders and _undo is not None:
            _undo()
            _undo = None


def _replace() -> Callable[[], None]:
    """Put the hook and the filter in place; the reverse is returned."""
    usual = sys.unraisablehook
    absl, asyncio = logging.getLogger("absl"), logging.getLogger("asyncio")
    level = absl.level

    def hook(found: Any) -> None:
        # Whoever replaced the hook meanwhile may call this one for ever.
        if not (_holders and _is_late(found.exc_value, found.exc_traceback)):
            usual(found)

    def wanted(line: logging.LogRecord) -> bool:
        raised = line.exc_info
        return not (raised and _is_late(raised[1], raised[2]))

    def undo() -> None:
        if sys.unraisablehook is hook:
            sys.unraisablehook = usual
        absl.setLevel(level)
        asyncio.removeFilter(wanted)

    sys.unraisablehook = hook
    absl.setLevel(logging.CRITICAL)
    asyncio.addFilter(wanted)
    return undo


def _is_late(error: BaseException | None, trace: types.TracebackType | None) -> bool:
    """Whether an error comes from orbax, or from TensorStore below it."""
    files = set[str]()
    while trace is not None:
        files |= set(Path(trace.tb_frame.f_code.co_filename).parts)
        trace = trace.tb_next
    said = str(error)
    return "orbax" in files or "tensorstore_spec" in said or said == "Event loop is closed"
