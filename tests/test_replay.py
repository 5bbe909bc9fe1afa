"""The replay against a list, which forgets nothing."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.common.config import ReplayConfig
from azdab.game.board import Board
from azdab.learning import replay
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example, zero_examples

BOARD = Board(1, 2)
CAPACITY = 8
batch_sizes = st.lists(st.sampled_from([1, 3, 5, 8]), min_size=1, max_size=10)


BLANK: Example = jax.eval_shape(lambda: zero_examples(BOARD, 1))


def numbered(first: int, count: int) -> Example:
    """Examples whose every field tells their number, in numpy."""
    number = np.arange(first, first + count)

    def field(blank: Any) -> Any:
        zeros = np.zeros((count, *blank.shape[1:]), blank.dtype)
        values = np.broadcast_to(number.reshape(-1, *[1] * (zeros.ndim - 1)), zeros.shape)
        if zeros.dtype == jnp.bool_:
            values = values >> (np.arange(zeros.shape[-1]) if zeros.ndim > 1 else 0) & 1
        return values.astype(zeros.dtype)

    return Example(*map(field, BLANK))


@functools.cache
def add() -> Any:
    return jax.jit(replay.add)


@functools.cache
def empty() -> Replay:
    return replay.init_replay(BOARD, CAPACITY)


@functools.cache
def window_of(config: ReplayConfig) -> Any:
    return jax.jit(functools.partial(replay.window, config))


# Every part of the buffer may be the least window, and any share of all examples the next.
CONFIGS = [
    ReplayConfig(capacity=CAPACITY, min_window=least, window_fraction=fraction)
    for least, fraction in [(1, 0.1), (1, 1.0), (3, 0.5), (5, 0.1), (CAPACITY, 0.5)]
]


@functools.cache
def sample(config: ReplayConfig, count: int) -> Any:
    return jax.jit(lambda buffer, key: replay.sample(buffer, config, key, count))


def filled(sizes: list[int]) -> tuple[Replay, list[int]]:
    """A buffer and the numbers of all examples it was given."""
    buffer, given_so_far = empty(), 0
    for size in sizes:
        buffer = add()(buffer, numbered(given_so_far, size))
        given_so_far += size
    return buffer, list(range(given_so_far))


@given(batch_sizes)
def test_the_buffer_holds_the_newest_examples_whole(sizes: list[int]) -> None:
    buffer, everything = filled(sizes)
    assert int(buffer.total) == len(everything)
    newest = everything[-CAPACITY:]
    places = np.array(newest) % CAPACITY
    expected = jax.tree.map(
        lambda *x: np.stack([np.asarray(y)[0] for y in x]), *(numbered(n, 1) for n in newest)
    )
    chex.assert_trees_all_equal(
        jax.tree.map(lambda x: np.asarray(x)[places], buffer.examples), expected
    )
    # Places never written are still empty.
    empty = sorted(set(range(CAPACITY)) - set(places.tolist()))
    assert not np.asarray(buffer.examples.margin)[empty].any()


@given(batch_sizes, st.sampled_from(CONFIGS))
def test_samples_come_from_the_whole_window_and_nowhere_else(
    sizes: list[int], config: ReplayConfig
) -> None:
    buffer, everything = filled(sizes)
    grown = int(config.window_fraction * len(everything))
    size = min(max(config.min_window, grown), len(everything), CAPACITY)
    assert int(window_of(config)(buffer.total)) == size
    drawn = jax.tree.map(np.asarray, sample(config, 400)(buffer, jax.random.key(0)))
    assert set(drawn.margin.tolist()) == set(everything[-size:])
    # Every field of a sample belongs to the same example.
    rows = np.asarray(drawn.margin).astype(int)
    for number in set(rows.tolist()):
        picked = jax.tree.map(lambda x, n=number: x[rows == n][0], drawn)
        chex.assert_trees_all_equal(picked, jax.tree.map(lambda x: x[0], numbered(number, 1)))


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_positions_with_more_open_edges_are_drawn_more_often(weight: float) -> None:
    # Example n has popcount(n) of its edges drawn: 7 of them, so 4 to 7 are open.
    config = ReplayConfig(capacity=CAPACITY, min_window=CAPACITY, opening_weight=weight)
    buffer, _ = filled([8])
    drawn = sample(config, 20_000)(buffer, jax.random.key(0))
    open_edges = (~np.asarray(drawn.edges)).sum(axis=1)
    assert set(open_edges.tolist()) == {4, 5, 6, 7}
    shares = np.bincount(open_edges)[4:] / len(open_edges) / (np.array([1, 3, 3, 1]) / 8)
    expected = np.arange(4, 8) ** weight
    # A choice among a few uniform draws comes near the wanted weights, never beyond them.
    ratio = shares[-1] / shares[0]
    assert 1 + 0.5 * (expected[-1] / expected[0] - 1) < ratio + 0.05
    assert ratio < expected[-1] / expected[0] + 0.1


@given(st.lists(st.integers(0, 3_000_000), min_size=2, max_size=2))
def test_the_window_grows_but_never_beyond_capacity_or_what_there_is(totals: list[int]) -> None:
    config = ReplayConfig(capacity=1_000_000, min_window=50_000, window_fraction=0.5)
    small, large = sorted(totals)
    first, second = (int(window_of(config)(np.int32(n))) for n in (small, large))
    assert first <= second
    for total, window in ((small, first), (large, second)):
        assert window <= min(total, 1_000_000)
        assert window >= min(total, 50_000)


@pytest.mark.parametrize("board", [Board(1, 1), Board(2, 3), Board(5, 5)], ids=str)
def test_the_announced_bytes_are_those_allocated(board: Board) -> None:
    buffer = replay.init_replay(board, 17)
    assert replay.replay_num_bytes(board, 17) == sum(x.nbytes for x in buffer.examples)
    assert all(len(x) == 17 for x in buffer.examples)


def test_a_batch_larger_than_the_buffer_is_refused() -> None:
    buffer = empty()
    with pytest.raises(ValueError, match="cannot add 9 examples to a buffer of 8"):
        replay.add(buffer, numbered(0, 9))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"policy": np.zeros((3, BOARD.num_edges), np.float32)},
        {"edges": np.zeros((3, BOARD.num_edges + 1), bool)},
        {"outcome": np.zeros(2, np.int8)},
    ],
    ids=["type", "shape", "number"],
)
def test_examples_of_another_shape_or_type_are_not_stored(spoilt: dict[str, Any]) -> None:
    buffer = empty()
    with pytest.raises(AssertionError):
        replay.add(buffer, numbered(0, 3)._replace(**spoilt))


def test_a_buffer_of_another_capacity_is_not_sampled() -> None:
    config = ReplayConfig(capacity=2 * CAPACITY, min_window=1)
    with pytest.raises(AssertionError):
        replay.sample(empty(), config, jax.random.key(0), 4)


def together(buffers: list[Replay]) -> Replay:
    """The buffers of several devices, in numpy."""
    stacked: Replay = jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x]), *buffers)
    return stacked


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.lists(batch_sizes, min_size=1, max_size=3)),
        min_size=1,
        max_size=3,
    )
)
def test_a_buffer_is_rebuilt_bit_for_bit_from_what_was_added(
    stages: list[tuple[int, list[list[int]]]],
) -> None:
    """Runs that go on with other numbers of devices, and iterations of several waves."""
    segments: list[Example] = []
    total = given_so_far = before = 0

    def restored(devices: int) -> Replay:
        positions, kept = 0, []
        for part in reversed(segments):  # older ones are deleted
            if positions < CAPACITY * devices:
                kept.append(part)
                positions += part.margin.size
        like = together([empty()] * devices)
        held = min(positions // devices, CAPACITY, total)
        return replay.rebuilt(like, total, held, kept)

    for devices, iterations in stages:
        total = total * before // devices
        shards = restored(devices)
        buffers = [jax.tree.map(lambda x, i=i: x[i], shards) for i in range(devices)]
        for sizes in iterations:
            waves = []
            for size in sizes:
                first = given_so_far + np.arange(devices) * size
                waves.append([numbered(int(n) % 100, size) for n in first])
                given_so_far += size * devices
                buffers = [add()(buffer, x) for buffer, x in zip(buffers, waves[-1], strict=True)]
                total += size
            parts = [
                jax.tree.map(lambda *x: np.concatenate([np.asarray(y) for y in x]), *mine)
                for mine in zip(*waves, strict=True)
            ]
            segments.append(jax.tree.map(lambda *x: np.stack(x), *parts))
        before = devices
        chex.assert_trees_all_equal(restored(devices), together(buffers))


def test_what_was_added_is_dealt_out_to_other_devices_in_order_of_age() -> None:
    three: Example = jax.tree.map(lambda x: np.asarray(x)[None], numbered(0, 3))
    two: Example = jax.tree.map(
        lambda x: np.asarray(x).reshape(2, 2, *x.shape[1:]).swapaxes(0, 1), numbered(3, 4)
    )
    like = together([empty()] * 2)
    made = replay.rebuilt(like, 3, 3, [two, three])
    # Of seven examples the oldest cannot be dealt out.
    assert made.examples.margin[:, :3].tolist() == [[1, 3, 5], [2, 4, 6]]
    assert not made.examples.margin[:, 3:].any()
    assert made.total.tolist() == [3, 3]


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.1, 0.5, 1.0]))
def test_so_many_examples_are_lacking_until_the_window_is_full(
    total: int, held: int, fraction: float
) -> None:
    config = ReplayConfig(capacity=30, min_window=4, window_fraction=fraction)
    held = min(held, total, 30)
    number = replay.lacking(config, total, held)

    def blank(added: int) -> int:
        return int(window_of(config)(np.int32(total + added))) - held - added

    assert blank(number) <= 0
    assert number == 0 or blank(number - 1) > 0
    assert all(blank(more) <= 0 for more in range(number, number + 40))
