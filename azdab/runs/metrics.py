"""Metrics on disk: one JSON line per iteration, the same for TensorBoard."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from azdab.common import metric_table
from azdab.common.files import write_whole
from azdab.common.json_text import json_text
from azdab.runs import run_directory


def _lines(content: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """The lines that can be read, raw and parsed; a line cut short by a crash is left out."""
    found = []
    for raw in content.split(b"\n")[:-1]:
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and type(line.get("iteration")) is int:
            found.append((raw + b"\n", line))
    return found


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a ``metrics.jsonl``; what cannot be read is left out."""
    return [line for _, line in _lines(path.read_bytes())] if path.is_file() else []


def _layout() -> dict[str, dict[str, list[Any]]]:
    """TensorBoard's own charts: the panels of the table, each with all its curves."""
    charts: dict[str, dict[str, list[Any]]] = {"learning": {}, "machine": {}}
    for metric in metric_table.METRICS:
        if metric.panel:
            of_machine = metric_table.depends_on_machine(metric.name)
            category = charts["machine" if of_machine else "learning"]
            category.setdefault(metric.panel, ["Multiline", []])[1].append(metric.name)
    return charts


class Writer:
    """Appends metrics to a run; close it, or use it as a context manager."""

    def __init__(
        self,
        run: Path,
        iteration: int,
        digest: str | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Continue after ``iteration``; anything logged later is dropped.

        Args:
          run: the run's directory.
          iteration: the last finished iteration.
          digest: what :attr:`digest` was then, if known.
          report: told in one line what is damaged, and where a copy is kept.
        """
        path = run / "metrics.jsonl"
        content = path.read_bytes() if path.is_file() else b""
        kept: dict[int, bytes] = {}
        for raw, line in _lines(content):
            if 1 <= line["iteration"] <= iteration:
                kept.setdefault(line["iteration"], raw)
        rescued = b"".join(kept[number] for number in sorted(kept))
        self._hash = hashlib.sha256(rescued)
        missing = [number for number in range(1, iteration + 1) if number not in kept]
        if digest != self.digest and (digest or missing):
            what = f"{len(missing)} of {iteration} lines lost" if missing else "a line has changed"
            where = "there was none left"
            if path.is_file():
                place = run_directory.place_aside(run, "damaged-metrics.jsonl")
                place.write_bytes(content)
                where = f"it is kept as {place}"
            report(f"{path} is damaged ({what}); {where}")
        write_whole(path, rescued)
        self._file = path.open("ab")
        self._board = SummaryWriter(str(run), purge_step=iteration + 1)
        self._board.add_custom_scalars(_layout())

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._board.close()

    @property
    def digest(self) -> str:
        """SHA-256 of the file as it is now."""
        return self._hash.hexdigest()

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """Log one iteration. Values that are not finite become null in the JSON."""
        plain = {name: float(value) for name, value in values.items()}
        line = (json_text({"iteration": iteration, **plain}) + "\n").encode()
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())  # the checkpoint that follows holds its digest
        self._hash.update(line)
        for name, value in values.items():
            about = metric_table.described(name)
            self._board.add_scalar(name, float(value), iteration, summary_description=about)
        self._board.flush()
