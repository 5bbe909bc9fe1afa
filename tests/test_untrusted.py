"""Checkpoints from others: what they claim is checked before anything is allocated or run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import psutil
import pytest
import tensorstore as ts

from azdab.common.errors import UserError
from azdab.runs import atomic, networks

HUGE = 10**6


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a bundled network, whose files may be forged: it has no digests."""
    shutil.copytree(networks.resolve("3x3"), tmp_path / "150")
    (tmp_path / "150" / atomic.SUMS).unlink()
    return tmp_path / "150"


def change(path: Path, edit: Callable[[Any], None]) -> None:
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def set_config(model: Path, section: str, name: str, value: Any) -> None:
    def edit(values: Any) -> None:
        values["custom_metadata"]["config"][section][name] = value

    change(model / atomic.METADATA, edit)


def names(model: Path) -> list[str]:
    """The arrays of the network, as they are stored."""
    player = networks.load_network(model)
    paths = [path for path, _ in jax.tree.leaves_with_path(player.params)]
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths]


def store(model: Path, name: str, **spec: Any) -> Any:
    base = {"driver": "file", "path": f"{model}/params/"}
    kvstore = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    for driver in ("zarr3", "zarr"):
        try:
            return ts.open({"driver": driver, "kvstore": kvstore, **spec}).result()
        except ValueError as error:
            last = error
    raise last


def refused(model: Path) -> str:
    """The line with which a checkpoint is refused, for little memory."""
    process = psutil.Process()
    before = process.memory_info().rss
    with pytest.raises(UserError) as error:
        networks.load_network(model)
    assert process.memory_info().rss - before < 1e9
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("network", "blocks", 10**9),
        ("network", "filters", 10**9),
        ("board", "rows", HUGE),
        ("board", "rows", "[" * 1000),
        ("network", "family", "os.system"),
    ],
)
def test_configs_that_claim_giants_are_refused(
    model: Path, section: str, name: str, value: Any
) -> None:
    set_config(model, section, name, value)
    assert f"{section}.{name}" in refused(model)


def test_another_network_than_the_config_says_is_refused(model: Path) -> None:
    set_config(model, "network", "filters", 4096)
    assert "has shape" in refused(model)


def test_arrays_that_are_giant_on_disk_are_refused_unread(model: Path) -> None:
    # A terabyte that takes no room on disk, where a small array was.
    name = names(model)[0]
    original = store(model, name)
    spec = {"create": True, "delete_existing": True, "dtype": original.dtype.name}
    rank = max(original.rank, 2)
    shape = [HUGE, HUGE] + [1] * (rank - 2)
    forged = store(model, name, schema={"domain": {"shape": shape}}, **spec)
    assert list(forged.shape) == shape
    assert "damaged" in refused(model)


def test_descriptions_that_claim_giants_are_refused(model: Path) -> None:
    def edit(values: Any) -> None:
        def grow(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: grow(inner) for key, inner in value.items()}
            if isinstance(value, list) and value and all(type(x) is int for x in value):
                return [HUGE] * len(value)
            return value

        values |= grow(values)

    for path in (model / "params" / "_METADATA", model / "params/array_metadatas/process_0"):
        if path.is_file():
            change(path, edit)
    try:
        networks.load_network(model)  # the arrays themselves are small
    except UserError:
        refused(model)


def test_digests_cannot_point_elsewhere(model: Path) -> None:
    (model / atomic.SUMS).write_text(f"# sha256 of 1 files\n{'0' * 64}  ../../../etc/passwd\n")
    assert "names a file elsewhere" in refused(model)
