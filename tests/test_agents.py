"""The built-in players against brute force."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import agents
from azdab.learning.agents import Agent
from tests import common

BOARD = Board(2, 3)
BATCH = 32


@functools.cache
def player(name: str, board: Board) -> Any:
    makers: dict[str, Any] = {
        "random": agents.random_agent,
        "greedy": agents.greedy_agent,
        "perfect": agents.perfect_agent,
    }
    agent: Agent = makers[name](board)
    return jax.jit(agent)


@functools.cache
def capturable(board: Board) -> Any:
    return jax.jit(functools.partial(agents.capturable, board))


minimax = common.Minimax(Board(2, 2))


def late_states(seed: int) -> State:
    return common.random_states(BOARD, seed, BATCH, range(1, 13))


def moves(
    name: str, seed: int, states: State, board: Board = BOARD, params: Any = None
) -> list[int]:
    actions: list[int] = player(name, board)(params, jax.random.key(seed), states).tolist()
    return actions


@given(common.seeds)
def test_capturable_boxes_are_counted_as_by_trying_every_order(seed: int) -> None:
    states = late_states(seed)
    found = capturable(BOARD)(states.edges).tolist()
    expected = [common.run_of_captures(BOARD, drawn) for drawn, _, _ in common.each(states)]
    assert found == expected


@settings(max_examples=15)
@given(common.seeds)
def test_greedy_closes_a_box_if_it_can_else_gives_away_as_few_as_possible(seed: int) -> None:
    states = late_states(seed)
    boxes = common.surroundings(BOARD)
    seen = set()
    for (drawn, _, _), move in zip(common.each(states), moves("greedy", seed, states), strict=True):
        assert move not in drawn
        legal = set(range(BOARD.num_edges)) - drawn

        def closes(edge: int, drawn: frozenset[int] = drawn) -> bool:
            return any(edge in box and box <= drawn | {edge} for box in boxes)

        can = any(closes(edge) for edge in legal)
        seen.add(can)
        if can:
            assert closes(move)
        else:
            given_away = {edge: common.run_of_captures(BOARD, drawn | {edge}) for edge in legal}
            assert given_away[move] == min(given_away.values())
    assert seen == {True, False}


def test_greedy_breaks_ties_at_random() -> None:
    start = jax.tree.map(lambda x: np.stack([x] * 300), rules.init_state(BOARD))
    assert set(moves("greedy", 0, start)) == set(range(BOARD.num_edges))


@given(common.seeds)
def test_random_moves_are_legal(seed: int) -> None:
    states = late_states(seed)
    for (drawn, _, _), move in zip(common.each(states), moves("random", seed, states), strict=True):
        assert move not in drawn


def test_random_moves_are_uniform() -> None:
    states = common.random_states(BOARD, 0, 1, [4])
    many = jax.tree.map(lambda x: np.repeat(np.asarray(x), 4000, axis=0), states)
    counts = np.bincount(moves("random", 0, many), minlength=BOARD.num_edges)
    legal = ~np.asarray(states.edges[0])
    assert not counts[~legal].any()
    # 1000 each are expected, with a standard deviation of 27.
    assert np.abs(counts[legal] - 1000).max() < 140


@settings(max_examples=10)
@given(common.seeds)
def test_perfect_moves_are_exactly_the_optimal_ones(seed: int) -> None:
    board = Board(2, 2)
    states = common.random_states(board, seed, 4, range(1, 10))
    values = np.asarray(common.exact_values(common.solved(board), states.edges))
    many = jax.tree.map(lambda x: np.repeat(np.asarray(x), 64, axis=0), states)
    played = np.reshape(moves("perfect", seed, many, board, common.solved(board)), (4, 64))
    for (drawn, _, _), row, chosen in zip(common.each(states), values, played, strict=True):
        expected = minimax.move_values(drawn)
        assert row.tolist() == expected
        assert set(chosen.tolist()) == {e for e, v in enumerate(expected) if v == max(expected)}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_network_alone_plays_the_legal_edge_with_the_highest_prior(seed: int) -> None:
    states = late_states(seed)
    logits = np.random.default_rng(seed).normal(size=states.edges.shape).astype(np.float32)

    def evaluate(params: Any, states: State) -> Any:
        return common.uniform(params, states)._replace(prior_logits=params)

    actions = agents.network_agent(evaluate)(logits, jax.random.key(0), states).tolist()
    for (drawn, _, _), row, action in zip(common.each(states), logits, actions, strict=True):
        legal = set(range(BOARD.num_edges)) - drawn
        assert action == max(legal, key=lambda edge: row[edge])
