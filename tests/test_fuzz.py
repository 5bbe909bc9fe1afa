"""Whatever is given to azdab is taken or refused in one line that says why; nothing is begun.

Training itself is replaced: what is tested is all that happens before it.
"""

import contextlib
import functools
import io
import json
import math
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import azdab
from azdab import train
from azdab.bench import speed_report
from azdab.common import presets
from azdab.common.config import config_fields, config_from_dict, config_to_dict
from azdab.common.errors import UserError
from azdab.devices import device
from azdab.engine.engine import Engine
from azdab.engine.levels import Level
from azdab.game import exchange, gamefile, record
from azdab.game.board import Board
from azdab.learning import replay
from azdab.terminal.protocol import Protocol, converse, lines
from azdab.training import loop
from tests import runs

FIELDS = dict(config_fields())
SECTIONS = sorted({name.split(".")[0] for name in FIELDS if "." in name})
KEYS = {name.split(".")[0] for name in FIELDS}
settings = functools.partial(
    hypothesis.settings, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module", autouse=True)
def no_training() -> Any:
    """What is accepted would be trained here."""
    patch = pytest.MonkeyPatch()
    patch.setattr(loop, "train", lambda *arguments: True)
    yield
    patch.undo()


def run_main(argv: list[str], folder: Path) -> str | None:
    """The line with which training is refused; None if it is not. Leaves no run behind."""
    printed, said = io.StringIO(), io.StringIO()
    before = sorted(folder.iterdir())
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(said):
        try:
            status = train.main([*argv, "--runs", str(folder)])
        except SystemExit as stop:
            status = int(stop.code or 0)
    error = printed.getvalue()
    if status == 0:
        assert error == ""
        for path in set(folder.iterdir()) - set(before):
            assert config_from_dict(presets.read_settings(str(path / "config.yaml")))
            assert not runs.leftovers(path)
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        return None
    assert status == 2
    assert error.count("\n") == 1
    assert error.isprintable() or error[:-1].isprintable()
    assert "Traceback" not in error
    assert len(error) < 900
    assert sorted(folder.iterdir()) == before, "a run was begun"
    return error


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**15, 10**400])
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["1e15", "nan", "inf", "-inf", "yes", "~", "gumbel", "resnet", "\n", "\0"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=5,
)


def nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


configs: st.SearchStrategy[Any] = st.one_of(
    st.builds(nested, st.sampled_from(list(FIELDS)), anything),
    st.builds(nested, st.sampled_from(SECTIONS), anything),
    st.dictionaries(scalars, anything, max_size=3),
    st.lists(st.builds(nested, st.sampled_from(list(FIELDS)), scalars), max_size=4).map(
        lambda parts: functools.reduce(presets.merge, parts, dict[str, Any]())
    ),
)


@given(configs)
@settings(max_examples=700)
def test_values_are_taken_or_refused_by_the_name_of_their_key(values: Any) -> None:
    try:
        found = config_from_dict(values)
    except UserError as error:
        refusal = str(error)
        assert refusal
        only = next(iter(values)) if len(values) == 1 else None
        if isinstance(only, str) and only in KEYS:
            assert only in refusal
        return
    assert all(
        math.isfinite(value)
        for section in config_to_dict(found).values()
        for value in (section.values() if isinstance(section, dict) else [section])
        if isinstance(value, int | float)
    )


def dumped(values: Any) -> bytes:
    try:
        return yaml.safe_dump(values).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError):
        return repr(values).encode("utf-8", "surrogatepass")


SMOKE = presets.known_presets()["smoke"].read_bytes()
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)
NASTY = [
    LAUGHS.encode(),
    b"description: " + b"[" * 3000,
    b"board: " + b"{rows: " * 2000,
    b"\xff\xfe\x00\x01",
    b"seed: " + b"9" * 5000,
    b"seed: 0x" + b"f" * 5000,
    b"seed: 2001-99-99",
    b"seed: !!python/object/apply:os.system [ls]",
    b"seed: !!int ''",
    b"seed: !!timestamp x",
    b"seed: !!bool x",
    b"? [1, 2]\n: 3",
    b"<<: {seed: 1}",
    b"<<: *x",
    b"seed: 1\n---\nseed: 2",
    b"%YAML 9.9\n---\nseed: 1",
    b'description: "\\e[2J\\n\\0"',
    b"x" * 1_100_000,
    b"\0" * 100,
    b"",
]


def mutated(content: bytes, at: float, change: bytes, cut: bool) -> bytes:
    where = int(at * len(content))
    return content[:where] + change + (b"" if cut else content[where + len(change) :])


files = st.one_of(
    configs.map(dumped),
    st.builds(
        mutated, st.just(SMOKE), st.floats(0, 1), st.binary(min_size=0, max_size=4), st.booleans()
    ),
    st.text("{}[]:,'\"&*!|>%@`-? a1\n", max_size=40).map(str.encode),
    st.binary(max_size=60),
    st.sampled_from(NASTY),
)


@given(files)
@settings(max_examples=500)
def test_config_files_are_taken_or_refused(place: Path, content: bytes) -> None:
    file = place / "given.yaml"
    file.write_bytes(content)
    run_main(["--config", str(file)], place)


@pytest.mark.parametrize("content", NASTY, ids=lambda content: ascii(content[:24]))
def test_nasty_config_files(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "given.yaml"
    file.write_bytes(content)
    error = run_main(["--config", str(file)], tmp_path)
    if content not in (b"<<: {seed: 1}", b'description: "\\e[2J\\n\\0"'):
        assert error


words = st.sampled_from(
    ["--config", "smoke", "--run", "--resume", "--from-step", "--dry-runs", "--list", "-1", "1e15",
     "nan", "", "..", "a/b", "/", "a\\b", "\0", "\n", "--", "-h1", "--seed", "x" * 300, "\udcff"]
)  # fmt: skip
setting = st.sampled_from([f"--{name}" for name in FIELDS])
plausible = st.integers(0, 100).map(str) | st.sampled_from(["0.5", "1e-3", "true", "null", "win"])
options = st.one_of(
    st.tuples(setting, plausible),
    st.tuples(setting, plausible),
    st.tuples(setting, scalars.map(str)),
    st.tuples(words),
    st.tuples(st.text(max_size=8)),
).map(list)


@given(st.lists(options, max_size=3), st.integers(0, 3).map(bool))
@settings(max_examples=500)
def test_command_lines_are_taken_or_refused(
    place: Path, parts: list[list[str]], smoke: bool
) -> None:
    argv = ["--config", "smoke"] * smoke + [word for part in parts for word in part]
    if {"--help", "-h", "--list-configs", "--dry-run"} & set(argv):
        return
    run_main(argv, place)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--replay.capacity", "1e15"], "replay.capacity"),
        (["--replay.capacity", "1000000000000000"], "less than or equal to 1000000000"),
        (["--replay.capacity", "1000000000"], "replay.capacity: 1,000,000,000 positions take"),
        (["--board.rows", "1000000", "--board.cols", "1000000"], "less than or equal to 10"),
        (["--network.filters", "10", "--network.family", "resnet_attention"], "num_heads"),
        (["--network.blocks", "1000000000"], "network.blocks"),
        (["--selfplay.games_per_iteration", "9"], "parallel_games must divide"),
        (["--selfplay.solver_horizon", "23"], "less than or equal to 22"),
        (
            ["--board.rows", "8", "--board.cols", "8", "--selfplay.engine_positions", "20"],
            "selfplay.engine_positions must be 0",
        ),
        (["--learner.learning_rate", "nan"], "learner.learning_rate"),
        (["--learner.learning_rate", ".nan"], "finite number"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (["--seed", "18446744073709551616"], "seed"),
        (["--run", "../escape"], "--run takes a name"),
        (["--from-step", "x"], "--from-step"),
        (["--from-step", "3"], "add --resume"),
    ],
)
def test_sizes_and_combinations_are_refused_before_anything_is_made(
    argv: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "init_replay", lambda *arguments: pytest.fail("allocated"))
    monkeypatch.setattr(device, "memory_bytes", lambda: 16_000_000_000)
    error = run_main(["--config", "smoke", *argv], tmp_path)
    assert error is not None
    assert said in error


RECORD = (
    "azdab record 1\nboard: 2x2\nfirst: Ann\n\n# remark\n"
    "A h 0 0\nB h 1 1   eval +0.35\nA v 0 0 # x\n"
)
texts = st.one_of(
    st.text(max_size=200),
    st.builds(
        lambda at, change, cut: mutated(RECORD.encode(), at, change, cut).decode(errors="replace"),
        st.floats(0, 1), st.binary(max_size=6), st.booleans(),
    ),
    st.lists(
        st.sampled_from(["azdab record 1", "board: 2x2", "board: 1000000x1000000", "A h 0 0",
                         "B v 9 9", "result: 4-0", "A h 0 0 eval 1e9", "A h " + "9" * 5000 + " 0",
                         "board: " + "9" * 5000 + "x1", "#", "first:"]), max_size=8,
    ).map("\n".join),
    st.recursive(scalars, lambda x: st.lists(x) | st.dictionaries(st.text(max_size=6), x),
                 max_leaves=6).map(lambda x: json.dumps(x, default=str)),
    st.just("[" * 100_000),
    st.just("9" * 100_000),
)  # fmt: skip


@given(texts, st.none() | st.just(Board(2, 2)))
@settings(max_examples=400)
def test_records_are_read_or_refused(text: str, board: Board | None) -> None:
    for read in (lambda: record.parse_records(text), lambda: exchange.parse_games(text, board)):
        try:
            read()
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_what_is_giant_is_refused_unread(tmp_path: Path) -> None:
    sized, endless = tmp_path / "giant.txt", Path("/dev/zero")
    with sized.open("wb") as out:
        out.truncate(10**12)  # no bytes on disk, but that many to read
    for file in filter(Path.exists, (sized, endless)):
        with pytest.raises(UserError, match="larger than 50 MB"):
            gamefile.read_text(file)
        with pytest.raises(UserError, match="was not written by --json"):
            speed_report.read_report(file)
    with pytest.raises(UserError, match="larger than 1 MB"):
        presets.read_settings(str(sized))


@functools.cache
def load(board: Board, level: str | None) -> Engine:
    return Engine(board, None, Level(-1, 10))


said = st.one_of(
    st.builds(
        lambda *parts: " ".join(parts).encode(),
        st.sampled_from(["", "1", "999999999", "-1"]),
        st.sampled_from(["board", "play", "undo", "new", "level", "moves", "state", "legal", "x"]),
        st.sampled_from(["", "2x2", "1000000x1000000", "h 0 0", "0", "9" * 5000, "²", "easy"])
        | st.text(max_size=10).filter(str.isprintable),
    ),
    st.binary(max_size=60),
)  # fmt: skip


@given(st.lists(said, min_size=5, max_size=5))
@settings(max_examples=120)
def test_protocol_lines_are_answered(conversation: list[bytes]) -> None:
    out = io.StringIO()
    protocol = Protocol(load, Board(2, 2))
    converse(protocol, lines(io.BytesIO(b"\n".join(conversation))), out)
    answers = out.getvalue()
    assert all(answer[:1] in ("=", "?") for answer in answers.split("\n\n")[:-1])
    assert protocol.answer("name") == "= azdab\n\n"


def test_nothing_reads_what_could_run_code() -> None:
    package = Path(azdab.__file__).parent
    files = sorted(package.rglob("*.py"))
    assert len(files) >= 80
    for path in files:
        text = path.read_text(encoding="utf-8")
        for word in ("import pickle", "cloudpickle", "import dill", "joblib", "marshal", "shelve",
                     "allow_pickle=True", "eval(", "exec(", "yaml.load(text, yaml", "unsafe_load",
                     "full_load"):  # fmt: skip
            found = [line for line in text.splitlines() if word in line]
            found = [line for line in found if f".{word}" not in line and f"_{word}" not in line]
            assert not found, (path.name, found)
        for line in text.splitlines():
            assert "np.load(" not in line or "allow_pickle=False" in line, (path.name, line)
