"""Numbers that go wrong stop a run before they reach a checkpoint, and are kept."""

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from azdab import train
from azdab.common import presets
from azdab.common.config import Config, config_from_dict
from azdab.game.board import Board
from azdab.learning import diverged, learner, programs
from azdab.learning.learner import LearnerState, Losses
from azdab.learning.programs import Plan
from azdab.learning.replay import Replay
from tests import common, runs


@pytest.mark.slow
def test_a_run_that_diverges_stops_and_can_go_on_with_other_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    name = ["--run", "run", "--runs", str(tmp_path)]
    run = tmp_path / "run"
    assert train.main(["--config", "smoke", *name, "--iterations", "2"]) == 0
    before = runs.saved(run)
    files = sorted(path.name for path in (run / "checkpoints").iterdir())

    # A rate so high that the parameters overflow.
    high = ["--learner.learning_rate", "3e38", "--learner.weight_decay", "10"]
    error = common.refused(train.main, capsys, "--resume", *name, "--iterations", "4", *high)
    assert "iteration 3 diverged" in error
    assert "Go on from checkpoint 2 with --resume --run run --learner.learning_rate" in error
    assert "--from-step N" in error
    assert runs.iterations(run) == [1, 2]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == files
    chex.assert_trees_all_equal(runs.saved(run), before)

    # What is kept is what went wrong: the same loss comes out of it.
    with np.load(run / "diverged-3.npz", allow_pickle=False) as kept:
        arrays = dict(kept)
    assert arrays["found"]
    assert {"batch/edges", "batch/policy", "loss", "step"} <= arrays.keys()
    assert len(arrays["batch/edges"]) == 16
    assert any(name.startswith("params/") for name in arrays)

    calm = ["--learner.learning_rate", "4e-3", "--learner.weight_decay", "1e-4"]
    assert train.main(["--resume", *name, "--iterations", "3", *calm]) == 0
    assert runs.iterations(run) == [1, 2, 3]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(runs.saved(run).learner.params))


def learner_config(**settings: float) -> Config:
    return config_from_dict({"learner": settings})


def test_advice_converges(tmp_path: Path) -> None:
    rate, tried = 1e6, []
    while rate > 1e-3:
        (rate,) = diverged.calmer(learner_config(learning_rate=rate)).values()
        tried.append(rate)
    assert tried == [4e-3, 2e-3, 1e-3]


def test_advice_names_what_is_absurd() -> None:
    assert diverged.calmer(learner_config(margin_weight=1e38)) == {"learner.margin_weight": 1}
    both = learner_config(learning_rate=1e6, weight_decay=10.0)
    assert diverged.calmer(both) == {"learner.learning_rate": 4e-3, "learner.weight_decay": 1e-4}


def test_advice_names_checkpoints_that_exist(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    config = learner_config(margin_weight=1e38)
    command = f"--resume --run mine --learner.margin_weight 1 --runs {tmp_path}"
    assert diverged.advice(run, config) == f"Begin again with {command}"
    for name in ("3", "4.new", "4.old"):
        (run / "checkpoints" / name).mkdir(parents=True)
    assert diverged.advice(run, config) == f"Go on from checkpoint 3 with {command}"
    (run / "checkpoints" / "2").mkdir()
    assert diverged.advice(run, config).endswith(", or from an earlier one with --from-step N")


@pytest.mark.slow
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_poisoned_loss_never_reaches_the_disk(
    poison: float,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Once in a blue moon: the second learning phase reports a loss that is not finite.
    compile_phases = programs.compile_programs

    def poisoned(*arguments: object) -> Plan:
        plan = compile_phases(*arguments)  # type: ignore[arg-type]

        def learn(
            state: LearnerState, buffer: Replay, key: jax.Array
        ) -> tuple[LearnerState, Losses]:
            state, losses = plan.phases.learn(state, buffer, key)
            if int(state.step) > 4:
                losses = losses._replace(margin=jnp.float32(poison))
            return state, losses

        return plan._replace(phases=plan.phases._replace(learn=learn))

    monkeypatch.setattr(programs, "compile_programs", poisoned)
    argv = ["--config", "smoke", "--run", "run", "--runs", str(tmp_path)]
    error = common.refused(train.main, capsys, *argv)
    assert "iteration 2 diverged: its numbers are not finite" in error
    assert runs.iterations(tmp_path / "run") == [1]
    assert int(runs.saved(tmp_path / "run").iteration) == 1
    assert (tmp_path / "run/diverged-2.npz").is_file()


def test_ranges_see_everything_that_is_not_finite() -> None:
    board, smoke = Board(2, 2), config_from_dict(presets.read_settings("smoke"))
    made = jax.jit(lambda: learner.init_learner(jax.random.key(0), board, smoke))()
    state = jax.tree.map(np.array, made)
    found = diverged.ranges(state)
    assert diverged.finite(found)
    largest = max(float(np.abs(x).max()) for x in jax.tree.leaves(state.params))
    assert float(found["range/params"]) == largest
    for part in ("params", "ema_params", "opt_state"):
        leaves, structure = jax.tree.flatten(getattr(state, part))
        at = max(range(len(leaves)), key=lambda i: leaves[i].size * (leaves[i].dtype == "float32"))
        for bad in (np.nan, np.inf, -np.inf):
            leaves[at] = leaves[at].copy()
            leaves[at].flat[0] = bad
            spoilt = state._replace(**{part: jax.tree.unflatten(structure, leaves)})
            assert not diverged.finite(diverged.ranges(spoilt))
