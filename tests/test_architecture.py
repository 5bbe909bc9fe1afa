"""The house: rooms on floors, each public name once, files that are read in one sitting.

``python -m tests.test_architecture`` prints the diagram that CONTRIBUTING.md shows.
"""

import ast
import collections
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import azdab

PACKAGE = Path(azdab.__file__).parent
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"

ORDER = [
    "common",
    "devices",
    "game",
    "network",
    "search",
    "exact",
    "learning",
    "runs",
    "engine",
    "players",
    "measure",
    "training",
    "terminal",
    "web",
    "lab",
    "bench",
]
"""The rooms; each imports only those before it."""

COMMANDS = ["train", "play", "evaluate", "analyze", "solve", "export", "benchmark"]
"""Modules beside the rooms; they import rooms, and nothing imports them."""

KEPT = ["matches", "position"]
"""Places of earlier versions; each only hands names on."""

MOST_FLOORS, MOST_ARROWS, MOST_LINES = 11, 110, 350

SHARED = {"main"}
"""Public names that several modules may define: every command has an entry point."""


@functools.cache
def modules() -> list[Path]:
    """Every Python file of the package."""
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) >= 80
    return found


def dotted(path: Path) -> tuple[str, ...]:
    """``("exact", "oracle")`` for azdab/exact/oracle.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@functools.cache
def imported(path: Path) -> set[str]:
    """Full names of everything a module imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(path: Path) -> set[str]:
    """The rooms and commands that a module imports from."""
    parts = [full.split(".") for full in imported(path)]
    return {part[1] for part in parts if part[0] == "azdab" and part[1] != "__version__"}


@functools.cache
def arrows() -> dict[str, set[str]]:
    """For each room or command, the others it imports."""
    found: dict[str, set[str]] = {name: set() for name in (*ORDER, *COMMANDS)}
    for path in modules():
        if (name := dotted(path)) and name[0] not in KEPT:
            found[name[0]] |= rooms_of(path) - {name[0]}
    return found


@functools.cache
def floors() -> dict[str, int]:
    """A room stands one floor above the highest of those that it imports."""
    below = arrows()
    found: dict[str, int] = {}
    for name in (*ORDER, *COMMANDS):
        found[name] = 1 + max((found[other] for other in below[name]), default=0)
    return found


def diagram() -> str:
    """The rooms from the top floor down, with their modules."""
    levels = floors()
    lines = ["```"]
    for level in range(max(levels.values()), 0, -1):
        for name in (*ORDER, *COMMANDS):
            if levels[name] == level and name in ORDER:
                inside = sorted(p.stem for p in (PACKAGE / name).glob("*.py"))
                shown = " ".join(stem for stem in inside if stem != "__init__")
                lines.append(f"{level:>2}  {name + '/':<11}{shown}")
            elif levels[name] == level:
                lines.append(f"{level:>2}  {name}")
    return "\n".join([*lines, "```"])


def test_every_file_is_in_a_room() -> None:
    beside = {*COMMANDS, *KEPT}
    assert {dotted(path)[0] for path in modules() if dotted(path)} == {*ORDER, *beside}
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", *beside}


@pytest.mark.parametrize("name", KEPT)
def test_old_places_only_hand_names_on(name: str) -> None:
    body = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8")).body
    kinds = [type(node) for node in body]
    assert kinds == [ast.Expr, ast.ImportFrom, ast.Assign]


@pytest.mark.parametrize("name", ORDER)
def test_rooms_import_only_those_before_them(name: str) -> None:
    assert arrows()[name] <= set(ORDER[: ORDER.index(name)])


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_import_rooms_only(name: str) -> None:
    assert arrows()[name] <= set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_modules_of_a_room_form_no_circle(name: str) -> None:
    inside = {p.stem: p for p in (PACKAGE / name).glob("*.py") if p.stem != "__init__"}
    below = {
        stem: {full.split(".")[2] for full in imported(path) if full.startswith(f"azdab.{name}.")}
        & set(inside)
        for stem, path in inside.items()
    }
    while free := [stem for stem, others in below.items() if not others & set(below)]:
        for stem in free:
            del below[stem]
    assert not below


def test_imports_are_found_at_all() -> None:
    below = arrows()
    assert below["train"] >= {"common", "training"}
    assert below["learning"] >= {"game", "network", "search", "exact"}


def test_the_house_stays_simple() -> None:
    assert max(floors().values()) <= MOST_FLOORS
    assert sum(map(len, arrows().values())) <= MOST_ARROWS


@pytest.mark.parametrize("name", ORDER)
def test_rooms_say_what_they_are_for(name: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text("utf-8")))
    assert text is not None
    assert "import" in text


def test_files_are_read_in_one_sitting() -> None:
    long = {p.name: len(p.read_text("utf-8").splitlines()) for p in modules()}
    assert not {name: lines for name, lines in long.items() if lines > MOST_LINES}


def public_names(path: Path) -> Iterator[str]:
    """Functions, classes and constants that a module defines for others."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (name for target in targets for name in ast.walk(target))
            found = [name.id for name in names if isinstance(name, ast.Name)]
        else:
            continue
        yield from (name for name in found if not name.startswith("_"))


def test_a_public_name_means_one_thing() -> None:
    where = collections.defaultdict(set)
    for path in modules():
        for name in public_names(path):
            where[name].add(".".join(dotted(path)))
    assert len(where) > 500
    assert not {n: places for n, places in where.items() if len(places) > 1 and n not in SHARED}


def test_module_names_are_unique() -> None:
    beside = {"__init__", *KEPT}
    files = [path for path in modules() if path.parent != PACKAGE or path.stem not in beside]
    stems = collections.Counter(path.stem for path in files if path.stem != "__init__")
    assert not [stem for stem, count in stems.items() if count > 1]


def test_contributing_shows_the_rooms_as_they_are() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    shown = re.search(r"<!-- rooms -->\n(.*?)\n<!-- /rooms -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == diagram()


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_short_diagram_shows_imports(name: str) -> None:
    text = (PACKAGE.parent / name).read_text(encoding="utf-8")
    shown = re.findall(r"^([a-z_]+\.[a-z_]+) +--> (.+)$", text, re.MULTILINE)
    assert len(shown) > 5
    for above, below in shown:
        room, stem = above.split(".")
        found = imported(PACKAGE / room / f"{stem}.py")
        for module in below.split(", "):
            full = f"azdab.{module}"
            assert any(one == full or one.startswith(f"{full}.") for one in found), (above, module)


@pytest.mark.parametrize("path", sorted((PACKAGE / "common").glob("*.py")), ids=lambda p: p.stem)
def test_common_needs_no_jax(path: Path) -> None:
    heavy = {"jax", "flax", "optax", "chex", "mctx", "orbax"}
    assert not {full.split(".")[0] for full in imported(path)} & heavy


def test_importing_azdab_starts_nothing() -> None:
    outside = {full.split(".")[0] for full in imported(PACKAGE / "__init__.py")}
    assert outside <= {"importlib", "typing", "azdab"}


if __name__ == "__main__":
    print(diagram())
