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

BATCH, ACTIONS = 12, 7


def world(params: jax.Array, key: jax.Array, actions: jax.Array, states: jax.Array) -> Any:
    """A made-up game: states are numbers, and everything else follows from them by hashing."""
    del key

    def outcome(state: jax.Array, action: jax.Array) -> Any:
        key = jax.random.fold_in(jax.random.wrap_key_data(params), state)
        key = jax.random.fold_in(key, action)
        logits, reward, discount, value = jax.random.split(key, 4)
        output = mctx.RecurrentFnOutput(
            reward=jax.random.normal(reward),
            discount=jax.random.choice(discount, jnp.array([-1.0, 0.0, 1.0])),
            prior_logits=2 * jax.random.normal(logits, (ACTIONS,)),
            value=jax.random.normal(value),
        )
        return output, (state * ACTIONS + action + 1) % 100_003

    return jax.vmap(outcome)(states, actions)


# The two are equal to the last bit where both are rounded alike: as XLA does when it optimizes.
@functools.partial(
    jax.jit,
    static_argnums=(0, 1, 2, 3),
    compiler_options={"xla_backend_optimization_level": 1},
)
def search(policy: str, batched: bool, simulations: int, max_depth: int, seed: jax.Array) -> Any:
    """A search of random roots, by mctx alone or with the batched loop."""
    world_key, root_key, invalid_key, key = jax.random.split(jax.random.key(seed), 4)
    params = jax.random.key_data(world_key)
    states = jax.random.randint(root_key, (BATCH,), 0, 100_003)
    output, _ = world(params, key, jnp.zeros(BATCH, jnp.int32), states)
    invalid = jax.random.bernoulli(invalid_key, 0.3, (BATCH, ACTIONS)).at[:, 0].set(False)
    root = mctx.RootFnOutput(prior_logits=output.prior_logits, value=output.value, embedding=states)
    arguments: dict[str, Any] = {"invalid_actions": invalid, "max_depth": max_depth}
    transform = functools.partial(mctx.qtransform_completed_by_mix_value, value_scale=0.3)
    select: Any
    if policy == "gumbel":
        select_root: Any = functools.partial(
            mctx.gumbel_muzero_root_action_selection,
            num_simulations=simulations,
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
    return run(params, key, root, world, simulations, **arguments)


@pytest.mark.parametrize("policy", ["gumbel", "puct"])
@pytest.mark.parametrize(
    ("simulations", "max_depth"), [pytest.param(24, 60, marks=pytest.mark.slow), (12, 2)]
)
@settings(max_examples=15)
@given(seed=common.seeds)
def test_trees_are_mctx_s(policy: str, simulations: int, max_depth: int, seed: int) -> None:
    ours = search(policy, True, simulations, max_depth, jnp.uint32(seed))
    theirs = search(policy, False, simulations, max_depth, jnp.uint32(seed))
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(theirs)]
    for name, mine, its in zip(names, jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(mine, its, err_msg=name)
    assert (ours.search_tree.node_visits[:, 0] == simulations + 1).all()


@settings(max_examples=5)
@given(st.sampled_from(["gumbel", "puct"]), common.seeds)
def test_the_trees_compared_are_deep_and_differ(policy: str, seed: int) -> None:
    found = search(policy, True, 24, 60, jnp.uint32(seed)).search_tree
    parents = np.asarray(found.parents)
    depth = np.zeros_like(parents)
    for node in range(1, parents.shape[1]):
        depth[:, node] = depth[np.arange(BATCH), parents[:, node]] + 1
    deepest = depth.max(axis=1)
    assert deepest.max() >= 4
    assert len(set(deepest.tolist())) > 1
