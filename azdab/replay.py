"""Replay: a ring buffer of examples on the device with a growing window."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from azdab.config import ReplayConfig
from azdab.game import Board
from azdab.selfplay import Example, zero_examples

CANDIDATES = 4
"""Draws among which an example is chosen by weight."""


class Replay(NamedTuple):
    """The buffer. Donate it to the function that adds to it: it is updated in place.

    Attributes:
      examples: storage with leading axis ``capacity``.
      total: ``int32[]``, examples ever added; the next one goes to ``total % capacity``.
    """

    examples: Example
    total: Int[Array, ""]


def num_bytes(board: Board, capacity: int) -> int:
    """Memory of a buffer, known before anything is allocated."""
    storage = jax.eval_shape(lambda: zero_examples(board, capacity))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(storage))


def init(board: Board, capacity: int) -> Replay:
    """An empty buffer."""
    return Replay(zero_examples(board, capacity), jnp.zeros((), jnp.int32))


def add(replay: Replay, examples: Example) -> Replay:
    """Append examples, overwriting the oldest.

    The batch must not be larger than the capacity.
    """
    capacity, count = len(replay.examples.margin), len(examples.margin)
    if count > capacity:
        raise ValueError(f"cannot add {count} examples to a buffer of {capacity}")
    index = (replay.total + jnp.arange(count)) % capacity
    storage = jax.tree.map(lambda old, new: old.at[index].set(new), replay.examples, examples)
    return Replay(storage, replay.total + count)


def window(config: ReplayConfig, total: Int[Array, ""]) -> Int[Array, ""]:
    """How many of the newest examples are sampled, ``int32[]``.

    The window grows with the run (as in KataGo), so that the poor games of the
    first iterations are soon forgotten.
    """
    grown = jnp.maximum(config.min_window, (total * config.window_fraction).astype(jnp.int32))
    return jnp.minimum(grown, jnp.minimum(total, config.capacity))


def sample(replay: Replay, config: ReplayConfig, key: Array, batch_size: int) -> Example:
    """Draw ``batch_size`` examples from the window, with replacement.

    Each is one of ``CANDIDATES`` uniform draws, chosen with a probability proportional
    to its number of open edges to the power ``opening_weight``: short endings are many
    and soon mastered.
    """
    age_key, choice_key = jax.random.split(key)
    shape = (batch_size, CANDIDATES)
    age = jax.random.randint(age_key, shape, 0, window(config, replay.total))
    index = (replay.total - 1 - age) % config.capacity
    open_edges = jnp.sum(~replay.examples.edges[index], axis=-1)
    weight = config.opening_weight * jnp.log(jnp.maximum(open_edges, 1).astype(jnp.float32))
    choice = jax.random.categorical(choice_key, weight)
    index = jnp.take_along_axis(index, choice[:, None], axis=1)[:, 0]
    return jax.tree.map(lambda x: x[index], replay.examples)
