"""The exact engine against retrograde analysis, against theory and against published values."""

import functools
import os
import time
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from azdab.exact import bitboard, chain_search, solver
from azdab.game.board import Board
from tests import common

SMALL = [(1, 1), (1, 3), (3, 1), (1, 5), (2, 2), (2, 3), (3, 2)]
LARGER = [(2, 4), (4, 2), (3, 3)]


@functools.cache
def engine(board: Board) -> solver.Solver:
    return solver.Solver(board, table_bits=18)


def random_edges(board: Board, rng: np.random.Generator) -> np.ndarray:
    return rng.random(board.num_edges) < rng.random()


def value(board: Board, edges: np.ndarray) -> int:
    found = engine(board).value(edges)
    assert found is not None
    return found


def test_what_was_compiled_of_earlier_code_is_removed(tmp_path: Path) -> None:
    for name, age in (("numba-old", 40), ("numba-new", 2), ("numba-kept", 40), ("xla", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.nbc").touch()
        then = time.time() - age * 86400
        os.utime(tmp_path / name, (then, then))
    bitboard._remove_old(tmp_path / "numba-kept")
    assert {path.name for path in tmp_path.iterdir()} == {"numba-new", "numba-kept", "xla"}


@pytest.mark.parametrize(
    "size",
    [*SMALL, *(pytest.param(size, marks=pytest.mark.slow) for size in LARGER)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_values_are_those_of_the_table(size: tuple[int, int]) -> None:
    board = Board(*size)
    rng = np.random.default_rng(0)
    if board.num_edges <= 12:
        positions = np.arange(2**board.num_edges)[:, None] >> np.arange(board.num_edges) & 1 > 0
    else:
        count = 6_000 if size in SMALL else 20_000
        positions = rng.random((count, board.num_edges)) < rng.random((count, 1))
    subsets, first = np.unique(positions @ (1 << np.arange(board.num_edges)), return_index=True)
    table = common.values_of_board(board) if size in SMALL else common.solved(board).table
    found = [engine(board).value(edges) for edges in positions[first]]
    np.testing.assert_array_equal(found, np.asarray(table)[subsets])


@hypothesis.given(
    st.sampled_from([Board(2, 2), Board(2, 3), Board(1, 4), Board(3, 1)]), common.seeds
)
def test_action_values_are_those_of_the_table(board: Board, seed: int) -> None:
    edges = random_edges(board, np.random.default_rng(seed))
    found = engine(board).action_values(edges)
    assert found is not None
    np.testing.assert_array_equal(found, common.move_values(board, edges))
    assert found.dtype == np.int8


@hypothesis.given(
    st.sampled_from([Board(2, 2), Board(2, 3), Board(1, 4), Board(3, 1)]), common.seeds
)
def test_the_best_action_is_the_first_optimal_one(board: Board, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = random_edges(board, rng)
    edges[rng.integers(board.num_edges)] = False
    values = common.move_values(board, edges)
    order = rng.permutation(np.flatnonzero(~edges))
    first = next(edge for edge in order if values[edge] == values.max())
    assert engine(board).best_action(edges, order) == (first, values.max())


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (3, 6), (7, 7), (1, 9)])
def test_values_on_boards_beyond_the_table(size: tuple[int, int]) -> None:
    board, num_open = Board(*size), 13
    rng = np.random.default_rng(1)
    for _ in range(60):
        edges = np.ones(board.num_edges, bool)
        if rng.random() < 0.5:
            edges[rng.choice(board.num_edges, num_open, replace=False)] = False
        else:  # a patch of the board, where boxes meet
            row, col = rng.integers(board.rows), rng.integers(board.cols)
            places = [np.abs(np.array(box) - (row, col)).sum() for box in np.ndindex(size)]
            near = board.box_edges()[np.argsort(places, kind="stable")].ravel()
            edges[list(dict.fromkeys(near.tolist()))[:num_open]] = False
        assert value(board, edges) == common.values_of_subsets(board, edges)[1][0]


def safe_play(board: Board, num_open: int, rng: np.random.Generator) -> np.ndarray:
    """Random safe edges until none is left, then any, as long as more than so many are open."""
    box_edges, edges = board.box_edges(), np.zeros(board.num_edges, bool)
    for only_safe in (True, False):
        for edge in rng.permutation(board.num_edges):
            if (~edges).sum() == num_open:
                return edges
            touched = (box_edges == edge).any(axis=1)
            if not only_safe or (edges[box_edges[touched]].sum(axis=1) < 2).all():
                edges[edge] = True
    return edges


@pytest.mark.parametrize("size", [(3, 5), (4, 4), (5, 5)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_values_in_endgames_of_safe_play(size: tuple[int, int]) -> None:
    board, num_open = Board(*size), 17
    rng = np.random.default_rng(4)
    for _ in range(8):
        root = safe_play(board, num_open, rng)
        open_edges, table = common.values_of_subsets(board, root)
        subsets = np.unique(rng.integers(0, len(table), 500))
        subsets[0] = 0
        positions = np.repeat(root[None], len(subsets), axis=0)
        positions[:, open_edges] = subsets[:, None] >> np.arange(num_open) & 1
        found = [engine(board).value(edges) for edges in positions]
        np.testing.assert_array_equal(found, table[subsets])


def test_a_long_chain_may_have_to_be_opened_before_a_short_one() -> None:
    """A lone chain of four costs less here than one of two, which keeps its tempo for later."""
    board = Board(4, 4)
    edges = np.ones(board.num_edges, bool)
    edges[[1, 2, 5, 7, 9, 10, 11, 12, 13, 15, 16, 17, 18, 23, 28, 29, 30, 33, 34, 38]] = False
    found = engine(board).action_values(edges)
    known = common.values_of_subsets(board, edges)
    np.testing.assert_array_equal(found, common.move_values(board, edges, known))
    assert value(board, edges) == -2


@pytest.mark.parametrize(
    ("size", "first_moves"),
    # Values of the first moves up to symmetry, by exhaustive retrograde analysis elsewhere.
    [((2, 2), {2, 0}), ((2, 3), {-2}), ((2, 4), {2, 0}), ((3, 3), {-3})],
)
def test_first_moves_have_their_known_values(size: tuple[int, int], first_moves: set[int]) -> None:
    board = Board(*size)
    values = engine(board).action_values(np.zeros(board.num_edges, bool))
    assert values is not None
    assert set(values.tolist()) == first_moves
    assert value(board, np.zeros(board.num_edges, bool)) == max(first_moves)


def components(board: Board, edges: np.ndarray) -> list[tuple[int, bool]] | None:
    """Chains and loops as (boxes, whether a loop); None if some box has three open edges."""
    boxes = [[edge for edge in box if not edges[edge]] for box in board.box_edges().tolist()]
    if any(len(box) not in (0, 2) for box in boxes):
        return None
    found, left = [], {i for i, box in enumerate(boxes) if box}
    while left:
        group, frontier = set(), {min(left)}
        while frontier:
            group |= frontier
            touched = {edge for box in frontier for edge in boxes[box]}
            frontier = {i for i in left - group if touched & set(boxes[i])}
        left -= group
        found.append((len(group), len({edge for i in group for edge in boxes[i]}) == len(group)))
    return found


def controlled_value(parts: list[tuple[int, bool]]) -> int:
    """Buzzard and Ciere, "Playing simple loony Dots and Boxes endgames optimally", 2013."""
    chains = [length for length, is_loop in parts if not is_loop]
    loops = [length for length, is_loop in parts if is_loop]
    if not parts:
        bonus = 0
    elif not chains:
        bonus = 8
    elif loops and set(chains) == {3}:
        bonus = 6
    else:
        bonus = 4
    return sum(n - 4 for n in chains) + sum(n - 8 for n in loops) + bonus


def test_simple_loony_endgames_have_their_controlled_value() -> None:
    rng = np.random.default_rng(2)
    checked = with_loops = 0
    for size in [(4, 4), (4, 5), (5, 5)] * 400:
        board = Board(*size)
        box_edges = board.box_edges()
        edges = np.zeros(board.num_edges, bool)
        for edge in rng.permutation(board.num_edges):
            touched = (box_edges == edge).any(axis=1)
            if (edges[box_edges[touched]].sum(axis=1) < 2).all():
                edges[edge] = True
        parts = components(board, edges)
        if parts is None or min(length for length, _ in parts) < 3:
            continue
        expected = controlled_value(parts)
        if expected >= 2:
            assert value(board, edges) == -expected
            checked += 1
            with_loops += any(is_loop for _, is_loop in parts)
    assert checked > 20
    assert with_loops > 2


def test_a_limit_that_is_too_low_gives_no_value_and_does_no_harm() -> None:
    board = Board(3, 3)
    fresh = solver.Solver(board, table_bits=16)
    empty = np.zeros(board.num_edges, bool)
    assert fresh.value(empty, limit=100) is None
    assert fresh.action_values(empty, limit=100) is None
    assert fresh.best_action(empty, np.arange(board.num_edges), limit=100) is None
    assert fresh.value(empty) == -3
    assert fresh.nodes > 100


def test_a_tiny_table_forgets_but_never_errs() -> None:
    board = Board(2, 3)
    forgetful, rng = solver.Solver(board, table_bits=2), np.random.default_rng(3)
    for _ in range(300):
        edges = random_edges(board, rng)
        assert forgetful.value(edges) == value(board, edges)


def test_boards_with_more_than_64_dots_are_refused() -> None:
    solver.Solver(Board(7, 7), table_bits=1)
    with pytest.raises(ValueError, match="64 dots"):
        solver.Solver(Board(7, 8), table_bits=1)


def test_the_search_is_compiled_once() -> None:
    """Numba's cache confuses several versions of a recursive function."""
    value(Board(2, 2), np.zeros(12, bool))
    engine(Board(2, 2)).action_values(np.zeros(12, bool))
    compiled = chain_search._search
    assert len(compiled.nopython_signatures) <= 1  # type: ignore[attr-defined]
