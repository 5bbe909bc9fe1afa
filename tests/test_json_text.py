"""Numbers as they are shown and written: no zero has a sign that means nothing."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import azdab
from azdab.common.json_text import json_text
from azdab.engine.engine import Analysis, Candidate, Engine
from azdab.engine.levels import Level
from azdab.game import record
from azdab.game.board import Board
from azdab.game.position import Position
from azdab.game.record import Record
from azdab.runs import metrics
from azdab.terminal.protocol import Protocol
from azdab.web import guard, json_views

PACKAGE = Path(azdab.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
BOARD = Board(1, 1)
NOTHING = Analysis(-1e-9, 0.5, None, [Candidate(edge, 0.25, 1, -0.0, None) for edge in range(4)])


def test_json_of_nested_values() -> None:
    value = {"a": [-0.0, {"b": (0.0, float("nan"), -float("inf"))}], "c": -1.5, "d": 0, "e": True}
    text = json_text(value)
    assert text == '{"a": [0.0, {"b": [0.0, null, null]}], "c": -1.5, "d": 0, "e": true}'
    assert json_text("½\udcff", ascii_only=False) == '"½\udcff"'
    assert json_text("½") == r'"\u00bd"'


def format_specs(tree: ast.AST) -> Iterator[str]:
    """What follows the colon in f-strings, and in constants for ``str.format``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            parts = ast.walk(node.format_spec)
            yield "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\{\w*:([^{}]*)\}", node.value)


def test_signs_are_never_those_of_zeros() -> None:
    found = {
        (path.name, spec)
        for path in MODULES
        for spec in format_specs(ast.parse(path.read_text(encoding="utf-8")))
        if re.search(r"\+.*[efg%]$", spec)
    }
    assert len(found) > 10
    assert not {(name, spec) for name, spec in found if "z" not in spec}


def test_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "analyze", lambda self, position: NOTHING)
    protocol = Protocol(lambda board, level: Engine(board, None, Level(-1, 10)), BOARD)
    answer = protocol.answer("analyze")
    assert answer is not None
    assert "-0.0" not in answer
    assert json.loads(answer.removeprefix("= "))["margin"] == 0


def test_the_page() -> None:
    second = Position(BOARD, (0,))  # whose margins are turned
    told = json_views.analysis_view(second, NOTHING._replace(margin=0.0))
    text = bytes(guard.answer_json({"told": told, "evaluations": {0: -0.0}}).body).decode()
    assert "-0.0" not in text
    assert json.loads(text)["told"]["margin"] == 0


def test_records() -> None:
    game = Record(Position(BOARD, (0, 1)), evaluations={0: -0.001, 1: -0.0})
    text = record.record_text(game)
    assert text.count("eval +0.00") == 2
    assert "-0.00" not in text


def test_metrics(tmp_path: Path) -> None:
    with metrics.Writer(tmp_path, 0) as writer:
        writer.write(1, {"losses/total": -0.0, "arena/elo": float("nan")})
    line = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert json.loads(line) == {"iteration": 1, "losses/total": 0.0, "arena/elo": None}
    assert "-0" not in line
