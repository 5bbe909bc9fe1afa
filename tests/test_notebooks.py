"""The notebooks are clean in git, and run from top to bottom."""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from azdab.common.config import config_fields
from azdab.lab import figures
from azdab.runs import metrics

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# What each must show, and how often at least.
SHOWN = {
    "position_explorer": {"image/svg+xml": 1, "image/png": 1, "text/html": 4},
    "strength": {"image/png": 4, "text/html": 4},
    "theory": {"image/png": 5, "text/html": 3},
    "training_curves": {"image/png": 3, "text/html": 1},
    "walkthrough": {"image/svg+xml": 1, "image/png": 6, "text/html": 4},
}


def load(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_all_are_known() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_a_machine_is_in_git(path: Path) -> None:
    notebook = load(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    name = path.stem.replace("_", "-")
    for number, cell in enumerate(notebook["cells"], start=1):
        assert cell["id"] == f"{name}-{number:02}"
        assert not cell["metadata"]
        assert source(cell).strip()
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
        assert "/tmp" not in source(cell)
        assert "/home" not in source(cell)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_can_be_set_is_in_the_first_code_cell(path: Path) -> None:
    cells = [source(cell) for cell in load(path)["cells"] if cell["cell_type"] == "code"]
    assert "AZDAB_NOTEBOOK_TEST" in cells[0]
    for later in cells[1:]:
        assert not re.search(r"^(import|from) |os\.environ|^%", later, re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_settings_that_are_named_exist(path: Path) -> None:
    known = {name for name, _ in config_fields()}
    sections = {name.split(".")[0] for name in known if "." in name}
    text = "\n".join(source(cell) for cell in load(path)["cells"])
    named = re.findall(rf"(?:--|`)((?:{'|'.join(sections)})\.\w+)", text)
    assert set(named) <= known


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "notebooks need: pip install nbclient ipykernel matplotlib"
    nbformat = pytest.importorskip("nbformat", reason=reason)
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    pytest.importorskip("matplotlib", reason=reason)
    monkeypatch.setenv("AZDAB_NOTEBOOK_TEST", "1")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources=resources
    )
    client.execute()  # raises what a cell raises

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            assert not re.search(r"Traceback|Error|Warning", output.text), output.text
    shown = [output.data for output in outputs if "data" in output]
    for kind, least in SHOWN[path.stem].items():
        assert sum(kind in data for data in shown) >= least, kind
    for data in shown:
        if "image/png" in data:
            assert len(base64.b64decode(data["image/png"])) > 5_000
    assert not any("<Figure" in data.get("text/plain", "") and len(data) == 1 for data in shown)
    if path.stem == "training_curves":  # a run on 2x2 measures everything that is drawn
        (written,) = tmp_path.glob("runs/*/metrics.jsonl")
        measured = {name for line in metrics.read_metrics(written) for name in line}
        panels = (*figures.LEARNING, *figures.COMPARING, *figures.MACHINE)
        assert {name for panel in panels for name in panel.metrics} <= measured
