"""How exact figures are shown: tables on the terminal, JSON, a picture."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from azdab.common.errors import UserError
from azdab.measure import judging
from azdab.measure.calibration import Calibration
from azdab.measure.evaluation import Figures, GameFigures, Report
from azdab.measure.judging import Quality

_SETS = {
    "random": "random edge subsets",
    "play": "engine against strong play",
    "noisy": "strong against noisy play",
}


def percent(share: float) -> str:
    """A share as ``98.7%``; nothing for NaN."""
    return "" if math.isnan(share) else f"{share:.1%}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _add_heading(table: Table, set_name: str, rows: dict[str, Figures]) -> None:
    positions = next(iter(rows.values())).all.moves
    table.add_section()
    table.add_row(Text(f"{_SETS[set_name]}, {positions:,}", "bold"))


def games_table(games: dict[str, GameFigures], opponent: str) -> Table:
    """What each setting gave away in whole games."""
    columns = ["", "games", "nothing lost", "boxes/game", "boxes/move", "optimal", "W-D-L"]
    table = _table(f"Games against {opponent}", [*columns, "margin"])
    for name, row in games.items():
        score = row.score
        table.add_row(
            name,
            f"{row.games:,}",
            percent(row.flawless),
            _number(row.loss),
            _number(row.moves.all.loss),
            percent(row.moves.all.optimal),
            f"{score.wins}-{score.draws}-{score.losses}",
            f"{score.mean_margin:+z.2f}",
        )
    return table


def moves_table(sets: dict[str, dict[str, Figures]]) -> Table:
    """Quality of moves on the position sets, with optimal moves by phase."""
    columns = ["", "optimal", "boxes/move", "outcome kept"]
    table = _table("Moves on fixed positions", [*columns, *judging.PHASES])
    for set_name, rows in sets.items():
        _add_heading(table, set_name, rows)
        for name, row in rows.items():
            table.add_row(
                name,
                percent(row.all.optimal),
                _number(row.all.loss),
                f"{percent(row.all.keeps)} of {row.all.stakes:,}",
                *(percent(quality.optimal) for quality in row.by_phase.values()),
            )
    return table


def edges_table(sets: dict[str, dict[str, Figures]]) -> Table:
    """Optimal moves by the number of edges left."""
    labels = list(next(iter(next(iter(sets.values())).values())).by_edges)
    table = _table("Optimal moves by edges left", ["", *labels])
    for set_name, rows in sets.items():
        _add_heading(table, set_name, rows)
        for name, row in rows.items():
            table.add_row(name, *(percent(quality.optimal) for quality in row.by_edges.values()))
    return table


def calibration_table(calibrations: dict[str, Calibration]) -> Table:
    """How far the network's forecasts are from the truth."""
    columns = ["", "positions", "win: calibration error", "Brier", "margin: bias", "RMSE"]
    table = _table("The network's forecasts (margins in boxes)", columns)
    for set_name, row in calibrations.items():
        table.add_row(
            _SETS[set_name],
            f"{row.positions:,}",
            _number(row.win_error),
            _number(row.win_brier),
            f"{row.margin_bias:+z.3f}",
            _number(row.margin_rmse),
        )
    return table


def tables(report: Report, opponent: str) -> list[Table]:
    """Everything, in the order of interest."""
    shown = [games_table(report.games, opponent)]
    if report.sets:
        shown += [moves_table(report.sets), edges_table(report.sets)]
        shown.append(calibration_table(report.calibration))
    return shown


def plain(value: Any) -> Any:
    """Named tuples and arrays as plain values for JSON; NaN and infinities become null."""
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_pyplot(path: Path | None = None) -> Any:
    """matplotlib, drawing to files.

    Args:
      path: where a picture will be written.

    Raises:
      UserError: it is not installed, or does not draw in the format that the name ends with.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError("pictures need: pip install 'azdab[evaluate]'") from None
    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if path is not None and _kind(path) not in kinds:
        raise UserError(f"pictures end with one of {', '.join(kinds)}; got {path}")
    return pyplot


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".") or "png"


def in_picture(name: str) -> str:
    """A name as matplotlib shows it: between dollars it would read a formula."""
    return name.replace("$", r"\$")


def drawn(figure: Any, path: Path | None) -> bytes:
    """A figure of matplotlib's in the format that a name ends with; the figure is closed."""
    content = io.BytesIO()
    figure.savefig(content, dpi=120, format=_kind(path or Path()))
    load_pyplot().close(figure)
    return content.getvalue()


def picture_of_report(report: Report, path: Path | None) -> bytes:
    """Boxes lost by edges left, per set, and the reliability of the win probability, drawn.

    Args:
      report: what was measured.
      path: its name says the format.
    """
    pyplot = load_pyplot(path)
    count = len(report.sets) + 1
    figure, grid = pyplot.subplots(
        1, count, figsize=(4 * count, 4), layout="constrained", squeeze=False
    )
    axes = grid[0]
    for axis, (set_name, rows) in zip(axes[:-1], report.sets.items(), strict=True):
        for name, row in rows.items():
            groups: dict[str, Quality] = row.by_edges
            axis.plot(list(groups), [group.loss for group in groups.values()], "o-", label=name)
        axis.set(title=_SETS[set_name], xlabel="edges left", ylabel="boxes lost per move")
        axis.tick_params("x", rotation=60)
        axis.legend()
    axes[-1].plot([0, 1], [0, 1], "k:")
    for set_name, found in report.calibration.items():
        axes[-1].plot(found.bin_forecasts, found.bin_results, "o-", label=_SETS[set_name])
    axes[-1].set(title="win probability", xlabel="forecast", ylabel="result of perfect play")
    axes[-1].legend()
    return drawn(figure, path)
