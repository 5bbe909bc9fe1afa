"""Proofs in slices, kept and taken up again; and what the command prints and writes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from azdab import solve
from azdab.common.errors import UserError
from azdab.exact import book, position_table, proof
from azdab.exact.proof import Prover, Slice
from azdab.exact.solver import Solver
from azdab.game.board import Board, parse_board
from azdab.game.position import Position
from azdab.measure import solving
from tests import common

SMALL, SMALL_VALUE = Board(3, 3), -3


class StopHereError(Exception):
    """What ends a proof in the middle."""


def empty(board: Board) -> np.ndarray:
    return np.zeros(board.num_edges, bool)


@pytest.fixture
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of a few positions, and everything worth keeping."""
    monkeypatch.setattr(proof, "_FIRST_SLICE", 1000)
    monkeypatch.setattr(proof, "_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(proof, "_WORTH_KEEPING", 1)


def begun(folder: Path, slices: int) -> Prover:
    """A proof that was stopped after so many slices, and saved."""
    left = iter(range(slices - 1))

    def stop(_: Slice) -> None:
        if next(left, None) is None:
            raise StopHereError

    prover = Prover(SMALL, folder, 14, tell=stop)
    with pytest.raises(StopHereError):
        prover.value(SMALL, empty(SMALL))
    prover.save()
    return prover


@pytest.mark.usefixtures("short_slices")
@pytest.mark.parametrize("bits", [14, 16], ids=["same size", "larger"])
def test_a_proof_is_taken_up_where_it_was_stopped(tmp_path: Path, bits: int) -> None:
    whole = Prover(SMALL, tmp_path, 14)
    assert whole.value(SMALL, empty(SMALL)) == SMALL_VALUE
    (needed,) = [known.nodes for known in whole.known.values()]
    begun(tmp_path, needed // 1000 // 2)
    again = Prover(SMALL, tmp_path, bits)
    (before,) = [known.nodes for known in again.known.values()]
    assert needed / 3 < before < needed * 2 / 3
    assert again.value(SMALL, empty(SMALL)) == SMALL_VALUE
    (after,) = [known.nodes for known in again.known.values()]
    assert before < after
    # Nothing is done twice; a larger table may save something.
    assert after == needed if bits == 14 else after <= needed


@pytest.mark.usefixtures("short_slices")
def test_without_the_table_a_proof_only_takes_longer(tmp_path: Path) -> None:
    begun(tmp_path, 4)
    table = tmp_path / "table.npy"
    table.write_bytes(table.read_bytes()[:1000])
    again = Prover(SMALL, tmp_path, 14)
    assert again.value(SMALL, empty(SMALL)) == SMALL_VALUE


@pytest.mark.parametrize("content", ["{", "[]", '{"board": "3x3", "positions": {"0": {"low": 1}}}'])
def test_values_that_cannot_be_read_are_refused_and_left(tmp_path: Path, content: str) -> None:
    path = tmp_path / "values.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"values.json: cannot be read; delete it"):
        Prover(SMALL, tmp_path, 10)
    assert path.read_text() == content


def test_values_of_another_board_are_refused(tmp_path: Path) -> None:
    Prover(Board(1, 2), tmp_path, 10).save()
    with pytest.raises(UserError, match="is of the board 1x2, not 3x3"):
        Prover(SMALL, tmp_path, 10)


def test_a_table_of_another_size_holds_the_same(tmp_path: Path) -> None:
    first = Solver(SMALL, 14)
    assert first.value(empty(SMALL)) == SMALL_VALUE
    nodes = first.nodes
    for bits in (13, 15):
        second = Solver(SMALL, bits)
        position_table.copy_entries(first.table, second.table)
        assert second.value(empty(SMALL)) == SMALL_VALUE
        assert second.nodes < nodes / 20
    damaged = first.table.copy()
    damaged[:, 2] ^= np.uint64(1 << 24)  # a lower bound of each
    third = Solver(SMALL, 15)
    position_table.copy_entries(damaged, third.table)
    assert not third.table.any()


def test_tables_fit_into_memory_and_are_no_larger_than_is_of_use() -> None:
    assert proof.table_bits(Board(4, 4), 1 << 29) == 24
    assert proof.table_bits(Board(4, 4), (1 << 29) - 1) == 23
    assert proof.table_bits(Board(5, 5), 1 << 33) == 28
    assert proof.table_bits(Board(3, 3), 1 << 33) == 16
    assert proof.table_bits(Board(4, 4), 1) == 10
    assert 10 <= proof.table_bits(Board(4, 4)) <= 24


def run(folder: Path, *argv: str) -> Any:
    """The command's values, as JSON."""
    path = folder / "values-out.json"
    assert solve.main([*argv, "--json", str(path), "--folder", str(folder / "kept")]) == 0
    return json.loads(path.read_text())


def test_the_command_proves_a_board_and_its_first_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path, "2x2")
    assert (found["board"], found["moves"], found["value"]) == ("2x2", [], 2)
    outer, inner = [0, 1, 4, 5, 6, 8, 9, 11], [2, 3, 7, 10]
    assert found["move_values"] == [{"edges": outer, "value": 2}, {"edges": inner, "value": 0}]
    printed = capsys.readouterr().out
    assert "Proven: with best play A wins by 2; A is to move and gets +2" in printed
    again = run(tmp_path, "2x2")
    assert again == found  # the same effort: it was looked up


@pytest.mark.parametrize("board", ["3x2", "2x3:icelandic"])
def test_the_command_proves_positions_as_the_table_knows_them(tmp_path: Path, board: str) -> None:
    found = run(tmp_path, board, "h 0 0", "v 1 1", "--threads", "2")
    position = Position(parse_board(board)).play("h 0 0").play("v 1 1")
    table = common.values_of_board(Board(position.board.rows, position.board.cols))
    weights = 1 << np.arange(position.board.num_edges)
    assert found["value"] == table[weights[position.edges].sum()]
    for move in found["move_values"]:
        for edge in move["edges"]:
            after = position.play(edge)
            later = table[weights[after.edges].sum()]
            closed = sum(after.scores) - sum(position.scores)
            assert move["value"] == (closed + later if closed else -later)
    edges = sorted(edge for move in found["move_values"] for edge in move["edges"])
    assert edges == position.legal


def test_the_command_proves_a_position_of_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    game = tmp_path / "game.txt"
    moves = "A h 0 0\nB h 1 0\nA v 0 0\nB v 0 1\n"
    game.write_text(f"azdab record 1\nboard: 1x1\n\n{moves}")
    assert run(tmp_path, str(game), "--ply", "3")["value"] == 1
    assert "B wins by 1; B is to move and gets +1" in capsys.readouterr().out
    assert "the game is over there" in common.refused(solve.main, capsys, str(game))
    assert "has games 1 to 1, not 2" in common.refused(solve.main, capsys, str(game), "--game", "2")
    assert "this game has moves 0 to 4" in common.refused(solve.main, capsys, str(game), "--ply=5")
    assert "game.txt is a file, give a directory" in common.refused(
        solve.main, capsys, "1x1", "--folder", str(game)
    )


def test_a_book_says_how_far_it_is_and_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solving, "_OFTEN", 0)
    made = tmp_path / "2x3.txt"
    assert run(tmp_path, "2x3", "--book", str(made), "--quick", "1000")["value"] == -2
    assert "book, 3 positions done, " in capsys.readouterr().out
    openings = book.parse_book(made.read_text())
    nothing = book.canonical_of(Board(2, 3), empty(Board(2, 3)))
    assert openings[nothing.key].value == -2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["4x"], "write rows and columns of boxes as 5x5, got '4x', and there is no such file"),
        (["2x2", "h 9 9"], "there is no horizontal edge 9 9"),
        (["9x9"], "boards have at most 64 dots here"),
        (["1x1", "--game", "2"], "1x1 has games 1 to 1, not 2"),
        (["1x1", "--ply", "1"], "--ply: this game has moves 0 to 0"),
        (["1x1", "--quick", "2"], "--quick needs --book"),
        (["1x1", "--threads", "0"], "must be a whole number from 1 to 256"),
    ],
)
def test_what_cannot_be_solved_is_refused_in_a_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert said in common.refused(solve.main, capsys, *argv, "--folder", str(tmp_path))


def test_ctrl_c_keeps_what_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(prover: Prover, *_: Any) -> int:
        prover.known["00"] = proof.Known(-1, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Prover, "value", stop)
    assert solve.main(["1x1", "--folder", str(tmp_path)]) == 130
    assert "Stopped. What is proven is in" in " ".join(capsys.readouterr().err.split())
    assert "00" in json.loads((tmp_path / "values.json").read_text())["positions"]


@pytest.mark.slow
def test_a_proof_that_was_killed_goes_on(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "azdab.solve", "3x4", "--threads", "1", "--value-only"]
    argv += ["--folder", str(tmp_path / "kept"), "--save-seconds", "0"]
    process = subprocess.Popen(argv, cwd=tmp_path)
    table = tmp_path / "kept" / "table.npy"
    while not table.exists():
        assert process.poll() is None, "it ended without writing anything"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (begun,) = json.loads((tmp_path / "kept" / "values.json").read_text())["positions"].values()
    assert begun["nodes"] > 0
    done = subprocess.run(
        argv, cwd=tmp_path, check=True, capture_output=True, text=True, env=os.environ
    )
    assert "Proven: with best play " in done.stdout
    (proven,) = json.loads((tmp_path / "kept" / "values.json").read_text())["positions"].values()
    assert proven["low"] == proven["high"]
    assert proven["nodes"] > begun["nodes"]
    assert not list((tmp_path / "kept").glob("*.tmp"))
