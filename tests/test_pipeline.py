"""The pipeline of an iteration: overlapped or not, interrupted or not, the same run."""

import threading
import time
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab import train
from azdab.common.at_once import AtOnce
from azdab.common.config import BoardConfig, Config, ReplayConfig, SelfPlayConfig
from azdab.devices import timeline
from azdab.devices.timeline import Span, Timeline
from azdab.exact.endings import GameValues
from azdab.exact.solver import Solver
from azdab.exact.valuation import GameTeacher
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.learning import corrections, replay, selfplay
from azdab.learning.selfplay import Example
from azdab.runs import metrics
from azdab.training import iteration, teaching
from tests import common
from tests.runs import lasting, saved

BOARD = Board(2, 3)
GAMES = 6
HORIZON = 5
PLIES = BOARD.num_plies - HORIZON


def config_with(games: int = GAMES) -> Config:
    return Config(
        board=BoardConfig(BOARD.rows, BOARD.cols),
        selfplay=SelfPlayConfig(
            games_per_iteration=games,
            parallel_games=games,
            solver_horizon=HORIZON,
            solver_rollouts=1,
            max_opening_plies=4,
        ),
        replay=ReplayConfig(capacity=4 * games * 30, min_window=10),
    )


@pytest.fixture(scope="module")
def played() -> Example:
    """Self-play of an untrained player, in numpy."""
    config = config_with()
    play = jax.jit(lambda key: selfplay.self_play(BOARD, config, common.uniform, None, key)[0])
    examples: Example = jax.tree.map(np.asarray, play(jax.random.key(3)))
    return examples


def positions(examples: Example) -> list[list[Position]]:
    """The position before each ply, and after the last, of every game."""
    found = []
    for moves in selfplay.moves(BOARD, np.asarray(examples.edges), GAMES):
        game = [Position(BOARD)]
        for move in moves.tolist():
            game.append(game[-1].play(move))
        found.append(game)
    return found


def lead(position: Position, player: int) -> int:
    return position.scores[player] - position.scores[1 - player]


def test_what_the_engine_is_told_are_the_games(played: Example) -> None:
    told = corrections.played_games(BOARD, config_with(), played)
    solver = Solver(BOARD, 12)
    assert told.plies == PLIES
    for game, moves, value in zip(positions(played), told.moves, told.value, strict=True):
        assert len(moves) == BOARD.num_plies == len(game) - 1
        edges = np.zeros(BOARD.num_edges, bool)
        edges[moves[:PLIES]] = True
        assert solver.value(edges) == value


corrected = jax.jit(corrections.corrected, static_argnums=0)


@pytest.mark.parametrize("first", [0, 3, PLIES - 1, PLIES])
def test_targets_are_put_right_from_the_first_solved_ply_on(played: Example, first: int) -> None:
    solver, games = Solver(BOARD, 12), positions(played)
    values = corrections.blank_values(BOARD, GAMES, PLIES)
    first_optimal = min(first + 2, PLIES)
    values.first[:], values.first_optimal[:] = first, first_optimal
    for g, game in enumerate(games):
        for ply in range(first, PLIES):
            every = solver.action_values(np.asarray(game[ply].edges))
            assert every is not None
            values.value[g, ply] = every.max()
            values.optimal[g, ply] = every == every.max()
    part = jax.tree.map(lambda x: x[: PLIES * GAMES], played)
    found = jax.tree.map(np.asarray, corrected(BOARD, part, values))
    for g, game in enumerate(games):
        for ply in range(PLIES):
            row, mover = ply * GAMES + g, game[ply].to_play
            if ply >= first:
                outcome = int(values.value[g, ply])
                assert found.search_margin[row] == outcome
                assert found.outcome_valid[row]
            else:
                # Perfect play from the first solved ply on; without one, as the game went.
                at = game[min(first, BOARD.num_plies)] if first < PLIES else game[-1]
                exact = int(values.value[g, first]) if first < PLIES else 0
                future = exact if at.to_play == mover else -exact
                outcome = lead(at, mover) + future - lead(game[ply], mover)
                assert found.search_margin[row] == part.search_margin[row]
                assert found.outcome_valid[row] == part.outcome_valid[row]
            if first < PLIES:
                assert found.outcome[row] == outcome
            else:
                assert found.outcome[row] == part.outcome[row]
            if ply >= first_optimal:
                best = values.optimal[g, ply]
                np.testing.assert_allclose(found.policy[row], best / best.sum(), rtol=1e-3)
            else:
                np.testing.assert_array_equal(found.policy[row], part.policy[row])
    np.testing.assert_array_equal(found.ownership, part.ownership)
    np.testing.assert_array_equal(found.edges, part.edges)


add = jax.jit(replay.add)
correct = jax.jit(corrections.correct, static_argnums=(0, 1))


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 2), (3, 1), (2, 3), (1, 5)])
def test_only_what_is_still_in_the_replay_is_corrected(
    played: Example, before: int, after: int
) -> None:
    # A ring of four batches and a bit, in which a batch lies anywhere.
    config, count = config_with(), len(played.margin)
    blank, buffer = jax.tree.map(np.zeros_like, played), replay.init_replay(BOARD, 4 * count + 7)
    for part in [blank] * before + [played] + [blank] * after:
        buffer = add(buffer, part)
    values = corrections.blank_values(BOARD, GAMES, PLIES)
    values.first[:], values.value[:] = 0, 77
    found = correct(BOARD, config, buffer, values, np.int32(after * count))
    changed = np.flatnonzero(np.asarray(found.examples.outcome) == 77)
    age = int(buffer.total) - 1 - np.arange(before * count, (before + 1) * count)[: PLIES * GAMES]
    still = age < len(buffer.examples.margin)
    place = np.arange(before * count, before * count + PLIES * GAMES)[still]
    assert set(changed) == set(place % len(buffer.examples.margin))
    rest = np.setdiff1d(np.arange(len(buffer.examples.margin)), changed)
    chex.assert_trees_all_equal(
        jax.tree.map(lambda x: np.asarray(x)[rest], found.examples),
        jax.tree.map(lambda x: np.asarray(x)[rest], buffer.examples),
    )


spans = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.sampled_from("ab")), max_size=6)


def laid_out(lengths: list[tuple[float, float, str]]) -> list[Span]:
    at, made = -1.0, []
    for gap, length, name in lengths:
        made.append(Span(name, at + gap, at + gap + length))
        at += gap + length
    return made


@given(spans, spans)
def test_all_time_is_accounted_for(
    busy: list[tuple[float, float, str]], waits: list[tuple[float, float, str]]
) -> None:
    ran, waited = laid_out(busy), laid_out(waits)
    took = timeline.account(0.0, 10.0, ran, waited)
    assert sum(took.busy.values()) + sum(took.idle.values()) == pytest.approx(10)
    # Counted again on a fine grid.
    grid = (np.arange(4000) + 0.5) / 400

    def within(found: list[Span], names: str = "ab") -> np.ndarray:
        inside = [(span.start <= grid) & (grid < span.end) for span in found if span.name in names]
        return np.any([*inside, np.zeros(len(grid), bool)], axis=0)

    for name in "ab":
        assert took.busy.get(name, 0) == pytest.approx(within(ran, name).sum() / 400, abs=0.05)
        idle = within(waited, name) & ~within(ran)
        assert took.idle.get(name, 0) == pytest.approx(idle.sum() / 400, abs=0.05)


def test_the_timeline_sees_what_runs_and_what_is_waited_for() -> None:
    watched = Timeline()
    slow = jax.jit(lambda x: jax.lax.fori_loop(0, 300, lambda i, y: jnp.tanh(y @ x), x))
    x = jnp.eye(300)
    jax.block_until_ready(slow(x))
    watched.read()
    with watched.dispatching("work") as results:
        time.sleep(0.1)  # a card's call takes nearly as long as its program
        y = slow(x)
        results.set_result(y)
    jax.block_until_ready(y)
    with pytest.raises(ValueError, match="mistake"), watched.dispatching("work"):
        raise ValueError("a mistake")
    with watched.waiting("nothing"):
        time.sleep(0.2)
    with watched.running("more"):
        time.sleep(0.1)
    took = watched.read()
    assert took.busy.keys() == {"work", "more"}
    assert took.busy["work"] > 0.1
    assert took.busy["more"] == pytest.approx(0.1, abs=0.09)
    assert took.idle["nothing"] > 0
    assert sum(took.busy.values()) + sum(took.idle.values()) == pytest.approx(took.seconds)


TAUGHT = ["--config", "smoke", "--selfplay.engine_positions", "500", "--iterations", "3"]
TAUGHT += ["--replay.window_fraction", "1"]  # so that earlier games are learnt from


def run(folder: Path, name: str, *more: str) -> Path:
    assert train.main([*TAUGHT, "--runs", str(folder), "--run", name, *more]) == 0
    return folder / name


@pytest.mark.slow
def test_a_slow_teacher_changes_nothing_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, done = threading.Event(), threading.Event()
    log: list[str] = []
    start = iteration.begin_games

    def slow(self: GameTeacher, moves: np.ndarray, value: np.ndarray, plies: int) -> GameValues:
        begun.set()
        done.wait(60)  # until the next games are being played
        log.append("taught")
        return teach(self, moves, value, plies)

    def starting(*arguments: Any) -> Any:
        begun_here = start(*arguments)
        log.append("started")
        if log.count("started") > 1:
            done.set()
        return begun_here

    teach = GameTeacher.__call__
    with monkeypatch.context() as patch:
        patch.setattr(GameTeacher, "__call__", slow)
        patch.setattr(iteration, "begin_games", starting)
        overlapped = run(tmp_path, "overlapped")
    assert log[:3] == ["started", "started", "taught"]
    with monkeypatch.context() as patch:
        patch.setattr(teaching, "ThreadPoolExecutor", lambda count: AtOnce())
        inline = run(tmp_path, "inline")
    chex.assert_trees_all_equal(saved(overlapped), saved(inline))
    assert lasting(overlapped) == lasting(inline)
    # And it is the teacher that the runs learnt from.
    alone = run(tmp_path, "alone", "--selfplay.engine_positions", "0")
    assert lasting(alone) != lasting(inline)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was taught, and not interrupted."""
    return run(tmp_path_factory.mktemp("taught"), "whole")


def test_a_taught_run_goes_on_as_if_it_had_not_been_interrupted(
    whole: Path, tmp_path: Path
) -> None:
    parts = run(tmp_path, "parts", "--iterations", "1")
    assert (
        train.main(["--resume", "--runs", str(tmp_path), "--run", "parts", "--iterations", "3"])
        == 0
    )
    chex.assert_trees_all_equal(saved(whole), saved(parts))
    assert lasting(whole) == lasting(parts)


def test_every_iteration_says_for_whom_the_devices_waited(whole: Path) -> None:
    for line in metrics.read_metrics(whole / "metrics.jsonl"):
        waits = sum(line[f"time/idle_{name}"] for name in iteration.IDLE)
        busy = sum(line.get(f"time/{name}", 0) for name in ("self_play", "learning", "arena"))
        assert waits + busy == pytest.approx(line["time/iteration"], rel=0.01)
        assert line["device/idle"] == pytest.approx(waits / line["time/iteration"], rel=0.01)
