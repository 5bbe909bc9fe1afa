"""What the exact search rests on: chains set aside, mirror images, its table, its threads."""

import functools
from collections.abc import Iterable

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from azdab.exact import mirror, position_table, solver, standing
from azdab.exact.bitboard import Word, edge_bits, geometry, words
from azdab.game import symmetry
from azdab.game.board import Board
from tests import common

Parts = tuple[tuple[int, bool], ...]
"""Chains and loops that stand alone: boxes, and whether it is a loop; in ascending order."""

chains = st.integers(1, 9).map(lambda length: (length, False))
loops = st.sampled_from([4, 6, 8, 10, 12]).map(lambda length: (length, True))


@functools.cache
def value_of(parts: Parts) -> int:
    """What a position of chains and loops is worth to the mover, who may open any of them."""
    best = -100 if parts else 0
    for part in set(parts):
        (length, is_loop), rest = part, list(parts)
        rest.remove(part)
        x = value_of(tuple(rest))
        leave = 4 if is_loop else 2 if length > 2 else 0
        best = max(best, -(length - leave + abs(x + leave)) if leave else -length - x)
    return best


def set_aside(parts: Iterable[tuple[int, bool]]) -> int:
    """The word that counts them."""
    alone = Word(0)
    for length, is_loop in parts:
        add = standing.with_loop if is_loop else standing.with_chain
        alone = Word(add(alone, length))
    return int(alone)


@functools.cache
def value_of_word(alone: int) -> int:
    best = -100 if alone else 0
    for kind in range(3):
        taken, leave, rest = standing.open_alone(Word(alone), kind)
        if taken:
            x = value_of_word(int(rest))
            best = max(best, -(taken - leave + abs(x + leave)) if leave else -taken - x)
    return best


@hypothesis.settings(max_examples=500)
@hypothesis.given(st.lists(st.one_of(chains, loops), max_size=7))
def test_chains_and_loops_that_are_merged_keep_their_value(parts: list[tuple[int, bool]]) -> None:
    alone = set_aside(parts)
    assert value_of_word(alone) == value_of(tuple(sorted(parts)))
    boxes = int(standing.boxes_alone(Word(alone)))
    total = sum(length for length, _ in parts)
    assert boxes <= total
    assert (total - boxes) % 2 == 0


def test_the_word_holds_all_that_the_largest_boards_have() -> None:
    for length, is_loop in [(1, False), (3, False), (4, False), (4, True), (6, True), (8, True)]:
        alone = set_aside([(length, is_loop)] * (49 // length))
        assert alone < 1 << standing.ALONE_BITS
        assert value_of_word(alone) == value_of(((length, is_loop),) * (49 // length))
    assert int(standing.boxes_alone(Word(set_aside([(3, False)] * 16)))) == 48


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (3, 2), (3, 3), (5, 5), (4, 7), (7, 7)])
def test_all_images_of_a_position_have_the_same_first_one(size: tuple[int, int]) -> None:
    board, rng = Board(*size), np.random.default_rng(0)
    bits, g = edge_bits(board), geometry(board)

    def first(edges: np.ndarray) -> tuple[int, int]:
        h, v = words(bits, edges)
        h, v, _ = standing.set_apart(h, v, Word(0), Word(0), g)
        image = mirror.first_image(Word(h), Word(v), g)
        assert mirror.first_image(Word(image[0]), Word(image[1]), g) == image
        return int(image[0]), int(image[1])

    seen = set()
    for _ in range(20):
        edges = rng.random(board.num_edges) < 0.5
        images = {first(edges[image]) for image in symmetry.edge_permutations(board)}
        if board.rows > 1 and board.cols > 1:  # otherwise corners share their edges
            assert len(images) == 1
        seen |= images
    assert len(seen) > 2 or board.num_edges < 8


def test_the_table_keeps_what_took_more_work() -> None:
    table = position_table.new_table(1)
    assert table.ctypes.data % 64 == 0
    entries = [(Word(i), Word(i + 1), Word(i + 2)) for i in range(3)]

    def known(i: int) -> tuple[int, int, int]:
        low, high, move = position_table.look_up(0, *entries[i], table)
        return int(low), int(high), int(move)

    assert position_table.slot(*entries[0], table) == 0
    assert known(0) == (-128, 127, 255)
    position_table.store(0, *entries[0], -3, 5, 200, 1000, table)
    position_table.store(0, *entries[1], -2, 4, 7, 10, table)
    assert (known(0), known(1)) == ((-3, 5, 200), (-2, 4, 7))
    position_table.store(0, *entries[2], 1, 1, 8, 10, table)
    assert (known(0), known(1), known(2)) == ((-3, 5, 200), (-128, 127, 255), (1, 1, 8))
    position_table.store(0, *entries[1], 0, 0, 9, 2000, table)
    assert (known(0), known(1), known(2)) == ((-3, 5, 200), (0, 0, 9), (-128, 127, 255))
    position_table.store(0, *entries[0], -1, 5, 201, 1, table)
    assert known(0) == (-1, 5, 201)


def test_an_entry_of_two_writers_is_unknown() -> None:
    table = position_table.new_table(1)
    here = Word(5), Word(6), Word(0)
    position_table.store(0, *here, -3, 5, 9, 1, table)
    facts = table[0, 2]
    position_table.store(0, *here, 5, 5, 9, 1, table)
    assert position_table.look_up(0, *here, table) == (5, 5, 9)
    table[0, 2] = facts
    assert position_table.look_up(0, *here, table) == (-128, 127, 255)


@functools.cache
def several(board: Board) -> solver.Solver:
    return solver.Solver(board, table_bits=12, threads=3)


@hypothesis.given(st.sampled_from([Board(2, 2), Board(2, 3), Board(1, 4)]), common.seeds)
def test_threads_find_what_one_finds(board: Board, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.random(board.num_edges) < rng.random()
    edges[rng.integers(board.num_edges)] = False
    values = common.move_values(board, edges)
    found = several(board).action_values(edges)
    np.testing.assert_array_equal(found, values)
    assert several(board).value(edges) == values.max()
    order = rng.permutation(np.flatnonzero(~edges))
    first = next(edge for edge in order if values[edge] == values.max())
    assert several(board).best_action(edges, order) == (first, values.max())
    proven = several(board).proven_action(edges)
    assert proven is not None
    assert values[proven[0]] == values.max() == proven[1]


@hypothesis.given(st.sampled_from([Board(2, 2), Board(2, 3), Board(3, 1)]), common.seeds)
def test_a_proven_action_is_optimal(board: Board, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.random(board.num_edges) < rng.random()
    edges[rng.integers(board.num_edges)] = False
    values = common.move_values(board, edges)
    found = solver.Solver(board, table_bits=8).proven_action(edges)
    assert found is not None
    assert values[found[0]] == values.max() == found[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_limit_bounds_the_positions_of_all_threads(threads: int) -> None:
    board = Board(3, 3)
    engine = solver.Solver(board, table_bits=14, threads=threads)
    empty = np.zeros(board.num_edges, bool)
    for search in (engine.value, engine.proven_action, engine.action_values):
        assert search(empty, limit=500) is None
        assert engine.nodes <= 500
    assert engine.value(empty) == -3


def test_one_thread_does_the_same_every_time() -> None:
    board = Board(3, 3)
    edges = np.zeros(board.num_edges, bool)
    edges[[3, 11]] = True
    engines = [solver.Solver(board, table_bits=14) for _ in range(2)]
    found = [(engine.value(edges), engine.nodes) for engine in engines]
    assert found[0] == found[1]
    again = [(engine.proven_action(edges), engine.nodes) for engine in engines]
    assert again[0] == again[1]
