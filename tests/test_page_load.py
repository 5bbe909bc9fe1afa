"""The page's host under load, in a process of its own: everyone is answered."""

import io

import pytest
from rich.console import Console

from azdab.bench.page_load import PageLoad, measure_page

pytest.importorskip("uvicorn", reason="the extra 'web' is not installed")
pytestmark = pytest.mark.slow


def test_many_at_once_are_answered_and_nobody_is_refused() -> None:
    said = io.StringIO()
    load = PageLoad(players=6, analysts=6, importers=2, hurry=(0.0, 0.2), seconds=20)
    times = measure_page(load, Console(file=said, width=100))
    assert set(times) == {
        "analyses", "imports of 106 games", "imports of one game", "moves of hard", "new games",
        "people's moves",
    }  # fmt: skip
    assert len(times["moves of hard"]) >= load.players
    assert "6 players, 6 analysts, 2 importers" in said.getvalue()
    for kind in times:
        assert kind in said.getvalue()
