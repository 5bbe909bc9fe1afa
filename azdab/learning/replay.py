"""Replay: a ring buffer of examples on the device with a growing window.

Every device has one of its own. In a run they are stacked along a first axis, which
is divided among the devices.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from azdab.common.config import ReplayConfig
from azdab.game.board import Board
from azdab.learning.selfplay import Example, zero_examples

CANDIDATES = 4
"""How many draws compete for each place in a batch."""


class Replay(NamedTuple):
    """The buffer. Donate it to the function that adds to it: it is updated in place.

    Attributes:
      examples: storage with leading axis ``capacity``.
      total: ``int32[]``, examples ever added; the next one goes to ``total % capacity``.
    """

    examples: Example
    total: Int[Array, ""]


def own(shards: Replay) -> Replay:
    """A device's buffer from its part of the whole replay, ``[1, ...]``."""
    return jax.tree.map(lambda x: x[0], shards)


def stacked(replay: Replay) -> Replay:
    """The reverse of :func:`own`."""
    return jax.tree.map(lambda x: x[None], replay)


def replay_num_bytes(board: Board, capacity: int) -> int:
    """Memory of a buffer in bytes, before anything is allocated."""
    storage = jax.eval_shape(lambda: zero_examples(board, capacity))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(storage))


def init_replay(board: Board, capacity: int) -> Replay:
    """An empty buffer."""
    return Replay(zero_examples(board, capacity), jnp.zeros((), jnp.int32))


def add(replay: Replay, examples: Example) -> Replay:
    """Append examples, overwriting the oldest.

    The batch must not be larger than the capacity.

    >>> board = Board(1, 1)
    >>> buffer = add(init_replay(board, 10), zero_examples(board, 6))
    >>> int(add(buffer, zero_examples(board, 6)).total)
    12
    """
    capacity, count = len(replay.examples.margin), len(examples.margin)
    if count > capacity:
        raise ValueError(f"cannot add {count} examples to a buffer of {capacity}")
    index = (replay.total + jnp.arange(count)) % capacity
    storage = jax.tree.map(lambda old, new: old.at[index].set(new), replay.examples, examples)
    return Replay(storage, replay.total + count)


def add_own(shard: Replay, examples: Example) -> Replay:
    """:func:`add` for a device's part of a buffer, see :func:`own`."""
    return stacked(add(own(shard), examples))


def reshard(shards: Replay, count: int) -> Replay:
    """Divide a buffer anew, in numpy, for another number of devices.

    Args:
      shards: buffers of ``a`` devices, with a leading axis ``[a, ...]``.
      count: the new number of devices; each holds ``a * capacity // count`` examples.

    Returns:
      The same examples in the same order of age, with a leading axis ``[count, ...]``. A few
      of the oldest are dropped if they cannot be divided.
    """
    devices, capacity = shards.examples.margin.shape
    total = int(np.asarray(shards.total)[0])
    held = min(total, capacity)
    new_capacity = devices * capacity // count
    new_held = min(devices * held // count, new_capacity)
    new_total = devices * total // count
    source = (total - held + np.arange(held)) % capacity
    place = (new_total - new_held + np.arange(new_held)) % new_capacity

    def move(x: Any) -> np.ndarray:
        x = np.asarray(x)
        oldest_first = np.moveaxis(x[:, source], 0, 1).reshape(-1, *x.shape[2:])
        kept = oldest_first[devices * held - new_held * count :]
        moved = np.zeros((count, new_capacity, *x.shape[2:]), x.dtype)
        moved[:, place] = np.moveaxis(kept.reshape(new_held, count, *x.shape[2:]), 1, 0)
        return moved

    examples: Any = jax.tree.map(move, shards.examples)
    totals: Any = np.full(count, new_total, np.int32)
    return Replay(examples, totals)


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
    to its number of open edges to the power ``opening_weight``. There are many positions
    near the end, and they are learnt soon.

    >>> board = Board(1, 1)
    >>> buffer = add(init_replay(board, 10), zero_examples(board, 6))
    >>> draw = jax.jit(lambda key: sample(buffer, ReplayConfig(capacity=10), key, 32))
    >>> draw(jax.random.key(0)).edges.shape
    (32, 4)
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
