"""Settings in files: the presets, YAML read with care, and written whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from azdab.common import files
from azdab.common.config import Config, config_to_dict
from azdab.common.errors import UserError, one_line, suggest
from azdab.common.limits import TABLE_HORIZON

MAX_CONFIG_BYTES = 1_000_000
"""Larger config files are refused."""


def _preset_directory() -> Path:
    """`configs/`: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def known_presets() -> dict[str, Path]:
    """The presets by name."""
    return {path.stem: path for path in sorted(_preset_directory().glob("*.yaml"))}


class _Loader(yaml.SafeLoader):
    """Reads plain values only: an alias can make a short text stand for a giant one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"aliases such as *{event.anchor} are not read",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)


def load_yaml(text: str) -> Any:
    """What a YAML text says, without aliases.

    Raises:
      ValueError: it says nothing; the message is one line.
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(one_line(f"{where}{error.problem or error.context}", 200)) from None
    except yaml.reader.ReaderError as error:
        raise ValueError(f"{error.reason} at character {error.position}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except Exception as error:  # the constructors of numbers and dates raise nearly anything
        raise ValueError(one_line(str(error) or type(error).__name__, 200)) from None


def read_settings(name: str) -> dict[str, Any]:
    """The settings in a preset or a YAML file, not yet validated.

    Args:
      name: a preset's name, or a path.

    Raises:
      UserError: there is no such file, or it is not a YAML mapping.
    """
    path = known_presets().get(name) or files.named(name)
    try:
        found = path.is_file()
    except OSError:  # a name too long
        found = False
    if not found:
        raise UserError(
            f"no config '{name}'{suggest(name, list(known_presets()))}; "
            f"give a path or one of: {', '.join(known_presets())}"
        )
    try:
        text = files.read_bounded(path, MAX_CONFIG_BYTES).decode()
    except UnicodeDecodeError:
        raise UserError("it is not valid YAML: it is not UTF-8 text", str(path)) from None
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror or error}", str(path)) from None
    try:
        values = load_yaml(text)
    except ValueError as error:
        raise UserError(f"it is not valid YAML: {error}", str(path)) from None
    if not isinstance(values, dict):
        raise UserError("it must hold settings as 'key: value' lines", str(path))
    return values


def current_settings(stored: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, with those of earlier versions said as now.

    Up to 36 edges used to be solved before a game was learned from, beyond 16 by the exact
    engine on the host. It now works beside the device, which solves at most ``TABLE_HORIZON``.
    """
    section = stored.get("selfplay") if isinstance(stored, dict) else None
    if not isinstance(section, dict):
        return stored
    horizon = section.get("solver_horizon")
    if not isinstance(horizon, int) or horizon <= TABLE_HORIZON:
        return stored
    now = {"engine_positions": 20_000, **section, "solver_horizon": 20}
    return merge(stored, {"selfplay": now})


def write_settings(config: Config, path: Path) -> None:
    """Write a config as YAML, whole or not at all."""
    files.write_whole(path, yaml.safe_dump(config_to_dict(config), sort_keys=False))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with those of ``over`` on top."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = merge(below, value)
        merged[key] = value
    return merged
