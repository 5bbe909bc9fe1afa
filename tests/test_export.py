"""What is exported says the same elsewhere, and what was exported long ago still loads."""

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import export as jax_export

from azdab import export
from azdab.common.errors import UserError
from azdab.engine.engine import Engine
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.network import model
from azdab.runs import atomic, checkpoint, networks
from azdab.runs import exported as exported_network
from azdab.runs.networks import TrainedNetwork
from azdab.search import evaluator
from tests import common

GOLDEN = Path(__file__).parent / "golden"
BOARD = Board(2, 3)


def untrained(utility: str = "margin") -> TrainedNetwork:
    return common.untrained(BOARD, utility)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export") / "net"
    source = directory.with_name("source")
    networks.export_network(untrained(), source, "")
    assert export.main([str(source), "--to", str(directory), "--games", "2"]) == 0
    return directory


def test_everything_is_there(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "README.md", "card.json", "config.yaml", "best", "network.stablehlo", "example.py",
        "SHA256SUMS",
    }  # fmt: skip
    values = json.loads((exported / "card.json").read_text())
    assert values["board"] == [2, 3]
    assert values["iteration"] == 7
    assert values["format"] == checkpoint.FORMAT
    assert values["parameters"] == sum(x.size for x in jax.tree.leaves(untrained().params))
    assert set(values["strength"]["settings"]) == {"random mover", "raw policy", "search 64"}
    for place in (exported, networks.find(exported)):
        assert atomic.damage(place) is None
        digests = (place / atomic.SUMS).read_text(encoding="ascii").splitlines()[1:]
        assert len(digests) == sum(path.is_file() for path in place.rglob("*")) - 1
    text = (exported / "README.md").read_text()
    assert "| search 64 | 2 |" in text
    assert "Apache-2.0" in text


@functools.cache
def program(utility: str) -> Any:
    """The network's program as read back from its bytes."""
    return jax_export.deserialize(bytearray(exported_network.portable_program(untrained(utility))))


@pytest.mark.parametrize("utility", ["margin", "win"])
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_program_computes_what_the_network_does(utility: str, batch: int) -> None:
    trained = untrained(utility)
    states = common.random_states(BOARD, batch, batch, range(1, 17))
    margin = np.arange(batch, dtype=np.int32) % 5 - 2
    log_policy, weights, mean, ownership = program(utility).call(states.edges, margin)
    shown = evaluator.shown_margin(jax.numpy.asarray(margin), utility)
    network = common.evaluated(BOARD, trained.config.network)
    expected = jax.tree.map(np.asarray, network(trained.params, states.edges, shown))
    legal = ~np.asarray(states.edges)
    policy = np.exp(np.asarray(log_policy))
    prior = np.where(legal, np.exp(expected.prior_logits), 0)
    np.testing.assert_allclose(policy, prior / prior.sum(axis=1, keepdims=True), atol=1e-5)
    want = np.exp(expected.margin_logits)  # 0 where a margin is not possible
    want /= want.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights, want, atol=1e-5)
    means = want @ np.arange(-BOARD.num_boxes, BOARD.num_boxes + 1)
    np.testing.assert_allclose(mean, means, atol=1e-4)
    closed = 1 / (1 + np.exp(-expected.ownership_logits))
    np.testing.assert_allclose(ownership, closed, atol=1e-5)


def test_the_example_runs_without_azdab(exported: Path) -> None:
    code = (
        "import runpy, sys; sys.modules['azdab'] = None; "
        f"runpy.run_path({str(exported / 'example.py')!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert "best first edge" in done.stdout


def test_an_export_is_loaded_by_its_path(exported: Path) -> None:
    engine = Engine.load(str(exported))
    assert engine.board == BOARD
    assert engine.choose(Position(BOARD)) in range(BOARD.num_edges)
    loaded = networks.load_network(exported)
    assert common.same_trees(loaded.params, untrained().params)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["3x3"], "--to"),
        (["nowhere", "--to", "NEW"], "no checkpoint 'nowhere'"),
        (["3x3", "--to", "."], "exists"),
        (["3x3", "--to", "NEW", "--games", "3"], "must be even"),
        (["3x3", "--to", f"{__file__}/below", "--games", "0"], "cannot write"),
        (["--training", "run", "--to", "NEW", "--games", "2"], "--games needs a CHECKPOINT"),
    ],
)
def test_what_is_refused(argv: list[str], reason: str, tmp_path: Path, capsys: Any) -> None:
    argv = [str(tmp_path / "new") if word == "NEW" else word for word in argv]
    assert reason in common.refused(export.main, capsys, *argv)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "name"),
    [(atomic, "damage"), (checkpoint, "read_metadata"), (checkpoint, "load_parts")],
)
def test_a_network_that_is_replaced_while_it_is_read_is_looked_for_again(
    module: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.export_network(untrained(), tmp_path / "run", "")
    best = tmp_path / "run/best"
    given = networks.resolve(str(tmp_path / "run"))
    assert given == best / "7"
    step, usual = 7, getattr(module, name)

    def replaced(*arguments: Any) -> Any:
        nonlocal step
        if step < 9:  # as a run does that has found a better one, twice
            shutil.copytree(best / str(step), best / str(step + 1))
            shutil.rmtree(best / str(step))
            step += 1
        return usual(*arguments)

    monkeypatch.setattr(module, name, replaced)
    for where in (tmp_path / "run", given):
        assert common.same_trees(networks.load_network(where).params, untrained().params)
        assert step == 9
    monkeypatch.undo()
    (best / "9/params/_METADATA").unlink()  # this one is damaged, and stays so
    with pytest.raises(UserError, match=r"best/9 is damaged"):
        networks.load_network(given)


def test_there_is_a_golden_checkpoint_of_the_format() -> None:
    assert (GOLDEN / f"format-{checkpoint.FORMAT}").is_dir()


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_old_checkpoints_load_and_say_what_they_said(path: Path) -> None:
    """Written by the azdab that introduced the format; never written again."""
    trained = networks.load_network(path)
    said = json.loads((path / "said.json").read_text())
    edges = np.array(said["edges"], bool)
    zero = np.zeros(len(edges), np.int32)
    network = common.evaluated(trained.board, trained.config.network)
    output = network(trained.params, edges, zero)
    np.testing.assert_allclose(output.prior_logits, said["prior_logits"], atol=1e-4)
    mean = jax.jit(model.expected_margin, static_argnums=0)(trained.board, output.margin_logits)
    np.testing.assert_allclose(mean, said["expected_margin"], atol=1e-4)
