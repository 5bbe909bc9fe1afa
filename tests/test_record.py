"""Game records: what is written is read back, what is wrong is refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyspiel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.common import files
from azdab.common.errors import UserError
from azdab.game import exchange, record
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from tests.test_position import boards, lined, positions

words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12).map(
    str.strip
)


@st.composite
def records(draw: Any) -> Record:
    position = draw(positions(boards | lined))
    plies = st.integers(0, max(len(position.moves) - 1, 0))
    known = bool(position.moves)
    evaluations = draw(
        st.dictionaries(plies, st.integers(-2500, 2500).map(lambda x: x / 100), max_size=5)
    )
    remarks = draw(st.dictionaries(plies, words.filter(bool), max_size=5))
    lines = draw(st.lists(words.filter(bool), max_size=3))
    return Record(
        position,
        first=draw(words),
        second=draw(words),
        date=draw(words),
        event=draw(words),
        remark="\n".join(lines),
        evaluations=evaluations if known else {},
        remarks=remarks if known else {},
    )


@given(records())
def test_what_is_written_is_read_back(game: Record) -> None:
    assert record.parse_record(record.record_text(game)) == game
    assert exchange.parse_games(record.record_text(game)) == [game]


@given(st.lists(records(), min_size=1, max_size=4))
def test_many_games_in_one_text(games: list[Record]) -> None:
    assert record.parse_records(record.records_text(games)) == games


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("utf-8", "replace")))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    for candidate in (text, f"{record.HEADER}\n{text}", f"{record.HEADER}\nboard: 2x2\n{text}"):
        refused = ""
        try:
            exchange.parse_games(candidate)
        except UserError as error:
            refused = str(error)
        assert "\n" not in refused


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["board: 2x2", "A h 0 0", "A h 0 1"], "line 4: B is to move, not A"),
        (["board: 2x2", "A h 0 0", "B h 0 0"], "line 4: h 0 0 is drawn already"),
        (["board: 2x2", "A h 5 0"], "line 3: there is no horizontal edge 5 0"),
        (["A h 0 0"], "line 2: the board must come before"),
        (["board: 99x1"], "line 2: boards have at most"),
        (["board: two"], "line 2: write rows and columns"),
        (["board: 2x2", "board: 2x2"], "line 3: a second 'board'"),
        (["board: 2x2", "colour: red"], "line 3: unknown header 'colour'"),
        (["board: 2x2", "A h 0 0", "# late"], "line 4: write a remark about a move behind"),
        (["board: 2x2", "castle"], "line 3: cannot read 'castle'"),
        ([], "the game has no 'board'"),
        (
            ["board: 1x1", "result: 3-0", "A h 0 0", "B h 1 0", "A v 0 0", "B v 0 1"],
            "the result is 0-1, not 3-0",
        ),
    ],
)
def test_what_is_wrong_is_named(lines: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        record.parse_record("\n".join([record.HEADER, *lines]))


def test_other_versions_and_beginnings() -> None:
    with pytest.raises(UserError, match="this azdab reads"):
        record.parse_record("azdab record 2\nboard: 2x2")
    with pytest.raises(UserError, match="a record begins with"):
        record.parse_record("hello")
    with pytest.raises(UserError, match="2 games here"):
        record.parse_record(record.records_text([Record(Position(Board(1, 1)))] * 2))


def test_files(tmp_path: Path) -> None:
    game = Record(Position(Board(2, 2), (0, 1)), first="Ann")
    path = tmp_path / "games.txt"
    files.write_text(path, record.record_text(game))
    files.write_text(path, record.record_text(game), append=True)
    assert exchange.load_games(path) == [game, game]
    with pytest.raises(UserError, match="cannot read"):
        exchange.load_games(tmp_path / "missing")
    with pytest.raises(UserError, match="cannot read"):
        exchange.load_games(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        exchange.load_games(path)


five = positions(st.just(exchange.CCGC_BOARD))


@given(five, words, words)
def test_the_competitions_format(position: Position, red: str, blue: str) -> None:
    game = Record(position, first=red, second=blue)
    (back,) = exchange.parse_games(exchange.dump_game(game, "ccgc"))
    assert back == game


def test_the_competitions_edges() -> None:
    """The two rules of its notation, for every edge: columns from a, rows from the bottom."""
    edges = {}
    for i, column in enumerate("abcdef"):
        for n in range(1, 7):
            if i < 5:
                edges[f"r({column}{n},h)"] = exchange.CCGC_BOARD.horizontal(6 - n, i)
            if n < 6:
                edges[f"r({column}{n},v)"] = exchange.CCGC_BOARD.vertical(5 - n, i)
    assert len(edges) == 60
    for piece, edge in edges.items():
        game = exchange.from_ccgc({"game": [{"piece": piece}]})
        assert game.position.moves == (edge,)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "no list 'game'"),
        ({"game": [{"piece": "r(z9,h)"}]}, "cannot read the competition's move"),
        ({"game": [{"piece": "b(a1,h)"}]}, "move 1, .*: red is to move"),
        ({"game": [{"piece": "r(a6,v)"}]}, "no vertical edge"),
        ({"game": [{"piece": "r(f1,h)"}]}, "no horizontal edge"),
        ({"game": [{"piece": "r(a1,h)"}, {"piece": "b(a1,h)"}]}, "move 2, .*drawn already"),
        ({"game": [7]}, "cannot read the competition's move '7'"),
    ],
)
def test_wrong_competition_records(values: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        exchange.parse_games(json.dumps(values))


@pytest.mark.parametrize("text", ["{", "{]", '{"a": ' + "1" * 5000 + "}", '{"a":' * 20_000])
def test_broken_json(text: str) -> None:
    with pytest.raises(UserError, match="broken JSON"):
        exchange.parse_games(text)


def test_names_that_no_file_can_hold_are_mended() -> None:
    (game,) = exchange.parse_games('{"R": "a\\ud800", "game": []}')
    assert game.first == "a?"


def test_only_one_board_fits_the_competition() -> None:
    with pytest.raises(UserError, match="plays on 5x5, not on 3x3"):
        exchange.dump_game(Record(Position(Board(3, 3))), "ccgc")


@given(positions(st.builds(Board, st.integers(1, 4), st.integers(1, 4))))
def test_openspiel_reads_what_we_write_and_we_read_what_it_writes(position: Position) -> None:
    game, state = pyspiel.deserialize_game_and_state(
        exchange.dump_game(Record(position), "openspiel")
    )
    assert tuple(state.history()) == position.moves
    text = pyspiel.serialize_game_and_state(game, state)
    assert exchange.parse_games(text) == [Record(position)]
    if position.moves:
        history = ", ".join(map(str, position.moves))
        assert exchange.parse_games(history, position.board) == [Record(position)]
        assert exchange.parse_games(f"[{history}]", position.board) == [Record(position)]


def test_histories_without_a_board() -> None:
    moves = np.random.default_rng(0).permutation(60).tolist()
    assert exchange.parse_games(str(moves))[0].board == Board(5, 5)
    with pytest.raises(UserError, match="say on which board"):
        exchange.parse_games("0, 1, 2")
    with pytest.raises(UserError, match="drawn already"):
        exchange.parse_games("[1, 1]", Board(2, 2))
    with pytest.raises(UserError, match="numbers only"):
        exchange.parse_games("[1, x]", Board(2, 2))
