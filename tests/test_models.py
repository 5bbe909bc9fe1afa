"""The networks that come with azdab: small, loadable, and as good as their cards need."""

import jax
import numpy as np
import pytest

from azdab.exact import oracle
from azdab.game.board import Board
from azdab.measure import judging, position_sets
from azdab.players import host_players
from azdab.runs import networks

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
