"""The ruler of the middle game: made right, resumed, bundled well-formed, and read by hand."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from azdab import evaluate
from azdab.common import presets
from azdab.common.config import config_from_dict
from azdab.common.errors import UserError
from azdab.engine.engine import Analysis, Engine
from azdab.exact import oracle
from azdab.exact.oracle import ILLEGAL
from azdab.exact.solver import Solver
from azdab.game import symmetry
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.measure import middle_game, ruler_making
from azdab.measure import ruler as rulers
from azdab.measure.middle_game import Answers
from azdab.measure.ruler import NO_EDGE, Ruler
from azdab.measure.ruler_making import Cast, RulerPlan
from azdab.players import host_players
from azdab.runs import networks
from azdab.runs.networks import TrainedNetwork
from tests import common

PLAN = RulerPlan(Board(2, 3), 6, 10, 22, seed=5, games=6)


@functools.cache
def small_cast() -> Cast:
    """Players for the games of a small board."""
    strong = host_players.strong(oracle.table_oracle(PLAN.board))
    greedy = host_players.greedy_player(PLAN.board)
    return Cast(host_players.noisy(strong, 0.3), host_players.noisy(greedy, 0.3), greedy)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ruler."""
    path = tmp_path_factory.mktemp("rulers") / "2x3.npz"
    solve = ruler_making.exact_moves(PLAN.board)
    ruler_making.make_ruler(path, PLAN, small_cast(), solve)
    return path


def check_well_formed(ruler: Ruler) -> None:
    """What holds for every ruler."""
    board, images = ruler.board, set()
    for here, values in zip(ruler.positions(), ruler.values, strict=True):
        legal = values[here.legal].astype(int)
        assert (values[here.edges] == ILLEGAL).all()
        assert legal.min() < legal.max()
        boxes = board.num_boxes - sum(here.scores)
        assert (abs(legal) <= boxes).all()
        assert ((legal - boxes) % 2 == 0).all()
        assert here.edges.tobytes() not in images
        images |= {here.edges[image].tobytes() for image in symmetry.edge_permutations(board)}


def test_values_are_those_of_the_dense_table(made: Path) -> None:
    ruler = rulers.read_ruler(made)
    found = ruler.position_set()
    expected = np.stack([common.move_values(PLAN.board, edges) for edges in found.edges])
    np.testing.assert_array_equal(ruler.values, expected)
    np.testing.assert_array_equal(found.values, expected)


def test_positions_are_of_the_games_and_no_two_alike(made: Path) -> None:
    ruler = rulers.read_ruler(made)
    check_well_formed(ruler)
    left = ruler.edges_left
    assert {int(n): int(np.sum(left == n)) for n in left} == PLAN.quotas()
    assert sum(PLAN.quotas().values()) == PLAN.positions == len(ruler.moves)
    games = {
        bytes(game.tolist())
        for number in range(20)
        for game in ruler_making.play_batch(PLAN, small_cast(), number)
    }
    uses = dict.fromkeys(games, 0)
    for row in ruler.moves:
        whole = next(game for game in games if game.startswith(bytes(row[row != NO_EDGE])))
        uses[whole] += 1
    assert max(uses.values()) <= 4
    for here, lead in zip(ruler.positions(), ruler.position_set().margin, strict=True):
        mine = sum(here.owners == here.to_play)
        assert lead == mine - (sum(here.scores) - mine)


def test_however_often_it_is_stopped_the_file_is_the_same(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.npz"
    solve = ruler_making.exact_moves(PLAN.board)
    calls, stops, done = 0, 0, 0

    class StoppedError(Exception):
        """Stands for a kill: nothing is done after it."""

    def fragile(edges: np.ndarray) -> np.ndarray:
        nonlocal calls, done
        calls += 1
        if calls % 4 == 0:
            raise StoppedError
        done += 1
        return solve(edges)

    while True:
        try:
            ruler_making.make_ruler(path, PLAN, small_cast(), fragile)
            break
        except StoppedError:
            stops += 1
            if done > 2:  # it is a ruler all the time
                assert 0 < len(rulers.read_ruler(path).moves) <= done
    assert stops > 5
    assert path.read_bytes() == made.read_bytes()
    assert calls == done + stops  # only what was being solved is solved again
    ruler_making.make_ruler(path, PLAN, small_cast(), fragile)
    assert calls == done + stops


def test_errors_of_the_solver_end_the_work(tmp_path: Path) -> None:
    def fails(edges: np.ndarray) -> np.ndarray:
        raise MemoryError("no table")

    with pytest.raises(MemoryError, match="no table"):
        ruler_making.make_ruler(tmp_path / "x.npz", PLAN, small_cast(), fails)


def test_it_is_given_up_where_there_are_not_so_many(tmp_path: Path) -> None:
    greedy = host_players.greedy_player(Board(1, 1))
    plan = RulerPlan(Board(1, 1), 1, 3, 3, games=6)
    solve = ruler_making.exact_moves(plan.board)
    with pytest.raises(UserError, match="no new position with a choice and 1 edges left"):
        ruler_making.make_ruler(tmp_path / "x.npz", plan, Cast(greedy, greedy, greedy), solve)


def test_every_kind_of_game_gives_all_numbers_of_edges() -> None:
    plan = RulerPlan(Board(5, 5), 33, 44, 2040)
    games = np.arange(plan.games)[:, None] + np.zeros((1, 60 - 33), int)
    found = ruler_making.candidates(plan, games, 0)
    for kind in range(3):
        assert {60 - len(moves) for moves in found if moves[0] % 3 == kind} == set(range(33, 45))
    uses = np.bincount([moves[0] for moves in found])
    assert uses.tolist() == [4] * plan.games


@pytest.mark.parametrize("change", [{"seed": 6}, {"positions": 30}, {"board": Board(3, 2)}])
def test_a_file_of_another_plan_is_not_continued(made: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="begun with other options"):
        ruler_making.resume_making(made, PLAN._replace(**change))


def test_there_are_fewer_positions_where_they_are_dear() -> None:
    quotas = RulerPlan(Board(5, 5), 33, 44, 2040).quotas()
    assert sum(quotas.values()) == 2040
    assert {quotas[left] for left in range(33, 41)} <= {228, 229}
    assert [quotas[left] for left in (41, 42, 43, 44)] == [114, 57, 29, 14]


def test_a_sample_has_all_numbers_of_edges_alike(made: Path) -> None:
    ruler = rulers.read_ruler(made)
    some = ruler.sample(11)
    counts = np.bincount(some.edges_left)[PLAN.fewest :]
    assert counts.sum() == 11
    assert set(counts.tolist()) == {2, 3}
    rows = {row.tobytes() for row in ruler.values}
    assert all(row.tobytes() in rows for row in some.values)
    assert len(ruler.sample(1000).moves) == len(ruler.moves)


@pytest.mark.parametrize(
    "change",
    [
        {"moves": np.zeros((3, 4), np.uint8)},
        {"moves": np.zeros((3, 4))},
        {"values": np.zeros((3, 12), np.int8)},
        {"values": np.zeros((0, 12), np.int8), "moves": np.zeros((0, 4), np.uint8)},
        {"board": "2x3"},
        {"board": "big"},
        {"values": None},
    ],
)
def test_what_is_no_ruler_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    moves = np.array([[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]], np.uint8)
    values = np.ones((3, 12), np.int8)
    values[:, 11] = -1
    np.put_along_axis(values, moves.astype(int), ILLEGAL, axis=1)
    right: dict[str, Any] = {"board": "2x2", "moves": moves, "values": values}
    save: Any = np.savez
    save(path, **right)
    assert len(rulers.read_ruler(path).moves) == 3
    save(path, **{name: x for name, x in (right | change).items() if x is not None})
    with pytest.raises(UserError, match="is no ruler"):
        rulers.read_ruler(path)


def test_a_damaged_file_is_refused(made: Path, tmp_path: Path) -> None:
    path, right = tmp_path / "r.npz", made.read_bytes()
    for damaged in (b"", b"PK\x03\x04", b"hello" * 20, right[:-40], right[:200]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is no ruler"):
            rulers.read_ruler(path)
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        rulers.read_ruler(tmp_path / "none.npz")


def test_rows_by_hand() -> None:
    board = Board(2, 2)
    games = [(0, 1, 2), (1, 2, 3, 4), (3, 4, 5, 0)]
    values = np.full((3, 12), ILLEGAL, np.int8)
    values[0, [3, 4]] = 2, -2
    values[1, [0, 5]] = 0, 2
    values[2, [1, 2]] = -4, -2
    values[(values == ILLEGAL) & ~np.array([Position(board, g).edges for g in games])] = -4
    ruler = Ruler(board, rulers.packed_moves(games, 4), values)
    answers = Answers(np.array([3, 0, 1]), np.array([0.9, 0.2, 0.1]), 0.25)
    row = middle_game.middle_row(ruler, answers)
    # Nine edges are open in the first position, eight in the others; nobody has a box.
    assert list(row.moves) == ["8-9", "all"]
    assert row.moves["all"].optimal == pytest.approx(1 / 3)
    assert row.moves["all"].loss == pytest.approx((0 + 2 + 2) / 3)
    # In the first and the second a win is at stake. The second gives it away for a draw.
    assert (row.moves["all"].stakes, row.moves["all"].keeps) == (2, 0.5)
    assert row.winner == {"8-9": pytest.approx(2 / 3), "all": pytest.approx(2 / 3)}
    silent = answers._replace(win=np.array([0.9, np.nan, np.nan]))
    assert middle_game.middle_row(ruler, silent).winner["all"] == 1
    table = middle_game.middle_table({"somebody": row})
    cells = [list(column.cells) for column in table.columns]
    assert [str(cell) for cell in cells[0]].count("somebody (0.25 s)") == 5
    assert [cell for cell in cells[2] if cell] == ["3", "66.7%", "1.333", "1/2", "66.7%"]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network for 2x2."""
    directory = tmp_path_factory.mktemp("models") / "net"
    run_config = config_from_dict(presets.read_settings("smoke"))
    params = common.init_params(jax.random.key(0), Board(2, 2), run_config.network)
    networks.export_network(TrainedNetwork(Board(2, 2), run_config, params, 1), directory, "# x\n")
    return directory


def test_the_command_makes_a_ruler_and_measures_on_it(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, figures = tmp_path / "r.npz", tmp_path / "f.json"
    make = [str(net), "--make-ruler", str(path), "--positions", "9"]
    assert evaluate.main([*make, "--ruler-edges", "5", "7"]) == 0
    assert "is complete: 9 positions" in capsys.readouterr().out
    ruler = rulers.read_ruler(path)
    assert np.bincount(ruler.edges_left).tolist() == [0] * 5 + [3] * 3
    before = path.read_bytes()
    assert evaluate.main([*make, "--ruler-edges", "5", "7"]) == 0
    assert path.read_bytes() == before
    small = ["--simulations", "0", "--positions", "8", "--games", "2"]
    asked = ["--ruler", str(path), "--level", "easy", "--engine-positions", "5"]
    assert evaluate.main([str(net), *small, *asked, "--json", str(figures)]) == 0
    rows = json.loads(figures.read_text(encoding="utf-8"))["middle_game"]
    assert list(rows) == ["random mover", "raw policy", "engine easy"]
    assert [row["moves"]["all"]["moves"] for row in rows.values()] == [8, 8, 5]
    assert list(rows["raw policy"]["winner"]) == ["5-6", "7", "all"]
    assert rows["random mover"]["moves"]["all"]["loss"] > 0
    assert rows["raw policy"]["seconds"] is None
    assert rows["engine easy"]["seconds"] > 0
    assert "The middle game, by edges left" in capsys.readouterr().out


def test_the_engine_is_asked_for_its_move_and_its_forecast(made: Path) -> None:
    ruler = rulers.read_ruler(made)
    truth = oracle.table_oracle(ruler.board)

    class Perfect(Engine):
        """Knows everything at once."""

        def __init__(self) -> None:
            pass

        def choose(self, position: Position) -> int:
            return int(truth.action_values(position.edges[None])[0].argmax())

        def analyze(self, position: Position) -> Analysis:
            best = int(truth.action_values(position.edges[None])[0].max())
            final = best + (position.lead if position.to_play == 0 else -position.lead)
            return Analysis(None, 0.5 + 0.5 * np.sign(final), None, [])

    advanced: list[int] = []
    answers = middle_game.engine_answers(Perfect(), ruler, advanced.append)
    assert len(advanced) == len(ruler.moves)
    row = middle_game.middle_row(ruler, answers)
    assert row.moves["all"].loss == 0
    assert row.moves["all"].keeps == row.winner["all"] == 1
    assert row.moves["all"].stakes > 0


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--make-ruler", "x.npz", "--ruler-edges", "7", "5"], "two numbers below 12, the lower"),
        (["--make-ruler", "x.npz"], "--ruler-edges must be two numbers below 12"),
        (["--make-ruler", "no/such/x.npz"], "no directory"),
        (["--make-ruler", "x.npz", "--json", "x.json"], "it does nothing with --make-ruler"),
        (["--match", "greedy", "random", "--make-ruler", "x.npz"], "choose one of --make-ruler"),
        (["--match", "greedy", "random", "--level", "hard"], "--level needs a network to measure"),
        (["--sprt", "0", "10"], "--sprt needs --match or --tournament"),
        (["--level", "hard"], "no ruler of the middle game of 2x2"),
        (["--level", "hardest"], "must be one of easy, medium, hard, max"),
        (["--ruler", "2x3.npz"], "2x3.npz is of 2x3, and the network plays on 2x2"),
        (["--ruler", "x.npz"], "cannot read x.npz"),
    ],
)
def test_mistakes_with_rulers_end_with_one_line(
    argv: list[str],
    reason: str,
    made: Path,
    net: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("2x3.npz").write_bytes(made.read_bytes())
    assert reason in common.refused(evaluate.main, capsys, str(net), *argv)


def test_ctrl_c_says_where_to_go_on(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(board: Board) -> Any:
        def solve(edges: np.ndarray) -> np.ndarray:
            raise KeyboardInterrupt

        return solve

    greedy = host_players.greedy_player(Board(2, 2))
    monkeypatch.setattr(ruler_making, "exact_moves", interrupted)
    monkeypatch.setattr(ruler_making, "strong_cast", lambda trained: Cast(greedy, greedy, greedy))
    path = tmp_path / "r.npz"
    make = [str(net), "--make-ruler", str(path), "--positions", "9", "--ruler-edges", "5", "7"]
    assert evaluate.main(make) == 130
    assert "the same command goes on" in " ".join(capsys.readouterr().err.split())
    assert path.is_file()


BUNDLED = rulers.bundled_ruler(Board(5, 5))


def test_there_is_one_for_the_board_of_play_and_no_other() -> None:
    assert BUNDLED is not None
    assert rulers.bundled_ruler(Board(5, 4)) is None
    assert rulers.bundled_ruler(dataclasses.replace(Board(5, 5), variant="swedish")) is None


def test_the_bundled_ruler_is_well_formed() -> None:
    assert BUNDLED is not None
    assert BUNDLED.stat().st_size < 200_000
    ruler = rulers.read_ruler(BUNDLED)
    check_well_formed(ruler)
    assert len(ruler.edges_left) >= 2000
    counts = np.bincount(ruler.edges_left)
    assert np.flatnonzero(counts).tolist() == list(range(33, 45))
    assert (counts[33:41] >= 228).all()
    assert (counts[41:45] >= [114, 57, 28, 7]).all()


@pytest.mark.parametrize("left", range(33, 37))
def test_bundled_values_are_found_again_in_another_way(left: int) -> None:
    """Of a mirror image, each move by the value of the position after it, with a small table."""
    assert BUNDLED is not None
    ruler = rulers.read_ruler(BUNDLED)
    for row in np.flatnonzero(ruler.edges_left == left)[::115]:
        here, values = ruler.positions()[row], ruler.values[row]
        image = symmetry.edge_permutations(ruler.board)[-1]
        for edge in here.legal:
            after = here.play(edge)
            sign = 1 if after.to_play == here.to_play else -1
            closed = sum(after.scores) - sum(here.scores)
            value = Solver(ruler.board, 10).value(after.edges[image])
            assert value is not None
            assert values[edge] == closed + sign * value


@pytest.mark.parametrize(
    "left", [37, 38, 39, 40, *(pytest.param(left, marks=pytest.mark.slow) for left in (41, 42))]
)
def test_the_best_bundled_value_is_the_positions_own(left: int) -> None:
    assert BUNDLED is not None
    ruler = rulers.read_ruler(BUNDLED)
    for row in np.flatnonzero(ruler.edges_left == left)[::80]:
        here = ruler.positions()[row]
        assert Solver(ruler.board, 18).value(here.edges) == ruler.values[row].max()
