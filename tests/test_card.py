"""What the driver says of the card, and what it does not; a false ``pynvml`` answers."""

import importlib.metadata
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

import azdab
from azdab.common.config import Config, DeviceConfig
from azdab.common.errors import UserError
from azdab.devices import card, device
from azdab.runs import networks

GB = 1_000_000_000


class NVMLError(Exception):
    """What the driver says instead of an answer."""


class Driver:
    """A machine's cards, as ``pynvml`` shows them.

    Attributes:
      cards: name and GB of each.
      divided: numbers of those that are divided, each into parts of 10 GB.
      rates: what is given as utilisation, one after the other; the last again and again.
      broken: functions that raise an error.
    """

    def __init__(self, *cards: tuple[str, int], divided: tuple[int, ...] = ()) -> None:
        self.cards, self.divided = cards, divided
        self.rates, self.broken = [40.0], set[str]()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml") or name in self.broken:
            raise NVMLError(name)
        return getattr(self, name.removeprefix("nvml").removeprefix("DeviceGet") + "_")

    def Init_(self) -> None: ...  # noqa: N802

    def Count_(self) -> int:  # noqa: N802
        return len(self.cards)

    def HandleByIndex_(self, number: int) -> str:  # noqa: N802
        return f"GPU-{number}abc"

    def UUID_(self, handle: str) -> str:  # noqa: N802
        return handle

    def HandleByUUID_(self, uuid: str) -> str:  # noqa: N802
        if not uuid.startswith("MIG-"):
            raise NVMLError(uuid)
        return uuid

    def Name_(self, handle: str) -> str:  # noqa: N802
        return self.cards[int(handle[4])][0]

    def MigMode_(self, handle: str) -> list[int]:  # noqa: N802
        if not self.divided:
            raise NVMLError("not supported")
        on = int(int(handle[4]) in self.divided)
        return [on, on]

    def MigDeviceHandleByIndex_(self, handle: str, number: int) -> str:  # noqa: N802
        return f"MIG-{handle[4]}-{number}"

    def MemoryInfo_(self, handle: str) -> SimpleNamespace:  # noqa: N802
        if handle.startswith("MIG-"):
            return SimpleNamespace(total=10 * GB, used=GB)
        return SimpleNamespace(total=self.cards[int(handle[4])][1] * GB, used=2 * GB)

    def UtilizationRates_(self, handle: str) -> SimpleNamespace:  # noqa: N802
        if handle.startswith("MIG-"):
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=self.rates.pop(0) if len(self.rates) > 1 else self.rates[0])


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Driver]:
    """Installs a driver, and gives it."""
    jax.devices()  # started with the variables of the tests
    names = [name for name in os.environ if name.startswith(("XLA_", "CUDA_"))]
    for name in ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE", *names):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)

    def install(*cards: tuple[str, int], **more: Any) -> Driver:
        made = Driver(*cards, **more)
        monkeypatch.setitem(sys.modules, "pynvml", made)
        return made

    return install


def gpu(name: str = "RTX 4060", number: int = 0) -> Any:
    """A device of JAX on a card."""
    return SimpleNamespace(platform="gpu", device_kind=name, local_hardware_id=number)


ONE, TWO = ("RTX 4060", 8), ("GTX 1030", 2)


@pytest.mark.parametrize(
    ("visible", "total"),
    [
        (None, 8), ("0", 8), ("1", 2), ("1,0", 8), ("GPU-1", 2), (" GPU-0abc , 1", 8),
        ("1,9,0", 2), ("MIG-7", 10), ("", None), ("-1", None), ("2", None), ("NoDevFiles", None),
        ("GPU-9", None),
    ],
)  # fmt: skip
def test_the_cards_are_those_that_cuda_shows(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch, visible: str | None, total: Any
) -> None:
    driver(ONE, TWO)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert card.largest_memory() == (None if total is None else total * GB)
    assert card.any_visible() == (total is not None)


def test_jax_s_device_is_found_among_them(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(TWO, ONE, ONE)
    # CUDA begins with the fastest card, the driver with the first slot.
    assert card.memory_of(gpu("RTX 4060", 0)) == (8 * GB, 2 * GB)
    assert card.memory_of(gpu("GTX 1030", 2)) == (2 * GB, 2 * GB)
    driver(ONE, ("RTX 4060", 16))
    assert card.memory_of(gpu(number=1)) == (16 * GB, 2 * GB)
    assert card.memory_of(gpu("another name", 1)) == (16 * GB, 2 * GB)
    assert card.memory_of(gpu(number=2)) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert card.memory_of(gpu(number=0)) == (16 * GB, 2 * GB)
    assert card.memory_of(jax.local_devices()[0]) is None


def test_of_a_divided_card_the_first_part_counts(driver: Callable[..., Driver]) -> None:
    driver(("H100", 80), divided=(0,))
    assert card.largest_memory() == 10 * GB
    assert card.memory_of(gpu("H100 MIG 1g.10gb")) == (10 * GB, GB)
    with card.UtilisationMeter([gpu("H100")]) as meter:
        assert meter.mean() is None
        assert meter.metrics() == {}


NEEDED = (
    "nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUtilizationRates",
)  # fmt: skip
OTHERS = "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetName", "nvmlDeviceGetMigMode"


@pytest.mark.parametrize("broken", [*NEEDED, *OTHERS])
def test_no_error_of_the_driver_disturbs(driver: Callable[..., Driver], broken: str) -> None:
    driver(ONE).broken.add(broken)
    device.limit_memory(Config(device=DeviceConfig(memory_gb=6)))
    card.memory_of(gpu())
    with card.UtilisationMeter([gpu()]) as meter:
        assert (meter.mean() is None) == (broken in NEEDED)


def test_without_pynvml_there_is_no_card(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    del driver
    monkeypatch.setitem(sys.modules, "pynvml", None)  # its import fails
    assert not card.any_visible()
    assert card.largest_memory() is None
    assert card.UtilisationMeter([gpu()]).__enter__().mean() is None
    assert not [name for name in device.device_metrics() if "card" in name]


def test_the_mean_is_of_what_was_seen_since_it_was_last_read(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "SAMPLES_PER_SECOND", 1000)
    driver(ONE).rates = [10.0, 20.0, 30.0, 60.0]
    meter = card.UtilisationMeter([gpu()])
    for _ in range(3):
        assert meter._look()
    assert meter.metrics() == {"device/gpu_utilisation": 20}
    assert meter.mean() is None
    with meter:
        deadline = time.monotonic() + 60
        while (mean := meter.mean()) is None:
            assert time.monotonic() < deadline
    assert mean == 60
    assert meter._thread is not None
    meter._thread.join(60)
    assert not meter._thread.is_alive()


def test_the_cap_holds_with_what_the_driver_takes(driver: Callable[..., Driver]) -> None:
    driver(("RTX 4060", 8), ("RTX 4090", 24))
    device.limit_memory(Config(device=DeviceConfig(memory_gb=6)))
    fraction = float(os.environ["XLA_CLIENT_MEM_FRACTION"])
    # Of the larger card too.
    assert 5.9 < fraction * 24 + card.CONTEXT_GB <= 6
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"


@pytest.mark.parametrize(
    ("settings", "limit", "reserve"),
    [
        (DeviceConfig(), None, "false"),
        (DeviceConfig(preallocate=True), None, "true"),
        (DeviceConfig(memory_gb=6), None, "true"),
        (DeviceConfig(memory_gb=6, preallocate=False), None, "false"),
        (DeviceConfig(), 4 * GB, "true"),
    ],
)
def test_memory_is_reserved_only_under_a_cap(
    driver: Callable[..., Driver], settings: DeviceConfig, limit: int | None, reserve: str
) -> None:
    driver(("H200", 140))
    device.limit_memory(Config(device=settings), limit)
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == reserve
    capped = limit is not None or settings.memory_gb is not None
    assert ("XLA_CLIENT_MEM_FRACTION" in os.environ) == capped


def test_what_the_user_has_set_stays(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(ONE)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", ".3")
    device.limit_memory(Config(device=DeviceConfig(memory_gb=6)))
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "XLA_CLIENT_MEM_FRACTION" not in os.environ


def test_a_cap_below_the_driver_s_part_is_refused(driver: Callable[..., Driver]) -> None:
    driver(ONE)
    with pytest.raises(UserError, match=r"device.memory_gb: of 0.4 GB the driver takes 0.75"):
        device.limit_memory(Config(), 400_000_000)
    assert math.isclose(card.CONTEXT_GB, 0.75)


@pytest.mark.parametrize(
    ("version", "flags", "cards", "added"),
    [
        ("0.11.2", "", [ONE], True),
        ("0.11.2", "--xla_gpu_autotune_level=0", [ONE], True),
        ("0.11.2", "--xla_gpu_enable_command_buffer=", [ONE], False),
        ("0.11.2", "--xla_gpu_graph_min_graph_size=9", [ONE], False),
        ("0.11.2", "", [], False),
        ("0.10.2", "", [ONE], False),
        ("0.12.0", "", [ONE], False),
    ],
)
def test_launches_are_recorded_where_that_was_measured(
    driver: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch,
    version: str, flags: str, cards: list[Any], added: bool,
) -> None:  # fmt: skip
    driver(*cards)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    monkeypatch.setenv("XLA_FLAGS", flags)
    device.record_launches()
    expected = f"{flags} {device.RECORDED_LAUNCHES}".strip() if added else flags
    assert os.environ["XLA_FLAGS"] == expected
    device.record_launches()
    assert os.environ["XLA_FLAGS"] == expected


def started(flags: str, platforms: str = "cpu") -> "subprocess.CompletedProcess[str]":
    """A process in which JAX starts."""
    code = "import jax; print(jax.numpy.ones(3).sum())"
    variables = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": platforms}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=300, check=False
    )


def test_this_jaxlib_knows_the_flags() -> None:
    assert started(device.RECORDED_LAUNCHES).stdout == "3.0\n"
    assert started(device.RECORDED_LAUNCHES.replace("WHILE", "WHILF")).returncode


COMMANDS = {
    "train": ("--config", "smoke", "--dry-run"),
    "train ": ("--config", "smoke", "--run", "never"),
    "play": ("--mode", "dual-ai", "--checkpoint", "greedy", "--checkpoint2", "random"),
    "play ": ("--board", "3x3"),
    "evaluate": ("3x3",),
    "evaluate ": ("--match", "greedy", "random", "--games", "2"),
    "analyze": ("game.txt",),
    "export": ("3x3", "--to", "never"),
    "benchmark": ("--config", "smoke"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "game.txt").write_text("azdab record 1\nboard: 2x2\n\nA h 0 0\n")
    root = str(Path(azdab.__file__).parents[1])
    variables = os.environ | {"JAX_PLATFORMS": "cuda", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-m", f"azdab.{command.strip()}", *COMMANDS[command]],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "JAX cannot start on JAX_PLATFORMS=cuda: there is no such device" in done.stderr
    assert "azdab[cuda12]" in done.stderr
    assert not (tmp_path / "never").exists()
    assert not (tmp_path / "runs" / "never").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AssertionError(), "there is no such device"),
        (RuntimeError("Unable to initialize backend 'tpu':\n no TPU"), "backend 'tpu': no TPU"),
    ],
)
def test_what_keeps_jax_from_starting_is_no_damage(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(jax, "devices", fail)
    network = networks.bundled_networks()["3x3"]
    with pytest.raises(UserError, match=f"JAX cannot start on JAX_PLATFORMS=cpu: .*{reason}"):
        networks.load_network(network)


def test_settings_for_a_card_say_that_there_is_none(driver: Callable[..., Driver]) -> None:
    driver()
    capped = Config(device=DeviceConfig(memory_gb=6))
    assert device.without_card(Config()) is None
    said = device.without_card(capped)
    assert said is not None
    assert "for a card, but JAX runs on the CPU (JAX_PLATFORMS=cpu)" in said
    assert "For an NVIDIA card: pip install 'azdab[cuda12]'" in said
    driver(ONE)
    assert "For the card that is there: pip" in (device.without_card(capped) or "")


def test_one_core_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cores", lambda: 1)
    assert device.describe_device().startswith("the CPU (1 core as")
    monkeypatch.setattr(device, "cores", lambda: 12)
    assert device.describe_device().startswith("the CPU (12 cores as")
