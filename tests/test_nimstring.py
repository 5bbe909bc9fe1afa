"""Nimstring against a brute force that knows the rules only."""

import functools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from azdab.exact.nimstring import LOONY, Nimstring
from azdab.game.board import Board
from tests import common


class BruteForce:
    """Who wins a position beside a heap of nim, by trying every move."""

    def __init__(self, board: Board) -> None:
        self.board, self.boxes = board, common.surroundings(board)
        self.wins = functools.cache(self._wins)

    def _wins(self, drawn: frozenset[int], heap: int) -> bool:
        for edge in set(range(self.board.num_edges)) - drawn:
            after = drawn | {edge}
            again = any(edge in box and box <= after for box in self.boxes)
            # Who closes a box moves on, and who cannot move loses.
            if self.wins(after, heap) == again:
                return True
        return any(not self.wins(drawn, less) for less in range(heap))

    def nimber(self, drawn: frozenset[int]) -> int:
        # A nimber is at most the number of moves.
        lost = [heap for heap in range(self.board.num_edges + 1) if not self.wins(drawn, heap)]
        assert len(lost) <= 1
        return lost[0] if lost else LOONY


brute_force = functools.cache(BruteForce)
nimstring = functools.cache(Nimstring)


@pytest.mark.parametrize("board", [Board(1, 1), Board(1, 2), Board(2, 1)], ids=str)
def test_every_position_of_a_tiny_board_has_its_nimber(board: Board) -> None:
    for subset in range(2**board.num_edges):
        edges = (subset >> np.arange(board.num_edges) & 1).astype(bool)
        drawn = frozenset(common.indices(edges))
        assert nimstring(board).nimber(edges) == brute_force(board).nimber(drawn)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    st.sampled_from([Board(1, 3), Board(2, 2), Board(2, 3), Board(3, 3), Board(3, 2)]),
    common.seeds,
)
def test_positions_have_the_nimbers_of_the_brute_force(board: Board, seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.ones(board.num_edges, bool)
    edges[rng.permutation(board.num_edges)[: rng.integers(10)]] = False
    expected = brute_force(board).nimber(frozenset(common.indices(edges)))
    assert nimstring(board).nimber(edges) == expected
    assert nimstring(board).wins(edges) == (expected != 0)


def test_a_limit_that_is_too_low_leaves_it_open() -> None:
    fresh, board = Nimstring(Board(3, 3)), Board(3, 3)
    empty = np.zeros(board.num_edges, bool)
    assert fresh.nimber(empty, limit=20) is None
    assert fresh.wins(empty, limit=20) is None
    assert fresh.wins(empty) == (fresh.nimber(empty) != 0)
