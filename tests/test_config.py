"""Configs: what is wrong is refused in one line that says what to change."""

import contextlib
import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azdab.common import cli, presets
from azdab.common.config import (
    BoardConfig,
    Config,
    config_differences,
    config_fields,
    config_from_dict,
    config_to_dict,
)
from azdab.common.errors import UserError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"iteratons": 3}, "unknown key 'iteratons'; did you mean 'iterations'?"),
        (
            {"learner": {"bach_size": 3}},
            "unknown key 'learner.bach_size'; did you mean 'learner.batch_size'?",
        ),
        (
            {"xyzzy": 1},
            "unknown key 'xyzzy'; "
            "there is description, iterations, seed, keep_checkpoints, initial",
        ),
        ({"board": {"rows": True}}, "board.rows: input should not be true or false, got True"),
        ({"iterations": False}, "iterations: input should not be true or false, got False"),
        ({"board": {"rows": 0}}, "board.rows: input should be greater than or equal to 1, got 0"),
        ({"board": {"rows": 11}}, "board.rows: input should be less than or equal to 10, got 11"),
        ({"learner": {"ema_decay": 1}}, "learner.ema_decay: input should be less than 1, got 1"),
        (
            {"learner": {"batch_size": "many"}},
            "learner.batch_size: input should be a valid integer, "
            "unable to parse string as an integer, got 'many'",
        ),
        (
            {"search": {"policy": "alphabeta"}},
            "search.policy: input should be 'gumbel' or 'puct', got 'alphabeta'",
        ),
        (
            {"learner": {"learning_rate": math.nan}},
            "learner.learning_rate: input should be a finite number, got nan",
        ),
        (
            {"learner": {"learning_rate": math.inf}},
            "learner.learning_rate: input should be a finite number, got inf",
        ),
        (
            {"selfplay": {"games_per_iteration": 10, "parallel_games": 4}},
            "selfplay: parallel_games must divide games_per_iteration, got 4 and 10",
        ),
        (
            {"network": {"family": "resnet_attention", "filters": 10, "num_heads": 4}},
            "network: num_heads must divide filters, got 4 and 10",
        ),
        (
            {"selfplay": {"solver_horizon": 23}},
            "selfplay.solver_horizon: input should be less than or equal to 22, got 23",
        ),
        (
            {"board": {"rows": 8, "cols": 8}, "selfplay": {"engine_positions": 17}},
            "selfplay.engine_positions must be 0 on boards of more than 64 dots, "
            "got 17 and 81 dots",
        ),
        (
            {"board": {"rows": 3, "cols": 3}, "arena": {"opening_plies": 24}},
            "arena.opening_plies must be less than the 24 edges, got 24",
        ),
        (
            {"board": {"rows": 2, "cols": 2}, "selfplay": {"max_opening_plies": 30}},
            "selfplay.max_opening_plies must be less than the 12 edges, got 30",
        ),
        (
            {"arena": {"num_games": 3}},
            "arena.num_games: input should be a multiple of 2, got 3",
        ),
    ],
)
def test_wrong_values_are_named_with_what_is_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        config_from_dict(values)
    assert str(error.value) == message


def test_a_section_must_hold_keys() -> None:
    with pytest.raises(UserError, match=r"^board: .*got 3$"):
        config_from_dict({"board": 3})


@pytest.mark.parametrize("name", presets.known_presets())
def test_every_shipped_preset_is_valid_and_described(name: str) -> None:
    loaded = config_from_dict(presets.read_settings(name))
    assert loaded.description
    assert "\n" not in loaded.description


def test_the_smoke_preset_is_shipped() -> None:
    assert "smoke" in presets.known_presets()


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no config 'smoek'; did you mean 'smoke'\?.*smoke"):
        presets.read_settings("smoek")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"board: {rows: 3", "is not valid YAML"),
        (b"\xff\xfe\x00 nonsense", "is not valid YAML"),
        (b"- 1\n- 2\n", "must hold settings"),
        (b"", "must hold settings"),
        (b"just words", "must hold settings"),
    ],
)
def test_files_that_are_no_configs_are_refused_by_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        presets.read_settings(str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


settings_values = st.fixed_dictionaries(
    {},
    optional={
        "description": st.text(st.characters(exclude_categories=["C"]), max_size=20),
        "iterations": st.integers(1, 10**6),
        "board": st.fixed_dictionaries({"rows": st.integers(1, 10)}),
        "device": st.fixed_dictionaries(
            {"memory_gb": st.none() | st.floats(0.1, 80), "preallocate": st.booleans()}
        ),
        "learner": st.fixed_dictionaries(
            {
                "learning_rate": st.floats(1e-12, 10),
                "optimizer": st.sampled_from(["adamw", "sgd"]),
            }
        ),
    },
)


@given(settings_values)
def test_writing_and_reading_gives_the_same_config(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    first = config_from_dict(values)
    path = tmp_path_factory.mktemp("written") / "config.yaml"
    presets.write_settings(first, path)
    assert config_from_dict(presets.read_settings(str(path))) == first
    assert config_from_dict(config_to_dict(first)) == first


@given(settings_values, settings_values)
def test_differences_are_the_fields_that_differ(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    a, b = config_from_dict(first), config_from_dict(second)

    def value(of: Any, name: str) -> Any:
        for part in name.split("."):
            of = getattr(of, part)
        return of

    names = [name for name, _ in config_fields()]
    expected = {n: (value(a, n), value(b, n)) for n in names if value(a, n) != value(b, n)}
    assert config_differences(a, b) == expected
    assert config_differences(a, a) == {}


def test_merging_goes_into_sections_and_changes_neither_part() -> None:
    base = {"seed": 1, "board": {"rows": 2, "cols": 3}, "device": {"memory_gb": 4}}
    over = {"board": {"rows": 5}, "device": None, "iterations": 7}
    assert presets.merge(base, over) == {
        "seed": 1,
        "board": {"rows": 5, "cols": 3},
        "device": None,
        "iterations": 7,
    }
    assert base["board"] == {"rows": 2, "cols": 3}
    assert over["board"] == {"rows": 5}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"solver_horizon": 34}, {"solver_horizon": 20, "engine_positions": 20_000}),
        (
            {"solver_horizon": 23, "engine_positions": 7, "parallel_games": 3},
            {"solver_horizon": 20, "engine_positions": 7, "parallel_games": 3},
        ),
        ({"solver_horizon": 22}, {"solver_horizon": 22}),
        ({"solver_horizon": "36"}, {"solver_horizon": "36"}),
        ({}, {}),
        (None, None),
    ],
)
def test_long_horizons_of_earlier_versions_become_the_engines_positions(
    section: Any, expected: Any
) -> None:
    stored = {"seed": 1, "selfplay": section}
    assert presets.current_settings(stored) == {"seed": 1, "selfplay": expected}
    assert stored == {"seed": 1, "selfplay": section}
    nothing: Any = ["no", "settings"]
    assert presets.current_settings(nothing) is nothing


def test_a_config_is_a_hashable_constant() -> None:
    # It is a static argument of compiled functions.
    assert hash(Config()) == hash(config_from_dict({}))
    with pytest.raises(AttributeError):
        Config().seed = 3  # type: ignore[misc]


def test_every_field_is_described() -> None:
    names = [name for name, _ in config_fields()]
    assert len(names) == len(set(names)) > 40
    assert all(field.description for _, field in config_fields())


def test_options_become_settings() -> None:
    _, settings = cli.Parser(prog="test").parse(
        [
            "--learner.learning_rate=1e-3",
            "--board.rows",
            "4",
            "--search.policy",
            "puct",
            "--device.memory_gb",
            "null",
            "--network.mixed_precision",
            "true",
        ]
    )
    loaded = config_from_dict(settings)
    assert loaded.learner.learning_rate == 1e-3
    assert loaded.board == BoardConfig(rows=4)
    assert loaded.search.policy == "puct"
    assert loaded.device.memory_gb is None
    assert loaded.network.mixed_precision is True
    assert cli.Parser(prog="test").parse([])[1] == {}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--bord.rows", "3"], "unknown option '--bord.rows'; did you mean '--board.rows'?"),
        (["--bord.rows=3"], "unknown option '--bord.rows'; did you mean '--board.rows'?"),
        (["--board.row", "3"], "unknown option '--board.row'; did you mean '--board.rows'?"),
        (["--xyzzy"], "unknown option '--xyzzy'"),
        (["--seed"], "argument --seed: expected one argument"),
    ],
)
def test_wrong_options_end_the_program_with_one_line(argv: list[str], message: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), pytest.raises(SystemExit) as stop:
        cli.Parser(prog="test").parse(argv)
    assert stop.value.code == 2
    assert printed.getvalue() == f"test: error: {message}\n"


@given(st.text(alphabet="{}[]:,'\"&*!|>%@`-? a1", min_size=1, max_size=6))
def test_no_option_value_crashes_the_parser(text: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            _, settings = cli.Parser(prog="test").parse([f"--seed={text}"])
            config_from_dict(settings)
        except (SystemExit, UserError) as stop:
            one_line = str(stop) if isinstance(stop, UserError) else printed.getvalue().strip()
            assert "\n" not in one_line
