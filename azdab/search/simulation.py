"""The simulations of an mctx search, each step on the whole batch at once.

mctx writes descent and backup for one tree, and vectorises them with ``vmap``. Trees end at
different depths. So, at every level, the ``while`` loop becomes selects over all of
``[B, N]`` and ``[B, N, A]``, and both choices are computed, that at the root and that below.
Here one loop goes down and one goes up, for all trees together. Values are written by
scatter, and trees that are finished write nowhere.

Below the root, what a search chooses at a node depends on that node alone. So it is worked out on
the way up, for the nodes whose numbers have changed, and a descent only reads it. That is a dozen
launches for several levels on a card, where it was a dozen for each.

The trees are equal to mctx's, bit for bit (``tests/test_tree.py``). :func:`simulation_loop` gives
what ``mctx.gumbel_muzero_policy`` and ``mctx.muzero_policy`` take as ``loop_fn``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx
from jaxtyping import Array, Int, PRNGKeyArray
from mctx import Tree

Node = Int[Array, "B"]
"""One node of each tree, ``int32[B]``."""

Select = Callable[[PRNGKeyArray, Tree, Int[Array, ""]], Int[Array, ""]]
"""A choice at a node of one tree, ``(key, tree, node) -> action``."""

_LEVELS = 4
"""How many levels a loop goes down or up at once. On a card every pass of a loop is some launches
by itself, however little it does."""


class Growth(NamedTuple):
    """Trees that grow.

    Attributes:
      tree: mctx's, of the whole batch.
      choices: the action that a descent takes at each node, but for the root.
    """

    tree: Tree
    choices: Int[Array, "B N"]


def unchosen(tree: Tree) -> Growth:
    """Trees of roots alone."""
    return Growth(tree, jnp.zeros_like(tree.node_visits, jnp.int32))


def simulations(
    params: Any,
    recurrent_fn: mctx.RecurrentFn,
    select_root: Select,
    select: Select,
    max_depth: int | Int[Array, ""],
) -> Callable[[Any, Any, PRNGKeyArray, Growth], Growth]:
    """An mctx policy's simulations.

    Args:
      params: as given to the policy.
      recurrent_fn: as given to the policy.
      select_root: the policy's choice at the root.
      select: its choice below. It looks at nothing but the node.
      max_depth: as given to the policy.

    Returns:
      ``(lower, upper, key, growth) -> growth``: the simulations from ``lower`` to ``upper``.
    """

    def simulate(
        index: Int[Array, ""], state: tuple[PRNGKeyArray, Growth]
    ) -> tuple[PRNGKeyArray, Growth]:
        key, growth = state
        key, descend_key, expand_key, choose_key = jax.random.split(key, 4)
        parent, action = descend(descend_key, growth, select_root, max_depth)
        tree = growth.tree
        child = tree.children_index[jnp.arange(len(parent)), parent, action]
        # At the greatest depth, a node that is known already is evaluated again.
        leaf = jnp.where(child == Tree.UNVISITED, index + 1, child)
        tree = expand(params, expand_key, tree, recurrent_fn, parent, action, leaf)
        return key, backward(choose_key, growth._replace(tree=tree), leaf, select)

    def run(lower: Any, upper: Any, key: PRNGKeyArray, growth: Growth) -> Growth:
        grown: Growth = jax.lax.fori_loop(lower, upper, simulate, (key, growth))[1]
        return grown

    return run


def simulation_loop(
    params: Any,
    recurrent_fn: mctx.RecurrentFn,
    select_root: Select,
    select: Select,
    max_depth: int | Int[Array, ""],
) -> mctx.LoopFn:
    """The loop over an mctx policy's simulations; for the arguments see :func:`simulations`.

    Returns:
      The policy's ``loop_fn``. It does not call the body it is given, but does the same.
    """
    run = simulations(params, recurrent_fn, select_root, select, max_depth)

    def loop(
        lower: int, upper: int, body: Any, state: tuple[PRNGKeyArray, Tree]
    ) -> tuple[PRNGKeyArray, Tree]:
        del body
        key, tree = state
        return key, run(lower, upper, key, unchosen(tree)).tree

    return loop


def descend(
    key: PRNGKeyArray, growth: Growth, select_root: Select, max_depth: int | Int[Array, ""]
) -> tuple[Node, Int[Array, "B"]]:
    """Go down every tree to an action that was never taken, or to ``max_depth``.

    Returns:
      The nodes at which the descent ends, and the actions to take there.
    """
    tree, choices = growth
    batch_size = tree.node_visits.shape[0]
    rows = jnp.arange(batch_size)

    def goes_on(node: Node, action: Array, depth: Array) -> tuple[Node, Array]:
        child = tree.children_index[rows, node, action]
        return child, (child != Tree.UNVISITED) & (depth < max_depth)

    def step(state: Any) -> Any:
        node, action, child, depth, live = state
        for _ in range(_LEVELS):
            node, depth = jnp.where(live, child, node), depth + 1
            action = jnp.where(live, choices[rows, node], action)
            child, more = goes_on(node, action, depth)
            live &= more
        return node, action, child, depth, live

    root = jnp.full(batch_size, Tree.ROOT_INDEX, jnp.int32)
    action = jax.vmap(select_root)(jax.random.split(key, batch_size), tree, root)
    depth = jnp.int32(1)
    child, live = goes_on(root, action, depth)
    state = (root, action, child, depth, live)
    node, action, *_ = jax.lax.while_loop(lambda state: jnp.any(state[-1]), step, state)
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


def backward(key: PRNGKeyArray, growth: Growth, leaf: Node, select: Select) -> Growth:
    """Carry the values of the nodes ``leaf`` up to the roots, count the visits, and choose anew."""
    batch_size, nowhere = growth.choices.shape
    chex.assert_shape(leaf, (batch_size,))
    chex.assert_type(leaf, int)
    rows = jnp.arange(batch_size)
    keys = jax.random.split(key, (_LEVELS, batch_size))

    def climb(state: tuple[Growth, Array, Array, Node]) -> tuple[Growth, Array, Array, Node]:
        (tree, choices), value, node_value, node = state
        levels = []
        for _ in range(_LEVELS):
            live = node != Tree.ROOT_INDEX
            parent = jnp.where(live, tree.parents[rows, node], Tree.ROOT_INDEX)
            action = jnp.where(live, tree.action_from_parent[rows, node], 0)
            reward = tree.children_rewards[rows, parent, action]
            value = reward + tree.children_discounts[rows, parent, action] * value
            visits = tree.node_visits[rows, parent]
            mean = (tree.node_values[rows, parent] * visits + value) / (visits + 1.0)
            levels.append((live, node, parent, action, node_value, mean))
            node_value, node = mean, parent
        # No node is on a tree's way twice. So nothing that was read above has changed since.
        live, passed, parent, action, child_value, mean = map(jnp.stack, zip(*levels, strict=True))
        # Trees that are done write to a node that is not there.
        to = jnp.where(live, parent, nowhere)
        tree = tree.replace(
            node_values=tree.node_values.at[rows, to].set(mean, mode="drop"),
            node_visits=tree.node_visits.at[rows, to].add(1, mode="drop"),
            children_values=tree.children_values.at[rows, to, action].set(child_value, mode="drop"),
            children_visits=tree.children_visits.at[rows, to, action].add(1, mode="drop"),
        )
        chosen = jax.vmap(jax.vmap(select), in_axes=(0, None, 0))(keys, tree, passed)
        choices = choices.at[rows, jnp.where(live, passed, nowhere)].set(chosen, mode="drop")
        return Growth(tree, choices), value, node_value, node

    value = growth.tree.node_values[rows, leaf]
    state = (growth, value, value, leaf)
    return jax.lax.while_loop(lambda state: jnp.any(state[3] != Tree.ROOT_INDEX), climb, state)[0]
