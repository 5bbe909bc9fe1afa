"""Saving beside the device: a checkpoint is written while the next games are played."""

from concurrent.futures import Future, ThreadPoolExecutor

from azdab.runs.checkpoint import TrainState
from azdab.runs.retention import Checkpoints
from azdab.training.iteration import Started, Taught


class Saver:
    """Writes one checkpoint at a time, in a thread; use it as a context manager.

    Several processes save together, and the order of what they do together must be the same in
    all of them. So there it is done at once.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown()
        self.wait()

    def wait(self) -> None:
        """Wait until what was saved is on disk.

        Raises:
          OSError: it could not be written; earlier checkpoints are unchanged.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def save(
        self, state: TrainState, started: Started, earlier: Taught | None, metrics: str | None
    ) -> None:
        """Begin to save a finished iteration, after the one before is saved.

        Raises:
          OSError: the one before could not be written.
        """
        self.wait()
        self._checkpoints.save(state, metrics)
