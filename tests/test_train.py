"""Whole runs with the smoke preset: resuming, stopping, dying, and refusing."""

import collections
import functools
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chex
import jax
import pytest
from rich.console import Console

from azdab import export, train
from azdab.common import cli, metric_table, presets
from azdab.common.config import NetworkConfig, config_from_dict
from azdab.common.errors import UserError
from azdab.devices import device
from azdab.game.board import Board, board_of
from azdab.learning import arena, learner, memory, replay, selfplay
from azdab.runs import atomic, checkpoint, metrics, networks, run_directory, segments
from azdab.training import opening
from tests import common
from tests.runs import iterations, lasting, saved, start

PATIENCE = 300  # seconds before a run is taken for stuck


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs live."""
    return tmp_path_factory.mktemp("runs")


TRACED = [
    (selfplay, "self_play", 1),
    (replay, "add_own", 1),
    (learner, "learn", 1),
    (arena, "play_games", 2),  # against the best, and against the baselines
]
"""What the programs of an iteration are made of, and how often a whole run may trace it."""


@pytest.fixture(scope="module")
def whole(runs: Path) -> Path:
    """Two iterations in one go."""
    assert train.main(["--config", "smoke", "--run", "whole", "--runs", str(runs)]) == 0
    return runs / "whole"


@pytest.fixture(scope="module")
def parts(runs: Path) -> Path:
    """The same two iterations as a finished run of one, continued."""
    name = ["--run", "parts", "--runs", str(runs)]
    assert train.main(["--config", "smoke", *name, "--iterations", "1"]) == 0
    assert iterations(runs / "parts") == [1]
    assert train.main(["--resume", *name, "--iterations", "2"]) == 0
    return runs / "parts"


refused = functools.partial(common.refused, train.main)


def test_a_run_goes_to_its_end_and_leaves_everything_on_disk(whole: Path) -> None:
    assert iterations(whole) == [1, 2]
    assert int(saved(whole).iteration) == 2
    assert (whole / "config.yaml").is_file()
    assert list(whole.glob("events.out.tfevents.*"))
    assert not list(whole.rglob("*.tmp"))
    for line in metrics.read_metrics(whole / "metrics.jsonl"):
        for group in ("loss/", "selfplay/", "arena/", "exact/", "speed/", "time/", "device/"):
            assert any(key.startswith(group) for key in line)
        assert all(isinstance(value, int | float) for value in line.values())


@pytest.mark.slow
def test_an_iteration_traces_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces: collections.Counter[str] = collections.Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            traces[name] += 1
            return function(*arguments)

        return counted

    chex.clear_trace_counter()
    for module, name, times in TRACED:
        function = chex.assert_max_traces(getattr(module, name), times)
        monkeypatch.setattr(module, name, counting(name, function))
    # A board that no other test trains on: its programs are not there yet.
    own = ["--board.cols", "1", "--run", "traced", "--runs", str(tmp_path)]
    assert train.main(["--config", "smoke", *own]) == 0
    assert iterations(tmp_path / "traced") == [1, 2]
    # More would have been refused by chex; that nothing is traced less shows that it looked.
    assert traces == {name: times for _, name, times in TRACED}


def test_a_run_writes_the_metrics_of_the_table(whole: Path) -> None:
    for line in metrics.read_metrics(whole / "metrics.jsonl"):
        always = {row.name for row in metric_table.METRICS if row.when != "device"}
        assert always <= line.keys()
        assert line.keys() - {"iteration"} <= metric_table.BY_NAME.keys()


def test_a_continued_run_is_bit_for_bit_the_uninterrupted_one(whole: Path, parts: Path) -> None:
    # Parameters, their average, the optimiser, the replay, the best network and its Elo.
    first, second = saved(whole), saved(parts)
    chex.assert_trees_all_equal(first, second)
    assert int(first.learner.step) == 8
    assert lasting(whole) == lasting(parts)
    assert len(lasting(whole)[0]) > 10


def test_the_best_network_changes_hands_by_the_rule(whole: Path) -> None:
    run_config = config_from_dict(presets.read_settings(str(whole / "config.yaml")))
    elo, best = 0.0, 0
    for line in metrics.read_metrics(whole / "metrics.jsonl"):
        rate = line["arena/win_rate_best"]
        expected = elo + arena.elo_difference(rate, run_config.arena.num_games)
        assert line["arena/elo"] == pytest.approx(expected, abs=1e-3)
        assert line["arena/promoted"] == (rate >= run_config.arena.threshold)
        if line["arena/promoted"]:
            elo, best = expected, line["iteration"]
    state = saved(whole)
    assert int(state.best_iteration) == best
    assert float(state.best_elo) == pytest.approx(elo, abs=1e-3)
    assert [path.name for path in (whole / "best").iterdir() if path.is_dir()] == [str(best)]


def test_players_load_from_a_run_or_a_checkpoint(whole: Path) -> None:
    state = saved(whole)
    latest = networks.load_network(whole, "latest")
    best = networks.load_network(whole)
    assert latest.iteration == 2
    assert best.iteration == int(state.best_iteration)
    assert latest.board == best.board == Board(2, 2)
    assert latest.config.network == NetworkConfig(filters=16, blocks=1)
    chex.assert_trees_all_equal(latest.params, state.learner.ema_params)
    chex.assert_trees_all_equal(best.params, state.best_params)
    for path in (whole / "checkpoints", whole / "checkpoints" / "2"):
        again = networks.load_network(path)
        assert again.iteration == 2
        chex.assert_trees_all_equal(again.params, latest.params)
    assert networks.load_network(whole / "checkpoints" / "1").iteration == 1


def test_where_there_is_no_checkpoint_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint in"):
        networks.load_network(tmp_path)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--board.rows", "3"], ["board.rows"]),
        (
            ["--network.filters", "8", "--network.blocks", "2"],
            ["network.filters", "network.blocks"],
        ),
        (["--replay.capacity", "500"], ["replay.capacity"]),
        (["--search.utility", "win"], ["search.utility"]),
        (["--learner.optimizer", "sgd"], ["learner.optimizer"]),
        (["--seed", "1"], ["seed"]),
        (["--initial", "3x3"], ["initial"]),
    ],
)
def test_what_cannot_change_is_refused_by_name(
    whole: Path, capsys: pytest.CaptureFixture[str], options: list[str], keys: list[str]
) -> None:
    before = (whole / "config.yaml").read_text()
    error = refused(capsys, "--resume", "--run", "whole", "--runs", str(whole.parent), *options)
    assert all(key in error for key in keys)
    assert (whole / "config.yaml").read_text() == before


def test_what_may_change_is_taken_from_the_command_line(whole: Path) -> None:
    argv = ["--resume", "--run", "whole", "--runs", str(whole.parent)]
    given, overrides = train._parser().parse([*argv, "--learner.learning_rate", "0.5"])
    run, run_config = opening.open_run(cli.typed(opening.RunOptions, given), overrides)
    assert run == whole
    assert run_config.learner.learning_rate == 0.5
    assert run_config.learner.batch_size == 16  # from the run, not the default


def test_a_run_of_another_format_is_not_continued(
    whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    error = refused(capsys, "--resume", "--run", "whole", "--runs", str(whole.parent))
    assert "this azdab reads 99" in error


def test_an_existing_run_is_not_overwritten(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("--config", "smoke", "--run", "whole", "--runs", str(whole.parent))
    assert "--resume" in refused(capsys, *argv)
    assert iterations(whole) == [1, 2]


def test_commands_without_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ("--runs", str(tmp_path))
    assert "--config" in refused(capsys, *runs)
    assert "--config" in refused(capsys, *runs, "--run", "new")
    assert "no run to resume" in refused(capsys, *runs, "--resume", "--run", "none")
    assert "did you mean 'smoke'" in refused(capsys, *runs, "--config", "smok")
    assert "learner.batch_size" in refused(
        capsys, *runs, "--config", "smoke", "--learner.batch_size", "0"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_can_begin_with_a_trained_network(whole: Path, runs: Path, tmp_path: Path) -> None:
    trained = shutil.copytree(whole / "best", tmp_path / "trained")
    (checkpoint_folder,) = (path for path in trained.iterdir() if path.is_dir())
    name = ["--run", "second", "--runs", str(runs)]
    still = ["--learner.learning_rate", "1e-60", "--learner.weight_decay", "0"]
    argv = ["--config", "smoke", *name, *still, "--initial", str(trained), "--iterations", "1"]
    assert train.main(argv) == 0
    params = networks.load_network(checkpoint_folder).params
    chex.assert_trees_all_equal(saved(runs / "second").learner.params, params)
    shutil.rmtree(trained)  # which is not needed any more
    assert train.main(["--resume", *name, "--iterations", "2"]) == 0
    chex.assert_trees_all_equal(saved(runs / "second").learner.params, params)


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("3x3", "initial: 3x3 has board.rows 3, and this run 2"),
        ("nobody", "no checkpoint 'nobody'"),
        ("x" * 300, "no checkpoint 'xxx"),
    ],
)
def test_a_network_that_cannot_be_begun_with_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], initial: str, message: str
) -> None:
    argv = ("--config", "smoke", "--runs", str(tmp_path), "--initial", initial)
    assert message in refused(capsys, *argv)
    assert not list(tmp_path.iterdir())


def test_a_network_of_another_shape_is_refused(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("--config", "smoke", "--runs", str(tmp_path), "--initial", str(whole))
    error = refused(capsys, *argv, "--network.filters", "8")
    assert "has network.filters 16, and this run 8" in error


@pytest.mark.slow
def test_the_cores_become_devices_as_far_as_the_work_divides(tmp_path: Path) -> None:
    """A run begins on as many as there are cores, and is continued on two."""

    def trained(*argv: str) -> tuple[int, str]:
        process = start(["azdab.train"], tmp_path, *argv, variables=common.WITHOUT_DEVICES)
        printed = process.communicate(timeout=PATIENCE)[0]
        return process.returncode, printed

    three = ("--config", "smoke", "--device.cpu_devices", "3", "--run", "three")
    status, printed = trained(*three)
    assert "must be a multiple of 3 on 3 devices" in printed
    assert status == 2
    assert not (tmp_path / "three").exists()

    name = ("--run", "two", "--iterations")
    status, printed = trained("--config", "smoke", *name, "1")
    assert status == 0, printed
    expected = device.most_devices(config_from_dict(presets.read_settings("smoke")), device.cores())
    assert (f"as {expected} devices" in printed) == (expected > 1)
    status, printed = trained("--resume", "--device.cpu_devices", "2", *name, "2")
    assert status == 0, printed
    assert "as 2 devices" in printed
    assert iterations(tmp_path / "two") == [1, 2]


def test_a_run_goes_on_elsewhere_without_its_replay(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main(["--training", str(whole), "-o", str(tmp_path / "moved.tar.gz")]) == 0
    assert (
        export.main(
            ["--training", "whole", "--runs", str(whole.parent), "-o", str(tmp_path / "whole")]
        )
        == 0
    )
    assert sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*")) < 1e6
    shutil.unpack_archive(tmp_path / "moved.tar.gz", tmp_path / "elsewhere")
    run = tmp_path / "elsewhere" / "whole"
    names = {path.name for path in run.iterdir()}
    assert names == {"config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "best"}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}
    assert atomic.steps(run / "checkpoints") == [2]
    assert atomic.damage(run / "checkpoints/2") is None
    before, moved = saved(whole), saved(run)
    chex.assert_trees_all_equal(before.learner, moved.learner)
    chex.assert_trees_all_equal(before.replay.total, moved.replay.total)
    assert not moved.replay.examples.edges.any()

    # A device's window is half of the examples there ever were. Two waves more fill it.
    wave = config_from_dict(presets.read_settings("smoke"))
    positions = wave.selfplay.parallel_games * wave.examples_per_game
    capsys.readouterr()
    assert (
        train.main(["--resume", "--run", "whole", "--runs", str(run.parent), "--iterations", "3"])
        == 0
    )
    assert "damaged" not in capsys.readouterr().out
    after = saved(run)
    assert int(after.iteration) == 3
    assert int(after.learner.step) == 12
    assert after.replay.total.tolist() == [5 * positions // 2] * 2
    assert after.replay.examples.margin.shape == moved.replay.examples.margin.shape
    assert (after.replay.examples.policy.sum(axis=-1) > 0.9).all()  # no blank one is left
    assert iterations(run) == [1, 2, 3]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--training", "nowhere", "--to", "NEW"], "there is no run in"),
        (["--training", "whole", "--to", "."], "exists"),
        (["--training", "whole", "3x3", "--to", "NEW"], "say what to export"),
        (["--to", "NEW"], "say what to export"),
        (["--training", "whole", "--to", f"{__file__}/below"], "cannot write"),
    ],
)
def test_a_run_that_cannot_be_exported(
    argv: list[str], reason: str, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(tmp_path / "new") if word == "NEW" else word for word in argv]
    error = common.refused(export.main, capsys, *argv, "--runs", str(whole.parent))
    assert reason in error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_that_does_not_save_its_replay_is_resumed_all_the_same(tmp_path: Path) -> None:
    name = ["--run", "light", "--runs", str(tmp_path)]
    run = tmp_path / "light"
    new = ["--config", "smoke", "--iterations", "2", "--replay.saved", "false"]
    assert train.main([*new, *name]) == 0
    assert not (run / "replay").exists()
    assert train.main(["--resume", *name, "--iterations", "3"]) == 0
    assert not (run / "replay").exists()
    assert train.main(["--resume", *name, "--iterations", "4", "--replay.saved", "true"]) == 0
    assert segments.numbers(run / "replay") == [4]
    assert iterations(run) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", sorted(presets.known_presets()))
def test_a_run_without_its_replay_is_small(name: str) -> None:
    config = config_from_dict(presets.read_settings(name))
    one = common.one_device()
    state = jax.eval_shape(lambda: checkpoint.initial_state(board_of(config), config, one))
    training = memory.tree_num_bytes(state._replace(replay=None))
    network = memory.tree_num_bytes(state.best_params)
    assert training + network < (35e6 if name == "highperf" else 10e6)


def test_a_dry_run_prints_the_memory_of_each_phase_and_writes_nothing(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["--config", "smoke", "--dry-run", "--runs", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for phase in ("self-play", "replay", "learning", "arena", "baselines"):
        assert phase in printed
    assert "parameters" in printed
    assert printed.splitlines()[-1].startswith("Planned: at most 0.0")
    assert not list(tmp_path.iterdir())


def test_what_differs_from_the_last_start_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(iteration: int) -> str:
        console = Console(file=io.StringIO())
        opening.record_start(tmp_path, config_from_dict({}), iteration, console)
        printed: str = console.file.getvalue()  # type: ignore[attr-defined]
        return printed

    assert begin(0) == ""
    assert begin(3) == ""
    monkeypatch.setattr(run_directory, "cores", lambda: 1000)
    path = tmp_path / "environment.json"
    before = device.cores()
    text = path.read_text(encoding="utf-8").replace('"devices": 2', '"devices": 8')
    packages = json.loads(text)["starts"][-1]["packages"]
    path.write_text(text.replace(f'"{packages["optax"]}"', '"0.0.1"'), encoding="utf-8")
    said = begin(4)
    assert said.startswith("Not as at the last start: devices 2, were 8, cores 1000, were ")
    assert f"were {before}, optax {packages['optax']}, was 0.0.1. The run goes on" in said
    assert begin(5) == ""
    path.write_text("{}", encoding="utf-8")
    assert "cannot be read" in begin(6)
    path.write_text('{"starts": [{"packages": 3, "devices": []}]}', encoding="utf-8")
    assert "devices 2, were []" in begin(7)


def test_the_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--list-configs"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in presets.known_presets())


def test_a_line_cut_short_is_dropped_and_so_is_what_was_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"iteration": n, "loss": 1.0}) for n in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"iteration": 4, "lo')
    assert iterations(tmp_path) == [1, 2, 3]
    with metrics.Writer(tmp_path, 2) as writer:
        writer.write(3, {"loss": 0.5, "bad": float("nan")})
    assert metrics.read_metrics(path) == [
        {"iteration": 1, "loss": 1.0},
        {"iteration": 2, "loss": 1.0},
        {"iteration": 3, "loss": 0.5, "bad": None},
    ]


def wait_for(process: "subprocess.Popen[str]", condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the run is stuck"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_survives_being_killed_and_stops_when_asked(runs: Path) -> None:
    run = runs / "hurt"
    name = ["--run", "hurt"]

    process = start(["azdab.train"], runs, "--config", "smoke", *name, "--iterations", "100000")
    wait_for(process, lambda: bool(iterations(run)))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    killed_at = len(iterations(run))

    process = start(["azdab.train"], runs, "--resume", *name)
    wait_for(process, lambda: len(iterations(run)) > killed_at + 1)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in printed
    assert "--resume --run hurt" in printed.replace("\n", " ")
    done = iterations(run)
    assert done == list(range(1, len(done) + 1))
    assert len(done) > killed_at + 1
    assert int(saved(run).iteration) == done[-1]

    more = ["--resume", *name, "--runs", str(runs), "--iterations", str(done[-1] + 1)]
    assert train.main(more) == 0
    assert iterations(run) == [*done, done[-1] + 1]
    assert int(saved(run).iteration) == done[-1] + 1
    # Only as many checkpoints as asked for stay.
    assert len([path for path in (run / "checkpoints").iterdir() if path.name.isdigit()]) == 2


def test_training_needs_no_extra() -> None:
    extras = dict.fromkeys(["numba", "starlette", "matplotlib"])
    code = f"import sys; sys.modules.update({extras}); import azdab.train, azdab.play, azdab.export"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
