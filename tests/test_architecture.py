"""The modules form layers: each imports only what comes before it."""

import ast
from pathlib import Path

import pytest

import azdab

ORDER = [
    "config",
    "files",
    "presets",
    "cli",
    "rundir",
    "vault",
    "device",
    "mesh",
    "game",
    "drawing",
    "position",
    "record",
    "exchange",
    "symmetry",
    "solver",
    "chains",
    "quiet",
    "exact",
    "alphabeta",
    "endings",
    "layers",
    "features",
    "structure",
    "network",
    "tree",
    "search",
    "agents",
    "selfplay",
    "replay",
    "learner",
    "diverged",
    "baselines",
    "arena",
    "ratings",
    "batching",
    "truth",
    "exactness",
    "calibration",
    "checkpoint",
    "saving",
    "hosted",
    "players",
    "matches",
    "insight",
    "engine",
    "positions",
    "metrics",
    "phases",
    "memory",
    "progress",
    "gamebook",
    "launch",
    "train",
    "timing",
    "workloads",
    "rivals",
    "speed",
    "benchmark",
    "measure",
    "report",
    "tournament",
    "evaluate",
    "export",
    "study",
    "curves",
    "theory",
    "analysis",
    "heatmaps",
    "review",
    "review_page",
    "analyze",
    "terminal",
    "protocol",
    "sessions",
    "views",
    "serving",
    "web",
    "play",
]
PACKAGE = Path(azdab.__file__).parent


def imported(name: str) -> set[str]:
    """Full names of everything a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(name: str) -> set[str]:
    """The modules of azdab that a module imports."""
    parts = [full.split(".") for full in imported(name)]
    return {part[1] for part in parts if part[0] == "azdab" and part[1] != "__version__"}


def test_every_module_has_its_place() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("name", ORDER)
def test_modules_import_only_those_before_them(name: str) -> None:
    assert own_imports(name) <= set(ORDER[: ORDER.index(name)])


def test_imports_are_found_at_all() -> None:
    assert own_imports("train") >= {"arena", "checkpoint", "config", "game", "phases"}


@pytest.mark.parametrize("name", ["config", "__init__"])
def test_the_config_loads_without_jax(name: str) -> None:
    assert not {full.split(".")[0] for full in imported(name)} & {"jax", "flax", "optax", "azdab"}
