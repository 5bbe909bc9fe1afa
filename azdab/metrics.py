"""Metrics on disk: one JSON line per iteration, the same for TensorBoard."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter


def read(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a ``metrics.jsonl``; a line cut short by a crash is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


class Writer:
    """Appends metrics to a run; close it, or use it as a context manager."""

    def __init__(self, run: Path, iteration: int) -> None:
        """Continue after ``iteration``; anything logged beyond it is dropped."""
        path = run / "metrics.jsonl"
        kept = [line for line in read(path) if line["iteration"] <= iteration]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run), purge_step=iteration + 1)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._board.close()

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """Log one iteration. Values that are not finite become null in the JSON."""
        finite = {k: float(v) if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps({"iteration": iteration, **finite}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, float(value), iteration)
        self._board.flush()
