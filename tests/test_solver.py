"""The exact solver against published facts, a brute force and a closed formula."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.common.limits import MAX_OPEN_EDGES
from azdab.exact import dense_table
from azdab.game.board import Board
from tests import common

# Board: the first player's margin, and the sum of V over all 2^E sets of drawn edges.
FACTS = {
    Board(1, 1): (-1, 1),
    Board(1, 2): (0, 68),
    Board(1, 3): (-1, 890),
    Board(1, 4): (0, 10140),
    Board(1, 5): (-1, 103790),
    Board(2, 2): (2, 5702),
    Board(2, 3): (-2, 291932),
    Board(2, 4): (2, 13053070),
    Board(3, 3): (-3, 62132964),
}

# The first player's margin after each kind of first move; h is (row, col) of a horizontal edge.
FIRST_MOVES = [
    (Board(2, 2), {"h00": 2, "h10": 0, "v00": 2, "v01": 0}),
    (Board(2, 4), {"h00": 2, "h01": 2, "h10": 2, "h11": 0, "v00": 2, "v01": 2, "v02": 0}),
]
FIRST_MOVES_ALIKE = {Board(2, 3): -2, Board(3, 3): -3}

# Their tables take seconds.
LARGE = [Board(2, 4), Board(3, 3)]


def sized(board: Board, *rest: Any) -> Any:
    """A case of a test, slow if the board is large."""
    marks = [pytest.mark.slow] if board in LARGE else []
    return pytest.param(board, *rest, marks=marks, id=str(board))


action_values = jax.jit(dense_table.action_values)
brute_boards = st.sampled_from([Board(1, 3), Board(2, 2), Board(3, 3), Board(4, 4), Board(2, 4)])


@functools.cache
def solve_batch(board: Board, num_open: int, low_bits: int) -> Any:
    def solve(edges: jax.Array) -> tuple[dense_table.Endgame, jax.Array]:
        position = jax.vmap(lambda e: dense_table.endgame(board, e, num_open))(edges)
        return position, dense_table.solve_table(position.box_masks, low_bits)

    return jax.jit(solve)


def with_open_edges(board: Board, seed: int, count: int, num_open: int) -> np.ndarray:
    """Any edge sets, not only those on the way of sensible games."""
    order = common.random_games(board, seed, count)
    edges = np.zeros(order.shape, bool)
    np.put_along_axis(edges, order[:, : board.num_edges - num_open], True, axis=1)
    return edges


@pytest.mark.parametrize("board", [sized(board) for board in FACTS])
def test_solved_boards_have_the_known_values(board: Board) -> None:
    table = np.asarray(common.solved(board).table)
    assert table.shape == (2**board.num_edges,)
    assert (int(table[0]), int(table.sum(dtype=np.int64))) == FACTS[board]
    if board not in LARGE:
        np.testing.assert_array_equal(table, common.values_of_board(board))


@pytest.mark.parametrize(("board", "known"), [sized(*case) for case in FIRST_MOVES])
def test_first_moves_have_the_known_values(board: Board, known: dict[str, int]) -> None:
    empty = np.zeros(board.num_edges, bool)
    values = np.asarray(common.exact_values(common.solved(board), empty))
    helpers = {"h": board.horizontal, "v": board.vertical}
    found = {name: int(values[helpers[name[0]](int(name[1]), int(name[2]))]) for name in known}
    assert found == known


@pytest.mark.parametrize("board", [sized(board) for board in FIRST_MOVES_ALIKE])
def test_all_first_moves_are_alike_where_they_are_known_to_be(board: Board) -> None:
    value, values = dense_table.solve(board, np.zeros(board.num_edges, bool))
    assert value == FIRST_MOVES_ALIKE[board]
    assert (values == value).all()


@pytest.mark.slow
@settings(max_examples=12)
@given(brute_boards, common.seeds)
def test_every_descendant_has_its_minimax_value(board: Board, seed: int) -> None:
    num_open = min(9, board.num_edges)
    edges = with_open_edges(board, seed, 4, num_open)
    position, table = solve_batch(board, num_open, 0)(edges)
    for index in range(len(edges)):
        minimax = common.Minimax(board)
        drawn = frozenset(common.indices(edges[index]))
        order = common.indices(~edges[index])
        assert position.open_edges[index].tolist() == order
        for subset in range(2**num_open):
            extra = {edge for bit, edge in enumerate(order) if subset >> bit & 1}
            assert table[subset, index] == minimax.value(drawn | extra)


@settings(max_examples=20)
@given(brute_boards, common.seeds, st.sampled_from([1, 6, 8]))
def test_solve_gives_the_minimax_value_of_the_position_and_of_every_move(
    board: Board, seed: int, num_open: int
) -> None:
    edges = with_open_edges(board, seed, 1, num_open)[0]
    value, values = dense_table.solve(board, edges)
    minimax, drawn = common.Minimax(board), frozenset(common.indices(edges))
    assert value == minimax.value(drawn)
    assert values.tolist() == minimax.move_values(drawn)
    assert values.max() == value


def test_a_finished_board_is_worth_nothing() -> None:
    value, values = dense_table.solve(Board(2, 2), np.ones(12, bool))
    assert value == 0
    assert (values == -128).all()


@settings(max_examples=10)
@given(common.seeds)
def test_low_bits_do_not_change_the_answer(seed: int) -> None:
    board, num_open = Board(3, 3), 5
    edges = with_open_edges(board, seed, 3, num_open)
    plain = solve_batch(board, num_open, 0)(edges)[1]
    for low_bits in (1, 3, 5, 7):
        np.testing.assert_array_equal(solve_batch(board, num_open, low_bits)(edges)[1], plain)


@settings(max_examples=10)
@given(common.seeds)
def test_solving_in_a_batch_equals_solving_one_by_one(seed: int) -> None:
    board, num_open = Board(3, 3), 5
    edges = with_open_edges(board, seed, 3, num_open)
    together = solve_batch(board, num_open, 0)(edges)[1]
    for index in range(len(edges)):
        alone = solve_batch(board, num_open, 0)(edges[index : index + 1])[1]
        np.testing.assert_array_equal(together[:, index], alone[:, 0])


@settings(max_examples=10)
@given(common.seeds)
def test_move_values_of_descendants_equal_those_of_solving_them_anew(seed: int) -> None:
    board, num_open = Board(3, 3), 8
    edges = with_open_edges(board, seed, 1, num_open)
    position, table = solve_batch(board, num_open, 0)(edges)
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(num_open)[:2]
    subset = np.int32(sum(1 << int(bit) for bit in drawn))
    values = action_values(position.box_masks[0], table[:, 0], subset)
    later = edges[0].copy()
    later[np.asarray(position.open_edges[0])[drawn]] = True
    _, anew = dense_table.solve(board, later)
    np.testing.assert_array_equal(values, anew[np.asarray(position.open_edges[0])])
    assert (np.asarray(values)[drawn] == -128).all()


@pytest.mark.slow
@settings(max_examples=30)
@given(common.seeds)
def test_values_obey_the_recursion_all_over_the_2x4_board(seed: int) -> None:
    # Too many positions for the brute force: check each against its own successors.
    board = Board(2, 4)
    table = np.asarray(common.solved(board).table)
    boxes = common.surroundings(board)
    subset = int(np.random.default_rng(seed).integers(2**board.num_edges - 1))
    drawn = {e for e in range(board.num_edges) if subset >> e & 1}
    moves = []
    for edge in set(range(board.num_edges)) - drawn:
        closed = sum(edge in box and box <= drawn | {edge} for box in boxes)
        after = int(table[subset | 1 << edge])
        moves.append(closed + after if closed else -after)
    assert table[subset] == max(moves)


def test_too_many_open_edges_are_refused_with_the_limit() -> None:
    board = Board(4, 4)
    assert board.num_edges > MAX_OPEN_EDGES == 28
    with pytest.raises(ValueError, match="40 edges are open; the solver takes at most 28"):
        dense_table.solve(board, np.zeros(board.num_edges, bool))
    edges = np.arange(board.num_edges) >= MAX_OPEN_EDGES + 1
    with pytest.raises(ValueError, match="29 edges are open"):
        dense_table.solve(board, edges)


def chains_and_loops(cols: int, chains: list[int], loops: list[int]) -> tuple[Board, np.ndarray]:
    """Independent chains and loops of given lengths, one below the other, all else drawn.

    A chain fills a row, or starts at the left border and leaves through the top or
    the bottom border of the board, in its first or last row. A loop of 2n boxes is
    the ring of a 2 x n block.
    """
    full = [length for length in chains if length == cols]
    short = [length for length in chains if length != cols]
    assert len(short) <= 2
    board = Board(len(chains) + 2 * len(loops), cols)
    edges = np.ones(board.num_edges, bool)
    top = 0
    for row, length in zip((0, board.rows - 1), short, strict=False):
        edges[[board.vertical(row, col) for col in range(length)]] = False
        edges[board.horizontal(0 if row == 0 else board.rows, length - 1)] = False
        top = 1
    for row in range(top, top + len(full)):
        edges[[board.vertical(row, col) for col in range(cols + 1)]] = False
    top += len(full)
    for length in loops:
        width = length // 2
        for row in (top, top + 1):
            edges[[board.vertical(row, col) for col in range(1, width)]] = False
        edges[[board.horizontal(top + 1, col) for col in (0, width - 1)]] = False
        top += 2
    return board, edges


# Columns, chains and loops.
LOONY: list[tuple[int, list[int], list[int]]] = [
    (3, [3], []),
    (3, [3, 3], []),
    (4, [4], []),
    (4, [4, 3], []),
    (4, [4, 3, 3], []),
    (5, [5, 5], []),
    (6, [6, 3, 4], []),
    (3, [], [4]),
    (3, [], [6]),
    (5, [5, 4], [6]),
    (5, [3], [8]),
]
# With 14, 15 and 18 open edges, as no other test here: to compile for those takes longest.
LOONY_SLOW: list[tuple[int, list[int], list[int]]] = [
    (5, [5], [8]),
    (5, [5, 4, 3], []),
    (5, [], [10, 8]),
    (5, [3, 3], [10]),
]


@pytest.mark.parametrize(
    ("cols", "chains", "loops"),
    [*LOONY, *(pytest.param(*case, marks=pytest.mark.slow) for case in LOONY_SLOW)],
)
def test_simple_loony_endgames_have_the_value_of_the_closed_formula(
    cols: int, chains: list[int], loops: list[int]
) -> None:
    # Buzzard and Ciere, "Playing simple loony Dots and Boxes endgames optimally" (2014).
    if loops and not chains:
        terminal_bonus = 8
    elif loops and all(length == 3 for length in chains):
        terminal_bonus = 6
    else:
        terminal_bonus = 4
    controlled = sum(n - 4 for n in chains) + sum(n - 8 for n in loops) + terminal_bonus
    assert controlled >= 2, "the formula does not apply"
    board, edges = chains_and_loops(cols, chains, loops)
    degrees = [sum(edges[list(box)]) for box in common.surroundings(board)]
    assert degrees.count(2) == sum(chains) + sum(loops)
    assert degrees.count(4) == board.num_boxes - degrees.count(2)
    value, _ = dense_table.solve(board, edges)
    assert value == -controlled
