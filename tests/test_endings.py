"""Endings from either teacher: legal lines, exact labels, the first line perfect."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from azdab.common.config import config_from_dict
from azdab.common.limits import TABLE_HORIZON
from azdab.exact import dense_table, endings
from azdab.exact.endings import Endings
from azdab.game import geometry
from azdab.game.board import Board
from azdab.learning import selfplay
from azdab.search.evaluator import Evaluator
from tests import common

BOARD, HORIZON, LINES, GAMES = Board(2, 3), 12, 4, 64


@functools.cache
def positions() -> jax.Array:
    return jnp.asarray(common.random_states(BOARD, 0, GAMES, [HORIZON]).edges)


# Compiled whole: one operation at a time takes longer.
by_table = jax.jit(endings.endings_from_table, static_argnums=(0, 3, 4))
play_to_horizon = jax.jit(selfplay.play_to_horizon, static_argnums=(0, 1, 2))
finish = jax.jit(selfplay.finish, static_argnums=(0, 1))


def from_table(key: jax.Array) -> Endings:
    return by_table(BOARD, positions(), key, HORIZON, LINES)


def from_engine(key: jax.Array) -> Endings:
    return endings.Teacher(BOARD, LINES)(positions(), key)


@functools.cache
def lines(teacher: Any) -> Endings:
    made: Endings = jax.tree.map(np.asarray, teacher(jax.random.key(1)))
    return made


both = pytest.mark.parametrize("teacher", [from_table, from_engine])


@both
def test_lines_are_games_from_the_position_to_the_end(teacher: Any) -> None:
    found = lines(teacher)
    assert found.action.shape == (GAMES, LINES, HORIZON)
    edges = np.repeat(np.asarray(positions())[:, None], LINES, axis=1)
    for ply in range(HORIZON):
        np.testing.assert_array_equal(found.edges[:, :, ply], edges)
        drawn = np.eye(BOARD.num_edges, dtype=bool)[found.action[:, :, ply]]
        assert not (edges & drawn).any()
        edges = edges | drawn
    assert edges.all()


@both
def test_labels_are_the_exact_values_and_all_optimal_moves(teacher: Any) -> None:
    found = lines(teacher)
    values = np.asarray(dense_table.exact_values(common.solved(BOARD), jnp.asarray(found.edges)))
    np.testing.assert_array_equal(found.value, values.max(axis=-1))
    np.testing.assert_array_equal(found.optimal, values == values.max(axis=-1, keepdims=True))


@both
def test_the_first_line_is_perfect_and_the_others_err(teacher: Any) -> None:
    found = lines(teacher)
    optimal, action = np.asarray(found.optimal), np.asarray(found.action)
    good: Any = np.take_along_axis(optimal, action[..., None], axis=-1)[..., 0]
    assert good[:, 0].all()
    assert 0.5 < good[:, 1:].mean() < 0.99
    by_line = good[:, 1:].mean(axis=-1)
    assert by_line.max() == 1
    assert by_line.min() < 0.5


@both
def test_moves_are_drawn_from_all_optimal_ones(teacher: Any) -> None:
    empty = jnp.zeros((256, BOARD.num_edges), bool).at[:, 12:].set(True)
    key = jax.random.key(3)
    if teacher is from_table:
        found = by_table(BOARD, empty, key, 12, 1)
    else:
        found = endings.Teacher(BOARD, 1)(empty, key)
    moves = np.asarray(found.action)[:, 0, 0]
    assert set(moves.tolist()) == set(common.indices(found.optimal[0, 0, 0]))


@both
def test_lines_that_are_given_are_followed_and_labelled(teacher: Any) -> None:
    edges = np.asarray(positions())
    rng = np.random.default_rng(0)
    order = rng.random((GAMES, 2, BOARD.num_edges)) + 2 * edges[:, None]
    given = order.argsort(axis=-1)[..., :HORIZON].astype(np.int32)
    key = jax.random.key(1)
    if teacher is from_table:
        found = by_table(BOARD, positions(), key, HORIZON, LINES, jnp.asarray(given))
    else:
        found = endings.Teacher(BOARD, LINES)(positions(), key, given)
    np.testing.assert_array_equal(found.action[:, 1:3], given)
    drawn = np.eye(BOARD.num_edges, dtype=bool)[given].cumsum(axis=2, dtype=int) > 0
    np.testing.assert_array_equal(
        found.edges[:, 1:3, 1:], (edges[:, None, None] | drawn)[:, :, :-1]
    )
    values = np.asarray(dense_table.exact_values(common.solved(BOARD), jnp.asarray(found.edges)))
    np.testing.assert_array_equal(found.value, values.max(axis=-1))
    # The others are as they would be without.
    assert common.same_trees(found.action[:, 0], lines(teacher).action[:, 0])
    assert common.same_trees(found.action[:, 3], lines(teacher).action[:, 3])


@both
def test_the_key_alone_decides(teacher: Any) -> None:
    again = teacher(jax.random.key(1))
    assert common.same_trees(lines(teacher), jax.tree.map(np.asarray, again))
    assert (np.asarray(teacher(jax.random.key(2)).action) != lines(teacher).action).any()


@pytest.mark.parametrize("horizon", [1, TABLE_HORIZON + 1])
def test_self_play_takes_endings_of_the_engine(horizon: int) -> None:
    settings = config_from_dict(
        {
            "board": {"rows": 2, "cols": 3},
            "search": {"num_simulations": 2},
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
    exact = endings.Teacher(BOARD, 4)(openings.states.edges, key, openings.rollouts)
    np.testing.assert_array_equal(exact.action[:, 1:3], openings.rollouts)
    moves = np.sort(np.asarray(openings.rollouts), axis=-1)
    open_edges = [np.flatnonzero(~row) for row in np.asarray(openings.states.edges)]
    np.testing.assert_array_equal(moves, np.repeat(np.array(open_edges)[:, None], 2, axis=1))
    blank = endings.blank_endings(openings.states.edges, horizon, 4)
    assert [x.shape for x in exact] == [x.shape for x in blank]
    assert [x.dtype for x in exact] == [x.dtype for x in blank]
    examples, _ = finish(BOARD, settings, openings, exact, key)
    assert len(examples.margin) == 8 * settings.examples_per_game
    left = (~examples.edges).sum(axis=-1)
    known = np.asarray(left <= horizon)
    values = np.asarray(dense_table.exact_values(common.solved(BOARD), examples.edges)).max(axis=-1)
    np.testing.assert_array_equal(np.asarray(examples.outcome)[known], values[known])
    closed = np.asarray(geometry.box_degrees(BOARD, examples.edges) == 4).sum(axis=(1, 2))
    assert (np.abs(np.asarray(examples.margin)) <= closed).all()
