"""The network's inputs and outputs, and its own convolution gradient."""

import dataclasses
import functools
from typing import Any, get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.common.config import NetworkConfig
from azdab.game.board import Board
from azdab.network import layers, model
from azdab.network.model import NetworkOutput
from tests import common

boards = st.sampled_from([Board(1, 1), Board(1, 3), Board(2, 2), Board(3, 2)])
FAMILIES = get_args(NetworkConfig.__annotations__["family"])


@functools.cache
def possible_margins(board: Board) -> Any:
    return jax.jit(functools.partial(model.possible_margins, board))


@given(boards, common.seeds)
def test_possible_margins_are_those_of_all_ways_to_share_the_open_boxes(
    board: Board, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.random((4, board.num_edges)) < 0.9
    found = np.asarray(possible_margins(board)(edges))
    support = model.margins(board).tolist()
    assert support == list(range(-board.num_boxes, board.num_boxes + 1))
    for index in range(4):
        open_boxes = sum(not edges[index][list(box)].all() for box in common.surroundings(board))
        reachable = {mine - (open_boxes - mine) for mine in range(open_boxes + 1)}
        assert {m for m, yes in zip(support, found[index], strict=True) if yes} == reachable


BOARD = Board(1, 3)
SMALL = {
    "resnet": NetworkConfig("resnet", "chains", filters=8, blocks=1),
    "resnet_attention": NetworkConfig(
        "resnet_attention", "edges", filters=8, blocks=1, num_heads=2
    ),
}


@functools.cache
def both_precisions(family: Any) -> tuple[Any, dict[bool, NetworkOutput], Any, Any]:
    """Parameters, outputs on some positions by ``mixed_precision``, chances, the positions."""
    configs = {
        mixed: dataclasses.replace(SMALL[family], mixed_precision=mixed) for mixed in (False, True)
    }
    states = common.random_states(BOARD, 0, 8, range(0, BOARD.num_edges + 1))

    @jax.jit
    def run(edges: jax.Array) -> Any:
        params = model.init_params(jax.random.key(0), BOARD, configs[False])
        margin = jnp.zeros(len(edges), jnp.int32)
        found = {
            mixed: model.apply(BOARD, config, params, edges, margin)
            for mixed, config in configs.items()
        }
        return params, found, jax.nn.softmax(found[False].margin_logits)

    edges = np.asarray(states.edges)
    return (*run(edges), edges)


def outputs(family: Any, mixed: bool) -> tuple[Any, NetworkOutput, Any]:
    """Parameters and outputs on some positions, and the positions."""
    params, found, _, edges = both_precisions(family)
    return params, found[mixed], edges


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_and_outputs_are_float32_in_either_precision(family: Any, mixed: bool) -> None:
    params, output, edges = outputs(family, mixed)
    config = dataclasses.replace(SMALL[family], mixed_precision=mixed)
    made = jax.eval_shape(lambda: model.init_params(jax.random.key(0), BOARD, config))
    chex.assert_trees_all_equal_shapes_and_dtypes(params, made)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    sizes = (BOARD.num_edges, 2 * BOARD.num_boxes + 1, BOARD.num_boxes)
    for values, size in zip(output, sizes, strict=True):
        assert values.dtype == jnp.float32
        assert values.shape == (len(edges), size)
        assert np.isfinite(values).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_precision_computes_nearly_the_same(family: Any) -> None:
    full, half = (outputs(family, mixed)[1] for mixed in (False, True))
    for a, b in zip(full, half, strict=True):
        np.testing.assert_allclose(a, b, atol=0.1, rtol=0.1)
        assert not np.array_equal(a, b)  # it did compute in another precision


@pytest.mark.parametrize("family", FAMILIES)
def test_impossible_margins_have_no_probability(family: Any) -> None:
    *_, chances, edges = both_precisions(family)
    chances, possible = np.asarray(chances), np.asarray(possible_margins(BOARD)(edges))
    assert not chances[~possible].any()
    assert (chances[possible] > 0).all()
    np.testing.assert_allclose(chances.sum(axis=1), np.ones(len(edges)), rtol=1e-5)


def test_the_families_differ_by_attention_alone() -> None:
    plain, attentive = (outputs(family, False)[0] for family in ("resnet", "resnet_attention"))
    assert set(attentive) - set(plain) == {"AttentionBlock_0"}


def test_each_logit_belongs_to_its_own_edge() -> None:
    # With residual branches and pooling cut, a logit sees only the 3x3 cells around its
    # own: drawing an edge must change its own logit and none that is out of sight.
    board, config = Board(3, 5), NetworkConfig(features="edges", filters=8, blocks=1)

    @jax.jit
    def run(edges: jax.Array) -> Any:
        params = model.init_params(jax.random.key(0), board, config)
        for name in ("ResidualBlock_0", "GlobalPool_0"):
            params[name] = jax.tree.map(jnp.zeros_like, params[name])
        margin = jnp.zeros(len(edges), jnp.int32)
        return model.apply(board, config, params, edges, margin)

    edges = np.zeros((1 + board.num_edges, board.num_edges), bool)
    edges[1:] = np.eye(board.num_edges, dtype=bool)
    logits = np.asarray(run(edges).prior_logits)
    changed = logits[1:] != logits[0]

    cells = {board.horizontal(r, c): (r, c) for r in range(4) for c in range(5)}
    cells |= {board.vertical(r, c): (r, c) for r in range(3) for c in range(6)}
    for drawn, (row, col) in cells.items():
        # The edge shows in its own cell and in that of the box above it or left of it.
        before = (row - 1, col) if drawn < board.num_horizontal else (row, col - 1)
        for seen, (r, c) in cells.items():
            in_sight = any(abs(r - y) <= 1 and abs(c - x) <= 1 for y, x in ((row, col), before))
            assert in_sight or not changed[drawn, seen]
        assert changed[drawn, drawn]


@given(st.integers(-4, 4), st.floats(0, 1), st.integers(-4, 4))
def test_expected_margin_and_win_value_of_two_outcomes(
    first: int, chance: float, lead: int
) -> None:
    # The margin is `first` with this chance, else -3.
    board = Board(2, 2)
    chances = np.zeros(9)
    chances[first + 4] += chance
    chances[-3 + 4] += 1 - chance
    logits = jnp.log(jnp.asarray(np.maximum(chances, 1e-30), jnp.float32))
    expected = chance * first - 3 * (1 - chance)
    assert float(model.expected_margin(board, logits)) == pytest.approx(expected, abs=1e-4)
    result = chance * np.sign(first + lead) + (1 - chance) * np.sign(lead - 3)
    value = model.win_value(board, logits, jnp.int32(lead))
    assert float(value) == pytest.approx(result, abs=1e-5)


paddings = st.tuples(
    st.tuples(st.integers(0, 1), st.integers(0, 1)), st.tuples(st.integers(0, 1), st.integers(0, 1))
)


@functools.cache
def both_convolutions(size: int, padding: layers.Padding) -> Any:
    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def value_and_gradients(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> Any:
        results = []
        for function in (plain, lambda x, kernel: layers.conv(x, kernel, padding)):
            y, pull_back = jax.vjp(function, x, kernel)
            results.append((y, *pull_back(dy)))
        return results

    return jax.jit(value_and_gradients)


@settings(max_examples=12)
@given(st.sampled_from([2, 3]), paddings, common.seeds)
def test_the_own_convolution_has_the_value_and_gradients_of_the_library_one(
    size: int, padding: layers.Padding, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, size, 3, 4)).astype(np.float32)
    height, width = (n + sum(pad) - size + 1 for n, pad in zip((4, 5), padding, strict=True))
    dy = rng.normal(size=(2, height, width, 4)).astype(np.float32)
    plain, own = both_convolutions(size, padding)(x, kernel, dy)
    for expected, found in zip(plain, own, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_inputs_of_another_shape_or_type_are_refused() -> None:
    board, config = Board(2, 2), NetworkConfig(features="edges", filters=8, blocks=1)
    edges, margin = np.zeros((2, board.num_edges), bool), np.zeros(2, np.int32)
    shapes = jax.eval_shape(lambda: model.init_params(jax.random.key(0), board, config))
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)

    def applied(edges: jax.Array, margin: jax.Array) -> Any:
        return model.apply(board, config, params, edges, margin)

    assert jax.eval_shape(applied, edges, margin).prior_logits.shape == (2, board.num_edges)
    for spoilt in (
        (edges[:, 1:], margin),
        (edges.astype(np.float32), margin),
        (edges, margin.astype(np.float32)),
        (edges, margin[:, None]),
        (edges, np.zeros(3, np.int32)),
    ):
        with pytest.raises(AssertionError):
            jax.eval_shape(applied, *spoilt)


def test_the_pooled_maximum_has_the_usual_gradient_and_a_finite_one_if_rounded_otherwise() -> None:
    x = np.random.default_rng(0).integers(-2, 3, (4, 3, 2, 5)).astype(np.float32)  # ties

    def along(pool: Any) -> Any:
        return jax.jit(jax.grad(lambda x: jnp.sum(pool(x) ** 3)))(x)

    np.testing.assert_array_equal(
        along(layers.pooled_max), along(lambda x: jnp.max(x, axis=(1, 2)))
    )
    # XLA may compute what is pooled twice, and round it differently: no element equals the maximum.
    largest = np.nextafter(x.max(axis=(1, 2)), np.float32(np.inf))
    # Not compiled: XLA would make a choice of the product of 0 and infinity.
    (found,) = layers._max_backward((jnp.asarray(x), jnp.asarray(largest)), jnp.ones((4, 5)))
    assert np.isfinite(found).all()
