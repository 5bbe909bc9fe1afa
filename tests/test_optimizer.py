"""Stacked, an optimiser does what it does array by array."""

from typing import Any

import chex
import jax
import numpy as np
import optax
import optax.contrib
import pytest

from azdab.common.config import NetworkConfig
from azdab.game.board import Board
from azdab.learning import optimizer
from azdab.network import model

# Its arrays are of all kinds that a network has, and several of each shape.
NETWORK = NetworkConfig("resnet_attention", "edges", filters=8, blocks=2, num_heads=2)


def muon(matrices: optimizer.Matrices) -> optax.GradientTransformation:
    return optax.contrib.muon(
        0.01, weight_decay=0.1, consistent_rms=0.2, muon_weight_dimension_numbers=matrices
    )


def drawn_like(params: Any, rng: np.random.Generator) -> Any:
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), params)


def both_after_steps(matrices: optimizer.Matrices, params: Any, seed: int) -> Any:
    """Parameters and states after three steps along random directions: plain, and in stacks."""
    plain, stacked = muon(matrices), optimizer.in_stacks(muon, matrices)

    @jax.jit
    def step(found: Any, updates: Any) -> Any:
        after = []
        for optimiser, (params, state) in zip((plain, stacked), found, strict=True):
            moves, state = optimiser.update(updates, state, params)
            after.append((optax.apply_updates(params, moves), state))
        return after

    rng = np.random.default_rng(seed)
    starts = jax.jit(lambda params: [plain.init(params), stacked.init(params)])(params)
    found = [(params, start) for start in starts]
    for _ in range(3):
        found = step(found, drawn_like(params, rng))
    return found


def test_a_network_learns_the_same() -> None:
    board, key = Board(2, 2), jax.random.key(0)
    shapes = jax.eval_shape(lambda: model.init_params(key, board, NETWORK))
    params = drawn_like(shapes, np.random.default_rng(0))
    plain, found = both_after_steps(optimizer.matrices_of, params, 1)
    # Their states too: checkpoints do not depend on it.
    chex.assert_trees_all_close(found, plain, rtol=1e-4, atol=1e-6)
    moved = jax.tree.map(lambda x, y: np.abs(np.asarray(x) - y).max(), found[0], params)
    assert min(jax.tree.leaves(moved)) > 1e-3


@pytest.mark.parametrize(
    "shapes",
    [
        [(4,)],
        [(2, 3), (2, 3), (2, 3)],
        [(3, 2), (4,), (2, 3), (2, 2, 3), (4,), (2, 3), (3, 2), (2, 2, 3)],
    ],
    ids=["one", "one shape", "all shapes in turn"],
)
def test_any_arrays_move_as_they_do_alone(shapes: list[tuple[int, ...]]) -> None:
    params = {f"{i}": np.ones(shape, np.float32) for i, shape in enumerate(shapes)}

    def matrices(params: Any) -> Any:
        def axes(x: Any) -> optax.contrib.MuonDimensionNumbers | None:
            all_axes = tuple(range(x.ndim))
            return optax.contrib.MuonDimensionNumbers(all_axes[:-1], all_axes[-1:])

        return jax.tree.map(lambda x: axes(x) if x.ndim > 1 else None, params)

    plain, found = both_after_steps(matrices, params, len(shapes))
    chex.assert_trees_all_close(found, plain, rtol=1e-4, atol=1e-6)
