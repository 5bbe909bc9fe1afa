"""Endings from the table: legal lines, exact labels, the first line perfect, in any chunks."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from azdab.common.config import config_from_dict
from azdab.exact import endings
from azdab.exact.endings import Endings
from azdab.exact.solver import Solver
from azdab.game.board import Board
from azdab.learning import selfplay
from azdab.search.evaluator import Evaluator
from tests import common

pytestmark = pytest.mark.usefixtures("even_noise")
BOARD, HORIZON, LINES, GAMES = Board(2, 3), 8, 4, 64


@functools.cache
def positions() -> Any:
    return np.asarray(common.random_states(BOARD, 0, GAMES, [HORIZON]).edges)


# Compiled whole: one operation at a time takes longer.
by_table = jax.jit(endings.endings_from_table, static_argnums=(0, 3, 4, 6))
play_to_horizon = jax.jit(selfplay.play_to_horizon, static_argnums=(0, 1, 2))
finish = jax.jit(selfplay.finish, static_argnums=(0, 1))
minimax = common.Minimax(BOARD)


def move_values(edges: Any) -> np.ndarray:
    """What each move is worth in a few open positions ``[..., E]``; -128 where there is none."""
    flat = np.asarray(edges).reshape(-1, BOARD.num_edges)
    rows = [minimax.move_values(frozenset(common.indices(mask))) for mask in flat]
    return np.array(rows).reshape(edges.shape)


def from_table(key: jax.Array) -> Endings:
    return by_table(BOARD, positions(), key, HORIZON, LINES)


@functools.cache
def lines() -> Endings:
    made: Endings = jax.tree.map(np.asarray, from_table(jax.random.key(1)))
    return made


def test_lines_are_games_from_the_position_to_the_end() -> None:
    found = lines()
    assert found.action.shape == (GAMES, LINES, HORIZON)
    edges = np.repeat(positions()[:, None], LINES, axis=1)
    for ply in range(HORIZON):
        np.testing.assert_array_equal(found.edges[:, :, ply], edges)
        drawn = np.eye(BOARD.num_edges, dtype=bool)[found.action[:, :, ply]]
        assert not (edges & drawn).any()
        edges = edges | drawn
    assert edges.all()


def test_labels_are_the_exact_values_and_all_optimal_moves() -> None:
    found = lines()
    values = move_values(found.edges)
    np.testing.assert_array_equal(found.value, values.max(axis=-1))
    np.testing.assert_array_equal(found.optimal, values == values.max(axis=-1, keepdims=True))


def test_the_first_line_is_perfect_and_the_others_err() -> None:
    found = lines()
    optimal, action = np.asarray(found.optimal), np.asarray(found.action)
    good: Any = np.take_along_axis(optimal, action[..., None], axis=-1)[..., 0]
    assert good[:, 0].all()
    assert 0.5 < good[:, 1:].mean() < 0.99
    by_line = good[:, 1:].mean(axis=-1)
    assert by_line.max() == 1
    assert by_line.min() < 0.5


def test_moves_are_drawn_from_all_optimal_ones() -> None:
    choices = lines().optimal[:, 0, 0].sum(axis=-1)
    row = np.argmax(np.where(choices < HORIZON, choices, 0))
    assert 2 < choices[row] < HORIZON
    same = np.repeat(positions()[row][None], GAMES, axis=0)
    found = by_table(BOARD, same, jax.random.key(3), HORIZON, LINES)
    moves = np.asarray(found.action)[:, 0, 0]
    assert set(moves.tolist()) == set(common.indices(found.optimal[0, 0, 0]))


def test_lines_that_are_given_are_followed_and_labelled() -> None:
    edges = positions()
    rng = np.random.default_rng(0)
    order = rng.random((GAMES, 2, BOARD.num_edges)) + 2 * edges[:, None]
    given = order.argsort(axis=-1)[..., :HORIZON].astype(np.int32)
    key = jax.random.key(1)
    found = by_table(BOARD, positions(), key, HORIZON, LINES, given)
    np.testing.assert_array_equal(found.action[:, 1:3], given)
    drawn = np.eye(BOARD.num_edges, dtype=bool)[given].cumsum(axis=2, dtype=int) > 0
    np.testing.assert_array_equal(
        found.edges[:, 1:3, 1:], (edges[:, None, None] | drawn)[:, :, :-1]
    )
    values = move_values(found.edges)
    np.testing.assert_array_equal(found.value, values.max(axis=-1))
    # The others are as they would be without.
    assert common.same_trees(found.action[:, 0], lines().action[:, 0])
    assert common.same_trees(found.action[:, 3], lines().action[:, 3])


def test_the_key_alone_decides() -> None:
    again = from_table(jax.random.key(1))
    assert common.same_trees(lines(), jax.tree.map(np.asarray, again))
    assert (np.asarray(from_table(jax.random.key(2)).action) != lines().action).any()


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_the_chunk_does_not_matter(chunk: int) -> None:
    key, given = jax.random.key(1), lines().action[:, 1:3]
    whole = by_table(BOARD, positions(), key, HORIZON, LINES, given)
    found = by_table(BOARD, positions(), key, HORIZON, LINES, given, chunk)
    assert common.same_trees(jax.tree.map(np.asarray, found), jax.tree.map(np.asarray, whole))


@pytest.mark.slow
@pytest.mark.parametrize(("horizon", "games"), [(20, 16), (22, 6)])
def test_long_endings_are_those_of_the_engine_in_the_memory_that_is_planned(
    horizon: int, games: int
) -> None:
    board, key = Board(5, 5), jax.random.key(0)
    order = common.random_games(board, 7, 2 * games)
    edges = np.zeros((2 * games, board.num_edges), bool)
    np.put_along_axis(edges, order[:, : board.num_edges - horizon], True, axis=1)
    compiled = by_table.lower(board, edges, key, horizon, 2, None, games).compile()
    memory: Any = compiled.memory_analysis()
    planned = endings.table_num_bytes(horizon, games)
    assert memory.temp_size_in_bytes == pytest.approx(planned, rel=0.1)
    assert memory.generated_code_size_in_bytes < 10_000_000
    found = jax.tree.map(np.asarray, compiled(edges, key, None))
    engine = Solver(board)
    for position, value, optimal in zip(
        found.edges.reshape(-1, board.num_edges),
        found.value.ravel(),
        found.optimal.reshape(-1, board.num_edges),
        strict=True,
    ):
        values = engine.action_values(position)
        assert values is not None
        assert value == values.max()
        np.testing.assert_array_equal(optimal, values == value)


def test_chunks_are_even_and_fit() -> None:
    shared = endings.table_num_bytes(20, 0)
    each = endings.table_num_bytes(20, 1) - shared
    assert endings.chunk_size(100, 20, shared + 100 * each) == 100
    assert endings.chunk_size(100, 20, shared + 100 * each - 1) == 50
    assert endings.chunk_size(100, 20, shared + 34 * each) == 34
    assert endings.chunk_size(100, 20, 1000) == 1
    assert endings.chunk_size(3, 20, 10**15) == 3


@pytest.mark.parametrize("horizon", [1, pytest.param(17, marks=pytest.mark.slow)])
def test_self_play_takes_endings_of_the_table(horizon: int) -> None:
    settings = config_from_dict(
        {
            "board": {"rows": 2, "cols": 3},
            "search": {"policy": "puct", "num_simulations": 2},
            "selfplay": {
                "games_per_iteration": 8,
                "parallel_games": 8,
                "max_opening_plies": 0,
                "solver_horizon": horizon,
                "solver_rollouts": 3,
                "network_rollouts": 2,
            },
        }
    )
    key = jax.random.key(0)
    evaluator: Evaluator = common.uniform
    openings = play_to_horizon(BOARD, settings, evaluator, {}, key)
    exact = by_table(BOARD, openings.states.edges, key, horizon, 4, openings.rollouts)
    np.testing.assert_array_equal(exact.action[:, 1:3], openings.rollouts)
    moves = np.sort(np.asarray(openings.rollouts), axis=-1)
    open_edges = [np.flatnonzero(~row) for row in np.asarray(openings.states.edges)]
    np.testing.assert_array_equal(moves, np.repeat(np.array(open_edges)[:, None], 2, axis=1))
    shape = (8, 4, horizon)
    by_edge = (*shape, BOARD.num_edges)
    assert [x.shape for x in exact] == [by_edge, shape, shape, by_edge]
    assert [x.dtype for x in exact] == [bool, np.int32, np.int8, bool]
    examples, _ = finish(BOARD, settings, openings, exact, key)
    assert len(examples.margin) == 8 * settings.examples_per_game
    edges = np.asarray(examples.edges)
    known = (~edges).sum(axis=-1) <= horizon
    if horizon <= HORIZON:
        values = move_values(edges[known])
    else:
        values = np.asarray(common.exact_values(common.solved(BOARD), edges[known]))
    np.testing.assert_array_equal(np.asarray(examples.outcome)[known], values.max(axis=-1))
    boxes = [list(box) for box in common.surroundings(BOARD)]
    closed = sum(edges[:, box].all(axis=1).astype(int) for box in boxes)
    assert (np.abs(np.asarray(examples.margin)) <= closed).all()
