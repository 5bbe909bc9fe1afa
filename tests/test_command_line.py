"""What every command line refuses before it begins to work."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from azdab import analyze, benchmark, evaluate, export, play, solve, train
from azdab.common import cli
from tests.common import refused


def test_links_are_followed_before_the_work(tmp_path: Path, capsys: Any) -> None:
    (loop := tmp_path / "loop").symlink_to("loop")
    (lost := tmp_path / "lost").symlink_to(tmp_path / "no" / "file")
    (found := tmp_path / "found").symlink_to(tmp_path / "file")
    parser: Any = cli.Parser(overrides=False)
    parser.add_argument("--file", type=cli.output_file)
    parser.add_argument("--folder", type=cli.output_folder)
    for option, link, why in [
        ("--file", loop, f"{loop} is a link that leads back to itself"),
        ("--file", lost, f"there is no directory {tmp_path / 'no'}"),
        ("--folder", lost, f"{lost} is a link to nothing, give a directory"),
    ]:
        assert why in refused(parser.parse, capsys, option, str(link))
    assert parser.parse(["--file", str(found)])[0].file == found


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (play.main, "--checkpoint="),
        (play.main, "--mode dual-ai --checkpoint best --checkpoint2="),
        (analyze.main, "game.txt --checkpoint="),
        (evaluate.main, "--tournament random %"),
        (evaluate.main, "%"),
        (train.main, "--run="),
    ],
)
def test_an_empty_name_is_not_taken_for_none(main: Any, words: str, capsys: Any) -> None:
    assert "is empty" in refused(
        main, capsys, *("" if word == "%" else word for word in words.split())
    )


@pytest.mark.parametrize("command", [analyze, benchmark, evaluate, export, play, solve, train])
def test_no_number_is_larger_than_what_arrays_count_with(command: Any) -> None:
    """Else NumPy or XLA would fail somewhere in the work."""
    numbers = [
        action
        for action in command._parser()._actions
        if getattr(action.type, "__qualname__", "").startswith(("whole.", "even."))
    ]
    for action in numbers:
        for text in ("2147483648", "9223372036854775808", "9" * 30):
            with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number from"):
                action.type(text)
    assert numbers
