"""Positions, their names for moves, and their pictures."""

import itertools
import xml.etree.ElementTree as ElementTree
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyspiel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.common.errors import UserError
from azdab.game import record, structure
from azdab.game.board import Board, parse_board
from azdab.game.position import IllegalMoveError, Playthrough, Position, move_name, parse_move
from azdab.network.features import chain_features as device_chains
from azdab.terminal.protocol import Protocol
from tests import common

boards = st.builds(Board, st.integers(1, 4), st.integers(1, 4))
lined = st.builds(
    Board, st.integers(1, 4), st.integers(2, 4), st.sampled_from(["swedish", "icelandic"])
)
"""Boards with lines drawn at the start."""

# For these something is compiled, so there are few.
some_boards = st.sampled_from([Board(1, 1), Board(1, 4), Board(3, 2), Board(4, 4)])
some_lined = st.sampled_from([Board(3, 3, "swedish"), Board(2, 3, "icelandic")])


@st.composite
def positions(draw: Any, boards: st.SearchStrategy[Board] = boards) -> Position:
    """A game of random moves, stopped anywhere."""
    board = draw(boards)
    open_edges = sorted(set(range(board.num_edges)) - common.start_lines(board))
    moves = draw(st.permutations(open_edges))
    return Position(board, tuple(moves[: draw(st.integers(0, len(moves)))]))


@given(positions(boards | lined))
def test_a_position_agrees_with_the_rules_told_again(position: Position) -> None:
    game = common.Game(position.board)
    for ply, edge in enumerate(position.moves):
        assert position.movers[ply] == game.to_play
        game.draw(edge)
    assert position.scores == tuple(game.scores)
    assert position.to_play == game.to_play
    assert {b: int(o) for b, o in enumerate(position.owners) if o >= 0} == game.owner
    assert position.legal == sorted(set(range(position.board.num_edges)) - game.drawn)
    assert position.is_over == (not position.legal)


@given(positions())
def test_a_position_agrees_with_openspiel(position: Position) -> None:
    board = position.board
    state = pyspiel.load_game(
        f"dots_and_boxes(num_rows={board.rows},num_cols={board.cols})"
    ).new_initial_state()
    for move in position.moves:
        state.apply_action(move)
    if position.is_over:
        assert state.is_terminal()
        assert state.returns()[0] == np.sign(position.lead)
    else:
        assert state.current_player() == position.to_play
        assert state.legal_actions() == position.legal


@given(positions(some_boards | some_lined))
def test_the_state_for_programs_says_the_same(position: Position) -> None:
    # A whole game, always as long: what is compiled is compiled once for a board.
    moves = np.array([*position.moves, *position.legal], np.int32)[None]
    expected = common.positions_of(position.board, moves)
    for got, want in zip(position.state(), expected, strict=True):
        np.testing.assert_array_equal(got[0], want[0, len(position.moves)])


@given(positions(), st.integers(0, 70))
def test_playing_and_undoing(position: Position, plies: int) -> None:
    earlier = position.undo(plies)
    assert earlier == Position(
        position.board, position.moves[: max(len(position.moves) - plies, 0)]
    )
    for edge in position.moves[len(earlier.moves) :]:
        earlier = earlier.play(move_name(position.board, edge))
    assert earlier == position


@given(boards)
def test_every_move_has_its_name(board: Board) -> None:
    names = [move_name(board, edge) for edge in range(board.num_edges)]
    assert [parse_move(board, name) for name in names] == list(range(board.num_edges))
    assert [parse_move(board, str(e)) for e in range(board.num_edges)] == list(range(len(names)))
    assert names[0] == "h 0 0"
    assert names[board.num_horizontal] == "v 0 0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("h 9 9", "no horizontal edge 9 9"),
        ("v 2 0", "no vertical edge 2 0"),
        ("12", "0 to 11"),
        ("", "write a move"),
        ("h 1", "write a move"),
        ("x 0 0", "write a move"),
        ("-1", "write a move"),
        ("\u0661", "write a move"),
        ("h 0 0 0", "write a move"),
        ("C h 0 0", "write a move"),
        ("3.7", "write a move"),
    ],
)
def test_moves_that_mean_nothing(text: str, reason: str) -> None:
    with pytest.raises(IllegalMoveError, match=reason):
        parse_move(Board(2, 2), text)


def test_positions_that_cannot_be() -> None:
    with pytest.raises(IllegalMoveError, match="h 0 0 is drawn already"):
        Position(Board(2, 2), (0, 1, 0))
    with pytest.raises(IllegalMoveError, match="no edge 12"):
        Position(Board(2, 2), (12,))
    with pytest.raises(IllegalMoveError, match="no edge -1"):
        Position(Board(2, 2)).play(-1)


@pytest.mark.parametrize(
    "text", ["v 0 1", "V0 1", "v 0,1", "A V 0 1", "a v 0, 1", "7", " A 7 ", "V 0\t1"]
)
def test_a_move_is_read_however_it_is_written(text: str) -> None:
    board = Board(2, 2)
    assert parse_move(board, text) == 7
    assert Position(board).play(text).moves == (7,)
    line = f"{record.HEADER}\nboard: 2x2\n{text} eval +1.50 # why"
    (game,) = record.parse_records(line)
    assert (game.position.moves, game.evaluations, game.remarks) == ((7,), {0: 1.5}, {0: "why"})
    assert Protocol(common.no_engine, board).answer(f"play {text}") == "=\n\n"


def test_a_move_of_the_other_player_is_refused() -> None:
    with pytest.raises(IllegalMoveError, match="A is to move, not B"):
        Position(Board(2, 2)).play("B 0")


@pytest.mark.parametrize("move", [3.7, 3.0, True, None, np.float32(1), [1], (2,)])
def test_moves_are_whole_numbers(move: Any) -> None:
    with pytest.raises(IllegalMoveError, match="a whole number"):
        Position(Board(2, 2)).play(move)
    with pytest.raises(IllegalMoveError, match="a whole number"):
        Position(Board(2, 2), (move,))


def test_numbers_of_numpy_are_moves() -> None:
    numpy_s: Any = np.int64(3)
    position = Position(Board(2, 2), tuple(np.array([1, 2], np.int32))).play(numpy_s)
    assert position == Position(Board(2, 2), (1, 2, 3))
    assert all(type(edge) is int for edge in position.moves)
    assert position.undo(9) == position.at(-1) == Position(Board(2, 2))


@pytest.mark.parametrize("text", ["", "5", "0x3", "3x0", "11x2", "\uff155x5", "axb", "-1x2"])
def test_boards_that_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="boxes"):
        parse_board(text)


def test_boards_that_are_read() -> None:
    assert parse_board("5x5") == Board(5, 5)
    assert parse_board(" 10X2 ") == Board(10, 2)


@given(positions())
def test_pictures_show_what_is_drawn(position: Position) -> None:
    board = position.board
    picture = ElementTree.fromstring(position.svg(np.ones(board.num_edges)))
    shapes = [element.tag.rpartition("}")[2] for element in picture.iter()]
    assert shapes.count("line") == board.num_edges
    assert shapes.count("rect") == sum(position.scores)
    assert shapes.count("circle") == (board.rows + 1) * (board.cols + 1)
    text = position.text().plain
    for player, letter in enumerate("AB"):
        assert text.count(letter) == position.scores[player]
    horizontal = sum(edge < board.num_horizontal for edge in position.moves)
    assert text.count("━━━━━━━") == horizontal
    assert text.count("┃") == len(position.moves) - horizontal
    for edge in position.legal:
        assert str(edge) in text.split() or str(edge) in text.replace("●", " ").split()


on_device = jax.jit(device_chains, static_argnums=0)


@given(positions(some_boards | some_lined))
def test_chains_agree_with_those_the_network_is_shown(position: Position) -> None:
    shown = on_device(position.board, jnp.asarray(position.edges))
    length = np.zeros(position.board.num_boxes)
    loop = np.zeros(position.board.num_boxes, bool)
    for chain in structure.chains_of(position):
        length[list(chain.boxes)] = len(chain.boxes)
        loop[list(chain.boxes)] = chain.is_loop
    np.testing.assert_array_equal(length, np.asarray(shown.length))
    np.testing.assert_array_equal(loop, np.asarray(shown.is_loop))


@given(positions(boards | lined))
def test_double_crosses_close_two_boxes(position: Position) -> None:
    count, before = 0, 0
    for ply in range(len(position.moves) + 1):
        closed = sum(position.at(ply).scores)
        count += closed - before == 2
        before = closed
    assert structure.double_crosses(position) == count


@given(st.permutations(range(Board(3, 3).num_edges)))
def test_a_game_has_as_many_turns_as_dots_and_double_crosses(moves: list[int]) -> None:
    """The identity behind the long chain rule."""
    position = Position(Board(3, 3), tuple(moves))
    movers = position.movers[:-1]
    turns = 1 + sum(a != b for a, b in itertools.pairwise(movers))
    assert turns == 16 + structure.double_crosses(position)


@given(positions(boards | lined), st.data())
def test_a_playthrough_ends_in_the_same_position(position: Position, data: st.DataObject) -> None:
    game = Playthrough(position.board)
    for edge in position.moves:
        game.play(edge)
    refused = data.draw(st.integers(-1, position.board.num_edges))
    if refused not in position.legal:
        with pytest.raises(IllegalMoveError):
            game.play(refused)
    assert game.position() == position
    assert tuple(game.movers) == position.movers
    assert game.owners == position.owners.tolist()
