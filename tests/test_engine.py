"""The engine for people: legal, exact where it says so, and the same for the same seed."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from azdab.common.errors import UserError
from azdab.engine import handwritten, outlook, review
from azdab.engine.engine import Engine
from azdab.engine.levels import LEVELS, Level, Pace
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from tests import common
from tests.test_position import positions

BOARD, THREE = Board(2, 3), Board(3, 3)
"""Solved in a table at once, which takes 3x3 twenty seconds; and with a network of azdab's."""
small = positions(st.just(BOARD))


@functools.cache
def engine(level: str = "hard", *, solver: bool = True) -> Engine:
    """With a network that knows nothing."""
    fast = LEVELS[level]._replace(simulations=min(LEVELS[level].simulations, 16))
    fast = fast if solver else fast._replace(edges=0)
    return Engine(BOARD, common.untrained(BOARD), fast)


def final_margins(position: Position) -> dict[int, int]:
    """The mover's final margin after each move under perfect play."""
    values = common.searched(position.board).action_values(position.edges[None])[0].astype(int)
    lead = position.lead if position.to_play == 0 else -position.lead
    return {edge: int(values[edge]) + lead for edge in position.legal}


@given(small)
def test_exact_moves_and_values_are_the_truth(position: Position) -> None:
    found = engine().analyze(position)
    if position.is_over:
        assert found.best is None
        return
    margins = final_margins(position)
    assert {c.edge: c.exact for c in found.candidates} == margins
    assert found.exact == found.margin == max(margins.values())
    assert found.win_probability == 0.5 + 0.5 * np.sign(found.exact or 0)
    assert margins[engine().choose(position)] == found.exact
    assert found.best is not None
    assert margins[found.best] == found.exact


@given(small)
def test_estimates_are_sane(position: Position) -> None:
    found = engine(solver=False).analyze(position)
    assert found.margin is not None
    assert found.win_probability is not None
    assert found.exact == (position.lead * (1 - 2 * position.to_play) if position.is_over else None)
    assert abs(found.margin) <= BOARD.num_boxes
    assert 0 <= found.win_probability <= 1
    assert sorted(c.edge for c in found.candidates) == position.legal
    if position.is_over:
        return
    assert sum(c.prior or 0 for c in found.candidates) == pytest.approx(1, abs=1e-3)
    assert sum(c.visits for c in found.candidates) == 16
    assert all(c.margin is not None for c in found.candidates if c.visits)
    assert engine(solver=False).choose(position) in position.legal


def test_estimates_mean_something() -> None:
    """Over positions of random play the forecast of the bundled network follows the truth."""
    rng = np.random.default_rng(0)
    bundled = Engine.load(THREE, Level(8, 44), solver=False)
    forecasts: list[float] = []
    results: list[int] = []
    for _ in range(60):
        moves = rng.permutation(THREE.num_edges)[: rng.integers(4, 20)]
        position = Position(THREE, tuple(moves.tolist()))
        found = bundled.analyze(position)
        assert found.exact is None
        forecasts.append(found.margin or 0.0)
        results.append(max(final_margins(position).values()))
    assert np.corrcoef(np.array([forecasts, results]))[0, 1] > 0.9


@pytest.mark.parametrize("level", ["easy", "medium"])
@given(position=small)
@settings(max_examples=10)
def test_the_lower_levels_play_legal_moves(level: str, position: Position) -> None:
    if not position.is_over:
        assert engine(level).choose(position) in position.legal


def test_easy_takes_boxes() -> None:
    position = Position(BOARD, (0, 3, 9))
    assert engine("easy").choose(position) == 10


@pytest.mark.parametrize("board", [Board(1, 1), Board(2, 3), Board(6, 6)])
def test_boards_without_a_network(board: Board) -> None:
    # A share of what the level may look at: the proofs begin to succeed later.
    playing = Engine.load(board, LEVELS["hard"]._replace(simulations=2, nodes=20_000))
    position = Position(board)
    while not position.is_over:
        found = playing.analyze(position)
        assert sorted(c.edge for c in found.candidates) == position.legal
        assert found.margin is not None
        assert abs(found.margin) <= board.num_boxes
        assert (found.win_probability is None) == (found.exact is None)
        if len(position.moves) % 20 == 0:
            assert playing.choose(position) in position.legal
        assert found.best is not None
        position = position.play(found.best)
    assert playing.analyze(position).exact == position.lead * (1 - 2 * position.to_play)


def test_without_the_compiled_solver_the_end_is_still_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    board = Board(3, 4)
    playing = Engine.load(board)
    position = Position(board, tuple(common.random_games(board, 0, 1)[0].tolist()))
    # The book of openings needs no solver.
    for left, exact in ((31, True), (24, False), (17, False), (9, True), (1, True)):
        found = playing.analyze(position.undo(left))
        assert (found.exact is not None) == exact
        assert playing.choose(position.undo(left)) in position.undo(left).legal


def test_a_larger_board_becomes_exact() -> None:
    board = Board(6, 6)
    rng = np.random.default_rng(0)
    moves: list[int] = []
    edges = np.zeros((1, board.num_edges), bool)
    while board.num_edges - len(moves) > 30:
        moves.append(int(handwritten.greedy_actions(board, rng, edges)[0]))
        edges[0, moves[-1]] = True
    found = Engine.load(board).analyze(Position(board, tuple(moves)))
    assert found.exact is not None


def test_the_same_seed_gives_the_same_moves() -> None:
    twin = Engine(BOARD, engine().trained, engine().level)
    other = Engine(BOARD, engine().trained, engine().level, seed=1)
    rng = np.random.default_rng(2)
    orders = [
        rng.permutation(BOARD.num_edges)[: ply // 2].tolist() for ply in range(2 * BOARD.num_edges)
    ]
    chosen = [
        [one.choose(Position(BOARD, tuple(order))) for order in orders]
        for one in (engine(), twin, other)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_threads_share_an_engine() -> None:
    rng = np.random.default_rng(1)
    games = [
        Position(BOARD, tuple(rng.permutation(BOARD.num_edges)[:ply].tolist()))
        for ply in range(BOARD.num_edges)
    ]
    alone = [engine().choose(game) for game in games]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(engine().choose, games)) == alone


def far(seed: int, left: int, board: Board) -> Position:
    """A position of textbook play with so many edges left."""
    rng = np.random.default_rng(seed)
    position = Position(board)
    while len(position.legal) > left:
        edge = int(handwritten.greedy_actions(board, rng, position.edges[None])[0])
        position = position.play(edge)
    return position


def test_an_analysis_does_not_depend_on_what_was_asked_before() -> None:
    # So few positions may be looked at that they do not always suffice.
    board, level = Board(4, 4), Level(16, 40, 3_000)

    def new() -> Engine:
        return Engine(board, common.untrained(board), level)

    asked = [far(seed, left, board) for seed in range(4) for left in (22, 24, 26)]
    alone = [new().analyze(position) for position in asked]
    exact = {found.exact is not None for found in alone}
    assert exact == {False, True}
    used = new()
    for _ in range(2):
        assert [used.analyze(position) for position in reversed(asked)] == alone[::-1]
    with ThreadPoolExecutor(4) as pool:
        shared = new()
        assert list(pool.map(shared.analyze, [*asked, *asked])) == [*alone, *alone]
    chosen = [new().choose(position) for position in asked]
    assert [used.choose(position) for position in reversed(asked)] == chosen[::-1]


def test_what_cannot_be() -> None:
    with pytest.raises(UserError, match="the levels are easy, medium, hard, max"):
        Engine.load(BOARD, "hardest")
    with pytest.raises(UserError, match="no checkpoint"):
        Engine.load("nowhere")
    with pytest.raises(UserError, match="at most"):
        Engine.load(BOARD, Level(10**6, 0))
    with pytest.raises(UserError, match="plays on 2x3"):
        Engine(Board(2, 2), engine().trained)
    over = Position(Board(1, 1), (0, 1, 2, 3))
    with pytest.raises(ValueError, match="plays on 2x3"):
        engine().choose(over)
    with pytest.raises(ValueError, match="over"):
        Engine.load(Board(1, 1)).choose(over)


@pytest.mark.parametrize("level", ["easy", "medium"])
def test_levels_without_search_stay_so_with_time(level: str) -> None:
    timed = Engine(BOARD, common.untrained(BOARD), LEVELS[level], pace=Pace(60))
    assert timed.level == LEVELS[level]
    for position in (Position(BOARD), far(1, 12, BOARD)):
        assert timed.choose(position) == engine(level).choose(position)


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=30),
    st.floats(0.05, 0.95),
)
def test_a_tilted_distribution_has_the_mean_asked_for(raw: list[float], share: float) -> None:
    weights = np.array(raw) / np.sum(raw)
    values = np.arange(len(raw)) * 2.0 - len(raw)
    mean = float(values[0] + share * (values[-1] - values[0]))
    found = outlook.tilted(values, weights, mean)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found @ values == pytest.approx(mean, abs=1e-3)


@given(small)
@settings(max_examples=10)
def test_a_review_finds_what_is_true(position: Position) -> None:
    judged = review.review_game(Record(position), engine())
    for ply, verdict in enumerate(judged.verdicts):
        truly = final_margins(position.at(ply))
        assert verdict.exact
        assert verdict.loss == max(truly.values()) - truly[position.moves[ply]]
        results = np.sign([max(truly.values()), truly[position.moves[ply]]])
        assert verdict.changes_result == (results[0] > results[1])
        assert (verdict.mark == "") == (verdict.loss < 1)
    assert len(judged.margins()) == len(position.moves) + 1
    both = [judged.boxes_lost(player) for player in (0, 1)]
    margins = judged.margins()
    assert margins[0] is not None
    assert margins[-1] is not None
    assert margins[-1] - margins[0] == both[1] - both[0]
