"""The batched simulations build mctx's own trees, bit for bit."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.search import simulation
from tests import common

pytestmark = pytest.mark.usefixtures("even_noise")
BATCH, ACTIONS, SIMULATIONS = 12, 7, 24


def scattered(*numbers: Any) -> jax.Array:
    """Uniform in [0, 1), from whole numbers that are broadcast against each other."""
    mixed: Any = jnp.uint32(0)
    for number in numbers:
        mixed = (mixed ^ jnp.asarray(number).astype(jnp.uint32)) * jnp.uint32(0x9E3779B1)
        mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x2C1B3C6D)
        mixed = mixed ^ (mixed >> 13)
    return (mixed >> 8).astype(jnp.float32) / 2**24


def world(params: jax.Array, key: jax.Array, actions: jax.Array, states: jax.Array) -> Any:
    """A made-up game: states are numbers, and everything else follows from them by hashing."""
    del key
    purposes = jnp.arange(ACTIONS + 3)[None]
    found = scattered(params, states[:, None], actions[:, None], purposes)
    output = mctx.RecurrentFnOutput(
        reward=2 * found[:, 0] - 1,
        discount=jnp.floor(3 * found[:, 1]) - 1,
        prior_logits=6 * found[:, 3:] - 3,
        value=2 * found[:, 2] - 1,
    )
    return output, (states * ACTIONS + actions + 1) % 100_003


# The two are equal to the last bit where both are rounded alike: as XLA does when it optimizes.
@functools.partial(
    jax.jit,
    static_argnums=(0, 1),
    compiler_options={"xla_backend_optimization_level": 1},
)
def search(policy: str, batched: bool, max_depth: jax.Array, seed: jax.Array) -> Any:
    """A search of random roots, by mctx alone or with the batched loop."""
    params, key, trees = seed, jax.random.key(seed), jnp.arange(BATCH)
    states = (scattered(seed, trees) * 100_003).astype(jnp.int32)
    output, _ = world(params, key, jnp.zeros(BATCH, jnp.int32), states)
    invalid = scattered(seed, trees[:, None], jnp.arange(ACTIONS)[None]) < 0.3
    invalid = invalid.at[:, 0].set(False)
    root = mctx.RootFnOutput(prior_logits=output.prior_logits, value=output.value, embedding=states)
    arguments: dict[str, Any] = {"invalid_actions": invalid, "max_depth": max_depth}
    transform = functools.partial(mctx.qtransform_completed_by_mix_value, value_scale=0.3)
    select: Any
    if policy == "gumbel":
        select_root: Any = functools.partial(
            mctx.gumbel_muzero_root_action_selection,
            num_simulations=SIMULATIONS,
            max_num_considered_actions=4,
            qtransform=transform,
        )
        select = functools.partial(
            mctx.gumbel_muzero_interior_action_selection, qtransform=transform, depth=1
        )
        arguments |= {"qtransform": transform, "max_num_considered_actions": 4}
        run: Any = mctx.gumbel_muzero_policy
    else:
        choose = mctx.muzero_action_selection
        select_root, select = (functools.partial(choose, depth=depth) for depth in (0, 1))
        run = mctx.muzero_policy
    if batched:
        loop = simulation.simulation_loop(params, world, select_root, select, max_depth)
        arguments["loop_fn"] = loop
    return run(params, key, root, world, SIMULATIONS, **arguments)


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
@pytest.mark.parametrize("max_depth", [2, 60])
@settings(max_examples=15)
@given(seed=common.seeds)
def test_trees_are_mctx_s(policy: str, max_depth: int, seed: int) -> None:
    ours, theirs = (
        search(policy, batched, np.int32(max_depth), np.uint32(seed)) for batched in (True, False)
    )
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(theirs)]
    for name, mine, its in zip(names, jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, its, err_msg=name)
    assert (np.asarray(ours.search_tree.node_visits)[:, 0] == SIMULATIONS + 1).all()


@settings(max_examples=5)
@given(st.sampled_from(["gumbel", "puct"]), common.seeds)
def test_the_trees_compared_are_deep_and_differ(policy: str, seed: int) -> None:
    found = search(policy, True, np.int32(60), np.uint32(seed)).search_tree
    parents = np.asarray(found.parents)
    depth = np.zeros_like(parents)
    for node in range(1, parents.shape[1]):
        depth[:, node] = depth[np.arange(BATCH), parents[:, node]] + 1
    deepest = depth.max(axis=1)
    assert deepest.max() >= 4
    assert len(set(deepest.tolist())) > 1
