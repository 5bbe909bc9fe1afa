"""The replay on disk: written once, put together again bit for bit, and missed when it is gone."""

import errno
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from azdab.common import presets
from azdab.common.config import Config, config_from_dict
from azdab.common.errors import UserError
from azdab.devices import mesh
from azdab.game.board import Board, board_of
from azdab.learning import replay
from azdab.learning.learner import LearnerState
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example, zero_examples
from azdab.runs import atomic, checkpoint, rollback, segments
from azdab.runs.checkpoint import TrainState
from azdab.runs.retention import Checkpoints
from azdab.runs.segments import Entry, Segment
from tests import common

GOLDEN = Path(__file__).parent / "golden"
CAPACITY = 400
BOARD = Board(2, 2)


def settings(**changed: Any) -> Config:
    smoke = presets.read_settings("smoke")
    return config_from_dict(presets.merge(smoke, {"keep_checkpoints": 2, "replay": changed}))


Copied = Callable[[Path, int], "Run"]
"""What writes a run of so many iterations to a place."""


def devices(count: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:count]), (mesh.AXIS,))


def drawn(board: Board, seed: int, number: int, count: int = 2) -> Segment:
    """A segment of random bits."""
    rng = np.random.default_rng(seed)

    def field(x: jax.ShapeDtypeStruct) -> Any:
        shape = (count, *x.shape)
        if x.dtype == bool:
            return rng.random(shape) < 0.5
        return rng.integers(-3, 4, shape).astype(x.dtype)

    like = jax.eval_shape(lambda: zero_examples(board, number))
    return Segment(jax.tree.map(field, like))


add = jax.jit(jax.vmap(replay.add))


def filled(board: Board, capacity: int, parts: list[Segment]) -> Replay:
    """The buffers that segments were added to, by the program that trains."""
    count = len(parts[0].examples.margin)
    blank = jax.eval_shape(lambda: replay.init_replay(board, capacity // count))
    buffers: Replay = jax.tree.map(lambda x: np.zeros((count, *x.shape), x.dtype), blank)
    for part in parts:
        buffers = add(buffers, part.examples)
    done: Replay = jax.tree.map(np.asarray, buffers)
    return done


def state_of(iteration: int, buffer: Replay) -> TrainState:
    """A state like that of a run, but small."""
    params = {"a": jnp.full((3, 2), float(iteration)), "b": jnp.arange(4)}
    learner = LearnerState(params, params, {"momentum": jnp.ones(5)}, jnp.int32(iteration))
    return TrainState(
        learner, params, buffer, jnp.int32(iteration), jnp.int32(0), jnp.float32(iteration)
    )


class Run(NamedTuple):
    """Checkpoints that were saved one after the other.

    Attributes:
      path: the run's directory.
      config: its config.
      parts: the segments of its iterations.
      where: its devices.
    """

    path: Path
    config: Config
    parts: list[Segment]
    where: Mesh

    def state(self, iteration: int) -> TrainState:
        capacity = self.config.replay.capacity
        return state_of(iteration, filled(board_of(self.config), capacity, self.parts[:iteration]))

    def restored(self, where: Mesh | None = None, **more: Any) -> tuple[TrainState, Checkpoints]:
        made = Checkpoints(self.path, self.config, where or self.where, **more)
        state = made.restore(self.state(1))
        return jax.tree.map(np.asarray, state), made


def saved(path: Path, iterations: int, number: int = 30, **changed: Any) -> Run:
    """A run of two devices that adds ``number`` examples on each in every iteration."""
    parts = [drawn(BOARD, seed, number) for seed in range(iterations)]
    run = Run(path, settings(capacity=CAPACITY, **changed), parts, devices(2))
    writing = Checkpoints(run.path, run.config, run.where)
    for iteration in range(1, iterations + 1):
        writing.save(run.state(iteration), run.parts[iteration - 1], None)
    return run


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Copied:
    """The same, for tests in which it does not matter when it was written: written once."""
    made: dict[int, Run] = {}

    def copy(path: Path, iterations: int) -> Run:
        if iterations not in made:
            made[iterations] = saved(tmp_path_factory.mktemp("saved") / "run", iterations)
        shutil.copytree(made[iterations].path, path, dirs_exist_ok=True)
        return made[iterations]._replace(path=path)

    return copy


def files(run: Run) -> list[int]:
    return segments.numbers(run.path / "replay")


@pytest.mark.parametrize("iterations", [1, 3, 9])
def test_a_run_gets_its_replay_back_bit_for_bit(
    tmp_path: Path, iterations: int, copied: Copied
) -> None:
    run = copied(tmp_path, iterations)
    state, checkpoints = run.restored()
    chex.assert_trees_all_equal(state, jax.tree.map(np.asarray, run.state(iterations)))
    assert checkpoints.missing == 0
    assert checkpoints.held == min(30 * iterations, CAPACITY // 2)


def test_segments_are_written_once_and_kept_as_long_as_they_are_needed(
    tmp_path: Path, copied: Copied
) -> None:
    run = copied(tmp_path, 3)
    before = {n: os.stat(run.path / f"replay/{n}.npz") for n in files(run)}
    assert list(before) == [1, 2, 3]
    _, checkpoints = run.restored()
    parts = [*run.parts, *(drawn(BOARD, seed, 30) for seed in range(3, 12))]
    run = run._replace(parts=parts)
    for iteration in range(4, 13):
        checkpoints.save(run.state(iteration), run.parts[iteration - 1])
        # 400 positions are in seven segments of 60; the checkpoint before needs one older.
        assert files(run) == list(range(max(1, iteration - 7), iteration + 1))
        for n in set(before) & set(files(run)):
            now = os.stat(run.path / f"replay/{n}.npz")
            assert (now.st_ino, now.st_mtime_ns) == (before[n].st_ino, before[n].st_mtime_ns)
    chex.assert_trees_all_equal(run.restored()[0], jax.tree.map(np.asarray, run.state(12)))


def written_bytes() -> int:
    """What this process has written so far, of all files together."""
    try:
        text = Path("/proc/self/io").read_text()
    except OSError:
        pytest.skip("the system does not count what is written")
    return int(text.split("wchar:")[1].split()[0])


@pytest.mark.parametrize("capacity", [60_000, 600_000])
def test_an_iteration_writes_what_is_new_whatever_the_capacity(
    tmp_path: Path, capacity: int
) -> None:
    board, number = Board(5, 5), 15_000
    values = presets.merge(
        presets.read_settings("smoke"),
        {"board": {"rows": 5, "cols": 5}, "replay": {"capacity": capacity}},
    )
    where, config = devices(2), config_from_dict(values)
    checkpoints = Checkpoints(tmp_path, config, where)
    blank: Any = Replay(None, np.full(2, 7, np.int32))  # type: ignore[arg-type]
    part = drawn(board, 0, number)
    new = replay.replay_num_bytes(board, 2 * number)
    assert 1.2 * new + 10e6 < replay.replay_num_bytes(board, 600_000)
    for iteration in range(1, 4):
        before = written_bytes()
        checkpoints.save(state_of(iteration, blank), part)
        written = written_bytes() - before
        assert 0.5 * new < written <= 1.2 * new + 10e6


def test_saving_needs_neither_the_examples_on_the_device_nor_the_main_thread(
    tmp_path: Path,
    copied: Copied,
) -> None:
    run = copied(tmp_path / "run", 1)
    state = run.state(1)
    gone = jax.tree.map(jnp.asarray, state.replay.examples)
    jax.tree.map(lambda x: x.delete(), gone)
    on_device = state._replace(replay=state.replay._replace(examples=gone))
    none: Any = Replay(None, state.replay.total)  # type: ignore[arg-type]
    on_host = jax.tree.map(np.asarray, state._replace(replay=none))
    for name, given in (("device", on_device), ("host", on_host)):
        checkpoints = Checkpoints(tmp_path / name, run.config, run.where)
        errors: list[BaseException] = []

        def save(
            checkpoints: Checkpoints = checkpoints,
            given: TrainState = given,
            errors: list[BaseException] = errors,
        ) -> None:
            try:
                checkpoints.save(given, run.parts[0])
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
        assert not errors
        found, _ = run._replace(path=tmp_path / name).restored()
        chex.assert_trees_all_equal(found, jax.tree.map(np.asarray, state))


class Toy(NamedTuple):
    """Corrections: margins that were found out later."""

    margin: np.ndarray


def apply_toy(examples: Example, values: Mapping[str, np.ndarray]) -> Example:
    return examples._replace(margin=Toy(**values).margin)  # type: ignore[arg-type]


def test_corrections_are_applied_to_the_segment_before(tmp_path: Path, copied: Copied) -> None:
    run = copied(tmp_path, 2)
    _, checkpoints = run.restored()
    later = Toy(np.full((2, 30), 77, np.int8))
    parts = [*run.parts, drawn(BOARD, 2, 30)._replace(corrections=later._asdict())]
    run = run._replace(parts=parts)
    checkpoints.save(run.state(3), parts[2])
    parts[1] = Segment(apply_toy(parts[1].examples, later._asdict()))
    state, _ = run.restored(correct=apply_toy)
    chex.assert_trees_all_equal(state, jax.tree.map(np.asarray, run.state(3)))
    # They are part of what is digested.
    entry = segments.entries_of(checkpoint.read_metadata(tmp_path / "checkpoints/3"))[-1]
    read = segments.read_segment(tmp_path / "replay", entry, BOARD)
    assert read.corrections is not None
    assert common.same_trees(Toy(**read.corrections), later)
    # Of a segment that is gone they correct no other.
    (tmp_path / "replay/2.npz").unlink()
    state, _ = run.restored(correct=apply_toy)
    assert 77 not in state.replay.examples.margin


def ordered(buffer: Replay) -> list[tuple[int, ...]]:
    """What the devices hold in order of age, each example as numbers."""
    rows = replay.oldest_first(buffer)
    flat = jax.tree.map(lambda x: np.moveaxis(x, 0, 1).reshape(x.shape[0] * x.shape[1], -1), rows)
    return list(map(tuple, np.concatenate(list(flat), axis=1).astype(int).tolist()))


def test_a_run_goes_on_with_other_devices_and_back(tmp_path: Path) -> None:
    run = saved(tmp_path, 2, 31)
    one = devices(1)
    state, checkpoints = run.restored(one)
    assert ordered(state.replay) == ordered(run.state(2).replay)
    assert state.replay.total.tolist() == [4 * 31]
    added = drawn(BOARD, 7, 31, count=1)
    buffer = jax.tree.map(np.asarray, add(state.replay, added.examples))
    checkpoints.save(state_of(3, buffer), added)
    state, checkpoints = run.restored(one)
    chex.assert_trees_all_equal(state.replay, buffer)
    assert checkpoints.missing == 0
    state, _ = run.restored()  # an odd number: the oldest is left out
    assert ordered(state.replay) == ordered(buffer)[1:]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["format-2-run", "format-3"])
def test_a_run_of_an_earlier_azdab_goes_on(tmp_path: Path, name: str, count: int) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / "run")
    config = config_from_dict(presets.read_settings(str(tmp_path / "run/config.yaml")))
    with np.load(tmp_path / "run/ring.npz", allow_pickle=False) as stored:
        ring = Replay(Example(**{name: stored[name] for name in Example._fields}), stored["total"])
    where = devices(count)
    like = jax.eval_shape(lambda: checkpoint.initial_state(BOARD, config, where))
    checkpoints = Checkpoints(tmp_path / "run", config, where)
    state = checkpoints.restore(like)
    assert checkpoints.missing == 0
    now: Replay = jax.tree.map(np.asarray, state.replay)
    assert ordered(now) == ordered(ring)
    if count == 2:
        chex.assert_trees_all_equal(now, ring)
    earlier = segments.numbers(tmp_path / "run/replay")
    assert earlier == ([] if name == "format-2-run" else [1, 2, 3])

    # At the next save a whole replay becomes one segment, which is as old as the checkpoint.
    added = drawn(BOARD, 7, 20, count)
    buffer = add(now, added.examples)
    number = int(state.iteration)
    state = state._replace(iteration=jnp.int32(number + 1), replay=buffer)
    checkpoints.save(state, added)
    assert segments.numbers(tmp_path / "run/replay") == [*(earlier or [number]), number + 1]
    again = Checkpoints(tmp_path / "run", config, where).restore(like)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, again), jax.tree.map(np.asarray, state))


def test_a_light_checkpoint_says_how_much_is_missing(tmp_path: Path, copied: Copied) -> None:
    run = copied(tmp_path, 3)
    _, checkpoints = run.restored()
    run = run._replace(parts=[*run.parts, drawn(BOARD, 3, 30), drawn(BOARD, 4, 30)])
    checkpoints.save(run.state(4), None)
    assert files(run) == [1, 2, 3]  # for the checkpoint before
    checkpoints.save(run.state(5), None)
    assert files(run) == []
    said: list[str] = []
    state, checkpoints = run.restored(report=said.append)
    assert not said
    assert checkpoints.held == 0
    assert not state.replay.examples.margin.any()
    assert state.replay.total.tolist() == [150, 150]
    # The window of each device is half of what there was, and grows by half of what is added.
    assert checkpoints.missing == 2 * 149
    # What is added from now on is saved, and at its place.
    more = drawn(BOARD, 5, 30)
    checkpoints.save(state_of(6, state.replay._replace(total=state.replay.total + 30)), more)
    state, checkpoints = run.restored()
    assert checkpoints.held == 30
    places = (150 + np.arange(30)) % (CAPACITY // 2)
    np.testing.assert_array_equal(state.replay.examples.policy[:, places], more.examples.policy)


def test_what_a_process_left_that_was_killed_is_removed(tmp_path: Path, copied: Copied) -> None:
    run = copied(tmp_path, 2)
    folder = run.path / "replay"
    shutil.copy(folder / "2.npz", folder / "3.npz")  # its checkpoint was not written any more
    (folder / "4.npz.tmp").write_bytes(b"half")
    state, _ = run.restored()
    chex.assert_trees_all_equal(state, jax.tree.map(np.asarray, run.state(2)))
    assert sorted(path.name for path in folder.iterdir()) == ["1.npz", "2.npz"]


def test_a_disk_that_is_full_leaves_nothing_half_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copied: Copied,
) -> None:
    run = copied(tmp_path, 2)
    _, checkpoints = run.restored()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    state = run.state(2)._replace(iteration=jnp.int32(3))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoints.save(state, drawn(BOARD, 2, 30))
    assert [path.name for path in sorted((run.path / "replay").iterdir())] == ["1.npz", "2.npz"]
    chex.assert_trees_all_equal(run.restored()[0], jax.tree.map(np.asarray, run.state(2)))


def test_going_back_takes_the_segments_that_came_after_aside(
    tmp_path: Path, copied: Copied
) -> None:
    run = copied(tmp_path, 4)
    place = rollback.roll_back(run.path, 3)
    assert place is not None
    assert {path.name for path in place.iterdir()} == {"checkpoints-4", "replay-4.npz"}
    chex.assert_trees_all_equal(run.restored()[0], jax.tree.map(np.asarray, run.state(3)))


def test_going_back_to_a_checkpoint_without_its_replay_is_refused(
    tmp_path: Path, copied: Copied
) -> None:
    run = copied(tmp_path, 4)
    (run.path / "replay/2.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoints/3 is damaged: replay/2.npz is empty"):
        rollback.roll_back(run.path, 3)
    assert atomic.steps(run.path / "checkpoints") == [4, 3]


def test_a_segment_only_an_older_checkpoint_needs_is_named_and_kept(
    tmp_path: Path, copied: Copied
) -> None:
    run = copied(tmp_path, 9)
    oldest = files(run)[0]
    path = run.path / f"replay/{oldest}.npz"
    path.write_bytes(path.read_bytes()[:-1])
    said: list[str] = []
    state, _ = run.restored(report=said.append)
    chex.assert_trees_all_equal(state, jax.tree.map(np.asarray, run.state(9)))
    kept = run.path / f"aside/damaged-replay-{oldest}.npz"
    assert said == [f"{path} is damaged (it has changed); it is kept as {kept}"]
    assert kept.is_file()
    said.clear()
    run.restored(report=said.append)
    assert not said


FAULTS: list[tuple[str, int]] = [
    ("Permission denied", errno.EACCES),
    ("Input/output error", errno.EIO),
    ("Too many open files", errno.EMFILE),
    ("Cannot allocate memory", errno.ENOMEM),
]


@pytest.mark.parametrize(("reason", "number"), FAULTS)
@pytest.mark.parametrize("where", ["replay/2.npz", "checkpoints/3/SHA256SUMS", "params/_METADATA"])
def test_what_the_system_does_not_let_be_read_is_not_damaged(
    reason: str,
    number: int,
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copied: Copied,
) -> None:
    run = copied(tmp_path, 3)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    opened = Path.open

    def refusing(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if str(path).endswith(where) and "r" in mode:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, mode, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refusing)
        with pytest.raises(UserError) as error:
            run.restored()
    assert f"cannot be read: {reason}" in str(error.value)
    assert "damaged" not in str(error.value)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    run.restored()


@pytest.mark.parametrize("where", ["replay/2.npz", "checkpoints/3/training/_METADATA"])
def test_a_file_without_permission_is_not_damaged(
    where: str, tmp_path: Path, copied: Copied
) -> None:
    run = copied(tmp_path / "run", 3)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    (run.path / where).chmod(0)
    root = os.getuid() == 0
    if root:
        os.seteuid(65534)  # to whom permissions mean something
    try:
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            run.restored()
    finally:
        if root:
            os.seteuid(0)
        (run.path / where).chmod(0o644)
    assert not (run.path / "aside").exists()
    chex.assert_trees_all_equal(run.restored()[0], jax.tree.map(np.asarray, run.state(3)))


def edited(run: Run, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """Forge what the newest checkpoint says of its segments."""
    path = run.path / "checkpoints/2" / atomic.METADATA
    values = json.loads(path.read_text())
    edit(values["custom_metadata"]["segments"])
    path.write_text(json.dumps(values))
    (run.path / "checkpoints/2" / atomic.SUMS).unlink()


FORGED: list[Callable[[list[dict[str, Any]]], object]] = [
    lambda found: found[0].update(file="../1.npz"),
    lambda found: found[0].update(file=3),
    lambda found: found[0].update(sha256="0"),
    lambda found: found[0].update(positions=-2),
    lambda found: found[0].update(positions=61),
    lambda found: found[0].update(devices=0),
    lambda found: found[0].update(devices="two"),
    lambda found: found[0].pop("devices"),
    lambda found: found.append(3),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("edit", FORGED)
def test_segments_that_are_not_named_as_they_should_be(
    edit: Callable[[list[dict[str, Any]]], object],
    tmp_path: Path,
    copied: Copied,
) -> None:
    run, said = copied(tmp_path, 2), list[str]()
    edited(run, edit)
    state, _ = run.restored(report=said.append)
    assert int(state.iteration) == 1
    assert len(said) == 1
    assert "checkpoints/2 is damaged (its metadata does not name its segments)" in said[0]


def forged(folder: Path, arrays: dict[str, Any], compress: bool = False) -> Entry:
    """A segment of someone else's making."""
    folder.mkdir()
    write = np.savez_compressed if compress else np.savez
    write(folder / "1.npz", **arrays)
    return Entry("1.npz", atomic.digest(folder / "1.npz"), 60, 2)


def test_segments_of_others_are_read_only_if_they_are_what_they_claim(tmp_path: Path) -> None:
    good = drawn(BOARD, 0, 30).examples._asdict()
    packed = {k: np.packbits(x) if x.dtype == bool else x for k, x in good.items()}
    entry = forged(tmp_path / "good", packed)
    read = segments.read_segment(tmp_path / "good", entry, BOARD)
    assert common.same_trees(read.examples, Example(**good))

    def refused(name: str, arrays: dict[str, Any], compress: bool = False) -> str:
        entry = forged(tmp_path / name, arrays, compress)
        with pytest.raises(ValueError, match=r"replay/1.npz|examples have") as error:
            segments.read_segment(tmp_path / name, entry, BOARD)
        return str(error.value)

    assert "claims more" in refused("bomb", packed, compress=True)
    objects = packed | {"margin": np.array([[{}] * 30] * 2, object)}
    assert "claims more" in refused("code", objects)
    assert "examples have shape" in refused("wide", packed | {"margin": good["outcome"][:, :5]})
    assert "examples have shape" in refused("type", packed | {"policy": good["edges"]})
    assert "holds no examples" in refused("less", {"margin": packed["margin"]})

    (tmp_path / "giant").mkdir()
    with zipfile.ZipFile(tmp_path / "giant/1.npz", "w") as archive:
        header = b"{'descr': '|i1', 'fortran_order': False, 'shape': (1000000, 1000000), }"
        header += b" " * (117 - len(header)) + b"\n"
        archive.writestr("margin.npy", b"\x93NUMPY\x01\x00" + b"\x76\x00" + header)
    with pytest.raises(ValueError, match="claims more"):
        segments.read_segment(tmp_path / "giant", entry, BOARD)
    (tmp_path / "text").mkdir()
    (tmp_path / "text/1.npz").write_text("hello")
    with pytest.raises(ValueError, match="holds no examples"):
        segments.read_segment(tmp_path / "text", entry, BOARD)
