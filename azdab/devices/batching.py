"""Compiled functions on batches of any length."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def in_chunks(
    function: Callable[[Any], Any], size: int, report: Callable[[int], None] | None = None
) -> Callable[[Any], Any]:
    """Make a function of fixed-size batches take any, so that it is compiled once.

    Args:
      function: from a tree of arrays ``[size, ...]`` to a tree of arrays ``[size, ...]``.
      size: rows per call. A last, shorter piece is filled up by repeating its first row.
      report: told how many rows are done after each call.

    Returns:
      The same function for numpy trees ``[N, ...]``, N > 0, giving numpy arrays.
    """

    def call(tree: Any) -> Any:
        total = len(jax.tree.leaves(tree)[0])
        done = []
        for start in range(0, total, size):
            rows = np.arange(start, start + size)
            rows = np.where(rows < total, rows, start)
            piece = function(jax.tree.map(lambda x, rows=rows: x[rows], tree))
            count = min(size, total - start)
            done.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], piece))
            if report:
                report(count)
        return jax.tree.map(lambda *parts: np.concatenate(parts), *done)

    return call
