"""Timing calls in turn, and a straight line through times.

A machine's speed drifts, and others may use it. So calls are timed round after round,
one of each, and compared by the medians of the same rounds.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class Work(NamedTuple):
    """Something to time.

    Attributes:
      name: what it is.
      games: games in parallel, or 0 where there are none.
      simulations: simulations per move, or 0 where there are none.
      call: starts the work, without waiting for its end.
      units: units of work it does.
      unit: their name.
      compile_seconds: what compiling it took.
    """

    name: str
    games: int
    simulations: int
    call: Callable[[], Any]
    units: float
    unit: str
    compile_seconds: float


class Timed(NamedTuple):
    """Work with the seconds it took, round by round."""

    name: str
    games: int
    simulations: int
    units: float
    unit: str
    compile_seconds: float
    seconds: list[float]

    @property
    def key(self) -> tuple[str, int, int]:
        """What distinguishes it from other work."""
        return self.name, self.games, self.simulations

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Units per second, by the median."""
        return self.units / self.median


def in_turn(works: Sequence[Work], rounds: int, report: Callable[[], None]) -> Iterator[Timed]:
    """Run everything once untimed, then time it ``rounds`` times in turn.

    Args:
      works: what to time, in this order in each round.
      rounds: how often.
      report: called after each call.

    Returns:
      The times in the order of the works.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, times in zip(works, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(work.call())
            if number:
                times.append(time.perf_counter() - start)
            report()
    for work, times in zip(works, seconds, strict=True):
        kept = {name: getattr(work, name) for name in Timed._fields if name != "seconds"}
        yield Timed(**kept, seconds=times)


class FittedLine(NamedTuple):
    """``seconds = fixed + slope * size``, and how far the times are from it.

    Attributes:
      fixed: seconds at size 0.
      slope: seconds per unit of size.
      r_squared: the share of the times' variance that the line explains.
      off: the largest distance between a time and the line, as a share of the line.
    """

    fixed: float
    slope: float
    r_squared: float
    off: float


def fit_line(sizes: Sequence[float], seconds: Sequence[float]) -> FittedLine:
    """The line of least squared *relative* errors, so that small sizes count too.

    Args:
      sizes: at least two different sizes.
      seconds: positive, one for each size.
    """
    x, y = np.asarray(sizes, float), np.asarray(seconds, float)
    design = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
    (fixed, slope), *_ = np.linalg.lstsq(design, np.ones_like(y), rcond=None)
    fitted = fixed + slope * x
    spread = np.sum((y - y.mean()) ** 2)
    r_squared = 1 - np.sum((y - fitted) ** 2) / spread if spread else 1.0
    off = np.max(np.abs(y / fitted - 1))
    return FittedLine(float(fixed), float(slope), float(r_squared), float(off))
