"""The symmetries of a board as permutations of its edges and boxes.

A transformed array is a gather: ``new = old[permutation]``. The same edge
permutation serves drawn edges, policies and legal masks.

    >>> len(edge_permutations(Board(2, 2))), len(edge_permutations(Board(2, 3)))
    (8, 4)
"""

import functools

import numpy as np

from azdab.game.board import Board


def _transforms(board: Board, values: np.ndarray) -> list[np.ndarray]:
    """All images of a ``[n, m]`` lattice that keep its shape, identity first."""
    turns = range(4) if board.rows == board.cols else (0, 2)
    return [flip(np.rot90(values, turn)) for flip in (np.array, np.fliplr) for turn in turns]


def _lattice(board: Board) -> np.ndarray:
    """Dots, edges and boxes as drawn: edge ids, ``-1 - box`` in boxes, ``-1 - boxes`` on dots."""
    lattice = np.full((2 * board.rows + 1, 2 * board.cols + 1), -1 - board.num_boxes)
    edges = np.arange(board.num_edges)
    lattice[0::2, 1::2] = edges[: board.num_horizontal].reshape(board.rows + 1, board.cols)
    lattice[1::2, 0::2] = edges[board.num_horizontal :].reshape(board.rows, board.cols + 1)
    lattice[1::2, 1::2] = -1 - np.arange(board.num_boxes).reshape(board.rows, board.cols)
    return lattice


@functools.cache
def edge_permutations(board: Board) -> np.ndarray:
    """``int32[S, E]``: ``S`` symmetries (8 on squares, 4 on rectangles), identity first."""
    images = _transforms(board, _lattice(board))
    return np.stack([np.r_[x[0::2, 1::2].ravel(), x[1::2, 0::2].ravel()] for x in images]).astype(
        np.int32
    )


@functools.cache
def box_permutations(board: Board) -> np.ndarray:
    """``int32[S, num_boxes]`` in the same order as :func:`edge_permutations`."""
    images = _transforms(board, _lattice(board))
    return np.stack([-1 - x[1::2, 1::2].ravel() for x in images]).astype(np.int32)
