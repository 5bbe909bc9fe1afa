"""What was saved is there after a power failure: synced before it has its name, and the name after.

The order of the system's calls is watched everywhere. Where file systems may be mounted, the power
is cut: an image is copied as it is on the disk, with nothing that waits in memory.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from azdab.common import durable, files, presets
from azdab.common.config import Config
from azdab.runs import atomic, metrics, rollback, run_directory, segments
from tests import test_segments

CUTS = 20


class Watch:
    """Which files were synced since they were last written, and what was renamed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.synced: set[int] = set()
        self.renamed: list[tuple[Path, Path]] = []
        self.unsynced_names: set[Path] = set()
        self.faults: list[str] = []
        self._fsync, self._replace = os.fsync, os.replace
        patch.setattr(os, "fsync", self.fsync)
        patch.setattr(os, "replace", self.replace)
        patch.setattr(os, "rename", self.replace)

    def fsync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        status = os.fstat(descriptor)
        self.synced.add(status.st_ino)
        self.unsynced_names = {
            path for path in self.unsynced_names if os.stat(path).st_ino != status.st_ino
        }

    def replace(self, source: Path, target: Path) -> None:
        source, target = Path(source), Path(target)
        # Deleting may be undone by a power failure; orbax renames inside of what is unfinished.
        if not target.name.endswith(".old") and ".orbax-checkpoint-tmp" not in source.name:
            inside = [source, *source.rglob("*")] if source.is_dir() else [source]
            for path in inside:
                if os.stat(path).st_ino not in self.synced:
                    self.faults.append(f"{path} was not synced before it became {target}")
            self.renamed.append((source, target))
            if self.unsynced_names:
                self.faults.append(f"{self.unsynced_names} not synced before {target}")
            self.unsynced_names.add(target.parent)
        self._replace(source, target)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_a_save_syncs_everything_before_it_has_a_name(tmp_path: Path, watch: Watch) -> None:
    run = test_segments.saved(tmp_path / "run", 3)
    names = [str(target.relative_to(run.path)) for _, target in watch.renamed]
    assert watch.faults == []
    assert not watch.unsynced_names
    assert names == [
        "replay/1.npz", "checkpoints/1", "best/0",
        "replay/2.npz", "checkpoints/2",
        "replay/3.npz", "checkpoints/3",
    ]  # fmt: skip


def test_the_watch_sees_what_is_forgotten(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "sync_all", lambda folder: None)
    test_segments.saved(tmp_path / "run", 1)
    assert any("params/_METADATA was not synced" in fault for fault in watch.faults)


def test_everything_beside_the_checkpoints_is_synced_too(tmp_path: Path, watch: Watch) -> None:
    run = tmp_path / "runs" / "run"
    durable.make_folder(run)
    presets.write_settings(Config(), run / "config.yaml")
    run_directory.record_environment(run, {"time": "now"})
    with metrics.Writer(run, 0) as writer:
        for number in (1, 2):
            writer.write(number, {"loss/total": 1.0})
            line = (run / "metrics.jsonl").stat()
            assert line.st_ino in watch.synced
            watch.synced.remove(line.st_ino)
    assert watch.faults == []
    assert not watch.unsynced_names
    names = [target.name for _, target in watch.renamed]
    assert names == ["config.yaml", "environment.json", "metrics.jsonl"]
    # The names of the folders, too.
    assert {os.stat(path).st_ino for path in (tmp_path, tmp_path / "runs")} <= watch.synced


def test_a_file_that_cannot_be_completed_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_whole(tmp_path / "a", "old")

    def broken(descriptor: int) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        files.write_whole(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def _mount(image: Path, folder: Path, options: str = "loop") -> None:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-o", options, str(image), str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An image with a file system, and where it is mounted."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64_000_000)
    if not shutil.which("mkfs.ext4"):
        pytest.skip("there is no mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    _mount(image, folder)
    try:
        yield image, folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_after_a_power_failure_all_that_was_saved_is_there(
    disk: tuple[Path, Path], tmp_path: Path
) -> None:
    image, folder = disk
    run = test_segments.saved(folder / "run", 1)
    run = run._replace(parts=run.parts + [test_segments.drawn(test_segments.BOARD, n, 30)
                                          for n in range(1, CUTS + 1)])  # fmt: skip
    _, checkpoints = run.restored()
    with metrics.Writer(run.path, 1, checkpoints.metrics) as writer:
        for iteration in range(2, CUTS + 2):
            writer.write(iteration, {"loss/total": 1.0})
            checkpoints.save(run.state(iteration), run.parts[iteration - 1], writer.digest)
            shutil.copy(image, tmp_path / "cut")
            _mount(tmp_path / "cut", tmp_path / "after")
            try:
                left = tmp_path / "after/run"
                assert atomic.steps(left / "checkpoints")[:2] == [iteration, iteration - 1]
                for step in atomic.steps(left / "checkpoints"):
                    assert rollback.first_damage(left, step) is None
                assert segments.numbers(left / "replay")[-1] == iteration
                lines = metrics.read_metrics(left / "metrics.jsonl")
                assert lines[-1]["iteration"] == iteration
            finally:
                subprocess.run(["umount", str(tmp_path / "after")], check=True)
