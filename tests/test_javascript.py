"""The page's JavaScript: its types and its style, by the tools of ``.ci/js``."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".ci" / "js"
PAGE = next((ROOT / "azdab").rglob("dom.js")).parent
"""The folder of the page. The other place that names it is ``.ci/js/tsconfig.json``."""
SCRIPTS = sorted(PAGE.glob("*.js"))
NPM = shutil.which("npm")


def check(what: str, root: Path = ROOT) -> tuple[int, str]:
    """Status and output of a check of the page of a checkout."""
    if NPM is None:
        pytest.skip("there is no npm")
    if not (TOOLS / "node_modules" / "typescript").is_dir():
        pytest.skip("the packages are absent: npm --prefix .ci/js install")
    command = [NPM, "--prefix", str(root / ".ci" / "js"), "run", "--silent", what]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("what", ["types", "lint"])
def test_nothing_is_wrong(what: str) -> None:
    status, said = check(what)
    assert status == 0, said


@pytest.mark.parametrize(
    ("what", "line", "said"),
    [
        ("types", 'export const wrong = t("no_such_text");', "no_such_text"),
        ("types", "export const wrong = (/** @type {Analysis} */ it) => it.edge;", "'edge'"),
        ("types", "export const wrong = (it) => it;", "'any'"),
        ("lint", "const wrong = 1;", "noUnusedVariables"),
        ("lint", "export const wrong = nowhere;", "noUndeclaredVariables"),
        ("lint", "export const wrong = LETTERS == 1;", "noDoubleEquals"),
    ],
)
def test_a_mistake_is_found(tmp_path: Path, what: str, line: str, said: str) -> None:
    page, tools = tmp_path / PAGE.relative_to(ROOT), tmp_path / ".ci" / "js"
    shutil.copytree(PAGE, page)
    shutil.copytree(TOOLS, tools, ignore=shutil.ignore_patterns("node_modules"))
    (tools / "node_modules").symlink_to(TOOLS / "node_modules")
    with (page / "panels.js").open("a", encoding="utf-8") as script:
        script.write(f"{line}\n")
    status, output = check(what, tmp_path)
    assert status != 0
    assert "panels.js" in output
    assert said in output


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_file_asks_editors_for_the_same_check(script: Path) -> None:
    assert script.read_text(encoding="utf-8").startswith("// @ts-check\n")


def test_elements_are_found_and_made_in_one_place() -> None:
    own = re.compile(r"getElementById|createElement|localStorage|sessionStorage")
    using = {script.name for script in SCRIPTS if own.search(script.read_text(encoding="utf-8"))}
    # theme.js runs before anything is painted, and so before modules are loaded.
    assert using == {"dom.js", "theme.js"}
