"""The network's inputs against a plain reading of their definition."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.game.board import Board
from azdab.network import features
from azdab.network.features import Features
from tests import common

boards = st.sampled_from([Board(1, 1), Board(1, 4), Board(2, 2), Board(3, 2), Board(3, 4)])


@functools.cache
def compiled(board: Board, kind: Any) -> Any:
    return jax.jit(functools.partial(features.network_features, board, kind))


def draw(board: Board, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    edges = rng.random((count, board.num_edges)) < rng.uniform(0.2, 0.9, (count, 1))
    return edges, rng.integers(-board.num_boxes, board.num_boxes + 1, count)


def follow(board: Board, edges: list[bool], start: int) -> set[int]:
    """The boxes of the chain through ``start``, found by walking."""
    around = board.box_edges().tolist()
    sides = [sum(edges[edge] for edge in box) for box in around]
    found, ahead = set(), [start]
    while ahead:
        box = ahead.pop()
        if box in found or sides[box] not in (2, 3):
            continue
        found.add(box)
        for edge in around[box]:
            if not edges[edge]:
                ahead += [other for other, its in enumerate(around) if edge in its and other != box]
    return found


def slow_box(board: Board, edges: list[bool], box: int) -> list[float]:
    """The twelve planes of a box's chain."""
    around = board.box_edges().tolist()
    sides = [sum(edges[edge] for edge in its) for its in around]
    chain = follow(board, edges, box)
    if not chain:
        return [0.0] * 12
    exits, junctions = 0, 0
    for member in chain:
        for edge in around[member]:
            if not edges[edge]:
                beyond = [i for i, its in enumerate(around) if edge in its and i != member]
                exits += not beyond or beyond[0] not in chain
                junctions += bool(beyond) and sides[beyond[0]] <= 1
    ready = any(sides[member] == 3 for member in chain)
    lengths = [float(min(len(chain), 6) == n) for n in range(1, 7)]
    ends = [float(min(junctions, 2) == n) for n in range(3)]
    return [*lengths, len(chain) / board.num_boxes, float(not exits and not ready), ready, *ends]


def slow_cells(board: Board, edges: list[bool]) -> np.ndarray:
    planes = np.zeros((board.rows + 1, board.cols + 1, 21), np.float32)
    for row in range(board.rows + 1):
        for col in range(board.cols + 1):
            cell = planes[row, col]
            if col < board.cols:
                cell[1 if edges[board.horizontal(row, col)] else 0] = 1
            if row < board.rows:
                cell[3 if edges[board.vertical(row, col)] else 2] = 1
            if row < board.rows and col < board.cols:
                box = row * board.cols + col
                cell[4 + sum(edges[edge] for edge in board.box_edges()[box])] = 1
                cell[9:] = slow_box(board, edges, box)
    return planes


def slow_board(board: Board, edges: list[bool], margin: int) -> list[float]:
    around = board.box_edges().tolist()
    sides = [sum(edges[edge] for edge in its) for its in around]
    safe = sum(
        not drawn and all(sides[box] <= 1 for box, its in enumerate(around) if edge in its)
        for edge, drawn in enumerate(edges)
    )
    found = {frozenset(follow(board, edges, box)) for box in range(board.num_boxes)} - {frozenset()}
    loops = {chain for chain in found if slow_box(board, edges, min(chain))[7]}
    long = sum(len(chain) >= 3 for chain in found - loops)
    counts = [edges.count(False), sum(n < 4 for n in sides), safe, long, len(loops)]
    parities = [-1.0 if count % 2 else 1.0 for count in counts]
    return [margin / board.num_boxes, *parities, *(count / board.num_boxes for count in counts)]


@given(boards, common.seeds)
def test_the_inputs_are_what_their_documentation_says(board: Board, seed: int) -> None:
    edges, margin = draw(board, seed, 4)
    found: Features = jax.tree.map(np.asarray, compiled(board, "chains")(edges, margin))
    assert found.cells.dtype == found.board.dtype == jnp.float32
    for index in range(4):
        position, lead = edges[index].tolist(), int(margin[index])
        np.testing.assert_allclose(found.cells[index], slow_cells(board, position), rtol=1e-6)
        np.testing.assert_allclose(found.board[index], slow_board(board, position, lead), rtol=1e-6)


@given(boards, common.seeds)
def test_without_chains_only_what_is_drawn_remains(board: Board, seed: int) -> None:
    edges, margin = draw(board, seed, 4)
    kinds = "edges", "chains"
    less, more = (jax.tree.map(np.asarray, compiled(board, x)(edges, margin)) for x in kinds)
    np.testing.assert_array_equal(less.cells, more.cells[..., :9])
    np.testing.assert_array_equal(less.board, more.board[..., :1])


def test_a_loop_is_a_loop_until_it_is_opened() -> None:
    board = Board(2, 2)
    edges = np.zeros((2, board.num_edges), bool)
    edges[:, [board.horizontal(r, c) for r in (0, 2) for c in (0, 1)]] = True
    edges[:, [board.vertical(r, c) for r in (0, 1) for c in (0, 2)]] = True
    edges[1, board.vertical(0, 1)] = True
    found = jax.jit(functools.partial(features.chain_features, board))(edges)
    assert found.length.tolist() == [[4] * 4] * 2
    assert found.is_loop.tolist() == [[True] * 4, [False] * 4]
    assert found.ready.tolist() == [[0] * 4, [2] * 4]


@pytest.mark.parametrize("kind", ["edges", "chains"])
def test_any_leading_axes_will_do(kind: Any) -> None:
    board = Board(2, 2)
    edges, margin = draw(board, 0, 4)
    flat = compiled(board, kind)(edges, margin)
    shaped = compiled(board, kind)(edges.reshape(2, 2, -1), margin.reshape(2, 2))
    for a, b in zip(flat, shaped, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b).reshape(a.shape))
        assert b.shape[:2] == (2, 2)
