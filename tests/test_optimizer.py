"""Stacked, an optimiser does what it does array by array."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.common.config import NetworkConfig
from azdab.game.board import Board
from azdab.learning import optimizer
from azdab.network import model
from tests import common

NETWORKS = {
    "resnet": NetworkConfig(filters=8, blocks=2),
    "resnet_attention": NetworkConfig("resnet_attention", filters=8, blocks=1, num_heads=2),
}


def muon(matrices: optimizer.Matrices) -> optax.GradientTransformation:
    return optax.contrib.muon(
        0.01, weight_decay=0.1, consistent_rms=0.2, muon_weight_dimension_numbers=matrices
    )


def steps(optimiser: optax.GradientTransformation, params: Any, seed: int) -> Any:
    """Three steps along random directions."""

    @jax.jit
    def step(params: Any, state: Any, key: Any) -> Any:
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(key, len(leaves))
        found = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
        updates, state = optimiser.update(jax.tree.unflatten(structure, found), state, params)
        return optax.apply_updates(params, updates), state

    state = optimiser.init(params)
    for key in jax.random.split(jax.random.key(seed), 3):
        params, state = step(params, state, key)
    return params, state


@functools.cache
def parameters(family: str) -> Any:
    return model.init_params(jax.random.key(0), Board(2, 2), NETWORKS[family])


@pytest.mark.parametrize("family", NETWORKS)
def test_a_network_learns_the_same(family: str) -> None:
    params = parameters(family)
    plain = steps(muon(optimizer.matrices_of), params, 1)
    found = steps(optimizer.in_stacks(muon, optimizer.matrices_of), params, 1)
    # Their states too: checkpoints do not depend on it.
    chex.assert_trees_all_close(found, plain, rtol=1e-4, atol=1e-6)
    moved = jax.tree.map(lambda x, y: np.abs(x - y).max(), found[0], params)
    assert min(jax.tree.leaves(moved)) > 1e-3


@settings(max_examples=10)
@given(
    st.lists(st.sampled_from([(2, 3), (3, 2), (4,), (2, 2, 3)]), min_size=1, max_size=6),
    common.seeds,
)
def test_any_arrays_move_as_they_do_alone(shapes: list[tuple[int, ...]], seed: int) -> None:
    params = {f"{i}": jnp.ones(shape) for i, shape in enumerate(shapes)}

    def matrices(params: Any) -> Any:
        def axes(x: Any) -> optax.contrib.MuonDimensionNumbers | None:
            all_axes = tuple(range(x.ndim))
            return optax.contrib.MuonDimensionNumbers(all_axes[:-1], all_axes[-1:])

        return jax.tree.map(lambda x: axes(x) if x.ndim > 1 else None, params)

    plain = steps(muon(matrices), params, seed)
    chex.assert_trees_all_close(
        steps(optimizer.in_stacks(muon, matrices), params, seed), plain, rtol=1e-4, atol=1e-6
    )
