"""Intervals, sequential tests and ratings against hand calculations and simulated results."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.players import ratings
from azdab.players.ratings import PAIR_SCORES, Sprt

pair_counts = st.lists(st.integers(0, 40), min_size=5, max_size=5).filter(any)


def simulated(rng: np.random.Generator, elo: float, size: int) -> np.ndarray:
    """Counts of pairs of two independent games without draws."""
    wins = rng.binomial(2, ratings.expected_score(elo), size)
    return np.bincount(2 * wins, minlength=5)


def test_a_score_by_hand() -> None:
    score = ratings.score_match(np.array([4, 2, 0, -2, 0, 0, -4, -6, 1, -1]))
    assert (score.games, score.wins, score.draws, score.losses) == (10, 3, 3, 4)
    # Pairs: won twice, drawn and lost, drawn twice, lost twice, won and lost.
    assert score.pairs == (1, 1, 2, 0, 1)
    assert score.rate == pytest.approx(0.45)
    assert score.mean_margin == pytest.approx(-0.6)
    assert score.rate_first == pytest.approx((1 + 0.5 + 0.5 + 0 + 1) / 5)
    assert score.rate_second == pytest.approx((1 + 0 + 0.5 + 0 + 0) / 5)
    assert score.elo == pytest.approx(400 * math.log10(0.45 / 0.55))


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=30).filter(lambda x: len(x) % 2 == 0))
def test_scores_of_the_two_sides_mirror_each_other(margin: list[int]) -> None:
    mine = ratings.score_match(np.array(margin))
    yours = ratings.score_match(-np.array(margin))
    assert mine.pairs == yours.pairs[::-1]
    assert mine.rate == pytest.approx(1 - yours.rate)
    assert mine.elo == pytest.approx(-yours.elo)
    for name in ("rate_games", "rate_pairs"):
        low, high = getattr(mine, name)
        assert 0 <= low <= mine.rate <= high <= 1
        assert getattr(yours, name) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert mine.elo_interval[0] <= mine.elo <= mine.elo_interval[1]


def test_wilsons_interval_is_the_published_one() -> None:
    # 95% intervals for 0 of 10 and 5 of 10, as in Brown, Cai and DasGupta (2001).
    assert ratings.wilson(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert ratings.wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@pytest.mark.parametrize("elo", [0, 150, 400])
def test_the_interval_over_pairs_covers_the_truth_as_often_as_it_says(elo: float) -> None:
    rng = np.random.default_rng(0)
    truth = ratings.expected_score(elo)
    covered = 0
    for _ in range(1000):
        low, high = ratings.pair_interval(simulated(rng, elo, 100))
        covered += low <= truth <= high
    # 950 are expected, with a standard deviation of 7.
    assert 920 < covered < 985


def test_openings_that_decide_the_game_do_not_widen_the_interval_over_pairs() -> None:
    # Whoever moves first wins: every pair scores 1/2, and nothing is uncertain.
    decided = ratings.score_match(np.tile([5, -5], 100))
    assert decided.rate_pairs[1] - decided.rate_pairs[0] < 0.3 * (
        decided.rate_games[1] - decided.rate_games[0]
    )


def test_the_likelihood_ratio_of_two_outcomes_by_hand() -> None:
    # With pairs only won or lost twice, the likeliest distributions are the Bernoulli ones.
    counts = np.array([30, 0, 0, 0, 70])
    expected = 70 * math.log(0.6 / 0.5) + 30 * math.log(0.4 / 0.5)
    found = ratings.log_likelihood_ratio(counts, 0.5, 0.6)
    assert found == pytest.approx(expected, abs=0.01)
    assert ratings.log_likelihood_ratio(counts, 0.6, 0.5) == pytest.approx(-found)


def test_the_likelihood_ratio_of_three_outcomes_by_hand() -> None:
    # Counts 20, 40, 40 of scores 0, 1/2, 1 have mean 0.6: that hypothesis is the data. For
    # the mean 1/2, p / (1 + t (x - 1/2)) sums to one at t = (40 - 20) / (40 + 20) * 2.
    shares, tilt = np.array([0.2, 0.4, 0.4]), 2 / 3
    tilted = shares / (1 + tilt * np.array([-0.5, 0, 0.5]))
    assert tilted.sum() == pytest.approx(1)
    assert tilted @ np.array([0, 0.5, 1]) == pytest.approx(0.5)
    expected = 100 * shares @ np.log(shares / tilted)
    found = ratings.log_likelihood_ratio(np.array([20, 0, 40, 0, 40]), 0.5, 0.6)
    assert found == pytest.approx(expected, abs=0.01)


@given(pair_counts, st.floats(0.02, 0.98))
def test_tilted_distributions_have_the_mean_asked_for(counts: list[int], mean: float) -> None:
    shares = np.maximum(counts, 1e-3)
    tilted = ratings._tilted(shares / shares.sum(), mean)
    assert tilted.min() > 0
    assert tilted.sum() == pytest.approx(1)
    assert tilted @ PAIR_SCORES == pytest.approx(mean, abs=1e-6)


def sequential(rng: np.random.Generator, sprt: Sprt, elo: float) -> tuple[str, int]:
    """A test of simulated pairs, ten at a time: the decision, and the pairs it took."""
    counts = np.zeros(5, int)
    while (decision := sprt.decide(counts)) is None:
        counts += simulated(rng, elo, 10)
    return decision, int(counts.sum())


@pytest.mark.parametrize(("elo", "right"), [(0, "elo0"), (100, "elo1")])
def test_the_sequential_test_errs_about_as_often_as_stated(elo: float, right: str) -> None:
    rng = np.random.default_rng(1)
    sprt = Sprt(0, 100, alpha=0.1, beta=0.1)
    runs = [sequential(rng, sprt, elo) for _ in range(300)]
    wrong = sum(decision != right for decision, _ in runs)
    # 30 are stated; the test overshoots its bounds by up to ten pairs, so rather fewer.
    assert 3 <= wrong <= 45
    assert len({pairs for _, pairs in runs}) > 5


def test_the_sequential_test_is_sooner_done_where_the_truth_is_far_away() -> None:
    rng = np.random.default_rng(2)
    sprt = Sprt(0, 50)
    near, far = (
        np.mean([sequential(rng, sprt, elo)[1] for _ in range(30)]) for elo in (50.0, 300.0)
    )
    assert far < near / 2


def test_nothing_is_decided_before_the_first_pair() -> None:
    assert Sprt(0, 10).decide(np.zeros(5, int)) is None


def test_ratings_are_those_of_expected_results() -> None:
    elo = np.array([-320.0, -50, 20, 350])
    won = np.array([[1e5 * ratings.expected_score(a - b) for b in elo] for a in elo])
    np.fill_diagonal(won, 0)
    assert ratings.bradley_terry(won) == pytest.approx(elo, abs=0.5)


def test_ratings_of_two_players_by_hand() -> None:
    # 30 : 10 and the added draw make 30.5 : 10.5.
    won = np.array([[0.0, 30], [10, 0]])
    lead = 400 * math.log10(30.5 / 10.5)
    assert ratings.bradley_terry(won) == pytest.approx([lead / 2, -lead / 2], abs=1e-3)


def test_rating_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    elo = np.array([-200.0, -30, 0, 230])
    inside, widths = 0, []
    for trial in range(25):
        results = {
            (i, j): simulated(rng, elo[i] - elo[j], 60) for i in range(4) for j in range(i + 1, 4)
        }
        rated = ratings.rate_players(4, results, resamples=100, seed=trial)
        assert np.all(rated.low <= rated.high)
        inside += int(np.sum((rated.low <= elo) & (elo <= rated.high)))
        widths.append(rated.high - rated.low)
    # 95 of 100 are expected; the four of a trial hang together.
    assert inside >= 82
    assert 20 < np.mean(widths) < 150


def test_two_games_leave_much_open() -> None:
    for pair in range(5):
        counts = np.eye(5, dtype=int)[pair]
        for players in (2, 3):
            rated = ratings.rate_players(players, {(0, 1): counts}, resamples=100)
            assert (rated.high - rated.low > 200).all()
            assert (rated.low <= rated.elo).all()
            assert (rated.elo <= rated.high).all()


def test_pairs_that_are_all_alike_do_not_make_certain() -> None:
    rated = ratings.rate_players(2, {(0, 1): np.array([0, 0, 0, 20, 0])}, resamples=100)
    assert (rated.high - rated.low > 10).all()


def test_what_is_only_a_bound_says_so() -> None:
    results = {(0, 1): np.array([0, 0, 0, 0, 2]), (0, 3): np.array([0, 0, 0, 0, 2])}
    rated = ratings.rate_players(4, results, resamples=50)
    elo, interval = rated.text(0)
    assert (elo[:3], interval[:2]) == ("\u2265 +", "> ")
    elo, interval = rated.text(1)
    assert (elo[:3], interval[:2]) == ("\u2264 -", "< ")
    assert rated.text(2)[1] == "too few games"
    bars = rated.error_bars(np.arange(4))
    assert np.isfinite(bars["xerr"]).all()
    assert bars["xlolims"].tolist() == [True, False, True, False]
    assert bars["xuplims"].tolist() == [False, True, True, True]
    all_won = ratings.score_match(np.array([1, 2, 3, 4]))
    assert all_won.elo == math.inf
    assert ratings.elo_text(all_won.rate, 4) == "\u2265 +338"
    assert ratings.elo_interval_text(all_won.elo_interval).startswith("> ")
    nearly = ratings.score_match(np.array([1, 2, 3, 0]))
    assert ratings.elo_text(nearly.rate, 4) == "+338"


def test_no_zero_is_negative() -> None:
    assert ratings.elo_text(0.4999, 1000) == "+0"
    assert ratings.elo_interval_text((-0.2, 0.2)) == "+0 to +0"
    low = high = np.zeros(1)
    assert ratings.Ratings(np.array([-0.4]), low, high).text(0)[0] == "+0"


def test_ratings_stay_finite_without_a_loss_or_a_game() -> None:
    results = {(0, 1): np.array([0, 0, 0, 0, 50])}
    rated = ratings.rate_players(3, results, resamples=20)
    assert np.isfinite(rated.elo).all()
    assert rated.elo[0] > rated.elo[2] > rated.elo[1]
    assert rated.elo.sum() == pytest.approx(0, abs=1e-6)
