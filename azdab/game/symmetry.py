"""The symmetries of a board as permutations of its edges and boxes.

A transformed array is a gather: ``new = old[permutation]``. The same edge
permutation serves drawn edges, policies and legal masks.

    >>> len(edge_permutations(Board(2, 2))), len(edge_permutations(Board(2, 3)))
    (8, 4)
"""

import functools

import numpy as np
from jaxtyping import Int

from azdab.game.board import Board, edges_of_image, lattice_images


@functools.cache
def edge_permutations(board: Board) -> Int[np.ndarray, "S E"]:
    """``int32[S, E]``: ``S = board.num_symmetries`` symmetries, identity first."""
    return np.stack([edges_of_image(image) for image in lattice_images(board)]).astype(np.int32)


@functools.cache
def box_permutations(board: Board) -> Int[np.ndarray, "S boxes"]:
    """``int32[S, num_boxes]`` in the same order as :func:`edge_permutations`."""
    return np.stack([-1 - x[1::2, 1::2].ravel() for x in lattice_images(board)]).astype(np.int32)
