"""Whether the network's forecasts are right: the win probability and the margin.

The network forecasts how the game ends. The forecast is compared with the exact value of
the position, which is how the game ends between perfect players.
"""

from typing import NamedTuple

import jax
import numpy as np

from azdab.common.config import Config
from azdab.devices import batching
from azdab.game import rules
from azdab.game.board import Board
from azdab.game.rules import State
from azdab.network import model
from azdab.search.evaluator import network_inputs

BINS = 10
"""Number of bins of equal width in which forecast win probabilities are compared."""


class Forecast(NamedTuple):
    """What the network forecasts for each position, ``float64[N]`` each.

    Attributes:
      win: probability that the mover wins, a draw counting half.
      margin: expected future margin of the mover, in boxes.
    """

    win: np.ndarray
    margin: np.ndarray


class Calibration(NamedTuple):
    """Forecasts against the truth.

    Attributes:
      positions: number of positions.
      win_error: expected calibration error of the win probability: the gap between
        forecast and result in each bin, weighted by the bin's positions.
      win_brier: mean squared error of the win probability.
      margin_bias: mean of forecast minus exact margin, in boxes.
      margin_rmse: root mean squared error of the margin, in boxes.
      bin_counts: ``int64[BINS]``, positions per bin.
      bin_forecasts: ``float64[BINS]``, mean forecast; NaN in empty bins.
      bin_results: ``float64[BINS]``, mean result, likewise.
    """

    positions: int
    win_error: float
    win_brier: float
    margin_bias: float
    margin_rmse: float
    bin_counts: np.ndarray
    bin_forecasts: np.ndarray
    bin_results: np.ndarray


def network_forecast(
    board: Board, config: Config, params: model.Params, chunk: int, states: State
) -> Forecast:
    """Ask the network about numpy positions, ``chunk`` at a time."""

    @jax.jit
    def ask(states: State) -> jax.Array:
        inputs = network_inputs(states, config.search.utility)
        logits = model.apply(board, config.network, params, *inputs).margin_logits
        value = model.win_value(board, logits, rules.margin(states))
        return jax.numpy.stack([(1 + value) / 2, model.expected_margin(board, logits)], axis=-1)

    answers = batching.in_chunks(ask, chunk)(states).astype(np.float64)
    return Forecast(np.clip(answers[:, 0], 0, 1), answers[:, 1])


def calibrate(forecast: Forecast, margin: np.ndarray, best: np.ndarray) -> Calibration:
    """Compare forecasts with the truth.

    Args:
      forecast: of N > 0 positions.
      margin: ``int[N]``, the movers' leads so far.
      best: ``int[N]``, the movers' exact future margins.
    """
    future = best.astype(np.float64)
    result = (1 + np.sign(margin + future)) / 2
    which = np.minimum((forecast.win * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(which, minlength=BINS)
    filled = np.maximum(counts, 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.where(counts > 0, np.bincount(which, values, BINS) / filled, np.nan)

    forecasts, results = mean(forecast.win), mean(result)
    gaps = np.where(counts > 0, np.abs(forecasts - results), 0)
    error = forecast.margin - future
    return Calibration(
        positions=len(which),
        win_error=float((gaps * counts).sum() / len(which)),
        win_brier=float(np.mean((forecast.win - result) ** 2)),
        margin_bias=float(error.mean()),
        margin_rmse=float(np.sqrt(np.mean(error**2))),
        bin_counts=counts,
        bin_forecasts=forecasts,
        bin_results=results,
    )
