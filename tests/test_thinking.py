"""How the engine thinks within a time and within counts, and what it does with half a proof."""

import functools
import itertools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.engine import game_clock, thinker
from azdab.engine.certainty import certain_of_move, certain_of_values
from azdab.engine.engine import Engine
from azdab.engine.game_clock import GameClock
from azdab.engine.levels import LEVELS, Level, Pace
from azdab.engine.outlook import Outlook
from azdab.engine.proving import solver_bits
from azdab.engine.thinker import Thinker, Thought
from azdab.exact import solver
from azdab.game.board import Board
from azdab.game.position import Position
from tests.test_engine import far

BOARD = Board(4, 4)


class Clock:
    """A clock that goes on by a step at every look."""

    def __init__(self, step: float) -> None:
        self._ticks = itertools.count()
        self._step = step

    def __call__(self) -> float:
        return next(self._ticks) * self._step


@functools.cache
def truth() -> solver.Solver:
    return solver.Solver(BOARD, 16)


def thought(position: Position, level: Level, step: float, seconds: float | None = 1.0) -> Thought:
    """What a thinker without a network thinks by a clock of such steps."""
    thinker = Thinker(position.board, None, level, seconds, Clock(step))
    return thinker.think(position, np.random.default_rng(0), jax.random.key(0), seconds)


@pytest.mark.parametrize("seed", range(3))
def test_a_proof_ends_the_thinking(seed: int) -> None:
    position = far(seed, 20, BOARD)
    found = thought(position, LEVELS["hard"], 0.0)  # there is time without end
    values = truth().action_values(position.edges)
    assert values is not None
    assert found.value == values.max() == values[found.move]
    assert found.bounds is not None
    assert (found.bounds[:, 0] <= values).all()
    assert (values <= found.bounds[:, 1]).all()


def test_when_the_time_is_up_there_is_a_move() -> None:
    position = far(0, 38, Board(5, 5))
    found = thought(position, LEVELS["hard"], 2.0)  # it is up at once
    assert found.value is None
    assert found.move in position.legal


def test_half_a_proof_is_true() -> None:
    position = far(1, 26, BOARD)
    values = truth().action_values(position.edges)
    assert values is not None
    known = []
    for nodes in (10, 100, 400, 1_000):
        found = thought(position, Level(4, 40, nodes), 0.0, None)
        assert found.bounds is not None
        assert (found.bounds[:, 0] <= values).all()
        assert (values <= found.bounds[:, 1]).all()
        known.append(int((found.bounds[:, 1] - found.bounds[:, 0]).sum()))
        # No move is played that is proven to be worse than another.
        assert found.bounds[found.move, 1] >= found.bounds[:, 0].max()
    assert known == sorted(known, reverse=True)
    assert known[-1] < known[0]


def test_the_better_bound_is_played() -> None:
    bounds = np.array([[-4, 0], [2, 4], [-128, -128], [-2, 4]])
    assert thinker.within(bounds, 0, None) == 1
    assert thinker.within(bounds, 1, None) == 1
    assert thinker.within(bounds, 3, None) == 3
    seen = Outlook(*(np.zeros(0) for _ in Outlook._fields))._replace(margin=np.float64(0))
    for expected, edge in ((1.0, 1), (2.5, 1), (3.5, 3), (np.nan, 1)):
        q = np.array([np.nan, np.nan, np.nan, expected])
        assert thinker.within(bounds, 3, seen._replace(q=q)) == edge


def test_what_is_found_on_the_opponents_time_is_kept() -> None:
    position = far(0, 24, BOARD)
    pace = Pace(60.0, None, ponder=True)
    engine = Engine(BOARD, None, LEVELS["hard"], pace=pace, now=Clock(0.0))
    engine.ponder(position)
    assert engine._thinker._pondering is not None
    assert engine._thinker._pondering[1].result() is not None  # it comes to its end
    engine.choose(position)
    assert engine._thinker._pondering is None
    assert engine._thinker._prover is not None
    kept = engine._thinker._prover.nodes
    fresh = Engine(BOARD, None, LEVELS["hard"], pace=pace._replace(ponder=False), now=Clock(0.0))
    fresh.ponder(position)
    assert fresh._thinker._pondering is None  # only if it is asked for
    fresh.choose(position)
    assert fresh._thinker._prover is not None
    assert kept < fresh._thinker._prover.nodes


def test_the_values_of_all_moves_follow_a_proof() -> None:
    position = far(2, 18, BOARD)
    values = truth().action_values(position.edges)
    assert values is not None
    thinker = Thinker(BOARD, None, LEVELS["hard"])
    found = thinker.think(position, np.random.default_rng(0), jax.random.key(0))
    bounds = thinker.values(position, found)
    assert bounds is not None
    np.testing.assert_array_equal(bounds[:, 0], values)
    np.testing.assert_array_equal(bounds[:, 1], values)


def test_a_table_is_as_large_as_it_can_be_filled() -> None:
    small, large = solver_bits(300_000, None), solver_bits(None, 60.0)
    assert small == 18
    assert solver_bits(300_000, 0.01) == 20
    assert large >= solver_bits(None, 1.0) >= 20 > small >= solver_bits(1, None)


def test_the_alpha_beta_search_tells_a_value() -> None:
    position = far(0, 40, Board(6, 6))
    found = Engine(position.board, None, Level(8, 0)).analyze(position)
    assert found.margin is not None
    assert found.exact is None
    assert abs(found.margin) <= 36


@given(
    st.integers(30, 112),
    st.floats(0.1, 1000),
    st.lists(st.floats(0, 1), min_size=60, max_size=60),
)
def test_a_game_ends_before_its_time(edges: int, seconds: float, used: list[float]) -> None:
    """However much of its share each move takes, there is time for the next one."""
    left = seconds
    for fraction, remaining in zip(used, range(edges, 0, -2), strict=False):
        share = game_clock.share_of_time(remaining, left)
        assert 0 < share <= left * 0.5 + 0.001
        left -= fraction * share
        assert left > 0


def test_hard_moves_get_more_time_and_what_others_saved() -> None:
    shares = [game_clock.share_of_time(left, 60.0) for left in (60, 44)]
    assert shares[1] > 3 * shares[0]
    # A move that was proven at once leaves more for the next.
    assert game_clock.share_of_time(42, 60.0 - 0.01) > game_clock.share_of_time(
        42, 60.0 - shares[1]
    )


def test_a_game_is_known_by_its_moves() -> None:
    clock = GameClock(10.0)
    start = Position(Board(2, 2))
    assert clock.left(start) == 10
    clock.spend(start, 0, 1.0)
    here = start.play(0)
    assert clock.left(here) == 10  # the other side's
    there = here.play(1)
    assert clock.left(there) == 9
    clock.spend(there, 2, 4.0)
    assert clock.left(there.play(2).play(4)) == 5
    assert clock.left(there) == 9  # the move is taken back
    other = here.play(3)
    assert clock.left(other) == 9  # another game with the same beginning
    clock.set_left(other, 2.5)
    assert clock.left(other) == 2.5
    assert clock.left(there) == 9


def test_an_engine_spends_the_time_of_its_game() -> None:
    position = far(0, 20, BOARD)
    engine = Engine(BOARD, None, LEVELS["hard"], pace=Pace(None, 50.0), now=Clock(0.001))
    edge = engine.choose(position)
    assert engine.clock is not None
    after = position.play(edge)
    left = engine.clock._left[after.moves, position.to_play]
    assert 0 < left < 50


def test_what_is_certain_has_one_form() -> None:
    position = far(0, 12, BOARD)
    values = truth().action_values(position.edges)
    assert values is not None
    by_values = certain_of_values(np.random.default_rng(0), values)
    assert values[by_values.move] == by_values.value == values.max()
    by_move = certain_of_move(position, by_values.value, by_values.move)
    assert by_move[:2] == by_values[:2]
    assert (by_move.bounds[:, 0] <= by_values.bounds[:, 0]).all()
    assert (by_move.bounds[:, 1] >= by_values.bounds[:, 1]).all()
    assert (by_move.bounds[by_move.move] == by_values.value).all()
