"""The exact ruler: nothing for perfect play, and what moves cost otherwise, counted by hand."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from azdab.exact import oracle
from azdab.exact.oracle import ILLEGAL
from azdab.game.board import Board
from azdab.learning import agents, arena
from azdab.learning.arena import MatchGames
from azdab.measure import judging, position_sets
from azdab.measure.judging import PHASES
from azdab.players import host_players
from tests import common

BOARD = Board(2, 2)
OPENING = 2


@functools.cache
def match(name: str) -> MatchGames:
    """Somebody against a random player, after two random plies."""
    players: dict[str, Any] = {
        "random": agents.random_agent(BOARD),
        "greedy": agents.greedy_agent(BOARD),
        "perfect": agents.perfect_agent(BOARD),
    }
    pair = (players[name], players["random"])

    def play(key: jax.Array) -> MatchGames:
        return arena.play_games(BOARD, pair, (common.solved(BOARD), None), key, 40, OPENING)

    return jax.jit(play)(jax.random.key(0))


def test_perfect_play_has_no_regret() -> None:
    regret = judging.regret(common.solved(BOARD), match("perfect"))
    assert regret.loss == 0
    assert regret.optimal == 1


def test_regret_orders_the_players() -> None:
    regrets = {
        name: judging.regret(common.solved(BOARD), match(name))
        for name in ("perfect", "greedy", "random")
    }
    assert 0 == regrets["perfect"].loss < regrets["greedy"].loss < regrets["random"].loss
    assert 1 == regrets["perfect"].optimal > regrets["greedy"].optimal > regrets["random"].optimal


@pytest.mark.parametrize("name", ["random", "greedy"])
def test_regret_is_the_cost_of_each_own_move_after_the_opening(name: str) -> None:
    played = jax.tree.map(np.asarray, match(name))
    minimax = common.Minimax(BOARD)
    losses = []
    for ply in range(OPENING, BOARD.num_edges):
        for index in np.flatnonzero(played.states.to_play[ply] == played.a_seat):
            drawn = frozenset(common.indices(played.states.edges[ply, index]))
            best = max(minimax.move_value(drawn, edge) for edge in minimax.all - drawn)
            losses.append(best - minimax.move_value(drawn, int(played.actions[ply, index])))
    regret = judging.regret(common.solved(BOARD), match(name))
    assert regret.loss == pytest.approx(np.mean(losses))
    assert regret.optimal == pytest.approx(np.mean(np.array(losses) == 0))


def test_boards_of_up_to_24_edges_can_be_solved() -> None:
    assert oracle.can_solve(Board(3, 3))
    assert oracle.can_solve(Board(2, 4))
    assert not oracle.can_solve(Board(3, 4))


def judged(values: list[int], margin: int, action: int) -> tuple[float, float, float]:
    """One judgement, as (optimal, keeps, loss)."""
    found = judging.judge(np.array([values], np.int8), np.array([margin]), np.array([action]))
    return float(found.optimal[0]), float(found.keeps[0]), float(found.loss[0])


@pytest.mark.parametrize(
    ("margin", "action", "expected"),
    [
        # Moves worth 3, 1 and -1 boxes. One box ahead: 4, 2 or 0 in the end.
        (1, 0, (1, 1, 0)),
        (1, 1, (0, 1, 2)),
        (1, 2, (0, 0, 4)),
        # Two behind: a win, a loss, a loss.
        (-2, 1, (0, 0, 2)),
        (-2, 2, (0, 0, 4)),
        # Three behind: a draw, then losses.
        (-3, 0, (1, 1, 0)),
        (-3, 1, (0, 0, 2)),
    ],
)
def test_a_move_keeps_the_outcome_by_the_final_score(
    margin: int, action: int, expected: tuple[float, float, float]
) -> None:
    assert judged([3, 1, -1, ILLEGAL], margin, action) == expected


@pytest.mark.parametrize("margin", [2, -4, 9])
def test_an_outcome_that_no_move_changes_is_not_at_stake(margin: int) -> None:
    optimal, keeps, loss = judged([3, 1, -1, ILLEGAL], margin, 2)
    assert (optimal, loss) == (0, 4)
    assert np.isnan(keeps)


def test_quality_leaves_out_what_is_not_at_stake() -> None:
    values = np.array([[3, 1, -1], [3, 1, -1], [2, 0, 0]], np.int8)
    found = judging.judge(values, np.array([-2, 9, 0]), np.array([0, 1, 2]))
    quality = judging.quality(found)
    np.testing.assert_allclose(quality, (3, 1 / 3, 4 / 3, 2, 0.5))
    first = judging.quality(found, np.array([True, False, False]))
    np.testing.assert_allclose(first, (1, 1, 0, 1, 1))
    nothing = judging.quality(found, np.zeros(3, bool))
    assert (nothing.moves, nothing.stakes) == (0, 0)
    assert np.isnan([nothing.optimal, nothing.loss, nothing.keeps]).all()


def test_the_random_mover_is_judged_by_the_mean_over_its_moves() -> None:
    values = np.array([[3, 1, -1, ILLEGAL], [5, ILLEGAL, 5, -5]], np.int8)
    found = judging.judge_random(values, np.array([-2, 0]))
    np.testing.assert_allclose(found.optimal, [1 / 3, 2 / 3])
    np.testing.assert_allclose(found.keeps, [1 / 3, 2 / 3])
    np.testing.assert_allclose(found.loss, [2, 10 / 3])


def test_measured_random_moves_approach_the_computed_ones() -> None:
    known = oracle.table_oracle(BOARD)
    chosen = position_sets.random_subsets(known, 200, seed=0)
    expected = judging.quality(judging.judge_random(chosen.values, chosen.margin))
    act, history = host_players.random_player(BOARD), np.zeros((200, 0), np.int32)
    states = position_sets.states_of_set(BOARD, chosen)
    samples = []
    for key in jax.random.split(jax.random.key(1), 100):
        actions = act(key, states, history)
        samples.append(judging.quality(judging.judge(chosen.values, chosen.margin, actions)))
    for name in ("optimal", "loss", "keeps"):
        measured = np.mean([getattr(sample, name) for sample in samples])
        assert measured == pytest.approx(getattr(expected, name), rel=0.02)


def test_phases_by_safe_moves_and_drawn_edges() -> None:
    # Edges of a 2x2 board: 0-5 horizontal by rows, 6-11 vertical by rows.
    drawn = [[], [0, 1, 4, 5], [0, 1, 4, 5, 6, 8], [0, 1, 4, 5, 6, 8, 9, 11], [*range(5)]]
    edges = np.zeros((len(drawn), BOARD.num_edges), bool)
    for row, some in zip(edges, drawn, strict=True):
        row[some] = True
    expected = []
    for some in drawn:
        boxes = common.surroundings(BOARD)
        safe = any(
            edge not in some and all(len(box & set(some)) < 2 for box in boxes if edge in box)
            for edge in range(BOARD.num_edges)
        )
        expected.append("endgame" if not safe else "opening" if len(some) < 6 else "middle")
    found = [PHASES[i] for i in judging.phases_of(BOARD, edges)]
    assert found == expected
    assert set(found) == {"opening", "middle", "endgame"}


def test_groups_by_edges_left() -> None:
    edges = np.zeros((4, 12), bool)
    for row, left in zip(edges, (1, 4, 5, 10), strict=True):
        row[left:] = True
    assert judging.edge_groups(edges).tolist() == [0, 0, 1, 2]
    assert judging.edge_labels(10) == ["1-4", "5-8", "9-10"]
    assert judging.edge_labels(8) == ["1-4", "5-8"]


@pytest.mark.parametrize("max_edges", [12, 7])
def test_losses_per_game_add_up_what_each_own_move_cost(max_edges: int) -> None:
    known = dataclasses.replace(oracle.table_oracle(BOARD), max_edges=max_edges)
    played: Any = jax.tree.map(np.asarray, match("random"))
    minimax = common.Minimax(BOARD)
    lost = judging.game_losses(known, played)
    expected = np.zeros(len(played.margin), int)
    asked = 0
    for ply in range(max(OPENING, BOARD.num_edges - max_edges), BOARD.num_edges):
        for index in np.flatnonzero(played.states.to_play[ply] == played.a_seat):
            drawn = frozenset(common.indices(played.states.edges[ply, index]))
            values = {edge: minimax.move_value(drawn, edge) for edge in minimax.all - drawn}
            expected[index] += max(values.values()) - values[int(played.actions[ply, index])]
            asked += len(set(values.values())) > 1
    np.testing.assert_array_equal(lost.loss, expected)
    assert lost.loss.any()
    assert len(lost.edges) == len(lost.judgement.loss) == asked
    assert lost.judgement.loss.sum() == expected.sum()


def test_perfect_games_lose_nothing() -> None:
    played: Any = jax.tree.map(np.asarray, match("perfect"))
    lost = judging.game_losses(oracle.table_oracle(BOARD), played)
    assert not lost.loss.any()
    quality = judging.quality(lost.judgement)
    assert (quality.optimal, quality.loss, quality.keeps) == (1, 0, 1)
    assert quality.stakes > 0
