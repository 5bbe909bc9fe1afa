"""The checkpoints of a run: saved, restored from the newest intact one, rolled back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices.device import device_share
from azdab.devices.mesh import SPLIT, barrier, gather, is_first, placed, shardings
from azdab.game.board import board_of
from azdab.learning import replay
from azdab.learning.replay import Replay
from azdab.runs import atomic, checkpoint, run_directory, segments
from azdab.runs.checkpoint import TrainState
from azdab.runs.segments import Entry, Segment

_MOST_DEVICES = 1 << 16
"""A checkpoint that claims more was not written by azdab."""


class Checkpoints:
    """The checkpoints of one run. The caller holds the run's lock; all its processes take part.

    Args:
      run: its directory.
      config: its config.
      mesh: its devices.
      report: told in one line for each damaged file what is wrong and where it is kept.
      correct: how corrections in segments are applied; None: no segment holds any.

    Attributes:
      metrics: the digest that was saved with what was restored, see :class:`metrics.Writer`.
      held: of the replay that was restored, how many of the newest examples each device holds.
      missing: how many examples, of all devices, must be added to it before it holds all that
        the learner samples.
    """

    def __init__(
        self,
        run: Path,
        config: Config,
        mesh: Mesh,
        report: Callable[[str], None] = lambda line: None,
        correct: segments.Correct | None = None,
    ) -> None:
        self._run, self._config, self._mesh, self._report = run, config, mesh, report
        self._latest, self._best, self._replay = (
            run / x for x in ("checkpoints", "best", "replay")
        )
        self._correct = correct
        self.metrics: str | None = None
        self.held = self.missing = 0
        self._entries: list[Entry] = []  # of the segments so far
        self._base: tuple[int, Segment] | None = None  # a segment that is not written yet
        self._named: dict[int, list[Entry]] = {}  # by the checkpoints on disk
        if is_first():
            atomic.remove_unfinished(self._latest)
            atomic.remove_unfinished(self._best)
            segments.remove_partial(self._replay)

    @property
    def latest(self) -> int | None:
        """The newest saved iteration, intact or not."""
        return next(iter(atomic.steps(self._latest)), None)

    def save(
        self, state: TrainState, segment: Segment | None = None, metrics: str | None = None
    ) -> None:
        """Write a checkpoint of a finished iteration, and ``best`` if it changed.

        In a run of one process any thread may do this, one at a time: nothing is computed on a
        device, and the examples in ``state.replay`` are not looked at.

        Args:
          state: after the iteration, on the devices or in numpy.
          segment: what it added to the replay; None: the checkpoint is to be one without replay.
          metrics: digest of the metrics up to it.

        Raises:
          OSError: it cannot be written; earlier checkpoints are unchanged.
        """
        iteration = int(state.iteration)
        entries: list[Entry] = []
        if segment is not None and is_first():
            if self._base is not None:
                self._entries = [segments.write_segment(self._replay, *self._base)]
            written = segments.write_segment(self._replay, iteration, segment)
            entries = segments.needed([*self._entries, written], self._config.replay.capacity)
        training = state._replace(
            learner=state.learner._replace(ema_params=None),
            replay=_without_examples(state.replay),
        )
        parts = {"params": state.learner.ema_params, "training": training}
        about = (iteration, metrics, self._mesh.size, entries)
        metadata = checkpoint.metadata_of(self._config, *about)
        checkpoint.write_checkpoint(self._latest, iteration, parts, metadata)
        self._base, self._entries, self._named[iteration] = None, entries, entries
        self._prune()
        self._save_best(state)

    def _prune(self) -> None:
        if not is_first():
            return
        atomic.keep_newest(self._latest, self._config.keep_checkpoints)
        kept = atomic.steps(self._latest)
        if not self._named.keys() >= set(kept):
            return
        needed = {entry.iteration for step in kept for entry in self._named[step]}
        for number in segments.numbers(self._replay):
            if number not in needed:
                segments.path_of(self._replay, number).unlink()

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

        One whose replay is intact as well is preferred. If there is none, the newest intact one
        is taken with what is left of its replay, see :attr:`missing`. The replay is divided anew
        if the number of devices has changed.

        Raises:
          UserError: no checkpoint is intact, or the system does not let one be read; then
            nothing is moved.
        """
        damaged: dict[int, str] = {}
        intact: dict[int, list[Entry]] = {}
        for step in atomic.steps(self._latest):
            if problem := atomic.damage(path := self._latest / str(step)):
                damaged[step] = problem
                continue
            try:
                intact[step] = segments.entries_of(checkpoint.read_metadata(path))
            except ValueError as error:
                damaged[step] = _damage(error)
        every = dict.fromkeys(entry for entries in intact.values() for entry in entries)
        lost = segments.lost(self._replay, every)
        state, chosen = None, 0
        for step in sorted(intact, key=lambda step: (bool(lost.keys() & {*intact[step]}), -step)):
            entries = [entry for entry in intact[step] if entry not in lost]
            try:
                state, chosen = self._load(step, like, entries), step
                break
            except ValueError as error:
                damaged[step] = _damage(error)
        if state is None:
            found = "; ".join(f"{step}: {damaged[step]}" for step in sorted(damaged, reverse=True))
            raise UserError(f"no checkpoint in {self._latest} is intact: {found or 'none left'}")
        for step in [step for step in intact if step > chosen and step not in damaged]:
            worst = next(entry for entry in intact[step] if entry in lost)
            damaged[step] = f"replay/{worst.file} {lost[worst]}"
        barrier("all have read the checkpoint")
        if is_first():
            self._clear_away(damaged, chosen, intact[chosen], lost)
        self._named = {step: entries for step, entries in intact.items() if step not in damaged}
        self._prune()
        barrier("damage is out of the way")
        self._save_best(state)
        return state

    def _clear_away(
        self, damaged: dict[int, str], chosen: int, entries: list[Entry], lost: dict[Entry, str]
    ) -> None:
        """Move what is damaged aside, and report it."""
        for step in sorted(damaged, reverse=True):
            name = f"damaged-checkpoint-{step}"
            place = self._keep_aside(self._latest / str(step), name, damaged[step])
            segment = segments.path_of(self._replay, step)
            if step > chosen and segment.is_file() and place.is_dir():  # it will be written anew
                segment.rename(place / f"replay-{step}.npz")
        self._report_lost(chosen, entries, lost)
        for entry in lost:  # of older checkpoints
            if (path := self._replay / entry.file).exists():
                self._keep_aside(path, f"damaged-replay-{entry.file}", f"it {lost[entry]}")
        for step in atomic.steps(self._best):
            if problem := atomic.damage(self._best / str(step)):
                self._keep_aside(self._best / str(step), f"damaged-best-{step}", problem)

    def _report_lost(self, step: int, entries: list[Entry], lost: dict[Entry, str]) -> None:
        """Move aside what is damaged of the replay that goes on, and report what it loses."""
        without, problems = [entry for entry in entries if entry in lost], []
        for entry in without:
            problems.append(f"replay/{entry.file} {lost[entry]}")
            if (path := self._replay / entry.file).exists():
                aside = run_directory.set_aside(self._run, path, f"damaged-replay-{entry.file}")
                problems[-1] += f" (kept as {aside})"
        if without:
            fewer, before = (sum(entry.positions for entry in x) for x in (without, entries))
            self._report(
                f"{self._latest / str(step)} goes on without {fewer:,} of {before:,} positions: "
                + ", ".join(problems)
            )

    def _load(self, step: int, like: TrainState, entries: list[Entry]) -> TrainState:
        """A checkpoint, with the replay that these of its segments hold."""
        path = (self._latest / str(step)).absolute()
        metadata = checkpoint.read_metadata(path)
        self.metrics, devices = metadata.get("metrics"), metadata.get("devices")
        places = shardings(self._mesh, checkpoint.PLACES)
        whole = metadata["format"] == checkpoint.WITH_REPLAY
        buffer = _shapes(self._config, devices)
        if not whole or devices != self._mesh.size:
            places = places._replace(replay=places.iteration)
        like = like._replace(replay=buffer if whole else _without_examples(buffer))
        abstract: TrainState = checkpoint.abstract(like, places)
        training = abstract._replace(learner=abstract.learner._replace(ema_params=None))
        parts = {"params": abstract.learner.ema_params, "training": training}
        loaded = checkpoint.load_parts(path, parts)
        state: TrainState = loaded["training"]
        self._base, self._entries = None, entries
        held = gather(state.replay)
        if whole:
            base = Segment(replay.oldest_first(held if devices else replay.stacked(held)))
            self._base = (step, base)
        return state._replace(
            learner=state.learner._replace(ema_params=loaded["params"]),
            replay=self._filled(int(held.total.flat[0]), devices or 1),
        )

    def _filled(self, added: int, devices: int) -> Replay:
        """The replay, from the segments, on the devices.

        Args:
          added: examples ever added to each of the devices there were.
          devices: how many there were.
        """
        if self._base is not None:
            examples = self._base[1].examples
            parts, positions = iter([examples]), examples.margin.size
        else:
            board, entries = board_of(self._config), self._entries
            parts = segments.newest_first(self._replay, entries, board, self._correct)
            positions = sum(entry.positions for entry in entries)
        size, config = self._mesh.size, device_share(self._config, self._mesh.size).replay
        total = devices * added // size
        self.held = min(positions // size, config.capacity, total)
        self.missing = size * replay.lacking(config, total, self.held)
        made = replay.rebuilt(_shapes(self._config, size), total, self.held, parts)
        return placed(self._mesh, made, SPLIT)

    def _keep_aside(self, path: Path, name: str, problem: str) -> Path:
        place = run_directory.set_aside(self._run, path, name)
        self._report(f"{path} is damaged ({problem}); it is kept as {place}")
        return place


def _damage(error: ValueError) -> str:
    """What is damaged, as an error says it.

    Raises:
      UserError: it was not about damage.
    """
    if isinstance(error, UserError):
        raise error
    return str(error)


def _without_examples(buffer: Replay) -> Replay:
    return buffer._replace(examples=None)  # type: ignore[arg-type]


def _shapes(config: Config, devices: int | None) -> Replay:
    """The replay of a run on so many devices; None: as written before there could be several.

    Raises:
      ValueError: there cannot be so many.
    """
    if devices is not None and (type(devices) is not int or not 0 < devices <= _MOST_DEVICES):
        raise ValueError("its metadata does not say how many devices there were")
    board, capacity = board_of(config), config.replay.capacity // (devices or 1)
    one = jax.eval_shape(lambda: replay.init_replay(board, capacity))
    leading = () if devices is None else (devices,)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype), one)


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
