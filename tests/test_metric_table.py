"""The table of metrics against what an iteration measures, and those who read the table."""

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from azdab.common import metric_table, presets, progress
from azdab.common.config import Config, config_from_dict
from azdab.common.metric_table import BY_NAME, METRICS
from azdab.devices import device
from azdab.devices.timeline import Timeline
from azdab.game.board import Board
from azdab.lab import curves, figures
from azdab.learning import agents, arena, baselines, selfplay
from azdab.learning.learner import Losses
from azdab.learning.programs import Programs
from azdab.learning.selfplay import SelfPlayStats
from azdab.runs import checkpoint, metrics
from azdab.runs.checkpoint import TrainState
from azdab.runs.gamebook import Gamebook
from azdab.training import iteration, teaching
from azdab.training.iteration import Context
from tests import common


def idle(board: Board, config: Config) -> Context:
    """A run whose programs compute nothing, but give what the real ones give."""
    devices = common.one_device()
    against = baselines.baselines_of(board, devices, lambda name: None)
    anyone = agents.random_agent(board)

    def match(games: int) -> Any:
        play = jax.jit(
            lambda key: arena.play_games(board, (anyone,) * 2, (None,) * 2, key, games, 0)
        )
        return jax.tree.map(np.asarray, play(jax.random.key(0)))

    played, panel = match(2), match(2 * len(against.agents))
    examples = selfplay.zero_examples(board, 8 * config.examples_per_game)
    stats = SelfPlayStats(*[jnp.zeros(1)] * len(SelfPlayStats._fields))
    programs = Programs(
        self_play=lambda params, key: (examples, stats),
        add=lambda buffer, examples: buffer,
        correct=None,
        learn=lambda state, buffer, key: (state, Losses(*[jnp.zeros(())] * len(Losses._fields))),
        gate=lambda latest, best, key: played,
        baselines=lambda params, solved, key: panel,
        opponents=tuple(against.agents),
        solved=against.solved,
    )
    beside = teaching.beside(board, config)
    return Context(
        board, config, devices, programs, beside, Timeline(), Gamebook(board, None), print
    )


def blank(context: Context) -> TrainState:
    """A state of a run's shapes, for programs that compute nothing."""
    board, config, devices = context.board, context.config, context.devices
    shapes = jax.eval_shape(lambda: checkpoint.initial_state(board, config, devices))
    state: TrainState = jax.tree.map(lambda x: jnp.asarray(np.zeros(x.shape, x.dtype)), shapes)
    return state


def test_a_program_that_holds_its_caller_up_holds_up_nothing_else() -> None:
    """As on a card, where a call returns near its program's end."""
    config = config_from_dict(presets.read_settings("smoke"))
    context, going = idle(Board(2, 2), config), threading.Event()

    def self_play(params: Any, key: Any) -> Any:
        assert going.wait(60)
        time.sleep(0.2)
        return played(params, key)

    played = context.programs.self_play
    context = context._replace(programs=context.programs._replace(self_play=self_play))
    state = blank(context)
    started = iteration.begin_games(context, state, 1)
    assert not started.waves[0].done()
    going.set()
    iteration.complete(context, state, started, None)
    took = context.timeline.read()
    context.beside.close()
    assert took.busy["self-play"] > 0.1
    assert took.seconds == pytest.approx(sum(took.busy.values()) + sum(took.idle.values()))


@pytest.mark.parametrize(
    ("board", "every", "kinds"),
    [
        (Board(2, 2), 1, {"always", "arena", "solved"}),
        (Board(2, 2), 2, {"always"}),
        (Board(5, 5), 1, {"always", "arena"}),
    ],
    ids=["solved", "without an arena", "not solved"],
)
def test_an_iteration_measures_what_the_table_says(
    board: Board, every: int, kinds: set[str]
) -> None:
    settings = {
        "board": {"rows": board.rows, "cols": board.cols},
        "arena": {"every": every},
        "selfplay": {"solver_horizon": 0, "max_opening_plies": 0},
        "replay": {"capacity": 1000},
        "iterations": 9,
    }
    config = config_from_dict(presets.merge(presets.read_settings("smoke"), settings))
    context = idle(board, config)
    state = blank(context)
    started = iteration.begin_games(context, state, 1)
    _, values = iteration.complete(context, state, started, None)
    values |= iteration.measured(context, started) | device.device_metrics()
    context.beside.close()
    expected = {metric.name for metric in METRICS if metric.when in kinds}
    optional = {metric.name for metric in METRICS if metric.when == "device"}
    assert expected <= values.keys()
    assert values.keys() <= expected | optional
    assert values.keys() >= device.device_metrics().keys()


def test_a_metric_has_one_row_and_a_panel_one_unit() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert metric.meaning
        assert bool(metric.panel) >= metric.compared
    for panels in (figures.LEARNING, figures.MACHINE):
        for panel in panels:
            assert {BY_NAME[name].unit for name in panel.metrics} == {panel.unit}
    shown = [name for panel in (*figures.LEARNING, *figures.MACHINE) for name in panel.metrics]
    assert sorted(shown) == sorted(metric.name for metric in METRICS if metric.panel)
    assert all(len(panel.metrics) == 1 for panel in figures.COMPARING)


def test_what_a_run_is_asked_is_in_the_table() -> None:
    named = [check.metric for check in (*curves._CHECKS, curves._decided(Config()))]
    assert set(named) <= BY_NAME.keys()
    assert len(set(named)) == len(named) > 5


def test_the_line_of_an_iteration() -> None:
    values: dict[str, float] = {
        "loss/total": 2.0,
        "loss/policy": 0.5,
        "loss/margin": 1.25,
        "speed/games_per_second": 27.71,
        "speed/moves_per_second": 222.4,
        "selfplay/mean_margin": 9.0,
    }
    line = "  3/120  loss 2.000  (policy 0.500 margin 1.250)  27.7 games/s  222 moves/s"
    assert progress.summary_line(3, 120, values) == line
    values |= {
        "arena/win_rate_best": 0.5,
        "arena/promoted": 0.0,
        "arena/win_rate_greedy_min": 0.31,
        "exact/regret": 0.0,
    }
    line += "  vs best 50%{}  greedy-min 31%  regret 0.000 boxes/move"
    assert progress.summary_line(3, 120, values) == line.format("")
    values["arena/promoted"] = 1.0
    assert progress.summary_line(3, 120, values) == line.format("*")


def test_tensorboard_is_told_what_a_metric_is(tmp_path: Path) -> None:
    with metrics.Writer(tmp_path, 0) as writer:
        writer.write(1, {"exact/regret": 0.25, "not/there": 1.0})
    (events,) = tmp_path.glob("events.out.tfevents.*")
    written = events.read_bytes()
    assert metric_table.described("exact/regret").encode() in written
    assert b"less is better" in written
    assert b"not/there" in written
    for panel in (*figures.LEARNING, *figures.MACHINE):
        assert panel.title.encode() in written


def test_a_run_with_earlier_names_goes_on_and_is_drawn_as_one(tmp_path: Path) -> None:
    old = [{"iteration": i, "arena/win_rate_greedy": i / 10, "loss/total": 1.0} for i in (1, 2, 3)]
    content = "".join(json.dumps(line) + "\n" for line in old).encode()
    (tmp_path / "metrics.jsonl").write_bytes(content)
    said: list[str] = []
    digest = hashlib.sha256(content).hexdigest()
    with metrics.Writer(tmp_path, 3, digest, said.append) as writer:
        writer.write(4, {"arena/win_rate_greedy_min": 0.4, "loss/total": 1.0})
    assert not said
    assert (tmp_path / "metrics.jsonl").read_bytes().startswith(content)
    run = curves.load_curves(tmp_path)
    x, y = run.of("arena/win_rate_greedy_min")
    np.testing.assert_array_equal(x, [1, 2, 3, 4])
    np.testing.assert_allclose(y, [0.1, 0.2, 0.3, 0.4])
    assert "arena/win_rate_greedy" not in run.series
