"""What a run shows on the terminal."""

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from azdab.common.metric_table import METRICS


def bar(console: Console, label: str, *columns: ProgressColumn, transient: bool) -> Progress:
    """A progress bar with the time that has passed and the time left.

    Args:
      console: where it is drawn.
      label: shown before the bar, in rich's format for a task.
      columns: shown after the bar.
      transient: whether the bar disappears when done.
    """
    return Progress(
        TextColumn(label),
        BarColumn(bar_width=24),
        *columns,
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        transient=transient,
    )


class Display:
    """A progress bar with the current phase, and one line per iteration above it."""

    def __init__(self, console: Console) -> None:
        self.now = ""
        self.console = console
        phase = TextColumn("{task.fields[phase]}")
        self._progress = bar(console, "iteration", MofNCompleteColumn(), phase, transient=False)
        self._task = TaskID(0)

    def __enter__(self) -> "Display":
        self._task = self._progress.add_task("", total=None, phase="")
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def start(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` iterations are finished, and start the clock."""
        self._progress.reset(self._task, total=total, completed=done, phase="")

    def phase(self, name: str) -> None:
        """Show what is going on now."""
        self.now = name
        self._progress.update(self._task, phase=f"{name:<12}")

    def iteration(self, number: int, total: int, values: dict[str, Any]) -> None:
        """Advance, and print the iteration's line."""
        self._progress.update(self._task, completed=number)
        self.console.print(summary_line(number, total, values), highlight=False, soft_wrap=True)


def summary_line(number: int, total: int, values: dict[str, Any]) -> str:
    """One iteration in one line, as :data:`azdab.common.metric_table.METRICS` says."""
    line = f"{number:>{len(str(total))}}/{total}"
    for metric in METRICS:
        value = values.get(metric.name)
        if value is not None and ("{" in metric.line or value):
            line += metric.line.format(value)
    return line
