"""What the notebooks show of runs, strength and theory: figures and tables.

Figures are matplotlib's (``pip install 'azdab[notebooks]'``), made without pyplot, so that
nothing is left open. Tables are rich's, which Jupyter shows too. What they show is computed
elsewhere: runs in :mod:`azdab.lab.curves`, strength in :mod:`azdab.measure.evaluation` and
:mod:`azdab.players.matches`, theory in :mod:`azdab.lab.theory`, drawn by
:mod:`azdab.lab.theory_figures`. :mod:`azdab.lab.heatmaps` draws boards.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from rich.table import Table
from rich.text import Text

from azdab.common.errors import UserError
from azdab.common.metric_table import BY_NAME, METRICS, Metric, depends_on_machine
from azdab.game.drawing import PLAYER_FILLS
from azdab.lab.curves import Curves, Finding
from azdab.measure import evaluation, judging
from azdab.measure.evaluation import Report
from azdab.players import ratings
from azdab.players.matches import Tournament

COLOURS = (*PLAYER_FILLS, "#1a9850", "#8e5bd0", "#b58900", "#4d4d4d", "#d0559a", "#17a2b8")
"""Of runs, settings and players in figures; the first two are the players' on the board."""

_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
}


Plot = TypeVar("Plot", bound=Callable[..., Any])


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
      title: what is shown.
      unit: of the vertical axis.
      better: ``more`` or ``less``, if one of them is.
      metrics: names in ``metrics.jsonl`` and how to call them.
    """

    title: str
    unit: str
    better: str
    metrics: dict[str, str]


def _panels(metrics: Iterable[Metric]) -> tuple[Panel, ...]:
    """The panels that metrics belong to, in their order."""
    found: dict[str, Panel] = {}
    for metric in filter(lambda one: one.panel, metrics):
        blank = Panel(metric.panel, metric.unit, metric.better, {})
        panel = found.setdefault(metric.panel, blank)
        panel.metrics[metric.name] = metric.label
    return tuple(found.values())


LEARNING = _panels(one for one in METRICS if not depends_on_machine(one.name))
"""Whether a run learns."""

COMPARING = tuple(
    Panel(f"{one.panel}, {one.label}", one.unit, one.better, {one.name: one.label})
    for one in METRICS
    if one.compared
)
"""The same with one metric per panel, for several runs in one figure."""

MACHINE = _panels(one for one in METRICS if depends_on_machine(one.name))
"""What a run costs."""


def load_figure() -> Any:
    """The figures of matplotlib.

    Raises:
      UserError: it is not installed.
    """
    try:
        from matplotlib import figure
    except ImportError:
        raise UserError("figures need: pip install 'azdab[notebooks]'") from None
    return figure.Figure


def styled(plot: Plot) -> Plot:
    """Let a function draw in the style of all figures here."""

    @functools.wraps(plot)
    def drawn(*arguments: Any, **options: Any) -> Any:
        load_figure()
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return plot(*arguments, **options)

    return cast(Plot, drawn)


def axes_grid(rows: int, columns: int, width: float = 3.3, height: float = 2.7) -> tuple[Any, Any]:
    """A figure and its axes, ``[rows, columns]``, each ``width`` by ``height`` inches."""
    figure = load_figure()(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _units(runs: Sequence[Curves], panel: Panel) -> str:
    """The unit of a panel in these runs; with several utilities there can be two."""
    known = [BY_NAME[name] for name in panel.metrics if name in BY_NAME]
    units = [metric.unit_under(run.utility) for run in runs for metric in known]
    return " or ".join(dict.fromkeys(units)) if units else panel.unit


@styled
def plot_curves(runs: Sequence[Curves], panels: Sequence[Panel] = LEARNING) -> Any:
    """Metrics over iterations, four panels a row.

    With one run, colours tell metrics apart; with several, colours are runs and
    line styles are metrics. A panel without measurements says so.
    """
    columns = min(4, len(panels))
    figure, grid = axes_grid(-(-len(panels) // columns), columns)
    for axis, panel in zip(grid.flat, panels, strict=False):
        for i, run in enumerate(runs):
            for j, (metric, label) in enumerate(panel.metrics.items()):
                x, y = run.of(metric)
                axis.plot(
                    x, y,
                    color=COLOURS[(i if len(runs) > 1 else j) % len(COLOURS)],
                    linestyle=("-", "--", ":", "-.")[j % 4 if len(runs) > 1 else 0],
                    marker="o" if len(x) < 12 else "", markersize=3,
                    label=label if i == 0 and len(panel.metrics) > 1 else None,
                )  # fmt: skip
        better = f"{panel.better} is better" if panel.better else ""
        unit = ", ".join(filter(None, (_units(runs, panel), better)))
        axis.set(title=panel.title, ylabel=unit, xlabel="iteration")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if panel.unit == "share":
            axis.set_ylim(0, 1.02)
        if not any(len(run.of(metric)[0]) for run in runs for metric in panel.metrics):
            axis.text(0.5, 0.5, "not measured", ha="center", transform=axis.transAxes)
        elif len(panel.metrics) > 1:
            axis.legend()
    for axis in grid.flat[len(panels) :]:
        axis.remove()
    if len(runs) > 1:
        lines = [
            grid.flat[0].plot([], [], color=COLOURS[i % len(COLOURS)])[0] for i in range(len(runs))
        ]
        figure.legend(lines, [run.name for run in runs], loc="outside upper left", ncols=len(runs))
    return figure


def findings_table(name: str, findings: Sequence[Finding]) -> Table:
    """The checks of a run."""
    table = Table(title=Text(name), title_justify="left")  # a name is no markup
    for column in ("check", "measured", "", "look at"):
        table.add_column(column)
    marks = {True: Text("ok"), False: Text("look", "bold red"), None: Text("cannot tell", "dim")}
    for one in findings:
        table.add_row(one.check, one.measured, marks[one.healthy], one.advice)
    return table


def wilson_errors(rates: Sequence[float], counts: Sequence[int]) -> np.ndarray:
    """Lengths of error bars below and above, ``float[2, N]``; NaN where nothing was counted."""
    errors = np.full((2, len(rates)), np.nan)
    for i, (rate, count) in enumerate(zip(rates, counts, strict=True)):
        if count:
            low, high = ratings.wilson(rate, count)
            errors[:, i] = rate - low, high - rate
    return errors


def bar_offset(number: int, total: int) -> float:
    """Where a bar stands in its group."""
    return (number - (total - 1) / 2) * 0.8 / total


@styled
def plot_phases(result: Report) -> Any:
    """Boxes lost per move by phase of the game, for each position set."""
    figure, (axes,) = axes_grid(1, len(result.sets), 4.2, 3.2)
    for axis, (set_name, rows) in zip(axes, result.sets.items(), strict=True):
        shown = {name: row for name, row in rows.items() if name != evaluation.RANDOM}
        for i, (name, row) in enumerate(shown.items()):
            places = np.arange(len(judging.PHASES)) + (i - (len(shown) - 1) / 2) * 0.8 / len(shown)
            losses = [quality.loss for quality in row.by_phase.values()]
            axis.bar(places, losses, 0.75 / len(shown), color=COLOURS[i % len(COLOURS)], label=name)
        counts = [q.moves for q in next(iter(shown.values())).by_phase.values()]
        labels = [f"{p}\n{n:,}" for p, n in zip(judging.PHASES, counts, strict=True)]
        axis.set(xticks=range(len(labels)), xticklabels=labels, ylabel="boxes lost per move")
        axis.set_ylim(bottom=0)
        axis.set_title(f"positions: {set_name}")
        axis.grid(axis="x", visible=False)
    axes[0].legend()
    return figure


@styled
def plot_scaling(result: Report, simulations: Sequence[int]) -> Any:
    """What more simulations buy: on position sets, and in whole games.

    Args:
      result: measured with these settings.
      simulations: the settings, ascending; 0 is the raw policy.
    """
    figure, (axes,) = axes_grid(1, 3, 4.2, 3.2)
    names = [evaluation.setting_name(count) for count in simulations]
    places = range(len(names))
    for i, (set_name, rows) in enumerate(result.sets.items()):
        shown = [rows[name].all for name in names]
        rates = [row.optimal for row in shown]
        errors = wilson_errors(rates, [row.moves for row in shown])
        style = {"color": COLOURS[i], "marker": "o", "markersize": 4, "label": set_name}
        axes[0].errorbar(places, rates, errors, capsize=2, **style)
        axes[1].plot(places, [row.loss for row in shown], **style)
    flawless = [result.games[name].flawless for name in names]
    errors = wilson_errors(flawless, [result.games[name].games for name in names])
    axes[2].errorbar(places, flawless, errors, capsize=2, color=COLOURS[3], marker="o")
    axes[0].set(title="optimal moves", ylabel="share, 95%")
    axes[1].set(title="cost of a move", ylabel="boxes lost per move", ylim=(0, None))
    axes[2].set(title="games in which nothing is lost", ylabel="share, 95%")
    for axis in axes:
        labels = [str(count) if count else "raw" for count in simulations]
        axis.set(xlabel="simulations", xticks=places, xticklabels=labels)
    axes[0].legend(title="positions")
    return figure


@styled
def plot_reliability(result: Report) -> Any:
    """The raw network's win probability against the result of perfect play."""
    figure, ((axis,),) = axes_grid(1, 1, 3.6, 3.4)
    axis.plot([0, 1], [0, 1], ":", color="#888888")
    for i, (set_name, found) in enumerate(result.calibration.items()):
        axis.plot(
            found.bin_forecasts, found.bin_results, "o-", color=COLOURS[i], label=set_name, ms=4
        )
    axis.set(title="win probability", xlabel="forecast", ylabel="result of perfect play")
    axis.legend(title="positions")
    return figure


@styled
def plot_ladder(result: Tournament) -> Any:
    """Elo ratings with their 95% intervals, the best on top."""
    order = np.argsort(result.ratings.elo, kind="stable")
    figure, ((axis,),) = axes_grid(1, 1, 7, 0.8 + 0.4 * len(order))
    places, bars = np.arange(len(order)), result.ratings.error_bars(order)
    axis.errorbar(result.ratings.elo[order], places, fmt="o", capsize=3, color=COLOURS[0], **bars)
    axis.set(yticks=places, yticklabels=[result.names[i] for i in order], xlabel="Elo, 95%")
    return figure
