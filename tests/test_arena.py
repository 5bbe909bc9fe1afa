"""Matches: fair openings, swapped sides, and the arithmetic of results."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import agents, arena, baselines
from azdab.learning.arena import MatchGames
from azdab.measure import judging
from tests import common

BOARD = Board(2, 2)
GAMES = 32


def lowest(params: Any, key: jax.Array, states: State) -> jax.Array:
    """Draws the first open edge; nothing is random."""
    return jnp.argmin(states.edges, axis=-1)


def highest(params: Any, key: jax.Array, states: State) -> jax.Array:
    """Draws the last open edge."""
    return states.edges.shape[-1] - 1 - jnp.argmin(states.edges[..., ::-1], axis=-1)


PLAYERS: dict[str, Any] = {
    "lowest": lowest,
    "highest": highest,
    "random": agents.random_agent(BOARD),
    "greedy": agents.greedy_agent(BOARD),
    "perfect": agents.perfect_agent(BOARD),
}


@functools.cache
def player(a: str, b: str) -> Any:
    def play(params: Any, key: jax.Array, opening: jax.Array) -> MatchGames:
        return arena.play_games(BOARD, (PLAYERS[a], PLAYERS[b]), params, key, GAMES, opening)

    return jax.jit(play)


@functools.cache
def match(a: str, b: str, opening: int, seed: int = 0) -> MatchGames:
    params: Any = tuple(common.solved(BOARD) if name == "perfect" else None for name in (a, b))
    return jax.tree.map(np.asarray, player(a, b)(params, jax.random.key(seed), opening))


def test_an_opening_leaves_a_move_to_be_chosen() -> None:
    board = Board(1, 1)
    play = jax.jit(lambda key: arena.play_games(board, (lowest, highest), (None, None), key, 4, 9))
    played = jax.tree.map(np.asarray, play(jax.random.key(0)))
    assert played.random[:-1].all()
    assert not played.random[-1].any()
    assert judging.regret(common.solved(board), played) == (0, 1)


def test_games_follow_the_rules_and_margins_are_those_of_agent_a() -> None:
    played = match("random", "greedy", 3)
    for index in range(GAMES):
        plain = common.Game(BOARD)
        for ply in range(BOARD.num_edges):
            assert common.indices(played.states.edges[ply, index]) == sorted(plain.drawn)
            assert played.states.scores[ply, index].tolist() == plain.scores
            assert played.states.to_play[ply, index] == plain.to_play
            plain.draw(int(played.actions[ply, index]))
        seat = int(played.a_seat[index])
        assert played.margin[index] == plain.scores[seat] - plain.scores[1 - seat]


@pytest.mark.parametrize("opening", [0, 3, 99])
def test_both_halves_share_random_openings_with_the_sides_swapped(opening: int) -> None:
    played = match("lowest", "highest", opening)
    half = GAMES // 2
    assert played.a_seat.tolist() == [0] * half + [1] * half
    plies = min(opening, BOARD.num_edges - 1)  # the last move is always chosen
    assert played.random[:plies].all()
    assert not played.random[plies:].any()
    first, second = played.actions[:plies, :half], played.actions[:plies, half:]
    np.testing.assert_array_equal(first, second)
    if plies:
        assert len(np.unique(first, axis=1).T) > half / 2


@pytest.mark.parametrize("opening", [0, 2])
def test_after_the_opening_the_player_to_move_moves(opening: int) -> None:
    played = match("lowest", "highest", opening)
    for ply in range(opening, BOARD.num_edges):
        for index in range(GAMES):
            open_edges = common.indices(~played.states.edges[ply, index])
            mine = played.states.to_play[ply, index] == played.a_seat[index]
            assert played.actions[ply, index] == (open_edges[0] if mine else open_edges[-1])


def test_against_itself_a_player_without_luck_wins_as_much_as_it_loses() -> None:
    margin = match("lowest", "lowest", 4).margin
    assert margin.any()
    np.testing.assert_array_equal(margin[: GAMES // 2], -margin[GAMES // 2 :])


def test_swapping_the_agents_turns_the_margins() -> None:
    ab, ba = match("lowest", "highest", 4), match("highest", "lowest", 4)
    np.testing.assert_array_equal(ab.margin, -np.roll(ba.margin, GAMES // 2))


def test_perfect_play_from_the_empty_board_gives_the_boards_value() -> None:
    # 2x2 is worth +2 to the first player.
    margin = match("perfect", "perfect", 0).margin
    assert margin.tolist() == [2] * (GAMES // 2) + [-2] * (GAMES // 2)


@pytest.mark.parametrize("opponent", ["random", "greedy"])
def test_the_perfect_player_gets_at_least_the_value_of_the_position_it_takes_over(
    opponent: str,
) -> None:
    opening = 4
    played = match("perfect", opponent, opening)
    table = np.asarray(common.solved(BOARD).table)
    surplus = []
    for index in range(GAMES):
        edges = played.states.edges[opening, index]
        scores = played.states.scores[opening, index]
        seat = int(played.a_seat[index])
        value = int(table[sum(1 << edge for edge in common.indices(edges))])
        if played.states.to_play[opening, index] != seat:
            value = -value
        surplus.append(played.margin[index] - (scores[seat] - scores[1 - seat] + value))
    assert min(surplus) >= 0
    assert max(surplus) > 0  # the opponents err


def handmade(margin: list[int]) -> MatchGames:
    half = len(margin) // 2
    empty: Any = np.zeros((1, len(margin)))
    seats: Any = np.array([0] * half + [1] * half, np.int8)
    margins: Any = np.array(margin)
    return MatchGames(State(empty, empty, empty), empty, empty, seats, margins)


def test_a_score_by_hand() -> None:
    score = arena.arena_score(handmade([4, 2, 0, -2, 0, -4]))
    assert (score.wins, score.draws, score.losses) == (2, 2, 2)
    assert score.rate == pytest.approx(0.5)
    assert score.mean_margin == pytest.approx(0)
    # A moves first in the first three games: 1 + 1 + 0.5; B in the others: 1 + 0.5 + 1.
    assert score.first_player_rate == pytest.approx(5 / 6)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=20).filter(lambda x: len(x) % 2 == 0))
def test_scores_of_the_two_sides_add_up(margin: list[int]) -> None:
    mine, yours = (
        arena.arena_score(handmade(margin)),
        arena.arena_score(handmade([-m for m in margin])),
    )
    assert mine.wins + mine.draws + mine.losses == len(margin)
    assert (mine.wins, mine.draws) == (yours.losses, yours.draws)
    assert mine.rate + yours.rate == pytest.approx(1)
    assert mine.mean_margin == pytest.approx(-yours.mean_margin)


def test_elo_differences_by_hand() -> None:
    assert arena.elo_difference(0.5, 10) == 0
    assert arena.elo_difference(10 / 11, 1000) == pytest.approx(400)
    assert arena.elo_difference(1 / 11, 1000) == pytest.approx(-400)
    assert arena.elo_difference(1.0, 10) == pytest.approx(400 * math.log10(0.95 / 0.05))
    assert arena.elo_difference(0.0, 10) == pytest.approx(-400 * math.log10(0.95 / 0.05))


@given(st.integers(0, 20), st.integers(0, 20))
def test_elo_grows_with_the_score_and_is_antisymmetric(first: int, second: int) -> None:
    low, high = sorted([first, second])
    a, b = arena.elo_difference(low / 20, 20), arena.elo_difference(high / 20, 20)
    assert math.isfinite(a)
    assert a <= b
    assert a == pytest.approx(-arena.elo_difference(1 - low / 20, 20), abs=1e-9)


def test_against_selects_the_games_of_one_opponent() -> None:
    # A panel plays game g with opponent g % n: here two that can be told apart.
    panel = baselines.panel_agent((lowest, highest))

    def play(key: jax.Array) -> MatchGames:
        return arena.play_games(BOARD, (PLAYERS["random"], panel), (None, (None, None)), key, 8, 2)

    whole = jax.tree.map(np.asarray, jax.jit(play)(jax.random.key(0)))
    for number in range(2):
        games = jax.tree.map(np.asarray, baselines.games_against(whole, number, 2))
        assert games.margin.tolist() == whole.margin[number::2].tolist()
        assert games.a_seat.tolist() == [0, 0, 1, 1]
        np.testing.assert_array_equal(games.states.edges, whole.states.edges[:, number::2])
        np.testing.assert_array_equal(games.random, whole.random[:, number::2])
        for ply in range(2, BOARD.num_edges):
            for index in range(4):
                if games.states.to_play[ply, index] != games.a_seat[index]:
                    open_edges = common.indices(~games.states.edges[ply, index])
                    assert games.actions[ply, index] == open_edges[-number]
