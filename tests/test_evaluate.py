"""The command: what it prints and writes, and what it refuses."""

import functools
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from azdab import evaluate, export, play
from azdab.common import presets
from azdab.common.config import config_from_dict
from azdab.common.errors import UserError
from azdab.game.board import Board
from azdab.measure import calibration
from azdab.measure.calibration import Forecast
from azdab.runs import checkpoint, networks
from azdab.runs.networks import TrainedNetwork
from tests import common

BOARD = Board(2, 2)
SMALL = ["--simulations", "0", "4", "--positions", "40", "--games", "8"]


def untrained(seed: int = 0, iteration: int = 3) -> TrainedNetwork:
    run_config = config_from_dict(presets.read_settings("smoke"))
    params = common.init_params(jax.random.key(seed), BOARD, run_config.network)
    return TrainedNetwork(BOARD, run_config, params, iteration)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as it comes with azdab."""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    networks.export_network(untrained(), directory, "# tiny\n")
    return directory


@pytest.fixture(scope="module")
def evaluated(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures of one evaluation; beside them is its picture, where there is matplotlib."""
    path = tmp_path_factory.mktemp("figures") / "figures.json"
    plot = ["--plot", str(path.with_suffix(".png"))] * bool(importlib.util.find_spec("matplotlib"))
    assert evaluate.main([str(exported), *SMALL, "--json", str(path), *plot]) == 0
    return path


@pytest.fixture(scope="module")
def written(evaluated: Path) -> Any:
    return json.loads(evaluated.read_text(encoding="utf-8"))


refused = functools.partial(common.refused, evaluate.main)


def test_figures_are_complete_and_possible(written: Any) -> None:
    settings = ["random mover", "raw policy", "search 4"]
    assert written["board"] == [2, 2]
    assert written["iteration"] == 3
    assert written["truth"] == {"source": "table", "max_edges": 12}
    assert "CPU" in written["device"]
    assert list(written["games"]) == settings
    assert list(written["sets"]) == ["random", "play", "noisy"]
    for row in written["games"].values():
        assert row["games"] == 8
        score = row["score"]
        assert score["wins"] + score["draws"] + score["losses"] == 8
        assert (row["loss"] == 0) == (row["flawless"] == 1)
    for name, rows in written["sets"].items():
        assert list(rows) == settings
        for row in rows.values():
            assert row["all"] == rows[settings[0]]["all"] | {
                key: row["all"][key] for key in ("optimal", "loss", "keeps")
            }
            assert 0 <= row["all"]["optimal"] <= 1
            assert 0 <= row["all"]["keeps"] <= 1
            assert 0 < row["all"]["moves"] <= 40
            for part in ("by_edges", "by_phase"):
                assert sum(q["moves"] for q in row[part].values()) == row["all"]["moves"]
                lost = sum(q["moves"] * (q["loss"] or 0) for q in row[part].values())
                assert lost == pytest.approx(row["all"]["moves"] * row["all"]["loss"])
            assert list(row["by_edges"]) == ["1-4", "5-8", "9-12"]
        assert written["calibration"][name]["positions"] == rows[settings[0]]["all"]["moves"]


def test_the_same_seed_gives_the_same_figures(
    written: Any, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again.json"
    assert evaluate.main([str(exported), *SMALL, "--json", str(again)]) == 0
    assert json.loads(again.read_text(encoding="utf-8")) == written
    printed = capsys.readouterr().out
    raw = written["sets"]["play"]["raw policy"]["all"]
    assert "Games against the perfect player" in printed
    assert f"{raw['loss']:.3f}" in printed
    assert f"{written['games']['search 4']['loss']:.3f}" in printed


def test_a_picture_is_drawn(evaluated: Path) -> None:
    pytest.importorskip("matplotlib")
    assert evaluated.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_match_takes_the_place_of_the_figures(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "match.json"
    match = ["--match", "random", "greedy", "--games", "4", "--json", str(path)]
    assert evaluate.main([str(exported), *match]) == 0
    assert "random against greedy" in capsys.readouterr().out
    assert json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ([], "which checkpoint"),
        (["nowhere"], "no checkpoint 'nowhere'"),
        (["lates"], "did you mean 'latest'"),
        (["latest"], "no run with a checkpoint"),
        (["best", "--games", "3"], "argument --games: must be even"),
        (
            ["best", "--positions", "0"],
            "argument --positions: must be a whole number from 1 to 1000000",
        ),
        (
            ["best", "--simulations", "-1"],
            "argument --simulations: must be a whole number from 0 to 4096, got '-1'",
        ),
        (
            ["best", "--max-edges", "many"],
            "argument --max-edges: must be a whole number of at least 2, got 'many'",
        ),
        (["best", "--json", "no/such/place.json"], "no directory"),
        (
            ["3x3", "--opening-plies", "30"],
            "--opening-plies must be less than the 24 edges, got 30",
        ),
        (["best", "--gamez", "4"], "did you mean '--games'"),
    ],
)
def test_mistakes_end_with_one_line(
    argv: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reason in refused(capsys, *argv)


def test_a_directory_without_a_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no checkpoint in" in refused(capsys, str(tmp_path))


@pytest.mark.parametrize("lost", ["_CHECKPOINT_METADATA", "params"])
def test_a_damaged_checkpoint_is_refused(
    lost: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks.export_network(untrained(), tmp_path / "net", "")
    damaged = tmp_path / "net" / "best" / "3" / lost
    damaged.rename(tmp_path / "elsewhere")
    assert str(tmp_path) in refused(capsys, str(tmp_path / "net"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_are_refused(
    bad: float, tmp_path: Path, capsys: Any
) -> None:
    trained = untrained()
    leaves, structure = jax.tree.flatten(trained.params)
    leaves[3] = leaves[3].at[(0,) * leaves[3].ndim].set(bad)
    params = jax.tree.unflatten(structure, leaves)
    networks.export_network(trained._replace(params=params), tmp_path / "net", "")
    net = str(tmp_path / "net")
    for main, argv in (
        (evaluate.main, [net]),
        (play.main, ["--mode", "ai", "--checkpoint", net]),
        (export.main, [net, "--to", str(tmp_path / "new")]),
        (evaluate.main, ["--match", f"network:checkpoint={net}", "random"]),
    ):
        assert "holds numbers that are not finite" in common.refused(main, capsys, *argv)
    assert not (tmp_path / "new").exists()


def test_what_is_loaded_twice_is_read_once(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported, tmp_path / "net")
    read: list[Path] = []
    load_parts = checkpoint.load_parts

    def counted(path: Path, like: Any) -> Any:
        read.append(path)
        return load_parts(path, like)

    monkeypatch.setattr(checkpoint, "load_parts", counted)
    first, again = (networks.load_network(tmp_path / "net") for _ in range(2))
    assert len(read) == 1
    for x in jax.tree.leaves(first.params):
        x.delete()  # as training does with what it is given
    assert common.same_trees(again.params, untrained().params)
    # Another network under the same name is another network.
    shutil.rmtree(tmp_path / "net")
    networks.export_network(untrained(seed=1), tmp_path / "net", "")
    assert common.same_trees(
        networks.load_network(tmp_path / "net").params, untrained(seed=1).params
    )
    assert len(read) == 2


def test_an_exported_network_comes_back_as_it_was(exported: Path) -> None:
    trained, again = untrained(), networks.load_network(exported)
    assert common.same_trees(trained.params, again.params)
    assert again[:2] == trained[:2]
    assert again.iteration == 3
    assert (exported / "README.md").read_text(encoding="utf-8") == "# tiny\n"
    stored = config_from_dict(presets.read_settings(str(exported / "config.yaml")))
    assert stored == trained.config
    with pytest.raises(UserError, match="exists"):
        networks.export_network(trained, exported, "")


def test_words_mean_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = tmp_path / "models"
    for name, iteration in (("runs/old", 1), ("runs/new", 2), ("models/2x2", 9)):
        networks.export_network(untrained(0, iteration), tmp_path / name, "")
    best = Path("runs/new/best/2")
    assert networks.resolve("best") == best
    assert networks.resolve("runs/new") == best
    assert networks.resolve("runs/new/best/2") == best
    assert networks.resolve("old") == Path("runs/old/best/1")
    with pytest.raises(UserError, match="no run with a checkpoint"):
        networks.resolve("latest")
    monkeypatch.setattr(networks, "bundled_networks", lambda: {"2x2": models / "2x2"})
    assert networks.resolve("2x2") == models / "2x2" / "best" / "9"
    Path("2x2").mkdir()  # hides nothing: there is no network in it
    assert networks.resolve("2x2") == models / "2x2" / "best" / "9"
    shutil.copytree("runs/old/best", "2x2/best")
    assert networks.resolve("2x2") == Path("2x2/best/1")
    Path("empty").mkdir()
    with pytest.raises(UserError, match="no checkpoint in empty"):
        networks.resolve("empty")
    monkeypatch.setenv("HOME", str(tmp_path / "runs"))
    assert networks.resolve("~/old") == tmp_path / "runs/old/best/1"


def test_calibration_by_hand() -> None:
    forecast = Forecast(np.array([0.95, 0.91, 0.12, 0.5]), np.array([2.0, 1.0, -3.0, 0.5]))
    margin, best = np.array([0, 1, 0, 2]), np.array([2, -3, -1, -2])
    found = calibration.calibrate(forecast, margin, best)
    # Results under perfect play: won, lost, lost, drawn.
    assert found.bin_counts.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0, 2]
    np.testing.assert_allclose(found.bin_forecasts[[1, 5, 9]], [0.12, 0.5, 0.93])
    np.testing.assert_allclose(found.bin_results[[1, 5, 9]], [0, 0.5, 0.5])
    assert np.isnan(found.bin_results[0])
    assert found.win_error == pytest.approx((0.12 + 0 + 2 * 0.43) / 4)
    assert found.win_brier == pytest.approx((0.05**2 + 0.91**2 + 0.12**2 + 0) / 4)
    assert found.margin_bias == pytest.approx((0 + 4 - 2 + 2.5) / 4)
    assert found.margin_rmse == pytest.approx(np.sqrt((0 + 16 + 4 + 6.25) / 4))


def test_forecasts_are_the_networks_and_know_the_score() -> None:
    trained = untrained()
    states = common.random_states(BOARD, 0, 10, [2, 3, 4])
    found = calibration.network_forecast(BOARD, trained.config, trained.params, 4, states)
    network = common.evaluated(BOARD, trained.config.network)
    output = network(trained.params, states.edges, np.zeros(10, np.int32))
    probabilities = np.exp(np.asarray(output.margin_logits))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    support = np.arange(-4, 5)
    np.testing.assert_allclose(found.margin, probabilities @ support, rtol=1e-4, atol=1e-5)
    leads = np.array([lead for _, _, lead in common.each(states)])
    final = support[None] + leads[:, None]
    won = np.sum(probabilities * ((final > 0) + 0.5 * (final == 0)), axis=1)
    np.testing.assert_allclose(found.win, won, rtol=1e-4, atol=1e-5)
    assert leads.any()
