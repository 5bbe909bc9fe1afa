"""The statistics of self-play as metrics, however the games were divided."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from azdab.learning.selfplay import SelfPlayStats


def summary(batches: Sequence[SelfPlayStats]) -> dict[str, float]:
    """The statistics of an iteration, by name, however its games were divided.

    Args:
      batches: in numpy, of equally many games each, or with an axis of such batches.

    Returns:
      The means, and ``value_error``: the root of the mean squared error, NaN over no position.
    """
    whole: SelfPlayStats = jax.tree.map(lambda *x: np.concatenate(list(map(np.ravel, x))), *batches)
    values = {name: float(x.mean(dtype=np.float64)) for name, x in whole._asdict().items()}
    squares, count = values.pop("squared_errors"), values.pop("valued")
    return values | {"value_error": math.sqrt(squares / count) if count else math.nan}
