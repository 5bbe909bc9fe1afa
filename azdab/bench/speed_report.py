"""What a benchmark found, as a table and as JSON, and beside an earlier one."""

import json
import statistics
from pathlib import Path
from typing import Any

import jax
from rich import box
from rich.console import Console
from rich.table import Table

from azdab.bench.timing import Timed
from azdab.common import files
from azdab.common.config import Config, config_to_dict
from azdab.common.errors import UserError
from azdab.devices import device

_MAX_REPORT_BYTES = 10_000_000

WorkKey = tuple[str, int, int]
"""Name, games and simulations: what tells one work from another."""


def moves_per_second(found: list[Timed]) -> float:
    """Searched moves per second of self-play."""
    played = next(timed for timed in found if timed.name == "self-play")
    return played.rate / (played.simulations + 1)


def efficiency(timed: Timed, found: list[Timed]) -> float | None:
    """Evaluations per second as a share of the bare network's, in the same rounds."""
    bare = {t.key: t for t in found}.get(("bare network", timed.games, timed.simulations))
    if bare is None or timed.unit != "evaluations":
        return None
    return statistics.median(
        (timed.units / mine) / (bare.units / its)
        for mine, its in zip(timed.seconds, bare.seconds, strict=True)
    )


def as_json(found: list[Timed], config: Config, more: dict[str, Any]) -> dict[str, Any]:
    """The report as a file holds it."""
    results = [
        {
            **timed._asdict(),
            "median": timed.median,
            "per_second": timed.rate,
            "efficiency": efficiency(timed, found),
        }
        for timed in found
    ]
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "config": config_to_dict(config),
        "results": results,
        **device.device_metrics(),
        **more,
    }


def read_report(path: Path) -> dict[WorkKey, float]:
    """Rates by work from an earlier ``--json``.

    Raises:
      UserError: it cannot be read, or is not a report.
    """
    try:
        found = json.loads(files.read_bounded(path, _MAX_REPORT_BYTES))["results"]
        return {(r["name"], r["games"], r["simulations"]): r["per_second"] for r in found}
    except OSError as error:
        raise UserError(f"--compare: cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"--compare: {path} was not written by --json") from None


def show(found: list[Timed], before: dict[WorkKey, float] | None, title: str, out: Console) -> None:
    """Print the times."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = ["", "games", "sims", "median s", "spread", "per second", "efficiency"]
    for column in [*columns, "of before"] if before is not None else columns:
        table.add_column(column, justify="right" if column else "left")
    for timed in found:
        share = efficiency(timed, found)
        spread = (max(timed.seconds) - min(timed.seconds)) / timed.median
        digits = 0 if timed.rate >= 100 else 2
        row = [timed.name, str(timed.games or ""), str(timed.simulations or "")]
        row += [f"{timed.median:.4f}", f"{spread:.0%}", f"{timed.rate:,.{digits}f} {timed.unit}"]
        row += ["" if share is None else f"{share:.2f}"]
        if before is not None:
            old = before.get(timed.key)
            row.append(f"{timed.rate / old:.2f}" if old else "")
        table.add_row(*row)
    out.print(table)
    seconds = sum(timed.compile_seconds for timed in found if timed.name != "iteration")
    out.print(f"compiling, not counted above: {seconds:.0f} s", highlight=False)


def peak_memory_line() -> str:
    """The peak memory, and the limit on a device with its own memory."""
    peak = device.device_metrics().get("device/memory_peak_gb", 0.0)
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    of = f" of {limit / 1e9:.2f} GB allowed" if limit else " of this process"
    return f"peak memory: {peak:.2f} GB{of}"
