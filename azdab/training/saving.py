"""Saving beside the device: a checkpoint is written while the next games are played."""

from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import Mesh

from azdab.common import progress
from azdab.common.config import Config
from azdab.devices import mesh
from azdab.exact.endings import GameValues
from azdab.learning import corrections
from azdab.learning.selfplay import Example
from azdab.runs import segments
from azdab.runs.checkpoint import TrainState
from azdab.runs.retention import Checkpoints
from azdab.runs.segments import Segment
from azdab.training.iteration import Started, Taught
from azdab.training.teaching import Parts


class Saver:
    """Writes one checkpoint at a time, in a thread; use it as a context manager.

    Several processes save together, and the order of what they do together must be the same in
    all of them. So there it is done at once.
    """

    def __init__(
        self, checkpoints: Checkpoints, config: Config, devices: Mesh, display: progress.Display
    ) -> None:
        self._checkpoints, self._config, self._devices = checkpoints, config, devices
        self._display = display
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
        """Begin to save a finished iteration. Before, :meth:`wait` for the one before."""
        found = None if earlier is None else earlier.result()
        saved, devices = self._config.replay.saved, self._devices
        if jax.process_count() > 1:
            segment = None
            if saved:
                waves = [mesh.gather(wave.result()[0]) for wave in started.waves]
                values = [mesh.gather(mesh.from_local(devices, wave)) for wave in found or []]
                segment = _segment(devices, waves, values)
            self._checkpoints.save(state, segment, metrics)
            return
        # The replay is updated in place while this is saved; its examples are not needed.
        totals = np.asarray(state.replay.total)
        state = state._replace(replay=state.replay._replace(examples=None, total=totals))  # type: ignore[arg-type]

        def write() -> None:
            before = self._display.now
            self._display.phase("saving")
            segment = None
            if saved:
                waves = [_whole(wave.result()) for wave in started.games]
                segment = _segment(devices, waves, found)
            self._checkpoints.save(state, segment, metrics)
            if self._display.now == "saving":
                self._display.phase(before)

        self._last = self._thread.submit(write)


def _segment(devices: Mesh, waves: list[Example], found: list[GameValues] | None) -> Segment:
    """What an iteration added, from whole waves in numpy, and what was found of the one before."""
    whole = segments.segment_of(devices.size, waves)
    return whole._replace(corrections=corrections.packed(found) if found else None)


def _whole(parts: Parts) -> Example:
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)
