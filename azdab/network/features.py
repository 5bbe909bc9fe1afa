"""What the network sees of a position.

The board is a grid of ``(rows + 1) x (cols + 1)`` cells, one for each dot. The cell of
dot ``(r, c)`` holds the horizontal edge to its right, the vertical edge below it and
the box between them. This is a quarter of the cells of the drawn lattice, and nothing
is lost.

The network is also shown what a player counts: how long the chain of each box is, and
for the whole board the parities that decide who controls the endgame. A network can
learn to follow a chain from box to box and to count modulo two, but this takes depth
and steps. With these inputs, the same network was a third nearer to the exact values
after equal time (notebooks/network.md).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from azdab.common.config import FeatureSet
from azdab.game import geometry
from azdab.game.board import Board
from azdab.game.structure import LONG

_LENGTHS = 6  # for chains of up to this many boxes, each length has its own plane


class Features(NamedTuple):
    """Inputs of the network, float32.

    Attributes:
      cells: ``[..., rows + 1, cols + 1, C]``. Edge to the right: open, drawn. Edge
        below: open, drawn. Box: 0, 1, 2, 3 or 4 edges drawn. With chains, for boxes
        with two or three edges drawn, which open edges join to chains: length 1, 2,
        3, 4, 5, more; length / num_boxes; whether it is a loop; whether a box of it
        can be closed at once; whether 0, 1, 2 of its ends lead to a box with at most
        one edge drawn. A cell whose edge or box does not exist is empty in its
        planes, so the border needs no plane of its own.
      board: ``[..., D]``. The mover's lead / num_boxes. With chains, the number of
        open edges, open boxes, safe edges, long chains and loops: each as +1 even,
        -1 odd, and each / num_boxes.
    """

    cells: Float[Array, "*b H W C"]
    board: Float[Array, "*b D"]


class Chains(NamedTuple):
    """The chain each box belongs to, ``[..., num_boxes]``; zeros in other boxes.

    Attributes:
      member: ``bool``, two or three edges of the box are drawn.
      length: ``float32``, boxes in its chain.
      exits: ``float32``, open edges that lead out of the chain.
      junctions: ``float32``, those of them that lead to a box of at most one drawn edge.
      ready: ``float32``, boxes of the chain that can be closed at once.
    """

    member: Bool[Array, "*b N"]
    length: Float[Array, "*b N"]
    exits: Float[Array, "*b N"]
    junctions: Float[Array, "*b N"]
    ready: Float[Array, "*b N"]

    @property
    def is_loop(self) -> Bool[Array, "*b N"]:
        """Whether the chain closes on itself: nothing leads out, nothing can be closed."""
        return self.member & (self.exits == 0) & (self.ready == 0)


def chain_features(board: Board, edges: Bool[Array, "*b E"]) -> Chains:
    """Follow every chain: the transitive closure of "joined by an open edge"."""
    first, second, between = geometry.box_pairs(board)
    lead, count = edges.shape[:-1], board.num_boxes
    drawn = geometry.box_degrees(board, edges).reshape(*lead, count)
    member = (drawn == 2) | (drawn == 3)
    is_open = ~edges[..., between]
    joined = (is_open & member[..., first] & member[..., second]).astype(jnp.float32)
    to_junction = (is_open & (drawn[..., second] <= 1)).astype(jnp.float32)
    reach = jnp.zeros((*lead, count, count)).at[..., first, second].set(joined)
    inner = reach.sum(axis=-1)
    reach = reach.at[..., np.arange(count), np.arange(count)].set(1)
    for _ in range(int(np.ceil(np.log2(count)))):
        reach = jnp.minimum(reach @ reach, 1)
    junctions = jnp.zeros((*lead, count)).at[..., first].add(to_junction)
    own = jnp.stack([jnp.ones_like(inner), 4 - drawn - inner, junctions, drawn == 3], axis=-1)
    length, exits, junctions, ready = jnp.moveaxis(
        reach @ (own * member[..., None]) * member[..., None], -1, 0
    )
    return Chains(member, length, exits, junctions, ready)


def _cell_planes(board: Board, edges: Array, found: Chains | None) -> Array:
    lead = edges.shape[:-1]
    height, width = board.rows + 1, board.cols + 1

    def pad(planes: Array) -> Array:
        missing = ((0, height - planes.shape[-3]), (0, width - planes.shape[-2]), (0, 0))
        return jnp.pad(planes.astype(jnp.float32), ((0, 0),) * len(lead) + missing)

    right, below = geometry.edge_grids(board, edges)
    planes = [
        pad(jnp.stack([~right, right], axis=-1)),
        pad(jnp.stack([~below, below], axis=-1)),
        pad(jax.nn.one_hot(geometry.box_degrees(board, edges), 5)),
    ]
    if found is not None:
        length = jnp.minimum(found.length, _LENGTHS).astype(jnp.int32) - 1
        ends = jnp.minimum(found.junctions, 2).astype(jnp.int32)
        whole = [found.length / board.num_boxes, found.is_loop, found.ready > 0]
        of_box = [jax.nn.one_hot(length, _LENGTHS), jnp.stack(whole, -1), jax.nn.one_hot(ends, 3)]
        boxes = jnp.concatenate(of_box, axis=-1) * found.member[..., None]
        planes.append(pad(boxes.reshape(*lead, board.rows, board.cols, -1)))
    return jnp.concatenate(planes, axis=-1)


def _counts(board: Board, edges: Array, found: Chains) -> list[Array]:
    """Open edges, open boxes, safe edges, long chains and loops, ``float32[...]`` each."""
    drawn = geometry.box_degrees(board, edges)
    share = found.member / jnp.maximum(found.length, 1)
    is_long = (found.length >= LONG) & ~found.is_loop
    return [
        (~edges).sum(axis=-1),
        (drawn < 4).sum(axis=(-1, -2)),
        geometry.safe_edges(board, edges).sum(axis=-1),
        jnp.round((share * is_long).sum(axis=-1)),
        jnp.round((share * found.is_loop).sum(axis=-1)),
    ]


def network_features(
    board: Board, kind: FeatureSet, edges: Bool[Array, "*b E"], margin: Int[Array, "*b"]
) -> Features:
    """The network's inputs.

    Args:
      board: the board.
      kind: ``edges`` for what is drawn, ``chains`` for chains and parities too.
      edges: drawn edges.
      margin: the mover's score margin in boxes; 0 where it must not matter.

    >>> board, edges, margin = Board(2, 3), jnp.zeros((5, 17), bool), jnp.zeros(5, jnp.int32)
    >>> seen = jax.eval_shape(lambda x: network_features(board, "chains", x, margin), edges)
    >>> seen.cells.shape, seen.board.shape
    ((5, 3, 4, 21), (5, 11))
    """
    chex.assert_axis_dimension(edges, -1, board.num_edges)
    chex.assert_type(edges, bool)
    chex.assert_equal_shape_prefix([edges, margin], margin.ndim)
    found = chain_features(board, edges) if kind == "chains" else None
    whole = [margin / board.num_boxes]
    if found is not None:
        counts = _counts(board, edges, found)
        whole += [1 - 2 * (count % 2) for count in counts]
        whole += [count / board.num_boxes for count in counts]
    return Features(
        cells=_cell_planes(board, edges, found),
        board=jnp.stack([value.astype(jnp.float32) for value in whole], axis=-1),
    )
