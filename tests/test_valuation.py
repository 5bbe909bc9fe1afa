"""Values of whole games from behind: exact, within the budget, and the same in any order."""

import functools
from typing import Any

import numpy as np
import pytest

from azdab.exact import valuation
from azdab.exact.endings import GameValues
from azdab.exact.solver import Solver
from azdab.exact.valuation import GameTeacher
from azdab.game.board import Board
from tests import common

BOARD, PLIES, GAMES = Board(4, 4), 22, 24


@functools.cache
def engine(board: Board) -> Solver:
    return Solver(board)


def position(board: Board, moves: np.ndarray, ply: int) -> np.ndarray:
    edges = np.asarray(board.start_mask()).copy()
    edges[moves[:ply]] = True
    return edges


def careful_games(board: Board, seed: int, count: int) -> np.ndarray:
    """Orders of all edges: mostly edges that give nothing away, and some errors."""
    rng, boxes = np.random.default_rng(seed), common.surroundings(board)
    games = []
    for _ in range(count):
        drawn, order = common.start_lines(board), []
        while len(drawn) < board.num_edges:
            open_edges = [edge for edge in range(board.num_edges) if edge not in drawn]
            best = [
                e for e in open_edges if all(len(box - drawn) != 2 for box in boxes if e in box)
            ]
            choices = best if best and rng.random() < 0.9 else open_edges
            order.append(int(rng.choice(choices)))
            drawn.add(order[-1])
        games.append(order)
    return np.array(games)


@functools.cache
def games(board: Board, plies: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Games of all kinds, and their values after so many plies."""
    half = count // 2
    made = [common.random_games(board, 1, count - half), careful_games(board, 2, half)]
    moves = np.concatenate(made)
    values = [engine(board).value(position(board, game, plies)) for game in moves]
    return moves, np.array(values, np.int8)


def valued(positions: int, threads: int = 2) -> GameValues:
    return GameTeacher(BOARD, positions, threads)(*games(BOARD, PLIES, GAMES), PLIES)


@pytest.mark.parametrize(
    ("board", "plies", "positions"),
    [
        (Board(1, 1), 3, 100),
        (Board(2, 3), 17, 10_000),
        (Board(3, 3), 20, 3_000),
        (Board(4, 4), 24, 3_000),
        (Board(3, 4, "swedish"), 10, 1_000),
        (Board(2, 2, "icelandic"), 5, 1_000),
    ],
    ids=str,
)
def test_what_is_known_is_exact(board: Board, plies: int, positions: int) -> None:
    moves, values = games(board, plies, 12)
    found = GameTeacher(board, positions, 1)(moves, values, plies)
    assert [x.dtype for x in found] == [np.int8, np.int32, bool, np.int32]
    assert found.value.shape == (12, plies)
    assert found.optimal.shape == (12, plies, board.num_edges)
    checked = 0
    for game in range(12):
        for ply in range(found.first[game], plies):
            exact = engine(board).action_values(position(board, moves[game], ply))
            assert exact is not None
            assert found.value[game, ply] == exact.max()
            if ply >= found.first_optimal[game]:
                np.testing.assert_array_equal(found.optimal[game, ply], exact == exact.max())
            checked += 1
    assert checked >= plies


def test_a_budget_that_suffices_values_the_whole_game() -> None:
    board = Board(2, 2)
    found = GameTeacher(board, 100_000, 1)(*games(board, 12, 8), 12)
    assert not found.first.any()
    assert not found.first_optimal.any()
    assert (found.value[:, 0] == 2).all()  # the board's value
    assert found.optimal.any(axis=-1).all()


def test_nothing_is_said_of_what_is_not_known() -> None:
    found = valued(2_000)
    assert (found.first <= found.first_optimal).all()
    assert (found.first_optimal <= PLIES).all()
    ply = np.arange(PLIES)
    assert not found.value[ply < found.first[:, None]].any()
    assert not found.optimal[ply < found.first_optimal[:, None]].any()
    some = np.asarray(found.optimal.any(axis=-1))
    assert some[ply >= found.first_optimal[:, None]].all()


def test_a_budget_of_nothing_gives_nothing_and_more_reaches_further() -> None:
    nothing, little, more = valued(0), valued(300), valued(30_000)
    assert (nothing.first == PLIES).sum() > GAMES // 2  # where no search was needed, it knows
    assert (little.first <= nothing.first).all()
    assert (more.first <= little.first).all()
    assert more.first.mean() < little.first.mean() - 1
    assert (more.first_optimal <= little.first_optimal).all()


def test_the_budget_is_kept() -> None:
    moves, values = games(BOARD, PLIES, GAMES)
    teacher = GameTeacher(BOARD, 500, 1)
    for game in range(GAMES):
        found = teacher(moves[game : game + 1], values[game : game + 1], PLIES)
        assert found.first[0] > 0, "this game tests nothing"
        scratch: Any = teacher._threads.submit(teacher._memory).result()[0]
        assert 500 < scratch["visited"] <= 502  # two searches may have come upon the end


def test_neither_order_nor_threads_nor_the_past_change_anything() -> None:
    moves, values = games(BOARD, PLIES, GAMES)
    expected = valued(1_500, threads=1)
    assert expected.first.min() < expected.first.max()
    for threads in (1, 3):
        teacher = GameTeacher(BOARD, 1_500, threads)
        for seed in range(2):
            order = np.random.default_rng(seed).permutation(GAMES)
            found = teacher(moves[order], values[order], PLIES)
            assert common.same_trees(found, GameValues(*(x[order] for x in expected)))
        alone = teacher(moves[3:4], values[3:4], PLIES)
        assert common.same_trees(alone, GameValues(*(x[3:4] for x in expected)))


def test_what_comes_after_the_known_value_does_not_count() -> None:
    moves, values = games(BOARD, PLIES, GAMES)
    found = GameTeacher(BOARD, 1_500, 1)(moves[:, :PLIES], values, PLIES)
    assert common.same_trees(found, valued(1_500))


def test_games_that_the_table_plays_whole_are_left_alone() -> None:
    board = Board(2, 2)
    found = GameTeacher(board, 100, 1)(common.random_games(board, 0, 5), np.full(5, 2), 0)
    assert found.value.shape == (5, 0)
    assert not found.first.any()


def test_it_is_compiled_once() -> None:
    for positions in (10, 10**9):
        teacher = GameTeacher(Board(1, 1), positions, 1)
        teacher(np.array([[0, 1, 2, 3]], np.int32), np.array([1], np.int8), 3)
        teacher(np.array([[0, 1, 2, 3]]), np.array([1]), 3)
        teacher(np.array([[0, 1, 2, 3]] * 2, order="F"), np.array([1, 1]), 3)
    compiled: Any = valuation._value_game
    assert len(compiled.nopython_signatures) <= 1


def test_boards_that_are_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="64 dots"):
        GameTeacher(Board(7, 8), 100)
