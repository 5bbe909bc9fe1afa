"""What the notebook ``walkthrough`` shows: shapes of arrays, and a search tree as it grows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.table import Table

from azdab.game.board import Board
from azdab.game.position import move_name
from azdab.lab.figures import COLOURS, load_figure, styled


def shapes_table(title: str, arrays: Any) -> Table:
    """The shape and the type of each array in a named tuple of arrays."""
    table = Table("array", "shape", "type", title=title, title_justify="left")
    for path, x in jax.tree_util.tree_leaves_with_path(arrays):
        name = jax.tree_util.keystr(path).removeprefix(".")
        table.add_row(name, str(tuple(x.shape)), str(x.dtype))
    return table


class TreeNode(NamedTuple):
    """One node of a search tree.

    Attributes:
      parent: number of the node above; -1 for the root.
      action: the move that leads here from there; -1 for the root.
      to_play: who is to move here, 0 or 1.
      visits: how many simulations came here, the one that made the node included. The root
        has one more, its own evaluation.
      q: what the move is worth to the player who makes it, in the search's utility; for the
        root, its value to the player to move.
    """

    parent: int
    action: int
    to_play: int
    visits: int
    q: float


def tree_after(tree: Any, simulations: int) -> list[TreeNode]:
    """The tree as it was after its first simulations.

    Simulation ``i`` makes node ``i`` and carries its value up to the root. Here the first
    of them are done again: on the way up a value changes sign wherever the turn passes,
    and every node holds the mean of what came through it.

    Args:
      tree: ``mctx.Tree`` of a batch, of which the first is shown; every simulation must have
        made a node, which all do while the game has as many plies left as simulations.
      simulations: how many to show, at most those of the search.
    """
    tree = jax.tree.map(lambda x: np.asarray(x[0]), tree)
    count = simulations + 1
    visits = np.zeros(count, int)
    means = np.zeros(count)
    for leaf in range(count):
        node, value = leaf, float(tree.raw_values[leaf])
        while True:
            means[node] = (means[node] * visits[node] + value) / (visits[node] + 1)
            visits[node] += 1
            if node == 0:
                break
            above, action = tree.parents[node], tree.action_from_parent[node]
            reward = tree.children_rewards[above, action]
            value = float(reward + tree.children_discounts[above, action] * value)
            node = int(above)
    nodes = [TreeNode(-1, -1, int(tree.embeddings.to_play[0]), int(visits[0]), float(means[0]))]
    for node in range(1, count):
        above, action = int(tree.parents[node]), int(tree.action_from_parent[node])
        reward = float(tree.children_rewards[above, action])
        q = reward + float(tree.children_discounts[above, action]) * float(means[node])
        to_play = int(tree.embeddings.to_play[node])
        nodes.append(TreeNode(above, action, to_play, int(visits[node]), q))
    return nodes


def _places(nodes: Sequence[TreeNode]) -> np.ndarray:
    """Where to draw nodes, ``float[N, 2]``: leaves side by side, parents above their middle."""
    places = np.zeros((len(nodes), 2))
    below: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes[1:], start=1):
        below[node.parent].append(number)
    leaves = 0

    def put(number: int, depth: int) -> None:
        nonlocal leaves
        for child in below[number]:
            put(child, depth + 1)
        if below[number]:
            places[number] = places[below[number], 0].mean(), -depth
        else:
            places[number] = leaves, -depth
            leaves += 1

    put(0, 0)
    return places


@styled
def plot_trees(board: Board, trees: Mapping[str, Sequence[TreeNode]]) -> Any:
    """Search trees, one below the other: a circle is a position, a line a move.

    In a circle stands the number of visits, in the colour of the player to move; below
    it stands what the move is worth to the player who made it, in boxes: the utility must
    be the margin.

    Args:
      board: the board.
      trees: nodes by title.
    """
    depths = [1 - _places(nodes)[:, 1].min() for nodes in trees.values()]
    figure = load_figure()(figsize=(10, 1.1 * sum(depths)), layout="constrained")
    axes = figure.subplots(len(trees), 1, squeeze=False, height_ratios=depths)[:, 0]
    for axis, (title, nodes) in zip(axes, trees.items(), strict=True):
        places = _places(nodes)
        for (x, y), node in zip(places, nodes, strict=True):
            if node.parent >= 0:
                above = places[node.parent]
                axis.plot([above[0], x], [above[1], y], color="#999999", lw=0.6 + 0.3 * node.visits)
                axis.annotate(
                    move_name(board, node.action), (above + 2 * np.array([x, y])) / 3,
                    size=6, ha="center", va="center", color="#555555",
                    bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
                )  # fmt: skip
        for (x, y), node in zip(places, nodes, strict=True):
            axis.annotate(
                str(node.visits), (x, y), size=8, ha="center", va="center", color="white",
                bbox={"boxstyle": "circle", "fc": COLOURS[node.to_play], "ec": "none"},
            )  # fmt: skip
            worth = f"{node.q * board.num_boxes:+z.1f}"
            axis.annotate(
                worth, (x, y), xytext=(0, -14), textcoords="offset points",
                size=7, ha="center", va="top",
            )  # fmt: skip
        axis.set_title(title, loc="left")
        wide = max(places[:, 0].max(), 4)
        axis.set(xlim=(-0.6, wide + 0.6), ylim=(places[:, 1].min() - 0.6, 0.4))
        axis.set_axis_off()
    return figure
