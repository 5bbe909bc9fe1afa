"""What a run shows on the terminal."""

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from azdab.phases import Memory


class Display:
    """A progress bar with the current phase, and one line per iteration above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("iteration"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[phase]}"),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
        )
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
        self._progress.update(self._task, phase=f"{name:<12}")

    def iteration(self, number: int, total: int, values: dict[str, Any]) -> None:
        """Advance, and print the iteration's line."""
        self._progress.update(self._task, completed=number)
        self.console.print(summary_line(number, total, values), highlight=False, soft_wrap=True)


def summary_line(number: int, total: int, values: dict[str, Any]) -> str:
    """One iteration in one line."""
    parts = [
        f"{number:>{len(str(total))}}/{total}",
        f"loss {values['loss/total']:.3f}",
        f"(policy {values['loss/policy']:.3f} margin {values['loss/margin']:.3f})",
        f"{values['speed/games_per_second']:.1f} games/s",
        f"{values['speed/moves_per_second']:.0f} moves/s",
    ]
    if "arena/win_rate_best" in values:
        promoted = "*" if values["arena/promoted"] else ""
        parts.append(f"vs best {values['arena/win_rate_best']:.0%}{promoted}")
        parts.append(f"greedy {values['arena/win_rate_greedy']:.0%}")
    if "exact/regret" in values:
        parts.append(f"regret {values['exact/regret']:.3f} boxes/move")
    return "  ".join(parts)


def memory_table(memory: dict[str, Memory], resident: int) -> Table:
    """Predicted device memory per phase, in MB.

    Args:
      memory: per phase.
      resident: bytes that live through the whole run (replay, learner, best network).
    """
    table = Table(title="Predicted device memory (MB)", title_justify="left")
    for column in ("phase", "arguments", "outputs", "temporary", "peak with resident"):
        table.add_column(column, justify="left" if column == "phase" else "right")
    for name, needed in memory.items():
        # Arguments are resident already, apart from the examples passed to the replay.
        peak = max(resident, needed.arguments) + needed.outputs + needed.temporary
        row = (needed.arguments, needed.outputs, needed.temporary, peak)
        table.add_row(name, *(f"{size / 1e6:,.1f}" for size in row))
    return table
