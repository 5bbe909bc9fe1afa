"""Replay: a ring buffer of examples on the device with a growing window.

Every device has one of its own. In a run they are stacked along a first axis, which
is divided among the devices.
"""

import bisect
import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

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

    Raises:
      ValueError: there are more than the buffer holds.
      AssertionError: they are of another shape or type than what is stored.
    """
    capacity, count = len(replay.examples.margin), len(examples.margin)
    if count > capacity:
        raise ValueError(f"cannot add {count} examples to a buffer of {capacity}")
    stored = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), replay.examples
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(examples, stored)
    index = (replay.total + jnp.arange(count)) % capacity
    storage = jax.tree.map(lambda old, new: old.at[index].set(new), replay.examples, examples)
    return Replay(storage, replay.total + count)


@functools.partial(jax.jit, static_argnums=1)
def newest_examples(shards: Replay, count: int) -> Example:
    """The last examples added to each device's buffer, ``[devices, count, ...]``, in that order."""

    def of_one(buffer: Replay) -> Example:
        index = (buffer.total - count + jnp.arange(count)) % len(buffer.examples.margin)
        found: Example = jax.tree.map(lambda x: x[index], buffer.examples)
        return found

    made: Example = jax.vmap(of_one)(shards)
    return made


def add_own(shard: Replay, examples: Example) -> Replay:
    """:func:`add` for a device's part of a buffer, see :func:`own`."""
    return stacked(add(own(shard), examples))


def oldest_first(shards: Replay) -> Example:
    """What buffers of several devices hold, in order of age, in numpy.

    Args:
      shards: the buffers in numpy, with a leading axis ``[devices, ...]``.

    Returns:
      Examples ``[devices, held, ...]``.
    """
    capacity = shards.examples.margin.shape[1]
    total = int(shards.total[0])
    held = min(total, capacity)
    source = (total - held + np.arange(held)) % capacity
    in_order: Example = jax.tree.map(lambda x: np.asarray(x)[:, source], shards.examples)
    return in_order


def rebuilt(like: Replay, total: int, held: int, newest_first: Iterable[Example]) -> Replay:
    """Buffers made anew from what was added to them, in numpy.

    Examples that came from as many devices go where they were. Those of another number of
    devices are dealt out in order of age.

    Args:
      like: shapes of the buffers, with a leading axis ``[devices, ...]``.
      total: examples ever added to each.
      held: how many of the newest each is to hold.
      newest_first: what was added, ``[their devices, number, ...]`` in order of age; the part
        that was added last comes first.
    """
    examples = [np.zeros(x.shape, x.dtype) for x in like.examples]
    devices, capacity = like.examples.margin.shape
    newer = 0
    for part in newest_first:
        theirs, number = part.margin.shape
        rank = newer + np.arange(theirs * number)[::-1].reshape(number, theirs).T
        age, device = rank // devices, devices - 1 - rank % devices
        kept = age < held
        place = device[kept], (total - 1 - age[kept]) % capacity
        for stored, added in zip(examples, part, strict=True):
            stored[place] = added[kept]
        newer += theirs * number
    totals: Any = np.full(devices, total, np.int32)
    return Replay(Example(*examples), totals)  # type: ignore[arg-type]


def lacking(config: ReplayConfig, total: int, held: int) -> int:
    """How many examples must be added to a buffer before all that is sampled is there.

    Args:
      config: the buffer's.
      total: examples ever added to it.
      held: how many of the newest it holds.
    """

    def enough(number: int) -> bool:
        return held + number >= int(window(config, jnp.int32(total + number)))

    return bisect.bisect_left(range(config.capacity), True, key=enough)


def window(config: ReplayConfig, total: Int[Array, ""]) -> Int[Array, ""]:
    """How many of the newest examples are sampled, ``int32[]``.

    The window grows with the run (as in KataGo), so that the poor games of the
    first iterations are soon forgotten.
    """
    grown = jnp.maximum(config.min_window, (total * config.window_fraction).astype(jnp.int32))
    return jnp.minimum(grown, jnp.minimum(total, config.capacity))


def sample(replay: Replay, config: ReplayConfig, key: PRNGKeyArray, batch_size: int) -> Example:
    """Draw ``batch_size`` examples from the window, with replacement.

    Each is one of ``CANDIDATES`` uniform draws, chosen with a probability proportional
    to its number of open edges to the power ``opening_weight``: short endings are many
    and soon mastered.

    Raises:
      AssertionError: the buffer is not one of ``config.capacity``.
    """
    chex.assert_tree_shape_prefix(replay.examples, (config.capacity,))
    chex.assert_rank(replay.total, 0)
    age_key, choice_key = jax.random.split(key)
    shape = (batch_size, CANDIDATES)
    age = jax.random.randint(age_key, shape, 0, window(config, replay.total))
    index = (replay.total - 1 - age) % config.capacity
    open_edges = jnp.sum(~replay.examples.edges[index], axis=-1)
    weight = config.opening_weight * jnp.log(jnp.maximum(open_edges, 1).astype(jnp.float32))
    choice = jax.random.categorical(choice_key, weight)
    index = jnp.take_along_axis(index, choice[:, None], axis=1)[:, 0]
    return jax.tree.map(lambda x: x[index], replay.examples)
