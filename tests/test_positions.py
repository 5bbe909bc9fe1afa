"""The position sets and the sources of truth behind them."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given

from azdab.common.errors import UserError
from azdab.devices import batching
from azdab.exact import oracle
from azdab.exact.oracle import ILLEGAL, Oracle
from azdab.game import geometry, rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning.arena import MatchGames
from azdab.measure import judging, position_sets
from azdab.measure.position_sets import PositionSet
from azdab.players import host_players, matches
from tests import common

BOARD = Board(2, 2)


@functools.cache
def table() -> Oracle:
    return oracle.table_oracle(BOARD)


@functools.cache
def partial() -> Oracle:
    """A truth about positions with at most 6 edges left only."""
    return oracle.endgame_oracle(BOARD, 6)


def play(known: Oracle, games: int, seed: int) -> MatchGames:
    """A random mover against strong play."""
    openings = matches.random_openings(known.board, games // 2, 2, seed)
    acts = (host_players.random_player(known.board), host_players.strong(known))
    return matches.play_pairs(known.board, acts, openings, jax.random.key(seed))


def ask(act: host_players.Act, states: State) -> np.ndarray:
    """Moves in positions without a history."""
    return act(jax.random.key(0), states, np.zeros((len(states.edges), 0), np.int32))


def make(name: str, known: Oracle, seed: int, count: int = 60) -> PositionSet:
    """One of the three sets, with a random mover as the engine."""
    if name == "random":
        return position_sets.random_subsets(known, count, seed)
    if name == "noisy":
        return position_sets.noisy_play(known, count, seed)
    return position_sets.from_match(known, play(known, 40, seed), count, seed, only_a=True)


@pytest.mark.parametrize("name", ["random", "play", "noisy"])
@pytest.mark.parametrize("source", [table, partial])
def test_sets_hold_known_positions_that_pose_a_question(name: str, source: Any) -> None:
    chosen = make(name, source(), seed=3, count=30)
    minimax = common.Minimax(BOARD)
    assert len(chosen.edges) == len(chosen.margin) == len(chosen.values) == 30
    assert (np.sum(~chosen.edges, axis=1) <= source().max_edges).all()
    for edges, margin, values in zip(*chosen, strict=True):
        drawn = frozenset(common.indices(edges))
        closed = sum(box <= drawn for box in common.surroundings(BOARD))
        assert abs(margin) <= closed
        assert (margin - closed) % 2 == 0
        expected = minimax.move_values(drawn)
        assert values.tolist() == expected
        assert len({value for value in expected if value != ILLEGAL}) > 1


@pytest.mark.parametrize("name", ["random", "play", "noisy"])
def test_sets_depend_on_their_seed_alone(name: str) -> None:
    first, again, other = (make(name, table(), seed) for seed in (0, 0, 1))
    assert common.same_trees(first, again)
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["random", "play", "noisy"])
def test_perfect_play_is_perfect_on_every_set(name: str) -> None:
    chosen = make(name, table(), seed=2)
    actions = ask(host_players.strong(table()), position_sets.states_of_set(BOARD, chosen))
    quality = judging.quality(judging.judge(chosen.values, chosen.margin, actions))
    assert (quality.moves, quality.optimal, quality.loss, quality.keeps) == (60, 1, 0, 1)
    assert quality.stakes > 0


def test_positions_become_states_with_the_mover_first() -> None:
    chosen = make("noisy", table(), seed=0)
    states = position_sets.states_of_set(BOARD, chosen)
    np.testing.assert_array_equal(np.asarray(rules.margin(states)), chosen.margin)
    for (drawn, mover, lead), margin in zip(common.each(states), chosen.margin, strict=True):
        assert (mover, lead) == (0, margin)
        closed = sum(box <= drawn for box in common.surroundings(BOARD))
        assert len(drawn) < BOARD.num_edges
        assert 0 <= closed < BOARD.num_boxes
    np.testing.assert_array_equal(
        np.asarray(states.scores).sum(axis=1), geometry.closed_boxes(BOARD, chosen.edges)
    )
    assert np.asarray(states.scores).any()


def test_play_positions_are_those_where_the_engine_was_to_move() -> None:
    match: Any = play(table(), 10, seed=0)
    seen = set()
    for ply in range(2, BOARD.num_edges):
        for index in np.flatnonzero(match.states.to_play[ply] == match.a_seat):
            scores = match.states.scores[ply, index]
            mover = match.states.to_play[ply, index]
            margin = int(scores[mover]) - int(scores[1 - mover])
            seen.add((match.states.edges[ply, index].tobytes(), margin))
    chosen = position_sets.from_match(table(), match, 1000, 0, only_a=True)
    assert 0 < len(chosen.edges) <= 60
    both = position_sets.from_match(table(), match, 1000, 0, only_a=False)
    assert len(both.edges) > len(chosen.edges)
    for edges, margin in zip(chosen.edges, chosen.margin, strict=True):
        assert (edges.tobytes(), int(margin)) in seen


def test_a_board_without_questions_has_empty_sets() -> None:
    known = oracle.table_oracle(Board(1, 1))
    assert len(position_sets.random_subsets(known, 10, 0).edges) == 0
    assert len(position_sets.noisy_play(known, 10, 0).edges) == 0


@given(seed=common.seeds)
def test_all_sources_tell_the_same_truth(seed: int) -> None:
    board = Board(2, 3)
    edges = np.asarray(common.random_states(board, seed, 8, [1, 3, 5, 8, 8]).edges)
    expected = truth_of("table", board).action_values(edges)
    for name in ("search", "endgames"):
        np.testing.assert_array_equal(truth_of(name, board).action_values(edges), expected)


@functools.cache
def truth_of(name: str, board: Board) -> Oracle:
    if name == "table":
        return oracle.table_oracle(board)
    if name == "search":
        pytest.importorskip("numba")
        return oracle.search_oracle(board, 8)
    return oracle.endgame_oracle(board, 8)


def test_repeated_positions_come_back_in_their_places() -> None:
    edges = np.asarray(common.random_states(BOARD, 0, 5, [2, 4, 6]).edges)[[0, 3, 0, 4, 1, 3]]
    alone = np.concatenate([table().action_values(position[None]) for position in edges])
    np.testing.assert_array_equal(table().action_values(edges), alone)
    assert table().action_values(edges[:0]).shape == (0, BOARD.num_edges)


def test_the_source_fits_the_board_and_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    small = oracle.best_oracle(BOARD, 4)
    assert (small.source, small.max_edges) == ("table", 12)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    large = oracle.best_oracle(Board(4, 4), 20)
    assert (large.source, large.max_edges) == ("endgames", 20)
    with pytest.raises(UserError, match="azdab\\[exact\\]"):
        oracle.best_oracle(Board(4, 4), 30)
    monkeypatch.undo()
    with pytest.raises(UserError, match="at most 40"):
        oracle.best_oracle(Board(5, 5), 41)
    with pytest.raises(UserError, match="8x8 with 30"):
        oracle.best_oracle(Board(8, 8), 30)


def test_strong_play_is_greedy_where_the_truth_is_not_known() -> None:
    chosen = make("random", table(), seed=5)
    states = position_sets.states_of_set(BOARD, chosen)
    actions = ask(host_players.strong(partial()), states)
    known = partial().known(chosen.edges)
    assert 0 < known.sum() < len(known)
    judged = judging.judge(chosen.values, chosen.margin, actions)
    assert judged.optimal[known].all()
    for edges, action in zip(chosen.edges[~known], actions[~known], strict=True):
        drawn = set(common.indices(edges))
        # Greedy closes a box where it can.
        boxes = common.surroundings(BOARD)
        ready = {edge for box in boxes if len(box - drawn) == 1 for edge in box - drawn}
        assert not ready or action in ready
        assert action not in drawn


def test_a_noisy_player_slips_as_often_as_it_should() -> None:
    def last_edge(key: jax.Array, states: State, history: np.ndarray) -> np.ndarray:
        return np.full(len(states.edges), 11, np.int32)

    states: Any = rules.init_states(BOARD, 2000)
    kept = np.mean(ask(host_players.noisy(last_edge, 0.6), states) == 11)
    assert kept == pytest.approx(0.4 + 0.6 / 12, abs=0.05)


@pytest.mark.parametrize("count", [1, 4, 5, 11])
def test_chunks_cover_every_row_once(count: int) -> None:
    sizes: list[int] = []
    done: list[int] = []

    def double(tree: dict[str, np.ndarray]) -> np.ndarray:
        sizes.append(len(tree["x"]))
        return 2 * tree["x"] + tree["y"]

    x = np.arange(count)
    result = batching.in_chunks(double, 4, done.append)({"x": x, "y": 100 * x})
    np.testing.assert_array_equal(result, 102 * x)
    assert set(sizes) == {4}
    assert sum(done) == count
