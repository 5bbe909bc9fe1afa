"""The simulations of an mctx search, each step on the whole batch at once.

mctx writes descent and backup for one tree, and vectorises them with ``vmap``. Trees end at
different depths. So, at every level, the ``while`` loop becomes selects over all of
``[B, N]`` and ``[B, N, A]``, and both choices are computed, that at the root and that below.
Here one loop goes down and one goes up, for all trees together. Values are written by
scatter, and trees that are finished write nowhere. The trees are equal to mctx's, bit for
bit (``tests/test_tree.py``).

:func:`simulation_loop` gives what ``mctx.gumbel_muzero_policy`` and ``mctx.muzero_policy``
take as ``loop_fn``.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx
from jaxtyping import Array, Int, Key, PRNGKeyArray
from mctx import Tree

Node = Int[Array, "B"]
"""One node of each tree, ``int32[B]``."""


def simulation_loop(
    params: Any,
    recurrent_fn: mctx.RecurrentFn,
    select_root: mctx.RootActionSelectionFn,
    select: mctx.InteriorActionSelectionFn,
    max_depth: int,
) -> mctx.LoopFn:
    """The loop over an mctx policy's simulations.

    Args:
      params: as given to the policy.
      recurrent_fn: as given to the policy.
      select_root: the policy's choice at the root, ``(key, tree, node) -> action``.
      select: its choice below, ``(key, tree, node, depth) -> action``.
      max_depth: as given to the policy.

    Returns:
      The policy's ``loop_fn``. It does not call the body it is given, but does the same.
    """

    def loop(
        lower: int, upper: int, body: Any, state: tuple[PRNGKeyArray, Tree]
    ) -> tuple[PRNGKeyArray, Tree]:
        del body

        def simulate(
            index: Int[Array, ""], state: tuple[PRNGKeyArray, Tree]
        ) -> tuple[PRNGKeyArray, Tree]:
            key, tree = state
            key, descend_key, expand_key = jax.random.split(key, 3)
            parent, action = descend(descend_key, tree, select_root, select, max_depth)
            child = tree.children_index[jnp.arange(len(parent)), parent, action]
            # At the greatest depth, a node that is known already is evaluated again.
            leaf = jnp.where(child == Tree.UNVISITED, index + 1, child)
            tree = expand(params, expand_key, tree, recurrent_fn, parent, action, leaf)
            return key, backward(tree, leaf)

        return jax.lax.fori_loop(lower, upper, simulate, state)

    return loop


def descend(
    key: PRNGKeyArray,
    tree: Tree,
    select_root: mctx.RootActionSelectionFn,
    select: mctx.InteriorActionSelectionFn,
    max_depth: int,
) -> tuple[Node, Int[Array, "B"]]:
    """Go down every tree to an action that was never taken, or to ``max_depth``.

    Returns:
      The nodes at which the descent ends, and the actions to take there.
    """
    batch_size = tree.node_visits.shape[0]
    rows = jnp.arange(batch_size)

    def split(keys: Key[Array, "B"]) -> tuple[Key[Array, "B"], Key[Array, "B"]]:
        pairs = jax.vmap(jax.random.split)(keys)
        return pairs[:, 0], pairs[:, 1]

    def goes_on(node: Node, action: Array, depth: Array) -> tuple[Node, Array]:
        child = tree.children_index[rows, node, action]
        return child, (child != Tree.UNVISITED) & (depth < max_depth)

    def step(state: Any) -> Any:
        keys, node, action, child, depth, live = state
        keys, select_keys = split(keys)
        node = jnp.where(live, child, node)
        depths = jnp.broadcast_to(depth, (batch_size,))
        chosen = jax.vmap(select, (0, 0, 0, 0))(select_keys, tree, node, depths)
        action = jnp.where(live, chosen, action)
        child, more = goes_on(node, action, depth + 1)
        return keys, node, action, child, depth + 1, live & more

    keys, select_keys = split(jax.random.split(key, batch_size))
    root = jnp.full(batch_size, Tree.ROOT_INDEX, jnp.int32)
    action = jax.vmap(select_root, (0, 0, 0))(select_keys, tree, root)
    depth = jnp.ones((), tree.children_prior_logits.dtype)  # mctx's choice of dtype
    child, live = goes_on(root, action, depth)
    state = (keys, root, action, child, depth, live)
    _, node, action, *_ = jax.lax.while_loop(lambda state: jnp.any(state[-1]), step, state)
    return node, action


def expand(
    params: Any,
    key: PRNGKeyArray,
    tree: Tree,
    recurrent_fn: mctx.RecurrentFn,
    parent: Node,
    action: Int[Array, "B"],
    leaf: Node,
) -> Tree:
    """Take the actions, evaluate what they lead to, and enter it as the nodes ``leaf``.

    Raises:
      AssertionError: an array has another shape or type.
    """
    chex.assert_shape([parent, action, leaf], (tree.node_visits.shape[0],))
    chex.assert_type([parent, action, leaf], int)
    rows = jnp.arange(len(parent))
    embedding = jax.tree.map(lambda x: x[rows, parent], tree.embeddings)
    output, embedding = recurrent_fn(params, key, action, embedding)
    return tree.replace(
        node_visits=tree.node_visits.at[rows, leaf].add(1),
        raw_values=tree.raw_values.at[rows, leaf].set(output.value),
        node_values=tree.node_values.at[rows, leaf].set(output.value),
        parents=tree.parents.at[rows, leaf].set(parent),
        action_from_parent=tree.action_from_parent.at[rows, leaf].set(action),
        children_index=tree.children_index.at[rows, parent, action].set(leaf),
        children_prior_logits=tree.children_prior_logits.at[rows, leaf].set(output.prior_logits),
        children_rewards=tree.children_rewards.at[rows, parent, action].set(output.reward),
        children_discounts=tree.children_discounts.at[rows, parent, action].set(output.discount),
        embeddings=jax.tree.map(lambda x, y: x.at[rows, leaf].set(y), tree.embeddings, embedding),
    )


def backward(tree: Tree, leaf: Node) -> Tree:
    """Carry the values of the nodes ``leaf`` up to the roots, and count the visits."""
    batch_size, nowhere = tree.node_visits.shape
    chex.assert_shape(leaf, (batch_size,))
    chex.assert_type(leaf, int)
    rows = jnp.arange(batch_size)

    def step(state: tuple[Tree, Array, Node]) -> tuple[Tree, Array, Node]:
        tree, value, node = state
        live = node != Tree.ROOT_INDEX
        parent = jnp.where(live, tree.parents[rows, node], Tree.ROOT_INDEX)
        action = jnp.where(live, tree.action_from_parent[rows, node], 0)
        reward = tree.children_rewards[rows, parent, action]
        value = reward + tree.children_discounts[rows, parent, action] * value
        visits = tree.node_visits[rows, parent]
        mean = (tree.node_values[rows, parent] * visits + value) / (visits + 1.0)
        # Trees that are done write to a node that is not there.
        to = jnp.where(live, parent, nowhere)
        child_value = tree.node_values[rows, node]
        tree = tree.replace(
            node_values=tree.node_values.at[rows, to].set(mean, mode="drop"),
            node_visits=tree.node_visits.at[rows, to].add(1, mode="drop"),
            children_values=tree.children_values.at[rows, to, action].set(child_value, mode="drop"),
            children_visits=tree.children_visits.at[rows, to, action].add(1, mode="drop"),
        )
        return tree, value, parent

    state = (tree, tree.node_values[rows, leaf], leaf)
    return jax.lax.while_loop(lambda state: jnp.any(state[2] != Tree.ROOT_INDEX), step, state)[0]
