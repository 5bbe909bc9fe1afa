"""What lies beside what, for arrays of drawn edges: numpy's and JAX's alike.

Every function takes ``bool[..., E]`` with any leading axes and answers with the library that
its argument came from. None of it depends on which lines were drawn at the start.
"""

import functools
from typing import Any, TypeVar

import chex
import numpy as np
from jaxtyping import Array, Bool, Int

from azdab.game.board import Board, boxes_beside

Edges = TypeVar("Edges", Array, np.ndarray)
"""An array of either library."""


def edge_grids(board: Board, values: Edges) -> tuple[Edges, Edges]:
    """Split per-edge values ``[..., E]`` into horizontal and vertical grids.

    Returns:
      ``[..., rows + 1, cols]`` and ``[..., rows, cols + 1]``.
    """
    chex.assert_axis_dimension(values, -1, board.num_edges)
    lead = values.shape[:-1]
    horizontal = values[..., : board.num_horizontal].reshape(*lead, board.rows + 1, board.cols)
    vertical = values[..., board.num_horizontal :].reshape(*lead, board.rows, board.cols + 1)
    return horizontal, vertical


def box_degrees(board: Board, edges: Edges) -> Edges:
    """How many of each box's four edges are drawn, ``int8[..., rows, cols]``."""
    h, v = (grid.astype(np.int8) for grid in edge_grids(board, edges))
    return h[..., :-1, :] + h[..., 1:, :] + v[..., :, :-1] + v[..., :, 1:]


def edges_around(board: Board, boxes: Edges) -> Edges:
    """The edges beside any of the marked boxes, ``bool[..., E]`` from ``bool[..., rows, cols]``."""
    chex.assert_axis_dimension(boxes, -2, board.rows)
    chex.assert_axis_dimension(boxes, -1, board.cols)
    xp: Any = boxes.__array_namespace__()
    lead = boxes.shape[:-2]
    still: list[tuple[int, int]] = [(0, 0)] * len(lead)
    tall = xp.pad(boxes, [*still, (1, 1), (0, 0)])
    wide = xp.pad(boxes, [*still, (0, 0), (1, 1)])
    horizontal = tall[..., :-1, :] | tall[..., 1:, :]
    vertical = wide[..., :, :-1] | wide[..., :, 1:]
    both: Edges = xp.concat([horizontal.reshape(*lead, -1), vertical.reshape(*lead, -1)], axis=-1)
    return both


def safe_edges(board: Board, edges: Edges) -> Edges:
    """The open edges beside no box with two or more drawn edges, ``bool[..., E]``.

    Where nothing can be closed now, nothing can be closed after drawing one of them.
    """
    return ~(edges | edges_around(board, box_degrees(board, edges) >= 2))


def closing_edges(board: Board, edges: Edges) -> Edges:
    """The open edges that close a box, ``bool[..., E]``."""
    return edges_around(board, box_degrees(board, edges) == 3) & ~edges


def closed_boxes(board: Board, edges: Edges) -> Edges:
    """How many boxes are closed, ``int32[...]``."""
    closed: Edges = (box_degrees(board, edges) == 4).sum(axis=(-1, -2), dtype=np.int32)
    return closed


@functools.cache
def edge_boxes(board: Board) -> Int[np.ndarray, "E 2"]:
    """The boxes beside each edge, ``int32[E, 2]``; ``num_boxes`` where there is only one."""
    return np.array([[*boxes, board.num_boxes][:2] for boxes in boxes_beside(board)], np.int32)


@functools.cache
def box_pairs(board: Board) -> Int[np.ndarray, "3 P"]:
    """Ordered pairs of boxes side by side, and the edge between them: ``int32[3, P]``."""
    pairs = [
        (first, second, edge)
        for edge, beside in enumerate(boxes_beside(board))
        if len(beside) == 2
        for first, second in (beside, beside[::-1])
    ]
    return np.array(sorted(pairs), np.int32).reshape(-1, 3).T


def drawn_mask(board: Board, open_edges: Any) -> Bool[np.ndarray, "E"]:
    """The drawn edges, ``bool[E]``, where exactly the edges with these numbers are open."""
    drawn = np.ones(board.num_edges, bool)
    drawn[list(open_edges)] = False
    return drawn
