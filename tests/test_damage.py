"""Damaged runs: what is left is used, what is wrong is named, and nothing is thrown away.

The messages, as they are printed, stand in a table in notebooks/damage.md.
"""

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orbax.checkpoint.experimental.v1 as ocp
import pytest

from azdab import train
from azdab.common.errors import UserError
from azdab.runs import atomic, checkpoint, metrics, rollback, run_directory
from azdab.runs.checkpoint import TrainState
from azdab.runs.retention import Checkpoints
from tests import common, runs

TABLE = (Path(__file__).parents[1] / "notebooks/damage.md").read_text(encoding="utf-8")
LAST = 4  # iterations of the run that is damaged


@pytest.fixture(scope="module", autouse=True)
def wide() -> Iterator[None]:
    """Messages are not broken into lines."""
    patch = pytest.MonkeyPatch()
    patch.setenv("COLUMNS", "1000")
    yield
    patch.undo()


def go_on(run: Path, *more: str) -> int:
    """Resume for one iteration more."""
    name = ["--resume", "--run", run.name, "--runs", str(run.parent)]
    return train.main([*name, "--iterations", str(LAST + 1), *more])


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with three checkpoints."""
    run = tmp_path_factory.mktemp("healthy") / "run"
    argv = ["--config", "smoke", "--run", run.name, "--runs", str(run.parent)]
    assert train.main([*argv, "--iterations", str(LAST), "--keep_checkpoints", "3"]) == 0
    return run


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, healthy: Path) -> Path:
    """The same, gone on with."""
    run = tmp_path_factory.mktemp("expected") / "run"
    shutil.copytree(healthy, run)
    assert go_on(run) == 0
    return run


@pytest.fixture(scope="module")
def ending(expected: Path) -> TrainState:
    """Its last checkpoint."""
    return runs.saved(expected)


def contents(run: Path) -> dict[str, str]:
    """Every file of a run, but for what holding it leaves."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def largest(folder: Path) -> Path:
    return max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda x: x.stat().st_size
    )


def cut(path: Path, share: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def arrays(run: Path, part: str, step: int = LAST) -> Path:
    """Where the numbers of a checkpoint are."""
    return largest(run / "checkpoints" / str(step) / part / "ocdbt.process_0")


def _without_sums(run: Path) -> Path:
    (run / "checkpoints/4" / atomic.SUMS).unlink()
    return run


def _each(run: Path, damage: Callable[[Path], None], steps: tuple[int, ...]) -> None:
    for step in steps:
        damage(arrays(run, "training", step))


def _two_segments(run: Path) -> None:
    for step in (3, 4):
        flip(run / f"replay/{step}.npz")


def _file_for_directory(run: Path) -> None:
    shutil.rmtree(run / "checkpoints/4")
    (run / "checkpoints/4").write_text("")


def _alone(run: Path) -> Path:
    for folder in ("checkpoints", "best"):
        shutil.rmtree(run / folder)
    return run / "config.yaml"


def _number(run: Path) -> None:
    """One digit of a loss changes; the line is still JSON."""
    path = run / "metrics.jsonl"
    text = path.read_text()
    at = text.index('"loss/total": ') + len('"loss/total": 1.0')
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def _middle_line(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:1] + lines[2:]))


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of damage.

    Attributes:
      what: in words.
      damage: does it to a run.
      ok: whether the run goes on.
      same: whether it then ends as if nothing had been.
      metrics_lost: whether lines of metrics are lost, and must be named.
      replay_lost: whether some of the replay is lost, so that the run goes another way.
    """

    what: str
    damage: Callable[[Path], object]
    ok: bool = True
    metrics_lost: bool = False
    replay_lost: bool = False


CASES = [
    Case("arrays of the newest checkpoint cut in half", lambda run: cut(arrays(run, "training"))),
    Case("arrays zeroed", lambda run: zero(arrays(run, "training"))),
    Case("arrays emptied", lambda run: arrays(run, "training").write_bytes(b"")),
    Case("one bit of the optimiser flipped", lambda run: flip(arrays(run, "training"))),
    Case("one bit of the parameters flipped", lambda run: flip(arrays(run, "params"))),
    Case("a file of arrays deleted", lambda run: arrays(run, "training").unlink()),
    Case("half of a checkpoint deleted", lambda run: shutil.rmtree(run / "checkpoints/4/params")),
    Case(
        "a checkpoint's metadata emptied",
        lambda run: (run / "checkpoints/4/_CHECKPOINT_METADATA").write_bytes(b""),
    ),
    Case(
        "one bit of the arrays' description flipped",
        lambda run: flip(run / "checkpoints/4/training/_METADATA"),
    ),
    Case("a checkpoint's digests cut in half", lambda run: cut(run / "checkpoints/4/SHA256SUMS")),
    Case(
        "a checkpoint's digests lack the last line",
        lambda run: (run / "checkpoints/4/SHA256SUMS").write_text(
            "".join((run / "checkpoints/4/SHA256SUMS").read_text().splitlines(True)[:-1])
        ),
    ),
    Case(
        "no digests, arrays cut in half", lambda run: cut(arrays(_without_sums(run), "training"))
    ),
    Case(
        "no digests, arrays deleted", lambda run: arrays(_without_sums(run), "training").unlink()
    ),
    Case(
        "no digests, metadata emptied",
        lambda run: (_without_sums(run) / "checkpoints/4/_CHECKPOINT_METADATA").write_bytes(b""),
    ),
    Case("a file where a checkpoint was", _file_for_directory),
    Case("the newest segment of the replay cut short", lambda run: cut(run / "replay/4.npz", 0.9)),
    Case("one bit of the newest segment flipped", lambda run: flip(run / "replay/4.npz")),
    Case("the newest segment emptied", lambda run: (run / "replay/4.npz").write_bytes(b"")),
    Case("the newest segment deleted", lambda run: (run / "replay/4.npz").unlink()),
    Case(
        "another iteration's segment in the place of the newest",
        lambda run: shutil.copy(run / "replay/3.npz", run / "replay/4.npz"),
    ),
    Case(
        "the two newest segments flipped",
        _two_segments,
    ),
    Case(
        "one bit of a segment flipped that all checkpoints need",
        lambda run: flip(run / "replay/2.npz"),
        replay_lost=True,
    ),
    Case(
        "that segment deleted", lambda run: (run / "replay/2.npz").unlink(), replay_lost=True
    ),
    Case("the whole replay deleted", lambda run: shutil.rmtree(run / "replay"), replay_lost=True),
    Case("the two newest checkpoints flipped", lambda run: _each(run, flip, (4, 3))),
    Case("an older checkpoint flipped", lambda run: flip(arrays(run, "params", 3))),
    Case("all checkpoints flipped", lambda run: _each(run, flip, (4, 3, 2)), ok=False),
    Case("all checkpoints deleted", lambda run: shutil.rmtree(run / "checkpoints"), ok=False),
    Case("the best network flipped", lambda run: flip(largest(run / "best"))),
    Case("the config cut in half", lambda run: cut(run / "config.yaml")),
    Case("the config's last line deleted", lambda run: (run / "config.yaml").write_text(
        "".join((run / "config.yaml").read_text().splitlines(True)[:-1])
    )),
    Case("the config zeroed", lambda run: zero(run / "config.yaml")),
    Case("one bit of the config flipped", lambda run: flip(run / "config.yaml", 0)),
    Case("the config deleted", lambda run: (run / "config.yaml").unlink()),
    Case(
        "the config's seed changed",
        lambda run: replace(run / "config.yaml", "seed: 0", "seed: 1"),
        ok=False,
    ),
    Case(
        "another setting changed",
        lambda run: replace(run / "config.yaml", "baseline_games: 8", "baseline_games: 4"),
    ),
    Case("the config zeroed, and no checkpoints", lambda run: zero(_alone(run)), ok=False),
    # In the middle of the second line: in the middle of all it could be at the end of one.
    Case(
        "the metrics cut short",
        lambda run: cut(run / "metrics.jsonl", 3 / 8),
        metrics_lost=True,
    ),
    Case("the metrics zeroed", lambda run: zero(run / "metrics.jsonl"), metrics_lost=True),
    Case(
        "one bit of the metrics flipped",
        lambda run: flip(run / "metrics.jsonl", 0.001),
        metrics_lost=True,
    ),
    Case("a digit in the metrics changed", _number, metrics_lost=True),
    Case("a line of the metrics deleted", _middle_line, metrics_lost=True),
    Case(
        "the metrics deleted", lambda run: (run / "metrics.jsonl").unlink(), metrics_lost=True
    ),
    Case("the environment's record zeroed", lambda run: zero(run / "environment.json")),
]  # fmt: skip

NORMAL = re.compile(
    r"Run |Compiled in|Memory planned|\d+/\d+ |iteration |Finished|Back to|No iteration"
)


def messages(printed: str, run: Path) -> list[str]:
    """The lines that are not those of every run; the run is called RUN."""
    names = (str(run.absolute()), str(run))
    for name in names:
        printed = printed.replace(name, "RUN")
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    lines = [line for line in lines if not NORMAL.match(line)]
    return [re.sub(r"/d/[0-9a-f]{32}", "/d/...", line) for line in lines]


FAST = {
    "arrays of the newest checkpoint cut in half",
    "one bit of the parameters flipped",
    "half of a checkpoint deleted",
    "no digests, metadata emptied",
    "the two newest checkpoints flipped",
    "all checkpoints flipped",
    "the newest segment deleted",
    "one bit of a segment flipped that all checkpoints need",
    "the best network flipped",
    "the config zeroed",
    "the config's seed changed",
    "the metrics cut short",
    "a digit in the metrics changed",
    "the environment's record zeroed",
}
"""One of each kind of damage and of answer; the others are slow tests."""


def test_the_fast_cases_are_cases() -> None:
    assert {case.what for case in CASES} > FAST


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.what, marks=[pytest.mark.slow] * (case.what not in FAST))
        for case in CASES
    ],
)
def test_damage_is_named_and_survived(
    case: Case,
    healthy: Path,
    expected: Path,
    ending: TrainState,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(healthy, run)
    case.damage(run)
    before = contents(run)
    capsys.readouterr()
    if case.ok:
        assert go_on(run) == 0
        found = messages(capsys.readouterr().out, run)
    else:
        with pytest.raises(SystemExit) as stop:
            go_on(run)
        assert stop.value.code == 2
        found = messages(capsys.readouterr().err.replace("python -m azdab.train: ", ""), run)
        assert contents(run) | {"config.yaml": ""} == before | {"config.yaml": ""}
    assert len(found) == (2 if "two newest" in case.what else 1), found
    row = f"| {case.what} | {'<br>'.join(found)} |".replace("`", "")
    print(row)
    assert row in TABLE
    if not case.ok:
        return

    # What was damaged is still there, under another name if azdab writes there.
    after = set(contents(run).values())
    kept = {path: digest for path, digest in before.items() if not path.startswith("checkpoints/2")}
    rewritten = ("environment.json", "config.yaml") if "setting" in case.what else ()
    healthy_before = contents(healthy)
    for path, digest in kept.items():
        if healthy_before.get(path) != digest and path not in rewritten:
            assert digest in after, path
    if "setting" in case.what:
        return
    assert runs.iterations(run)[-1] == LAST + 1
    if not case.metrics_lost and not case.replay_lost:
        assert runs.lasting(run) == runs.lasting(expected)
    assert runs.leftovers(run) == []
    # It was said once: going on again finds nothing wrong, and begins where all should end.
    found_again: list[TrainState] = []
    restore = Checkpoints.restore

    def kept_restore(checkpoints: Checkpoints, like: TrainState) -> TrainState:
        found_again.append(restore(checkpoints, like))
        return found_again[-1]

    monkeypatch.setattr(Checkpoints, "restore", kept_restore)
    capsys.readouterr()
    assert go_on(run) == 0
    assert messages(capsys.readouterr().out, run) == []
    assert len(found_again) == 1
    assert case.replay_lost or common.same_trees(found_again[0], ending)


def test_the_table_has_no_other_rows() -> None:
    rows = [line for line in TABLE.splitlines() if "RUN" in line and line.startswith("| ")]
    assert len(rows) == len(CASES)


def test_a_second_process_is_refused_and_told_whose_the_run_is(
    healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(healthy, run)
    code = (
        "import sys, pathlib\nfrom azdab.runs import run_directory\n"
        f"with run_directory.locked(pathlib.Path({str(run)!r})):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [os.sys.executable, "-c", code],  # type: ignore[attr-defined]
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    before = contents(run)
    with pytest.raises(SystemExit) as stop:
        go_on(run)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert f"in use by process {holder.pid} on {os.uname().nodename} since" in error
    assert contents(run) == before
    holder.kill()  # what it leaves behind holds nobody up
    holder.communicate()
    assert (run / "running.json").exists()
    assert go_on(run) == 0
    assert not (run / "running.json").exists()


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    capsys.readouterr()
    return common.refused(train.main, capsys, *argv)


def mounted(folder: Path, options: str) -> None:
    """Mount memory as a file system, if this process may."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of two megabytes."""
    folder = tmp_path / "small"
    mounted(folder, "size=2m")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_in_one_line_and_harms_no_checkpoint(
    healthy: Path, expected: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = small_disk / "run"
    shutil.copytree(healthy, run)
    filling = small_disk / "filling"
    for spare in (0, 20_000, 100_000, 180_000):  # full at the first file, and in a checkpoint
        free = shutil.disk_usage(small_disk).free
        filling.write_bytes(bytes(max(0, free - spare)))
        error = refused(
            capsys, "--resume", "--run", "run", "--runs", str(small_disk), "--iterations", "5"
        )
        assert "the disk is full" in error
        assert "checkpoint 4 is intact; make room and go on with --resume --run run" in error
        assert atomic.damage(run / "checkpoints/4") is None
        filling.unlink()
    assert go_on(run) == 0
    assert runs.lasting(run) == runs.lasting(expected)
    assert common.same_trees(runs.saved(run), runs.saved(expected))
    assert runs.leftovers(run) == []


def test_a_new_run_on_a_full_disk_is_not_begun(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "filling").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    error = refused(capsys, "--config", "smoke", "--run", "new", "--runs", str(small_disk))
    assert "the disk is full" in error
    assert not (small_disk / "new").exists()


def test_a_read_only_disk_is_one_line(
    healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "disk"
    mounted(folder, "size=4m")
    try:
        shutil.copytree(healthy, folder / "run")
        before = contents(folder / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for argv in (["--resume", "--run", "run"], ["--config", "smoke", "--run", "new"]):
            error = refused(capsys, *argv, "--runs", str(folder))
            assert "Read-only file system" in error
        assert contents(folder / "run") == before
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_missing_permission_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    root = os.getuid() == 0
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if root:
        os.seteuid(65534)  # to whom permissions mean something
    try:
        error = refused(capsys, "--config", "smoke", "--run", "new", "--runs", str(closed))
    finally:
        if root:
            os.seteuid(0)
    assert "Permission denied" in error


@pytest.mark.parametrize("runs_folder", ["/dev/null", "/proc/nowhere", "file", "a\0b", "x" * 300])
def test_a_wrong_path_is_one_line(
    runs_folder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert refused(capsys, "--config", "smoke", "--runs", runs_folder)
    assert refused(capsys, "--resume", "--run", "smoke", "--runs", runs_folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", [1, 9, -3, LAST])
def test_going_back_to_where_one_is_or_cannot_be(
    step: int, healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(healthy, run)
    if step == LAST:
        assert rollback.roll_back(run, step) is None
    else:
        argv = ["--resume", "--run", "run", "--runs", str(tmp_path), f"--from-step={step}"]
        assert "it has 2, 3, 4" in refused(capsys, *argv)
    assert contents(run) == contents(healthy)


def test_a_run_goes_back_to_a_checkpoint_and_keeps_what_came_after(
    healthy: Path, expected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(healthy, run)
    before = contents(run)
    assert go_on(run, "--from-step", "2") == 0
    assert "Back to checkpoint 2" in capsys.readouterr().out
    aside = run / run_directory.ASIDE / "after-2"
    assert {"checkpoints-3", "checkpoints-4", "metrics.jsonl"} <= {x.name for x in aside.iterdir()}
    assert runs.iterations(aside) == [1, 2, 3, 4]
    now = set(contents(run).values())
    later = [f"best/{step}/" for step in atomic.steps(healthy / "best") if step > 2]
    kept = ("checkpoints/3/", "checkpoints/4/", *later)
    assert all(digest in now for path, digest in before.items() if path.startswith(kept))
    # The same seed goes the same way again.
    assert runs.lasting(run) == runs.lasting(expected)
    assert common.same_trees(runs.saved(run), runs.saved(expected))
    assert "add --resume" in refused(capsys, "--config", "smoke", "--from-step", "2")


def test_the_environment_of_every_start_is_recorded_and_bounded(expected: Path) -> None:
    starts = json.loads((expected / "environment.json").read_text())["starts"]
    assert [start["iteration"] for start in starts] == [0, LAST]
    for start in starts:
        assert start["packages"]["jax"]
        assert start["devices"] >= 1
        assert start["config"]["board"] == {"rows": 2, "cols": 2, "start": "plain"}
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|None", str(start["git"]))


def test_only_so_many_starts_are_kept(tmp_path: Path) -> None:
    for number in range(50):
        run_directory.record_environment(tmp_path, number)
    starts = json.loads((tmp_path / "environment.json").read_text())["starts"]
    assert starts == [0, *range(50 - run_directory.MAX_STARTS + 1, 50)]


def test_saving_is_tried_again_when_time_ran_out(
    healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What happens to a machine that slept while orbax saved.
    save, calls = ocp.save_checkpointables, []

    def slept(path: Path, parts: object, **options: object) -> None:
        calls.append(path)
        if len(calls) < 3:
            path.with_name(path.name + ".orbax-checkpoint-tmp").mkdir(parents=True)
            raise TimeoutError("Timed out while waiting for commit to complete.")
        save(path, parts, **options)

    monkeypatch.setattr(ocp, "save_checkpointables", slept)
    checkpoint.write_checkpoint(tmp_path, 3, {"params": {"a": runs.saved(healthy).best_elo}}, {})
    assert len(calls) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


@pytest.mark.parametrize("look", [0, 2, 8, 30])
def test_a_machine_may_sleep_for_hours_while_it_saves(
    look: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After so many looks at the clock it is two hours later. With its own timeout of twenty
    # minutes orbax gives up.
    clock, looks = time.time, []

    def jumping() -> float:
        looks.append(1)
        return clock() + 7200 * (len(looks) > look)

    monkeypatch.setattr(checkpoint, "_ATTEMPTS", 1)
    monkeypatch.setattr(time, "time", jumping)
    checkpoint.write_checkpoint(tmp_path, 3, {"params": {"a": np.ones(100_000)}}, {})
    assert len(looks) > look
    assert atomic.damage(tmp_path / "3") is None


def test_an_error_of_the_disk_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise ValueError("RESOURCE_EXHAUSTED: Failed writing: ... [os_error_code='28']")

    monkeypatch.setattr(ocp, "save_checkpointables", full)
    with pytest.raises(OSError, match="No space left") as error:
        checkpoint.write_checkpoint(tmp_path, 3, {}, {})
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ENOENT])
def test_an_error_of_the_system_while_arrays_are_read_is_not_damage(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"params": {"a": np.ones(3)}}
    checkpoint.write_checkpoint(tmp_path, 3, parts, {})

    def failing(*arguments: object, **options: object) -> None:
        raise ValueError(f"Error opening a file: ... [os_error_code='{number}']")

    monkeypatch.setattr(ocp, "load_checkpointables", failing)
    with pytest.raises(ValueError, match=r"os_error_code|cannot be read") as error:
        checkpoint.load_parts(tmp_path / "3", parts)
    assert isinstance(error.value, UserError) == (number != errno.ENOENT)
    if number != errno.ENOENT:
        assert f"3 cannot be read: {os.strerror(number)}; it was left" in str(error.value)


def test_metrics_of_runs_before_digests_are_taken_as_they_are(tmp_path: Path) -> None:
    said: list[str] = []
    lines = [json.dumps({"iteration": n}) + "\n" for n in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    with metrics.Writer(tmp_path, 2, None, said.append) as writer:
        assert writer.digest == hashlib.sha256("".join(lines[:2]).encode()).hexdigest()
    assert not said
