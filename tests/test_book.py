"""The opening book: equal positions are one, and what it says is true."""

import functools
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from azdab.common.errors import UserError
from azdab.engine.certainty import certain_of_book
from azdab.exact import book, bookmaking
from azdab.exact.book import Opening
from azdab.exact.proof import Prover
from azdab.exact.solver import Solver
from azdab.game import geometry
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.symmetry import edge_permutations
from tests import common

SHIPPED = sorted(Path(book.__file__).parent.glob("books/*.txt"))
boards = st.sampled_from([Board(2, 3), Board(3, 2), Board(1, 4), Board(3, 1)])


def random_edges(board: Board, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(board.num_edges) < rng.random()


@hypothesis.given(boards, common.seeds)
def test_mirror_images_have_one_form(board: Board, seed: int) -> None:
    edges = random_edges(board, seed)
    form = book.canonical_of(board, edges)
    for image in edge_permutations(board):
        assert book.canonical_of(board, edges[image]).key == form.key
    assert book.canonical_of(book.lying_board(board), form.edges).key == form.key


@hypothesis.given(common.seeds)
def test_a_board_on_its_side_has_the_same_forms(seed: int) -> None:
    lying, standing = Board(2, 3), Board(3, 2)
    edges = random_edges(lying, seed)
    turned = np.zeros(standing.num_edges, bool)
    for edge in np.flatnonzero(edges).tolist():
        kind, row, col = lying.place(edge)
        turned[(standing.vertical if kind == "h" else standing.horizontal)(col, row)] = True
    assert book.canonical_of(standing, turned).key == book.canonical_of(lying, edges).key


def test_lines_around_a_corner_are_interchangeable() -> None:
    board = Board(2, 3)
    for first, second in (("h", 0, 0), ("v", 0, 0)), (("h", 2, 2), ("v", 1, 3)):
        keys = set()
        for kind, row, col in (first, second):
            edges = np.zeros(board.num_edges, bool)
            edges[(board.horizontal if kind == "h" else board.vertical)(row, col)] = True
            keys.add(book.canonical_of(board, edges).key)
        assert len(keys) == 1
    assert len(bookmaking.different_moves(Board(4, 4), np.zeros(40, bool))) == 6


@hypothesis.given(boards, common.seeds)
def test_the_moves_of_a_form_are_moves_of_the_position_of_the_same_value(
    board: Board, seed: int
) -> None:
    edges = random_edges(board, seed)
    form = book.canonical_of(board, edges)
    here, there = (
        common.move_values(board, edges),
        common.move_values(book.lying_board(board), form.edges),
    )
    assert sorted(form.own) == list(range(board.num_edges))
    np.testing.assert_array_equal(here[form.own], there)


QUICK = 20  # positions


@functools.cache
def small_book() -> dict[str, Opening]:
    """Of 2x3, with everything in it that takes more than ``QUICK`` positions."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return bookmaking.make_book(Prover(Board(2, 3), Path(folder), 10), QUICK)


@pytest.mark.parametrize("board", [Board(2, 3), Board(3, 2)], ids=str)
def test_a_book_is_right_and_has_all_that_its_follower_can_meet(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    openings = small_book()
    assert len(openings) > 20
    monkeypatch.setattr(book, "shipped_book", lambda _: openings)
    scout = Solver(book.lying_board(board), 10)
    rng = np.random.default_rng(0)
    used = 0
    for game in range(60):
        edges, turn, follower = np.zeros(board.num_edges, bool), 0, game % 2
        while not edges.all():
            values = common.move_values(board, edges)
            found = book.known_opening(board, edges)
            if found is not None:
                assert found.value == values.max() == values[found.edge]
            if turn != follower:
                edge = int(rng.choice(np.flatnonzero(~edges)))
            elif found is not None:
                edge, used = found.edge, used + 1
            else:
                scout.forget()
                form = book.canonical_of(board, edges)
                assert scout.proven_action(form.edges, QUICK) is not None
                break  # from here on it is quick
            before = common.indices(edges)
            edges[edge] = True
            boxes = common.surroundings(board)
            if not any(box <= {*before, edge} and edge in box for box in boxes):
                turn = 1 - turn
    assert used > 60


def test_the_book_knows_the_values_of_moves_to_what_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(2, 3)
    monkeypatch.setattr(book, "shipped_book", lambda _: small_book())
    known = 0
    for first in [None, *range(board.num_edges)]:
        position = Position(board) if first is None else Position(board).play(first)
        values = common.move_values(board, position.edges)
        certain = certain_of_book(position)
        assert certain is not None
        assert certain.value == values.max() == values[certain.move]
        low, high = certain.bounds.T
        assert (low[position.legal] <= values[position.legal]).all()
        assert (values[position.legal] <= high[position.legal]).all()
        exact = low[position.legal] == high[position.legal]
        known += exact.sum()
        assert first is not None or exact.all()  # all first moves are in the book
    assert known > 2 * board.num_edges


def test_a_book_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bytes] = []  # what was searched to see whether that is quick
    honest = Solver.proven_action

    def watched(solver: Solver, edges: np.ndarray, limit: int | None = None) -> Any:
        if limit == QUICK:
            tried.append(edges.tobytes())
        return honest(solver, edges, limit)

    def stop(done: int, _: int) -> None:
        if done == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(Solver, "proven_action", watched)
    prover = Prover(Board(2, 3), tmp_path, 10)
    with pytest.raises(KeyboardInterrupt):
        bookmaking.make_book(prover, QUICK, stop)
    prover.save()
    assert len(tried) == 30
    assert bookmaking.make_book(Prover(Board(2, 3), tmp_path, 10), QUICK) == small_book()
    assert len(set(tried)) == len(tried) > 60


def test_a_book_of_few_lines_can_be_made_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(2, 3)

    def drawn(key: str) -> int:
        return int.from_bytes(bytes.fromhex(key)).bit_count()

    few = bookmaking.make_book(Prover(board, tmp_path, 10), QUICK, lines=3)
    assert few == {key: found for key, found in small_book().items() if drawn(key) <= 3}
    assert {drawn(key) for key in few} == {0, 1, 2, 3}
    monkeypatch.setattr(bookmaking, "shipped_book", lambda _: few)
    prover = Prover(board, tmp_path, 10)
    assert bookmaking.make_book(prover, QUICK) == small_book()
    assert not any(prover.known[key].nodes for key in few)  # they were known


def test_a_book_reads_as_it_was_written() -> None:
    text = book.book_text(Board(2, 3), small_book(), "a note")
    assert text.startswith(f"# 2x3, {len(small_book())} positions: a note\n")
    assert book.parse_book(text) == small_book()
    for wrong in ("00 1", "0g 1 2", "00 x 2"):
        with pytest.raises(UserError, match="line 2 is no line of a book"):
            book.parse_book(f"# 2x3\n{wrong}\n")


def test_nothing_is_known_of_a_board_without_a_book() -> None:
    board = Board(7, 7)
    assert book.known_opening(board, np.zeros(board.num_edges, bool)) is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_right(path: Path) -> None:
    rows, cols = map(int, path.stem.split("x"))
    board = Board(rows, cols)
    openings = book.shipped_book(board)
    forms = {
        key: np.unpackbits(np.frombuffer(bytes.fromhex(key), np.uint8), count=board.num_edges)
        for key in openings
    }
    for key, edges in forms.items():
        assert book.canonical_of(board, edges.astype(bool)).key == key
        assert not edges[openings[key].edge]
    # A move is worth what is left to the other player's best reply, where the book has them all.
    by_lines = sorted(forms, key=lambda key: forms[key].sum())
    explained = 0
    for key in by_lines[:40]:
        edges, (value, edge) = forms[key], openings[key]
        replies = list(bookmaking.next_turns(board, edges.astype(bool), edge))
        keys = [book.canonical_of(board, later).key for later in replies]
        quiet = not geometry.closed_boxes(board, np.array(replies)).any()
        if quiet and all(later in openings for later in keys):
            assert min(openings[later].value for later in keys) == value
            explained += 1
    assert explained > 5 or board.num_edges <= 32
    # Those with the most edges drawn are the quickest to solve; of larger boards all take minutes.
    solver = Solver(board, 18)
    for key in by_lines[-4:] if board.num_edges <= 32 else ():
        edges = forms[key].astype(bool)
        value, edge = openings[key]
        assert solver.value(edges) == value
        assert solver.action_values(edges)[edge] == value  # type: ignore[index]
