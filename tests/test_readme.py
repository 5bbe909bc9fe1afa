"""What README and the guide say can be typed, can be typed."""

import collections
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from azdab.common import presets
from tests import common

ROOT = Path(__file__).parents[1]
TEXTS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "README.zh-CN.md", "notebooks/guide.md")
}
TYPED = "README.md", "notebooks/guide.md"

TINY = ["--arena.baseline_games", "4", "--arena.num_games", "4"]
TINY += ["--learner.steps_per_iteration", "4"]
TINY += ["--selfplay.games_per_iteration", "32", "--selfplay.parallel_games", "32"]
SMALL = ["--network.filters", "8", "--network.blocks", "1", "--learner.optimizer", "sgd"]
SMALL += ["--board.rows", "2", "--board.cols", "2", "--selfplay.solver_horizon", "4"]
SMALL += ["--search.num_simulations", "4", "--arena.num_simulations", "4"]

SMALLER = {
    "azdab.train --list-configs": [],
    "azdab.train --config quick --dry-run": [*TINY, *SMALL],
    "azdab.train --config quick": ["--iterations", "1", *TINY, *SMALL],
    "azdab.train --resume": ["--iterations", "2", *TINY],
    "azdab.play --mode dual-ai": ["--num-games", "2", "--simulations", "2"],
    "azdab.play --replay": [],
    "azdab.play": ["--level", "easy"],
    "azdab.analyze": ["--level", "easy"],
    "azdab.evaluate 5x5 --match": ["--games", "2", "--opening-plies", "44"],
    "azdab.evaluate 5x5 --tournament": ["--games", "2", "--opening-plies", "52"],
    "azdab.evaluate": ["--games", "2", "--positions", "20", "--simulations", "0", "2"],
    "azdab.export": ["--games", "0"],
    "azdab.solve 3x4": ["--value-only"],
}
"""What is added to a command, by its beginning, so that it takes seconds."""

CHAINS = {
    "record": {"game.txt", "judged.txt"},
    "run": {"mine", "runs/mine", "best", "mine-exported", "mine-exported/example.py"},
}
"""Words of commands that use what earlier ones of the same chain wrote."""

FAST = (
    "azdab.train --list-configs",
    "azdab.play --web",
    "azdab.play --board 3x3",
    "azdab.play --mode ai",
)
"""Beginnings of the commands that take few seconds; the others are slow tests."""


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Every command of the shell blocks, without its remark."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines() if line.strip()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = {name: commands(text) for name, text in TEXTS.items()}
INSTALLING, PAGES = "python3", ["--web"]


def test_the_same_commands_in_both_languages() -> None:
    assert COMMANDS["README.md"] == COMMANDS["README.zh-CN.md"]
    assert blocks(TEXTS["README.md"], "python") == blocks(TEXTS["README.zh-CN.md"], "python")
    assert len(COMMANDS["README.md"]) > 15


def test_ci_runs_the_test_command() -> None:
    run = (ROOT / ".ci/run").read_text(encoding="utf-8")
    (tests,) = (words for words in COMMANDS["README.md"] if ".venv/bin/pytest" in words)
    assert " ".join(tests) in " ".join(run.split())
    assert run.endswith(".venv/bin/pytest -n 2 -m slow\n")


def test_the_main_job_is_a_preset() -> None:
    """The first command installs, as CI does, and starts a preset."""
    main = next(words for words in COMMANDS["README.md"] if words[0] == INSTALLING)
    assert main[-4:] == ["-m", "azdab.train", "--config", "quick"]
    assert "quick" in presets.known_presets()


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for name in TYPED for code in blocks(TEXTS[name], "python")])
def test_examples_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out


def smaller(words: list[str]) -> list[str]:
    """A command that takes seconds."""
    line = " ".join(words[2:]) if words[1] == "-m" else ""
    for beginning, added in SMALLER.items():
        if line.startswith(beginning):
            return [sys.executable, *words[1:], *added]
    return [sys.executable, *words[1:]]


def run(words: list[str], folder: Path) -> None:
    """Run a command to its end; the page until it says where it is."""
    # Training compiles more than it runs.
    flags = common.WITHOUT_DEVICES if "azdab.train" in words else common.AS_A_USER
    settings: dict[str, Any] = {
        "cwd": folder,
        "env": {**os.environ, **flags, "PYTHONPATH": str(ROOT)},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    if "--web" in words:
        with subprocess.Popen([*words, "--no-browser", "--port", "8377"], **settings) as page:
            assert page.stdout is not None
            assert "127.0.0.1:8377" in page.stdout.readline()
            page.send_signal(signal.SIGINT)
            assert page.wait(60) in (0, 130)
            return
    done = subprocess.run(words, timeout=600, **settings)
    assert done.returncode == 0, (words, done.stdout)


def chain_of(words: list[str]) -> str:
    """The chain a command belongs to; it is its own where it needs no other."""
    found = [name for name, sign in CHAINS.items() if sign & set(words)]
    return found[0] if found else " ".join(words)


TYPING = [words for name in TYPED for words in COMMANDS[name] if words[0] == "python"]


def case(number: int) -> Any:
    """A command; those of a chain are one worker's."""
    words = TYPING[number]
    line = " ".join(words)
    slow = not line.removeprefix("python -m ").startswith(FAST)
    return pytest.param(
        number, id=f"{chain_of(words)} | {line}", marks=[pytest.mark.slow] if slow else []
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, set[int]]]:
    """Of each chain, its directory and the commands that were run there."""
    return collections.defaultdict(lambda: (tmp_path_factory.mktemp("typed"), set()))


@pytest.mark.parametrize("number", [case(number) for number in range(len(TYPING))])
def test_a_command_runs(number: int, begun: dict[str, tuple[Path, set[int]]]) -> None:
    """After those before it of the same chain, which write what it uses."""
    chain = chain_of(TYPING[number])
    folder, done = begun[chain]
    for earlier in range(number + 1):
        if chain_of(TYPING[earlier]) == chain and earlier not in done:
            run(smaller(TYPING[earlier]), folder)
            done.add(earlier)


def test_every_command_is_a_case() -> None:
    assert len(TYPING) > 15
    others = [x for name in TYPED for x in COMMANDS[name] if x[0] not in ("python", INSTALLING)]
    assert others == [["tensorboard", "--logdir", "runs"]]  # another program's
    for chain, signs in CHAINS.items():
        assert signs == {word for words in TYPING for word in words if word in signs}
        assert len([words for words in TYPING if chain_of(words) == chain]) > 1


def test_links_lead_somewhere() -> None:
    pages = (ROOT / "notebooks").glob("*.md")
    for path in [*map(ROOT.joinpath, TEXTS), ROOT / "CONTRIBUTING.md", *pages]:
        targets = re.findall(r"\]\(([^)#]+)[)#]", path.read_text(encoding="utf-8"))
        found = [(path.parent / t).exists() for t in targets if not t.startswith("https://")]
        assert all(found), path
        assert found or path.parent.name == "notebooks", path
