"""What a network, its search and the engine do on the ruler of the middle game."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.table import Table
from rich.text import Text

from azdab.engine import outlook
from azdab.engine.engine import Engine
from azdab.measure import evaluation, judging, position_sets, report
from azdab.measure.evaluation import Watch
from azdab.measure.judging import Judgement, Quality
from azdab.measure.ruler import Ruler
from azdab.runs.networks import TrainedNetwork

_ALL = "all"

_EDGES_TOGETHER = 2  # figures are given for so many numbers of edges left together

_ENGINE_WORK = 500  # network evaluations that a position costs the engine, for the progress bar


class Asked(NamedTuple):
    """Who is asked about how many positions.

    Attributes:
      simulations: the numbers of simulations; 0 is the raw policy.
      positions: that the network and its search are shown, at most.
      levels: of the engine.
      seconds: that the engine thinks about a move; None: as the level says.
      engine_positions: that the engine is shown, at most.
      chunk: how many positions the network is asked about at once.
    """

    simulations: tuple[int, ...]
    positions: int
    levels: tuple[str, ...]
    seconds: float | None
    engine_positions: int
    chunk: int


class Answers(NamedTuple):
    """What somebody says of N positions.

    Attributes:
      actions: ``int[N]``, the moves.
      win: ``float[N]``, the mover's probability to win; NaN where nothing is said.
      seconds: for each move, the mean; NaN where positions are asked about together.
    """

    actions: np.ndarray
    win: np.ndarray
    seconds: float


class MiddleRow(NamedTuple):
    """One player on the ruler; the dicts are by edges left, and ``all``.

    Attributes:
      moves: what the moves are worth. Where ``keeps`` is not 1, a result was thrown away.
      winner: share of the positions with a winner in which the forecast names it.
      seconds: of :class:`Answers`.
    """

    moves: dict[str, Quality]
    winner: dict[str, float]
    seconds: float


def asked_work(ruler: Ruler, asked: Asked) -> int:
    """About how many network evaluations :func:`measure_middle` takes, as it counts them."""
    shown = len(ruler.sample(asked.positions).moves)
    engines = len(ruler.sample(asked.engine_positions).moves) * len(asked.levels)
    return shown * sum(count + 1 for count in asked.simulations) + engines * _ENGINE_WORK


def search_answers(
    trained: TrainedNetwork, ruler: Ruler, count: int, chunk: int, advance: Callable[[int], None]
) -> Answers:
    """The network's answers: alone with 0 simulations, else with search."""
    known = ruler.position_set()
    states, margin = position_sets.states_of_set(trained.board, known), known.margin
    actions, win = [], []
    for start in range(0, len(margin), chunk):
        rows = slice(start, start + chunk)
        part = jax.tree.map(lambda x, rows=rows: x[rows], states)
        found = outlook.ask(trained, part, count, chunk=chunk)
        actions.append(found.action)
        for i, lead in enumerate(margin[rows].tolist()):
            one = outlook.Outlook(*(x[i] for x in found))
            win.append(outlook.expected_result(trained, one, lead)[1])
        advance(len(found.action) * (count + 1))
    return Answers(np.concatenate(actions), np.array(win), float("nan"))


def engine_answers(engine: Engine, ruler: Ruler, advance: Callable[[int], None]) -> Answers:
    """The engine's answers, one position after another."""
    actions, win, seconds = [], [], 0.0
    for here in ruler.positions():
        begin = time.perf_counter()
        actions.append(engine.choose(here))
        seconds += time.perf_counter() - begin
        says = engine.analyze(here).win_probability
        win.append(float("nan") if says is None else says)
        advance(_ENGINE_WORK)
    return Answers(np.array(actions), np.array(win), seconds / len(actions))


def _groups(ruler: Ruler) -> dict[str, np.ndarray]:
    """Which positions belong together, ``bool[N]`` by name."""
    left = ruler.edges_left
    low, high = int(left.min()), int(left.max())
    found = {}
    for first in range(low, high + 1, _EDGES_TOGETHER):
        last = min(first + _EDGES_TOGETHER - 1, high)
        name = f"{first}-{last}" if last > first else f"{first}"
        found[name] = (left >= first) & (left <= last)
    return {**found, _ALL: np.ones(len(left), bool)}


def middle_row(ruler: Ruler, answers: Answers) -> MiddleRow:
    """Judge answers about a ruler's positions."""
    known = ruler.position_set()
    judged = judging.judge(known.values, known.margin, answers.actions)
    return _row(ruler, judged, answers)


def _row(ruler: Ruler, judged: Judgement, answers: Answers | None) -> MiddleRow:
    known = ruler.position_set()
    result = np.sign(known.margin + known.values.max(axis=1))
    groups = _groups(ruler)
    winner = {}
    if answers is not None:
        right = np.sign(answers.win - 0.5) == result
        for name, rows in groups.items():
            said = right[rows & (result != 0) & ~np.isnan(answers.win)]
            winner[name] = float(said.mean()) if len(said) else float("nan")
    seconds = float("nan") if answers is None else answers.seconds
    return MiddleRow(
        {name: judging.quality(judged, rows) for name, rows in groups.items()}, winner, seconds
    )


def measure_middle(
    trained: TrainedNetwork, path: Path, ruler: Ruler, asked: Asked, watch: Watch
) -> dict[str, MiddleRow]:
    """Ask the network, its search and the engine about a sample of a ruler's positions.

    Args:
      trained: the network.
      path: the checkpoint that it was loaded from.
      ruler: the ruler, of the network's board.
      asked: who is asked, and how much.
      watch: told about progress.

    Returns:
      A row for each of them, and one for the random mover.
    """
    some, few = ruler.sample(asked.positions), ruler.sample(asked.engine_positions)
    known = some.position_set()
    by_chance = judging.judge_random(known.values, known.margin)
    rows = {evaluation.RANDOM: _row(some, by_chance, None)}
    for count in asked.simulations:
        name = evaluation.setting_name(count)
        watch.stage(f"middle game, {name}", len(some.moves) * (count + 1))
        found = search_answers(trained, some, count, asked.chunk, watch.advance)
        rows[name] = middle_row(some, found)
    for level in asked.levels:
        timed = "" if asked.seconds is None else f", {asked.seconds:g} s"
        name = f"engine {level}{timed}"
        watch.stage(f"middle game, {name}", len(few.moves) * _ENGINE_WORK)
        engine = Engine.load(str(path), level, board=trained.board, seconds=asked.seconds)
        rows[name] = middle_row(few, engine_answers(engine, few, watch.advance))
    return rows


def _thrown(found: Quality) -> str:
    return f"{round(found.stakes * (1 - found.keeps))}/{found.stakes}" if found.stakes else ""


_SECTIONS: dict[str, Callable[[MiddleRow, str], str]] = {
    "positions": lambda row, x: f"{row.moves[x].moves:,}",
    "moves that lose boxes": lambda row, x: report.percent(1 - row.moves[x].optimal),
    "boxes lost a move": lambda row, x: f"{row.moves[x].loss:.3f}" if row.moves[x].moves else "",
    "results thrown away, of those at stake": lambda row, x: _thrown(row.moves[x]),
    "forecasts that name the winner": lambda row, x: report.percent(
        row.winner.get(x, float("nan"))
    ),
}


def middle_table(rows: dict[str, MiddleRow]) -> Table:
    """Errors, boxes lost, results thrown away and right forecasts, by edges left."""
    labels = list(next(iter(rows.values())).moves)
    table = Table(title="The middle game, by edges left", title_justify="left")
    for i, column in enumerate(["", *labels]):
        table.add_column(column, justify="right" if i else "left")
    for heading, text in _SECTIONS.items():
        table.add_section()
        table.add_row(Text(heading, "bold"))
        for name, row in rows.items():
            cells = [text(row, label) for label in labels]
            if any(cells):
                took = "" if np.isnan(row.seconds) else f" ({row.seconds:.2f} s)"
                table.add_row(name + took, *cells)
    return table
