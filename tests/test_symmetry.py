"""Symmetries: a transformed game is the same game."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.game import geometry, symmetry
from azdab.game.board import Board
from tests import common

boards = st.sampled_from([Board(r, c) for r in range(1, 5) for c in range(1, 5)])


@given(boards)
def test_squares_have_8_and_rectangles_4_distinct_bijections_identity_first(board: Board) -> None:
    count = 8 if board.rows == board.cols else 4
    assert board.num_symmetries == count
    edges, boxes = symmetry.edge_permutations(board), symmetry.box_permutations(board)
    assert edges.shape == (count, board.num_edges)
    assert boxes.shape == (count, board.num_boxes)
    assert (np.sort(edges) == np.arange(board.num_edges)).all()
    assert (np.sort(boxes) == np.arange(board.num_boxes)).all()
    assert (edges[0] == np.arange(board.num_edges)).all()
    assert (boxes[0] == np.arange(board.num_boxes)).all()
    assert len(np.unique(edges, axis=0)) == count


@given(boards)
def test_symmetries_are_closed_under_composition(board: Board) -> None:
    perms = symmetry.edge_permutations(board)
    known = {tuple(p) for p in perms.tolist()}
    assert {tuple(p[q]) for p in perms for q in perms} == known


@given(boards)
def test_a_transformed_box_has_the_transformed_edges(board: Board) -> None:
    boxes = common.surroundings(board)
    pairs = zip(symmetry.edge_permutations(board), symmetry.box_permutations(board), strict=True)
    for edge_perm, box_perm in pairs:
        for new, old in enumerate(box_perm):
            assert frozenset(edge_perm[list(boxes[new])].tolist()) == boxes[old]


# The rules are compiled for each board: so there are two of each kind.
@settings(max_examples=20)
@given(st.sampled_from([Board(1, 1), Board(3, 3), Board(2, 3), Board(4, 1)]), common.seeds)
def test_the_transformed_game_gives_transformed_positions_and_the_same_scores(
    board: Board, seed: int
) -> None:
    perms = symmetry.edge_permutations(board)
    box_perms = symmetry.box_permutations(board)
    actions = common.random_games(board, seed, 1)[0]
    # new[i] = old[perm[i]], so old edge e is drawn at the i with perm[i] = e.
    images = np.stack([np.argsort(perm)[actions] for perm in perms])
    states = common.positions_of(board, images)
    plain = jax.tree.map(lambda x: x[0], states)
    degrees = np.asarray(geometry.box_degrees(board, states.edges)).reshape(
        *states.to_play.shape, -1
    )
    for index, (perm, box_perm) in enumerate(zip(perms, box_perms, strict=True)):
        np.testing.assert_array_equal(states.edges[index], plain.edges[:, perm])
        np.testing.assert_array_equal(states.scores[index], plain.scores)
        np.testing.assert_array_equal(states.to_play[index], plain.to_play)
        np.testing.assert_array_equal(degrees[index], degrees[0][:, box_perm])


@settings(max_examples=10)
@given(common.seeds)
def test_move_values_transform_like_edges(seed: int) -> None:
    # A policy is a function of the position; the exact move values are one we know.
    board = Board(2, 2)
    minimax = common.Minimax(board)
    rng = np.random.default_rng(seed)
    drawn = np.zeros(board.num_edges, bool)
    drawn[rng.permutation(board.num_edges)[:5]] = True

    def values(edges: np.ndarray) -> np.ndarray:
        position = frozenset(common.indices(edges))
        return np.array(
            [0 if e in position else minimax.move_value(position, e) for e in range(len(edges))]
        )

    for perm in symmetry.edge_permutations(board):
        np.testing.assert_array_equal(values(drawn[perm]), values(drawn)[perm])
