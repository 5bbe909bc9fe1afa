"""Game records: what is written is read back, what is wrong is refused in one line."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyspiel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.common import files
from azdab.common.errors import UserError
from azdab.game import exchange, gamefile, record
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
    claims = st.sampled_from(["", "5-4", "A wins", "drawn by agreement", "*to go on"])
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
        claim="" if position.is_over else draw(claims),
    )


@given(records())
def test_what_is_written_is_read_back(game: Record) -> None:
    assert record.parse_records(record.record_text(game)) == [game]
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
        record.parse_records("\n".join([record.HEADER, *lines]))


def test_other_versions_and_beginnings() -> None:
    with pytest.raises(UserError, match="this azdab reads"):
        record.parse_records("azdab record 2\nboard: 2x2")
    with pytest.raises(UserError, match="a record begins with"):
        record.parse_records("hello")


def test_files(tmp_path: Path) -> None:
    game = Record(Position(Board(2, 2), (0, 1)), first="Ann")
    path = tmp_path / "games.txt"
    assert gamefile.append_games(path, [game]) is None
    assert gamefile.append_games(path, [game, game]) is None
    assert exchange.load_games(path) == [game] * 3
    with pytest.raises(UserError, match="cannot read"):
        exchange.load_games(tmp_path / "missing")
    with pytest.raises(UserError, match="cannot read"):
        exchange.load_games(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        exchange.load_games(path)


# Files: what is in them stays.

TWO = Board(2, 2)
SHORT = Record(Position(TWO, (0, 1, 6)), first="\u4e2d", remarks={2: "caf\u00e9"})
LONG = Record(Position(TWO, (3, 2, 1, 0, 11)), second="Bob", claim="A wins")


@pytest.mark.parametrize("before", ["\ufeff", "\ufeff\n", " \ufeff \n\n"])
def test_the_mark_some_editors_write_first_is_nothing(before: str, tmp_path: Path) -> None:
    text = before + record.record_text(SHORT)
    assert record.parse_records(text * 2) == [SHORT] * 2
    with pytest.raises(UserError, match="there is no game"):
        record.parse_records(before)
    path = tmp_path / "games.txt"
    path.write_text(text, encoding="utf-8")
    gamefile.append_games(path, [SHORT])
    assert record.parse_records(gamefile.read_text(path)) == [SHORT] * 2


@pytest.mark.parametrize("cut", range(1, 75))
def test_a_file_cut_short_anywhere_keeps_its_other_games(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "games.txt"
    gamefile.append_games(path, [LONG, SHORT])
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    notes: list[str] = []
    found = exchange.load_games(path, note=notes.append)
    assert found[0] == LONG
    assert len(found) + len(notes) in (1, 2)
    assert (
        len(found) == 1
        or found[1].position.moves == SHORT.position.moves[: len(found[1].position.moves)]
    )
    gamefile.append_games(path, [LONG])
    again = exchange.load_games(path)  # nothing in it is broken any longer
    assert again == [*found, LONG]
    broken = tmp_path / "games.txt.broken"
    assert broken.exists() == bool(notes)
    if notes:
        assert "left out" in notes[0]
        kept = path.read_bytes() + broken.read_bytes()
        assert content[:-cut].rstrip(b"\xc3\xe4\xb8").strip().split(b"\n")[-1] in kept


def test_a_game_that_is_cut_short_alone_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "games.txt"
    path.write_text("azdab record 1\nboard: 2x2\nA h 0", encoding="utf-8")
    with pytest.raises(UserError, match="line 3: write a move"):
        exchange.load_games(path, note=lambda line: None)
    note = gamefile.append_games(path, [SHORT])
    assert note is not None
    assert "is kept in" in note
    assert exchange.load_games(path) == [SHORT]
    assert (tmp_path / "games.txt.broken").read_text(encoding="utf-8").endswith("A h 0")


def test_a_broken_game_between_others_is_refused() -> None:
    text = record.record_text(SHORT)
    with pytest.raises(UserError, match="cannot read 'castle'"):
        record.parse_records(f"{text}castle\n{text}", lambda line: None)


def test_games_are_not_added_to_other_files(tmp_path: Path) -> None:
    for content in (b"# My notes\n", b'{"game": []}', b"\xff\xfe\x00", b"0 1 2"):
        path = tmp_path / "notes.md"
        path.write_bytes(content)
        with pytest.raises(UserError, match=str(path)):
            gamefile.append_games(path, [SHORT])
        with pytest.raises(UserError, match=str(path)):
            gamefile.check_appendable(path)
        assert path.read_bytes() == content


def test_a_game_is_added_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "games.txt"
    gamefile.append_games(path, [LONG])
    before = path.read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*games\.txt: No space left"):
        gamefile.append_games(path, [SHORT])
    assert path.read_bytes() == before


def test_files_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "out.json", tmp_path / "link"
    link.symlink_to(path)
    files.write_text(link, "one")
    path.chmod(0o640)
    files.write_text(link, "two \udcff")
    assert path.read_text(encoding="utf-8") == "two \\udcff"
    assert path.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    files.write_text(Path("/dev/null"), "nothing")
    assert not Path("/dev/null").is_file()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*out\.json: No space left"):
        files.write_text(path, "three")
    assert path.read_text(encoding="utf-8") == "two \\udcff"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "out.json"]


def test_one_file_that_cannot_be_written_keeps_nothing_from_its_reader(tmp_path: Path) -> None:
    shown: list[str] = []
    asked = [
        (tmp_path / "no/such", lambda: "a"),
        (tmp_path / "b", lambda: "b"),
        (None, lambda: "c"),
    ]
    with pytest.raises(UserError, match=r"cannot write .*no/such"):
        files.deliver(asked, lambda: shown.append((tmp_path / "b").read_text()))
    assert shown == ["b"]


def test_names_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert files.named("~/games.txt") == Path("/home/ann/games.txt")
    assert files.named("a, b=[c].txt") == Path("a, b=[c].txt")
    for wrong in ("~nobody-has-this-name/x", "a\0b"):
        with pytest.raises(UserError):
            files.named(wrong)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_files_of_any_usual_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    game = Record(Position(exchange.CCGC_BOARD, (0, 1)), first="\u5317\u4eac", second="\u7ea2")
    for form in ("text", "ccgc"):
        path = tmp_path / form
        path.write_bytes(exchange.dump_game(game, form).encode(encoding))
        assert exchange.load_games(path) == [game]


# Round trips keep everything.


def test_a_claimed_result_stays() -> None:
    text = "azdab record 1\nboard: 3x3\nresult: 5-4\n\nA h 0 0\n"
    (game,) = record.parse_records(text)
    assert game.result == game.claim == "5-4"
    assert record.record_text(game) == text
    assert game.going_on(game.position) == game
    assert game.going_on(game.position.play(5)).result == "*"


@given(records(), st.data())
def test_a_record_goes_on(game: Record, data: st.DataObject) -> None:
    ply = data.draw(st.integers(0, len(game.position.moves)))
    back = game.going_on(game.position.at(ply))
    assert back.position == game.position.at(ply)
    assert (back.first, back.event, back.remark) == (game.first, game.event, game.remark)
    assert back.remarks == {k: v for k, v in game.remarks.items() if k < ply}
    assert back.evaluations == {k: v for k, v in game.evaluations.items() if k < ply}


five = positions(st.just(exchange.CCGC_BOARD))


@given(five, words, words, st.sampled_from(["", "A wins", "B wins", "25-0", "resigned"]))
def test_the_competitions_format(position: Position, red: str, blue: str, claim: str) -> None:
    game = Record(position, red, blue, claim="" if position.is_over else claim)
    (back,) = exchange.parse_games(exchange.dump_game(game, "ccgc"))
    assert back == game


def test_competition_records_as_recorders_write_them() -> None:
    moves = [{"piece": "R( D4 , V )"}, {"Piece": "b\uff08a1\uff0ch\uff09"}]
    one = {"R": "Ann", "B": "Bob", "Winner": "Bob", "RScore": "0", "BScore": 0, "game": moves}
    board = exchange.CCGC_BOARD
    expected = Record(
        Position(board, (board.vertical(1, 3), board.horizontal(5, 0))), "Ann", "Bob",
        claim="B wins",
    )  # fmt: skip
    assert exchange.parse_games("\ufeff" + json.dumps(one)) == [expected]
    assert exchange.parse_games(json.dumps([one, one])) == [expected] * 2
    assert exchange.from_ccgc({**one, "RScore": 9, "BScore": 16}).claim == "9-16"
    assert exchange.from_ccgc({**one, "RScore": 16, "BScore": 9}).claim == "B wins"


def finished(first_wins: bool) -> Position:
    """A finished game of the competition with this winner."""
    for seed in range(100):
        moves = np.random.default_rng(seed).permutation(60).tolist()
        position = Position(exchange.CCGC_BOARD, tuple(moves))
        if (position.lead > 0) == first_wins:
            return position
    raise AssertionError


@pytest.mark.parametrize("first_wins", [True, False])
def test_a_finished_competition_record_agrees_with_its_moves(first_wins: bool) -> None:
    game = Record(finished(first_wins), first="Ann", second="Bob")
    values = exchange.to_ccgc(game)
    assert values["winner"] == ("R" if first_wins else "B")
    silent = {**values, "winner": "", "RScore": 0, "BScore": 0}
    named = {**values, "winner": "Ann" if first_wins else "Bob"}
    for accepted in (values, silent, named):
        assert exchange.from_ccgc(accepted) == game
    for wrong in ({"winner": "B" if first_wins else "R"}, {"RScore": 1, "BScore": 2}):
        with pytest.raises(UserError, match=f"the result is {values['winner']}, .*, not"):
            exchange.from_ccgc({**values, **wrong})


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


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("azdab record 1\nboard: 2x2\ncastle", "taken for azdab's text: line 3"),
        ('{\n"game": }', "taken for the Chinese competition's JSON: line 2: broken JSON"),
        ('[{"game": []}, {}]', "taken for the Chinese competition's JSON: game 2: it has no list"),
        ("[1, x]", "taken for a history of OpenSpiel: "),
        ("chess", "not a record: expected azdab's text, the Chinese competition's JSON or a"),
    ],
)
def test_messages_name_the_format_that_a_text_is_taken_for(text: str, form: str) -> None:
    with pytest.raises(UserError) as caught:
        exchange.parse_games(text, Board(2, 2))
    assert form in str(caught.value)


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


def test_what_is_wrong_is_said_in_one_line() -> None:
    with pytest.raises(UserError) as refused:
        exchange.from_ccgc({"game": ["r(a1,h)\n\x1b[2J"]})
    assert str(refused.value).isprintable()
    assert str(refused.value).startswith(r"move 1, r(a1,h) \x1b[2J: cannot read the competition's")


# Reading takes work in proportion to what is read.


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of Python a piece of work runs."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def in_order(board: Board, moves: int) -> Record:
    return Record(Position(board, tuple(range(moves))))


def as_ccgc(moves: int) -> str:
    return exchange.dump_game(in_order(exchange.CCGC_BOARD, moves), "ccgc")


def as_text(moves: int) -> str:
    return record.record_text(in_order(Board(10, 10), moves))


def as_openspiel(moves: int) -> str:
    return exchange.dump_game(in_order(Board(10, 10), moves), "openspiel")


def many_games(games: int) -> str:
    return record.records_text([in_order(Board(2, 2), 12)] * games)


@pytest.mark.parametrize(
    ("write", "size"), [(as_ccgc, 15), (as_text, 50), (as_openspiel, 50), (many_games, 15)]
)
def test_twice_as_much_takes_twice_the_work(write: Callable[[int], str], size: int) -> None:
    def work(text: str) -> int:
        return lines_run(lambda: [game.position.scores for game in exchange.parse_games(text)])

    work(write(size))  # what is kept of boards
    once, twice, four = (work(write(size * n)) for n in (1, 2, 4))
    assert once > size
    assert four - twice < 2.2 * (twice - once)  # 4 times as much, were it quadratic
