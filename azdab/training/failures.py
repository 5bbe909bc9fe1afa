"""How training ends where it does not finish, said in one line with what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from azdab.common.cli import out_of_memory
from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices import device, mesh
from azdab.runs import atomic


@contextmanager
def write_errors(run: Path) -> Iterator[None]:
    """Explain what stops a run, or the directory of runs, from being read or written.

    Raises:
      UserError: in the place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise UserError(explain_write_error(run, error)) from error


@contextmanager
def explained(run: Path, config: Config, command: str) -> Iterator[None]:
    """Explain everything that can stop the training of a run.

    Where another process is lost this one ends at once: JAX would wait for it.

    Args:
      run: the run's directory.
      config: its config.
      command: how training is started, for the advice.

    Raises:
      UserError: in the place of an ``OSError``, or where memory is too small.
      KeyboardInterrupt: with a message of its own in the place of one without.
    """
    try:
        with write_errors(run):
            yield
    except KeyboardInterrupt:
        line = f"Stopped. Continue with: {command} --resume --run {run.name}"
        raise KeyboardInterrupt(line) from None
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if out_of_memory(error):
            raise UserError(device.out_of_memory_advice(config)) from error
        if jax.process_count() == 1:
            raise
        mesh.abort(
            f"{command}: error: a process failed or is lost; what is saved in {run} continues "
            f"with --resume, with as many processes as there are ({error})"
        )


def explain_write_error(run: Path, error: OSError) -> str:
    """Why a run could not be written, and what to do."""
    try:
        saved = atomic.steps(run / "checkpoints")
    except OSError:
        saved = []
    intact = f"; checkpoint {saved[0]} is intact" if saved else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        again = f"--resume --run {run.name}" if saved else "the same command"
        return f"the disk is full: cannot write in {run}{intact}; make room and go on with {again}"
    reason = error.strerror or str(error) or type(error).__name__
    return f"cannot write in {run}: {reason}{intact}; see its permissions, or choose --runs DIR"
