"""Regret: nothing for perfect play, and what moves cost otherwise, counted by hand."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from azdab import agents, arena, exactness
from azdab.arena import Match
from azdab.game import Board
from tests import common

BOARD = Board(2, 2)
OPENING = 2


@functools.cache
def match(name: str) -> Match:
    """Somebody against a random player, after two random plies."""
    players: dict[str, Any] = {
        "random": agents.random_agent(BOARD),
        "greedy": agents.greedy_agent(BOARD),
        "perfect": agents.perfect_agent(BOARD),
    }
    pair = (players[name], players["random"])

    def play(key: jax.Array) -> Match:
        return arena.play_match(BOARD, pair, (common.solved(BOARD), None), key, 40, OPENING)

    return jax.jit(play)(jax.random.key(0))


def test_perfect_play_has_no_regret() -> None:
    regret = exactness.regret(common.solved(BOARD), match("perfect"))
    assert regret.loss == 0
    assert regret.optimal == 1
    assert regret.loss_choice == 0
    assert regret.optimal_choice == 1


def test_regret_orders_the_players() -> None:
    regrets = {
        name: exactness.regret(common.solved(BOARD), match(name))
        for name in ("perfect", "greedy", "random")
    }
    assert 0 == regrets["perfect"].loss < regrets["greedy"].loss < regrets["random"].loss
    assert 1 == regrets["perfect"].optimal > regrets["greedy"].optimal > regrets["random"].optimal


@pytest.mark.parametrize("name", ["random", "greedy"])
def test_regret_is_the_cost_of_each_own_move_after_the_opening(name: str) -> None:
    played = jax.tree.map(np.asarray, match(name))
    minimax = common.Minimax(BOARD)
    losses, choices, by_ply = [], [], []
    for ply in range(BOARD.num_edges):
        here = []
        for index in np.flatnonzero(played.states.to_play[ply] == played.a_seat):
            if ply < OPENING:
                continue
            drawn = frozenset(common.indices(played.states.edges[ply, index]))
            values = [minimax.move_value(drawn, edge) for edge in minimax.all - drawn]
            action = int(played.actions[ply, index])
            here.append(max(values) - minimax.move_value(drawn, action))
            if min(values) < max(values):
                choices.append(here[-1])
        losses += here
        by_ply.append(np.mean(here) if here else np.nan)
    regret = exactness.regret(common.solved(BOARD), match(name))
    assert regret.num_moves == len(losses)
    assert regret.loss == pytest.approx(np.mean(losses))
    assert regret.optimal == pytest.approx(np.mean(np.array(losses) == 0))
    assert regret.loss_choice == pytest.approx(np.mean(choices))
    assert regret.optimal_choice == pytest.approx(np.mean(np.array(choices) == 0))
    np.testing.assert_allclose(regret.by_ply, np.array(by_ply))
    assert np.isnan(regret.by_ply[:OPENING]).all()


def test_boards_of_up_to_24_edges_can_be_solved() -> None:
    assert exactness.can_solve(Board(3, 3))
    assert exactness.can_solve(Board(2, 4))
    assert not exactness.can_solve(Board(3, 4))
