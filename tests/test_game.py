"""The rules against OpenSpiel's and against themselves."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.game import geometry, rules
from azdab.game.board import Board
from azdab.game.rules import State
from tests import common

boards = st.builds(Board, st.integers(1, 7), st.integers(1, 7))
# All kinds of shapes. For each the rules are compiled, so there are not too many.
shapes = [(1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (2, 2), (3, 2), (2, 5), (4, 4), (7, 7)]
played_boards = st.sampled_from([Board(*shape) for shape in shapes])
small_boards = st.sampled_from([Board(1, 1), Board(1, 3), Board(2, 2), Board(3, 2)])


@functools.cache
def step(board: Board) -> Any:
    return jax.jit(functools.partial(rules.step, board))


def at(states: State, game_index: int, ply: int) -> State:
    picked: State = jax.tree.map(lambda x: x[game_index, ply], states)
    return picked


@settings(max_examples=40)
@given(played_boards, common.seeds)
def test_every_ply_agrees_with_openspiel(board: Board, seed: int) -> None:
    order = common.random_games(board, seed, 2)
    states = common.positions_of(board, order)
    name = f"dots_and_boxes(num_rows={board.rows},num_cols={board.cols}"
    results = pyspiel.load_game(f"{name})")
    totals = pyspiel.load_game(f"{name},utility_margin=true)")
    for index, actions in enumerate(order):
        theirs, margins = results.new_initial_state(), totals.new_initial_state()
        for ply in range(board.num_edges + 1):
            ours = at(states, index, ply)
            assert common.indices(rules.legal_actions(ours)) == theirs.legal_actions()
            assert bool(rules.is_terminal(ours)) == theirs.is_terminal()
            first, second = ours.scores.tolist()
            result = float(np.sign(first - second)) if rules.is_terminal(ours) else 0.0
            assert [result, -result] == theirs.returns()
            # OpenSpiel draws a closed box as its owner's number.
            drawing = str(theirs)
            assert ours.scores.tolist() == [drawing.count("1"), drawing.count("2")]
            if theirs.is_terminal():
                break
            assert ours.to_play == theirs.current_player()
            theirs.apply_action(int(actions[ply]))
            margins.apply_action(int(actions[ply]))
        assert ply == board.num_edges
        assert margins.returns()[0] == ours.scores[0] - ours.scores[1]


@given(played_boards, common.seeds)
def test_every_ply_agrees_with_the_rules_in_plain_python(board: Board, seed: int) -> None:
    order = common.random_games(board, seed, 2)
    states = common.positions_of(board, order)
    for index, actions in enumerate(order):
        plain = common.Game(board)
        for ply in range(board.num_edges + 1):
            ours = at(states, index, ply)
            assert ours.scores.tolist() == plain.scores
            assert int(ours.to_play) == plain.to_play
            assert int(rules.margin(ours)) == plain.lead
            degrees = np.asarray(geometry.box_degrees(board, ours.edges)).ravel().tolist()
            assert degrees == [len(box & plain.drawn) for box in plain.boxes]
            if ply < board.num_edges:
                plain.draw(int(actions[ply]))


@given(played_boards, common.seeds)
def test_a_game_lasts_exactly_as_many_plies_as_there_are_edges(board: Board, seed: int) -> None:
    states = common.positions_of(board, common.random_games(board, seed, 2))
    over = np.asarray(rules.is_terminal(states))
    assert over.shape == (2, board.num_edges + 1)
    assert over[:, -1].all()
    assert not over[:, :-1].any()
    assert (states.scores[:, -1].sum(axis=-1) == board.num_boxes).all()


@given(small_boards, common.seeds, st.data())
def test_drawing_a_drawn_edge_changes_nothing(board: Board, seed: int, data: Any) -> None:
    order = common.random_games(board, seed, 1)
    ply = data.draw(st.integers(1, board.num_edges))
    state = at(common.positions_of(board, order), 0, ply)
    again = int(order[0, data.draw(st.integers(0, ply - 1))])
    after = step(board)(state, jnp.int32(again))
    assert common.same_trees(jax.tree.map(np.asarray, after), state)
    assert all(a.dtype == b.dtype for a, b in zip(after, state, strict=True))


def test_the_empty_board_has_no_score_and_the_first_player_to_move() -> None:
    state = rules.init_state(Board(2, 3))
    assert not state.edges.any()
    assert state.scores.tolist() == [0, 0]
    assert int(state.to_play) == 0
    assert [str(field.dtype) for field in state] == ["bool", "int16", "int8"]


@given(boards)
def test_helpers_number_every_edge_once_horizontal_ones_first(board: Board) -> None:
    rows, cols = board.rows, board.cols
    horizontal = [board.horizontal(r, c) for r in range(rows + 1) for c in range(cols)]
    vertical = [board.vertical(r, c) for r in range(rows) for c in range(cols + 1)]
    assert horizontal + vertical == list(range(board.num_edges))
    assert board.num_horizontal == len(horizontal)
    assert board.num_edges == 2 * rows * cols + rows + cols


@given(boards)
def test_each_box_lists_its_top_bottom_left_and_right(board: Board) -> None:
    expected = [
        [
            board.horizontal(r, c),
            board.horizontal(r + 1, c),
            board.vertical(r, c),
            board.vertical(r, c + 1),
        ]
        for r in range(board.rows)
        for c in range(board.cols)
    ]
    assert board.box_edges().tolist() == expected
    assert [frozenset(box) for box in expected] == common.surroundings(board)


@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (3, 0), (0, 3)])
def test_there_is_no_horizontal_edge_off_the_board(row: int, col: int) -> None:
    assert Board(2, 3).horizontal(2, 2) == 8
    with pytest.raises(ValueError, match=f"no horizontal edge {row} {col} on a 2x3 board"):
        Board(2, 3).horizontal(row, col)


@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (2, 0), (0, 4)])
def test_there_is_no_vertical_edge_off_the_board(row: int, col: int) -> None:
    assert Board(2, 3).vertical(1, 3) == 16
    with pytest.raises(ValueError, match=f"no vertical edge {row} {col} on a 2x3 board"):
        Board(2, 3).vertical(row, col)


@pytest.mark.parametrize(("rows", "cols"), [(0, 3), (3, 0), (-1, 2)])
def test_a_board_needs_a_box(rows: int, cols: int) -> None:
    with pytest.raises(ValueError, match="at least one box"):
        Board(rows, cols)


@given(st.integers(0, 9), st.integers(0, 9))
def test_margin_is_the_movers_and_changes_sign_with_the_mover(first: int, second: int) -> None:
    def margin(mover: int) -> int:
        scores = jnp.array([first, second], jnp.int16)
        return int(rules.margin(State(jnp.zeros(4, bool), scores, jnp.int8(mover))))

    assert margin(0) == first - second
    assert margin(1) == second - first


def test_random_actions_are_legal_and_miss_no_legal_edge() -> None:
    board = Board(2, 2)
    legal = jnp.arange(board.num_edges) % 3 == 0
    keys = jax.random.split(jax.random.key(0), 300)
    actions = jax.vmap(lambda key: rules.random_actions(key, legal))(keys)
    assert sorted(set(actions.tolist())) == common.indices(legal)
