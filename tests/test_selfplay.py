"""Self-play examples against the rules replayed by hand and the solved board."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from azdab.common.config import BoardConfig, Config, SearchConfig, SelfPlayConfig
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.learning import agents, selfplay, statistics
from azdab.learning.selfplay import Example, SelfPlayStats
from tests import common

pytestmark = pytest.mark.usefixtures("even_noise")
GAMES = 64


# Board, solver horizon, utility, the most random plies, the search's policy.
Setting = tuple[Board, int, Any, int, Any]
SETTINGS: list[Setting] = [
    (Board(2, 2), 0, "margin", 5, "gumbel"),
    (Board(1, 3), 4, "margin", 5, "puct"),
    (Board(2, 2), 5, "win", 11, "gumbel"),
    (Board(1, 2), 20, "margin", 8, "puct"),
    (Board(2, 2, "icelandic"), 4, "margin", 3, "puct"),
]
all_settings = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "-".join(map(str, s)))


def config_of(setting: Setting) -> Config:
    board, horizon, utility, opening, policy = setting
    return Config(
        board=BoardConfig(board.rows, board.cols, board.variant),
        search=SearchConfig(
            policy=policy, utility=utility, num_simulations=4, max_num_considered_actions=4
        ),
        selfplay=SelfPlayConfig(
            games_per_iteration=GAMES,
            parallel_games=GAMES,
            max_opening_plies=opening,
            solver_horizon=horizon,
            solver_rollouts=2,
        ),
    )


@functools.cache
def player(setting: Setting) -> Any:
    config = config_of(setting)
    play = functools.partial(selfplay.self_play, setting[0], config, common.uniform)
    return jax.jit(lambda key: play(None, key))


@functools.cache
def played(setting: Setting) -> tuple[Example, Example, SelfPlayStats]:
    """The main lines as ``[plies, games, ...]``, the extra examples, the statistics."""
    examples, stats = jax.tree.map(np.asarray, player(setting)(jax.random.key(5)))
    plies = setting[0].num_plies
    main = jax.tree.map(lambda x: x[: plies * GAMES].reshape(plies, GAMES, *x.shape[1:]), examples)
    return main, jax.tree.map(lambda x: x[plies * GAMES :], examples), stats


@functools.cache
def replayed(setting: Setting) -> list[list[dict[str, Any]]]:
    """What the rules say of every ply of every main line: ``[game][ply]``."""
    board = setting[0]
    edges = played(setting)[0].edges
    after = np.concatenate([edges[1:], np.ones_like(edges[:1])])
    games = []
    for index in range(GAMES):
        plain = common.Game(board)
        plies = []
        for ply in range(board.num_plies):
            assert common.indices(edges[ply, index]) == sorted(plain.drawn)
            (move,) = common.indices(after[ply, index] & ~edges[ply, index])
            before = {"move": move, "mover": plain.to_play, "scores": list(plain.scores)}
            before["closed"] = set(plain.owner)
            plain.draw(move)
            plies.append(before)
        for before in plies:
            before["final"], before["owner"] = plain.scores, plain.owner
        games.append(plies)
    return games


def lead(scores: list[int], mover: int) -> int:
    return scores[mover] - scores[1 - mover]


@all_settings
def test_main_line_examples_say_what_happened(setting: Any) -> None:
    board = setting[0]
    main, _, _ = played(setting)
    for index, plies in enumerate(replayed(setting)):
        for ply, truth in enumerate(plies):
            mover = truth["mover"]
            now, final = lead(truth["scores"], mover), lead(truth["final"], mover)
            assert main.margin[ply, index] == now
            assert main.outcome[ply, index] == final - now
            owners = [
                0 if box in truth["closed"] else 1 if truth["owner"][box] == mover else -1
                for box in range(board.num_boxes)
            ]
            assert main.ownership[ply, index].tolist() == owners
    np.testing.assert_array_equal(main.ownership.sum(axis=-1, dtype=int), main.outcome)


@all_settings
def test_policies_are_distributions_over_open_edges(setting: Any) -> None:
    for examples in played(setting)[:2]:
        assert (examples.policy >= 0).all()
        assert not examples.policy[examples.edges].any()
        sums = examples.policy.astype(np.float64).sum(axis=-1)
        np.testing.assert_allclose(sums, np.ones_like(sums), atol=4e-3)  # of float16


@all_settings
def test_exact_examples_hold_the_solved_value_and_exactly_the_optimal_moves(setting: Any) -> None:
    board, horizon = setting[0], min(setting[1], setting[0].num_plies)
    main, extra, _ = played(setting)
    late = jax.tree.map(lambda x: x[board.num_plies - horizon :], main)
    late = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), late)
    exact = jax.tree.map(lambda a, b: np.concatenate([a, b]), late, extra)
    assert len(exact.margin) == GAMES * (horizon + 2 * max(horizon - 1, 0))
    if not horizon:
        return
    num_open = (~exact.edges).sum(axis=-1)
    assert num_open.max() == horizon
    assert num_open.min() == 1
    assert exact.outcome_valid.all()
    table = np.asarray(common.solved(board).table)
    boxes = common.surroundings(board)
    start = common.start_lines(board)
    bit = {e: 1 << i for i, e in enumerate(sorted(set(range(board.num_edges)) - start))}
    for i, edges in enumerate(exact.edges):
        drawn = set(common.indices(edges))
        subset = sum(bit[edge] for edge in drawn - start)
        moves = {}
        for edge in common.indices(~edges):
            closed = sum(edge in box and box <= drawn | {edge} for box in boxes)
            child = int(table[subset | bit[edge]])
            moves[edge] = closed + child if closed else -child
        best = max(moves.values())
        assert exact.outcome[i] == best == table[subset]
        assert exact.search_margin[i] == best
        optimal = [edge for edge, value in moves.items() if value == best]
        assert common.indices(exact.policy[i] > 0) == sorted(optimal)
        np.testing.assert_allclose(exact.policy[i][optimal], 1 / len(optimal), rtol=1e-3)


@all_settings
def test_extra_examples_have_a_possible_margin_and_no_owners(setting: Any) -> None:
    board = setting[0]
    _, extra, _ = played(setting)
    boxes = common.surroundings(board)
    for edges, margin in zip(extra.edges, extra.margin, strict=True):
        closed = sum(bool(edges[list(box)].all()) for box in boxes)
        assert abs(int(margin)) <= closed
        assert (closed - int(margin)) % 2 == 0
    assert not extra.ownership.any()


@all_settings
def test_there_are_as_many_examples_as_announced_in_the_announced_form(setting: Any) -> None:
    board, config = setting[0], config_of(setting)
    examples, _ = player(setting)(jax.random.key(5))
    expected = GAMES * config.examples_per_game
    for found, announced in zip(examples, selfplay.zero_examples(board, 1), strict=True):
        assert found.shape == (expected, *announced.shape[1:])
        assert found.dtype == announced.dtype


@all_settings
def test_outcomes_count_from_the_first_ply_that_is_not_random(setting: Any) -> None:
    board, horizon, _, opening, _ = setting
    valid = played(setting)[0].outcome_valid
    num_random = (~valid).sum(axis=0)
    assert (np.sort(valid, axis=0) == valid).all()  # once valid, valid to the end
    most = min(opening, board.num_plies - min(horizon, board.num_plies))
    assert set(num_random.tolist()) == set(range(most + 1))


@pytest.mark.parametrize("setting", SETTINGS[:3], ids=lambda s: "-".join(map(str, s)))
def test_openings_spread_the_games(setting: Any) -> None:
    moves = [plies[0]["move"] for plies in replayed(setting)]
    assert len(set(moves)) > setting[0].num_edges / 2


@all_settings
def test_the_search_value_is_kept_only_where_it_is_a_margin(setting: Any) -> None:
    board, horizon, utility, *_ = setting
    main, _, _ = played(setting)
    searched = main.search_margin[: max(board.num_plies - horizon, 0)]
    assert np.isnan(searched).all() if utility == "win" else np.isfinite(searched).all()
    assert np.isfinite(main.search_margin[len(searched) :]).all()
    if utility == "margin":
        assert (np.abs(main.search_margin.astype(np.float32)) <= board.num_boxes).all()


@all_settings
def test_statistics_are_those_of_the_games(setting: Any) -> None:
    board, horizon, utility, *_ = setting
    main, _, stats = played(setting)
    games = replayed(setting)
    leads = np.array([lead(plies[0]["final"], 0) for plies in games])
    wins = 0.5 + 0.5 * np.sign(leads)
    np.testing.assert_allclose(stats.first_player_win_rate, wins.mean(), rtol=1e-6)
    np.testing.assert_allclose(stats.mean_margin, leads.mean(), rtol=1e-5, atol=1e-6)
    searched = max(board.num_plies - horizon, 0)
    if not searched:
        return
    policy = main.policy[:searched].astype(np.float64)
    entropy = -(policy * np.log(np.where(policy > 0, policy, 1))).sum(axis=-1)
    np.testing.assert_allclose(stats.policy_entropy, entropy.mean(), atol=5e-3)
    decided = [
        sum(
            abs(lead(truth["scores"], 0)) <= board.num_boxes - sum(truth["scores"])
            for truth in plies[:searched]
        )
        for plies in games
    ]
    np.testing.assert_allclose(stats.decided_ply, np.mean(decided), rtol=1e-5)
    if utility == "margin":
        error = main.search_margin[:searched].astype(np.float64) - main.outcome[:searched]
        valid = main.outcome_valid[:searched]
        assert stats.valued == valid.sum()
        np.testing.assert_allclose(stats.squared_errors, np.sum(error[valid] ** 2), rtol=2e-2)


def test_the_value_error_does_not_depend_on_how_the_games_are_divided() -> None:
    errors = np.random.default_rng(0).normal(0, 3, 24)

    def batch(part: np.ndarray) -> SelfPlayStats:
        numbers: Any = np.array([0, 0, 0, 0, np.sum(part**2), len(part)], np.float32)
        return SelfPlayStats(*numbers)

    def divided(*sizes: int) -> float:
        parts = np.split(errors, np.cumsum(sizes)[:-1])
        return statistics.summary([batch(part) for part in parts])["value_error"]

    assert divided(24) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    assert divided(12, 12) == pytest.approx(divided(24), rel=1e-6)
    assert divided(1, 20, 3) == pytest.approx(divided(24), rel=1e-6)
    devices = jax.tree.map(lambda *x: np.stack(x), batch(errors[:9]), batch(errors[9:]))
    assert statistics.summary([devices])["value_error"] == pytest.approx(divided(24), rel=1e-6)
    assert np.isnan(statistics.summary([batch(errors[:0])])["value_error"])


def test_the_key_alone_decides_the_games() -> None:
    play = player(SETTINGS[0])
    first, again, other = (play(jax.random.key(seed))[0] for seed in (5, 5, 6))
    assert common.same_trees(first, again)
    assert not np.array_equal(first.edges, other.edges)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_greedy_openings_err_each_at_its_own_rate(share: float) -> None:
    # One box of 2x2 has three edges: greedy closes it, a random move does so once in nine.
    board, games = Board(2, 2), 20_000
    three, last = np.split(board.box_edges()[0], [3])

    edges = np.zeros((games, board.num_edges), bool)
    edges[:, three] = True
    state: Any = State  # of NumPy's arrays
    states = state(edges, np.zeros((games, 2), np.int16), np.zeros(games, np.int8))

    @jax.jit
    def two_moves(states: State) -> jax.Array:
        opening = agents.opening_agent(board, share, games, jax.random.key(0))
        keys = jax.random.split(jax.random.key(1))
        return jax.lax.map(lambda key: opening(None, key, states), keys)

    closes = np.asarray(two_moves(states)) == last[0]
    one = 1 / 9
    # A greedy game that errs at the rate u closes with probability 1 - u + u / 9.
    rate = share * (1 + one) / 2 + (1 - share) * one
    twice = share * (1 - one**3) / (3 * (1 - one)) + (1 - share) * one**2
    assert np.mean(closes[0]) == pytest.approx(rate, abs=0.015)
    assert np.mean(closes[0] & closes[1]) == pytest.approx(twice, abs=0.015)


def test_openings_can_last_to_the_horizon() -> None:
    board, horizon, _, opening, _ = SETTINGS[2]
    valid = played(SETTINGS[2])[0].outcome_valid
    length = (~valid).sum(axis=0)  # drawn from 0 to 11, and cut off at the horizon
    assert opening == board.num_plies - 1
    assert length.max() == board.num_plies - horizon == 7
    assert (length == 7).mean() > 0.3
