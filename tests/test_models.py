"""The networks that come with azdab: small, loadable, and as good as their cards need."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from azdab.common.errors import UserError
from azdab.exact import oracle
from azdab.game.board import Board
from azdab.measure import judging, position_sets
from azdab.players import host_players
from azdab.runs import atomic, networks

MODELS = sorted(networks.bundled_networks())


def size(name: str) -> int:
    files = networks.bundled_networks()[name].rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


def test_there_is_a_network_for_the_smallest_real_board() -> None:
    assert "3x3" in MODELS


@pytest.mark.parametrize("name", MODELS)
def test_a_bundled_network_loads_by_name_and_is_small(name: str) -> None:
    player = networks.load_network(networks.resolve(name))
    assert str(player.board) == name
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(player.params))
    assert size(name) < 3_000_000
    card = (networks.bundled_networks()[name] / "README.md").read_text(encoding="utf-8")
    assert "azdab.evaluate" in card


@pytest.mark.parametrize("name", MODELS)
def test_a_bundled_network_names_no_path_of_the_machine_that_wrote_it(name: str) -> None:
    for path in networks.bundled_networks()[name].rglob("*"):
        if path.is_file():
            assert (
                str(networks.bundled_networks()[name].parents[1]).encode() not in path.read_bytes()
            )


@pytest.mark.parametrize("name", MODELS)
def test_a_bundled_network_has_digests(name: str) -> None:
    checkpoint = networks.resolve(name)
    assert atomic.damage(checkpoint) is None
    listed = (checkpoint / atomic.SUMS).read_text(encoding="ascii")
    for path in checkpoint.rglob("*"):
        if path.is_file() and path.name != atomic.SUMS:
            assert path.relative_to(checkpoint).as_posix() in listed


def test_no_flipped_bit_is_loaded(tmp_path: Path) -> None:
    shutil.copytree(networks.bundled_networks()["3x3"], tmp_path / "net")
    files = [path for path in networks.find(tmp_path / "net").rglob("*") if path.is_file()]
    networks.load_network(tmp_path / "net")
    rng, flipped = np.random.default_rng(0), 0
    for path in files:
        whole = path.read_bytes()
        for _ in range(4 if whole else 0):
            spoilt = bytearray(whole)
            spoilt[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
            path.write_bytes(spoilt)
            with pytest.raises(UserError, match=r"damaged|changed"):
                networks.load_network(tmp_path / "net")
            flipped += 1
        path.write_bytes(whole)
    assert flipped >= 32
    networks.load_network(tmp_path / "net")


@pytest.mark.slow
def test_the_raw_3x3_policy_is_nearly_perfect_in_strong_play() -> None:
    board = Board(3, 3)
    known = oracle.best_oracle(board, board.num_edges)
    player = networks.load_network(networks.resolve("3x3"))
    found = position_sets.noisy_play(known, 300, seed=5)
    act = host_players.of_network(player, 0, 64)
    states = position_sets.states_of_set(board, found)
    history = np.zeros((len(found.edges), 0), np.int32)
    actions = act(jax.random.key(0), states, history)
    judged = judging.judge(found.values, found.margin, actions)
    assert judging.quality(judged).optimal > 0.94
