"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import azdab

PACKAGE = Path(azdab.__file__).parent
MODULES = sorted(p.stem for p in PACKAGE.glob("*.py") if ">>> " in p.read_text(encoding="utf-8"))


def test_there_are_examples() -> None:
    assert len(MODULES) > 2


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"azdab.{name}"))
    assert found.attempted
    assert not found.failed
