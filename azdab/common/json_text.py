"""JSON as azdab writes it: in one place, so that every reader and every program can use it."""

import json
import math
from typing import Any


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = True) -> str:
    """A plain value as JSON. What is not finite becomes null, and no zero is negative.

    >>> json_text({"margin": -0.0, "elo": float("nan")})
    '{"margin": 0.0, "elo": null}'
    """
    return json.dumps(_usable(value), ensure_ascii=ascii_only, indent=indent, allow_nan=False)


def _usable(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _usable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_usable(entry) for entry in value]
    return value
