"""The statistics of matches: intervals, sequential tests and Elo ratings.

Games come in *pairs* that share a random opening with the sides swapped. The two
games of a pair are not independent, as an opening may favour one side, so
intervals and tests treat the pair as the unit. A pair scores 0, 1/4, 1/2, 3/4 or
1: half the points of its two games, of which each win gives one and a draw 1/2.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from azdab.common.errors import UserError
from azdab.learning import arena

Z = 1.959964
"""Standard deviations of a two-sided 95% normal interval; all intervals here are of 95%."""

PAIR_SCORES = np.arange(5) / 4
"""What a pair of games can score."""

Interval = tuple[float, float]

_ARROW = 60.0  # length in Elo points of what stands for an endless interval


class Score(NamedTuple):
    """A match in numbers, from A's side; the intervals are of 95%.

    Attributes:
      games, wins, draws, losses: counts.
      pairs: how many pairs scored 0, 1/4, 1/2, 3/4 and 1.
      rate: score rate; a draw counts half.
      rate_games: Wilson's interval for the rate, as if games were independent.
      rate_pairs: the rate's interval over pairs.
      elo: A's lead in Elo points; infinite if A won or lost all games.
      elo_interval: from ``rate_pairs``; infinite where that ends at 0 or 1.
      mean_margin: A's boxes minus B's.
      rate_first, rate_second: A's score rate as the first and as the second player.
    """

    games: int
    wins: int
    draws: int
    losses: int
    pairs: tuple[int, ...]
    rate: float
    rate_games: Interval
    rate_pairs: Interval
    elo: float
    elo_interval: Interval
    mean_margin: float
    rate_first: float
    rate_second: float


def points(margin: np.ndarray) -> np.ndarray:
    """1 for a won, 1/2 for a drawn and 0 for a lost game, ``float64``."""
    return 0.5 + 0.5 * np.sign(margin)


def pair_counts(margin: np.ndarray) -> np.ndarray:
    """How many pairs scored each of ``PAIR_SCORES``, ``int64[5]``.

    Args:
      margin: ``int32[G]``; games ``2 i`` and ``2 i + 1`` are a pair.
    """
    quarters = np.rint(2 * points(margin).reshape(-1, 2).sum(axis=1)).astype(int)
    return np.bincount(quarters, minlength=5)


def score_match(margin: np.ndarray) -> Score:
    """Summarise a match.

    Args:
      margin: ``int32[G]``, A's final margins; A moves first in games 0, 2, 4, ...
    """
    games = len(margin)
    rate = float(points(margin).mean())
    over_pairs = pair_interval(pair_counts(margin))
    low, high = (elo_of(bound) for bound in over_pairs)
    return Score(
        games=games,
        wins=int(np.sum(margin > 0)),
        draws=int(np.sum(margin == 0)),
        losses=int(np.sum(margin < 0)),
        pairs=tuple(pair_counts(margin).tolist()),
        rate=rate,
        rate_games=wilson(rate, games),
        rate_pairs=over_pairs,
        elo=elo_of(rate),
        elo_interval=(low, high),
        mean_margin=float(np.mean(margin)),
        rate_first=float(points(margin[0::2]).mean()),
        rate_second=float(points(margin[1::2]).mean()),
    )


def wilson(rate: float, count: int) -> Interval:
    """Wilson's interval for a rate among ``count`` independent trials.

    Draws make the trials vary less than it assumes, so with draws it is too wide.

    >>> low, high = wilson(0.5, 100)
    >>> round(low, 3), round(high, 3)
    (0.404, 0.596)
    """
    centre = rate + Z**2 / (2 * count)
    spread = Z * math.sqrt(rate * (1 - rate) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    # The ends are 0 and 1 exactly where the rate is.
    return min(rate, (centre - spread) / scale), max(rate, (centre + spread) / scale)


def pair_interval(counts: np.ndarray) -> Interval:
    """The interval of the score rate over pairs.

    A normal interval after adding one lost and one won pair. This is the remedy of Agresti
    and Coull for rates near 0 and 1, where no spread is seen.

    Args:
      counts: ``int64[5]``, see :func:`pair_counts`.
    """
    weights = np.asarray(counts) + np.array([1, 0, 0, 0, 1])
    total = weights.sum()
    mean = weights @ PAIR_SCORES / total
    variance = weights @ (PAIR_SCORES - mean) ** 2 / (total - 1)
    spread = Z * math.sqrt(variance / total)
    return max(0.0, float(mean - spread)), min(1.0, float(mean + spread))


class Sprt(NamedTuple):
    """A sequential probability ratio test of two Elo differences.

    Attributes:
      elo0, elo1: the hypotheses, ``elo0 < elo1``: by how many Elo points A leads.
      alpha: probability of accepting ``elo1`` where ``elo0`` is true.
      beta: probability of accepting ``elo0`` where ``elo1`` is true.
    """

    elo0: float
    elo1: float
    alpha: float = 0.05
    beta: float = 0.05

    def decide(self, counts: np.ndarray) -> Literal["elo0", "elo1"] | None:
        """The hypothesis to accept, or None where more games are needed."""
        ratio = log_likelihood_ratio(counts, expected_score(self.elo0), expected_score(self.elo1))
        if ratio <= math.log(self.beta / (1 - self.alpha)):
            return "elo0"
        if ratio >= math.log((1 - self.beta) / self.alpha):
            return "elo1"
        return None


def elo_of(rate: float) -> float:
    """By how many Elo points a player with this score rate leads; infinite at 0 and 1.

    >>> elo_of(1.0), round(elo_of(0.75))
    (inf, 191)
    """
    if not 0 < rate < 1:
        return math.inf if rate > 0 else -math.inf
    return 400 * math.log10(rate / (1 - rate))


def elo_text(rate: float, games: int) -> str:
    """A score rate as Elo points, such as ``+191``.

    A rate of 0 or 1 is not a difference but has a bound: what half a game less would be.

    >>> elo_text(0.75, 4), elo_text(1.0, 4), elo_text(0.0, 4), elo_text(0.4999, 4)
    ('+191', '\u2265 +338', '\u2264 -338', '+0')
    """
    sign = {0.0: "\u2264 ", 1.0: "\u2265 "}.get(rate, "")
    return f"{sign}{arena.elo_difference(rate, games):+z.0f}"


def elo_interval_text(interval: Interval) -> str:
    """An interval of Elo points, such as ``-12 to +191``; ``> -12`` where it has no upper end."""
    low, high = (None if math.isinf(bound) else f"{bound:+z.0f}" for bound in interval)
    if low is None or high is None:
        return f"> {low}" if low else f"< {high}" if high else "too few games"
    return f"{low} to {high}"


def expected_score(elo: float) -> float:
    """The score rate of a player who leads by ``elo`` points."""
    return 1 / (1 + 10 ** (-elo / 400))


def log_likelihood_ratio(counts: np.ndarray, score0: float, score1: float) -> float:
    """Log-likelihood ratio of the pairs: a mean score of ``score1`` against ``score0``.

    The generalised ratio over the five outcomes of a pair, as Stockfish's test
    framework fishtest computes it: the likelihood of either hypothesis is that of
    the likeliest distribution with its mean.

    Args:
      counts: ``int64[5]``, see :func:`pair_counts`.
      score0: the mean under the null hypothesis, strictly between 0 and 1.
      score1: the mean under the alternative.
    """
    # An outcome not seen yet is possible all the same.
    weights = np.where(np.asarray(counts) == 0, 1e-3, counts)
    shares = weights / weights.sum()
    log0, log1 = (np.log(_tilted(shares, mean)) for mean in (score0, score1))
    return float(weights @ (log1 - log0))


def _tilted(shares: np.ndarray, mean: float) -> np.ndarray:
    """The likeliest distribution over ``PAIR_SCORES`` with a given mean.

    By Lagrange it is ``shares / (1 + t * (scores - mean))`` with the ``t`` at which
    the mean is right: the root of a decreasing function, found by bisection.
    """
    distance = PAIR_SCORES - mean
    low, high = -1 / distance[-1], -1 / distance[0]
    for _ in range(80):
        middle = (low + high) / 2
        if shares @ (distance / (1 + middle * distance)) > 0:
            low = middle
        else:
            high = middle
    tilted = shares / (1 + low * distance)
    return tilted / tilted.sum()


class Ratings(NamedTuple):
    """Elo ratings of the players of a tournament.

    Attributes:
      elo: ``float64[N]``, with mean 0.
      low, high: ``float64[N]``, 95% bootstrap intervals; infinite upwards for who won all
        games, downwards for who lost all, and both ways for who has not played.
    """

    elo: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def text(self, player: int) -> tuple[str, str]:
        """A player's rating and its interval; ``≥`` and ``≤`` where it is only a bound."""
        low, high = float(self.low[player]), float(self.high[player])
        sign = {(False, True): "\u2265 ", (True, False): "\u2264 "}.get(
            (math.isinf(low), math.isinf(high)), ""
        )
        return f"{sign}{self.elo[player]:+z.0f}", elo_interval_text((low, high))

    def error_bars(self, order: np.ndarray) -> dict[str, Any]:
        """The intervals of players as matplotlib's ``errorbar`` takes them; arrows have no end."""
        lengths = np.array([self.elo - self.low, self.high - self.elo])[:, order]
        endless = np.isinf(lengths)
        return {
            "xerr": np.where(endless, _ARROW, lengths),
            "xuplims": endless[0],
            "xlolims": endless[1],
        }


def load_choix() -> Any:
    """The library that fits ratings.

    Raises:
      UserError: it is not installed.
    """
    try:
        import choix
    except ImportError:
        raise UserError("ratings need choix: pip install 'azdab[evaluate]'") from None
    return choix


def bradley_terry(won: np.ndarray) -> np.ndarray:
    """Maximum-likelihood Elo ratings with mean 0, ``float64[N]``.

    One drawn game is added to every pairing, so that the rating of a player who
    always wins, or has not played yet, stays finite.

    Args:
      won: ``float64[N, N]``, points of the row's player against the column's.
    """
    won = won + 0.5 * (1 - np.eye(len(won)))
    if len(won) == 2:  # no library is needed
        strengths = np.log([won[0, 1], won[1, 0]])
    else:
        strengths = load_choix().ilsr_pairwise_dense(won, max_iter=10_000)
    return (strengths - strengths.mean()) * 400 / math.log(10)


def rate_players(
    count: int,
    results: dict[tuple[int, int], np.ndarray],
    *,
    resamples: int = 500,
    seed: int = 0,
) -> Ratings:
    """Elo ratings from the matches of a tournament.

    The intervals come from drawing the pairs of every match anew, with replacement, after adding
    one lost and one won pair to each, as in :func:`pair_interval`: from one pair, or from pairs
    that are all alike, nothing else would ever be drawn.

    Args:
      count: number of players.
      results: for players ``(i, j)``, ``int64[5]``, see :func:`pair_counts`, from i's
        side.
      resamples: number of bootstrap repetitions.
      seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)

    def fit(counts: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
        won = np.zeros((count, count))
        for (i, j), pairs in counts.items():
            won[i, j] += 2 * pairs @ PAIR_SCORES
            won[j, i] += 2 * pairs @ (1 - PAIR_SCORES)
        return bradley_terry(won)

    wider = {who: c + np.array([1, 0, 0, 0, 1]) for who, c in results.items()}

    def resampled() -> dict[tuple[int, int], np.ndarray]:
        return {who: rng.multinomial(c.sum(), c / c.sum()) for who, c in wider.items()}

    drawn = np.stack([fit(resampled()) for _ in range(resamples)])
    elo = fit(results)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    won, lost = np.zeros(count), np.zeros(count)
    for (i, j), pairs in results.items():
        won[[i, j]] += pairs @ PAIR_SCORES, pairs @ (1 - PAIR_SCORES)
        lost[[i, j]] += pairs @ (1 - PAIR_SCORES), pairs @ PAIR_SCORES
    low = np.where(won > 0, np.minimum(low, elo), -np.inf)
    high = np.where(lost > 0, np.maximum(high, elo), np.inf)
    return Ratings(elo, low, high)
