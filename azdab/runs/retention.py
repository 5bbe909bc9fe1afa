"""The checkpoints of a run: saved, restored from the newest intact one, rolled back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices.mesh import SPLIT, barrier, is_first, placed, shardings
from azdab.game.board import board_of
from azdab.learning import replay
from azdab.learning.replay import Replay
from azdab.runs import atomic, checkpoint, run_directory
from azdab.runs.checkpoint import TrainState


class Checkpoints:
    """The checkpoints of one run. The caller holds the run's lock; all its processes take part.

    Args:
      run: its directory.
      config: its config.
      mesh: its devices.
      report: told in one line for each damaged file what is wrong and where it is kept.

    Attributes:
      metrics: the digest that was saved with what was restored, see :class:`metrics.Writer`.
    """

    def __init__(
        self,
        run: Path,
        config: Config,
        mesh: Mesh,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._run, self._config, self._mesh, self._report = run, config, mesh, report
        self._latest, self._best = run / "checkpoints", run / "best"
        self.metrics: str | None = None
        for folder in (self._latest, self._best) if is_first() else ():
            atomic.remove_unfinished(folder)

    @property
    def latest(self) -> int | None:
        """The newest saved iteration, intact or not."""
        return next(iter(atomic.steps(self._latest)), None)

    def save(self, state: TrainState, metrics: str | None = None) -> None:
        """Write a checkpoint of a finished iteration, and ``best`` if it changed.

        Args:
          state: after the iteration.
          metrics: digest of the metrics up to it.

        Raises:
          OSError: it cannot be written; earlier checkpoints are unchanged.
        """
        iteration = int(state.iteration)
        training = state._replace(learner=state.learner._replace(ema_params=None))
        parts = {"params": state.learner.ema_params, "training": training}
        metadata = checkpoint.metadata_of(self._config, iteration, metrics, self._mesh.size)
        checkpoint.write_checkpoint(self._latest, iteration, parts, metadata)
        self._prune()
        self._save_best(state)

    def _prune(self) -> None:
        if is_first():
            atomic.keep_newest(self._latest, self._config.keep_checkpoints)

    def _save_best(self, state: TrainState) -> None:
        best = int(state.best_iteration)
        if best not in atomic.steps(self._best):
            parts = {"params": state.best_params}
            checkpoint.write_checkpoint(
                self._best, best, parts, checkpoint.metadata_of(self._config, best)
            )
        if is_first():
            atomic.keep_newest(self._best, 1)

    def restore(self, like: TrainState) -> TrainState:
        """The newest intact checkpoint in the structure of ``like``; damaged ones go aside.

        The replay is divided anew if the number of devices has changed.

        Raises:
          UserError: no checkpoint is intact; then nothing is moved.
        """
        damaged: dict[int, str] = {}
        state: TrainState | None = None
        for step in atomic.steps(self._latest):
            path = (self._latest / str(step)).absolute()
            if problem := atomic.damage(path):
                damaged[step] = problem
            elif state is None:
                try:
                    state = self._load(path, like)
                except ValueError as error:
                    if isinstance(error, UserError):
                        raise
                    damaged[step] = str(error)
        if state is None:
            found = "; ".join(f"{step}: {problem}" for step, problem in damaged.items())
            raise UserError(f"no checkpoint in {self._latest} is intact: {found or 'none left'}")
        barrier("all have read the checkpoint")
        if is_first():
            for step, problem in damaged.items():
                self._keep_aside(self._latest / str(step), f"damaged-checkpoint-{step}", problem)
            for step in atomic.steps(self._best):
                if problem := atomic.damage(self._best / str(step)):
                    self._keep_aside(self._best / str(step), f"damaged-best-{step}", problem)
        self._prune()
        barrier("damage is out of the way")
        self._save_best(state)
        return state

    def _load(self, path: Path, like: TrainState) -> TrainState:
        metadata = checkpoint.read_metadata(path)
        self.metrics, devices = metadata.get("metrics"), metadata.get("devices")
        places = shardings(self._mesh, checkpoint.PLACES)
        moved = devices != self._mesh.size
        if moved:
            buffer = jax.eval_shape(lambda: _buffers(self._config, devices))
            like, places = like._replace(replay=buffer), places._replace(replay=places.iteration)
        abstract: TrainState = checkpoint.abstract(like, places)
        training = abstract._replace(learner=abstract.learner._replace(ema_params=None))
        parts = {"params": abstract.learner.ema_params, "training": training}
        loaded = checkpoint.load_parts(path, parts)
        state: TrainState = loaded["training"]
        if moved:
            buffer = state.replay if devices else replay.stacked(state.replay)
            anew = replay.reshard(buffer, self._mesh.size)
            state = state._replace(replay=placed(self._mesh, anew, SPLIT))
        return state._replace(learner=state.learner._replace(ema_params=loaded["params"]))

    def _keep_aside(self, path: Path, name: str, problem: str) -> None:
        place = run_directory.set_aside(self._run, path, name)
        self._report(f"{path} is damaged ({problem}); it is kept as {place}")


def _buffers(config: Config, devices: int | None) -> Replay:
    """The replay of a run on so many devices; None: as written before there could be several."""
    board = board_of(config)
    if devices is None:
        return replay.init_replay(board, config.replay.capacity)
    one = replay.init_replay(board, config.replay.capacity // devices)
    return jax.tree.map(lambda x: jnp.stack([x] * devices), one)


def recorded(run: Path) -> dict[str, Any] | None:
    """What the newest intact checkpoint says of its run: ``config`` and ``iteration``.

    Raises:
      UserError: it is of another format.
    """
    for step in atomic.steps(run / "checkpoints"):
        path = (run / "checkpoints" / str(step)).absolute()
        if atomic.damage(path, "params") is None:
            try:
                return checkpoint.read_metadata(path)
            except checkpoint.PASSED_ON:
                raise
            except Exception:  # damaged; restoring will say so
                continue
    return None


def roll_back(run: Path, step: int) -> Path | None:
    """Make a checkpoint the newest: what came after it goes aside, with a copy of the metrics.

    Returns:
      Where it went; None if nothing came after it.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    latest, best = run / "checkpoints", run / "best"
    found = atomic.steps(latest)
    if step not in found:
        have = ", ".join(map(str, sorted(found))) or "none"
        raise UserError(
            f"{run} has no checkpoint {step} to go back to, it has {have}; "
            "--keep_checkpoints says how many are kept"
        )
    if problem := atomic.damage(latest / str(step)):
        raise UserError(f"{latest / str(step)} is damaged: {problem}")
    later = [latest / str(n) for n in found if n > step]
    if not later:
        return None
    place = run_directory.place_aside(run, f"after-{step}")
    place.mkdir()
    if (run / "metrics.jsonl").is_file():
        (place / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes())
    for path in [*(best / str(n) for n in atomic.steps(best) if n > step), *later]:
        path.rename(place / f"{path.parent.name}-{path.name}")
    return place
