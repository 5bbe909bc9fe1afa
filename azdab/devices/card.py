"""The NVIDIA cards that JAX uses, as their driver describes them.

The driver is asked through ``pynvml``, part of the extra ``cuda12``. It often cannot say: without
a card, in WSL, for a part of a card (MIG), without permission. Then the answer is None or
nothing, never an error: no run depends on it.
"""

import os
import statistics
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax

_T = TypeVar("_T")

CONTEXT_GB = 0.75
"""What the driver takes of a card for a process, beside the arrays: 0.66 GB were measured on an
H200 with loops recorded (notebooks/gpu.md), 0.39 without. It is not in JAX's own count."""

DESKTOP_GB = 0.7
"""What a desktop with a browser takes of a card: 0.4 to 0.9 GB are usual at one or two screens."""

SAMPLES_PER_SECOND = 4
"""How often a meter looks. The driver itself averages over a sixth of a second or more."""


class CardMemory(NamedTuple):
    """A card's memory by the driver's count, in bytes.

    Attributes:
      total: what there is.
      used: what all programs together use now, with what the driver needs for each.
    """

    total: int
    used: int


def _asked(question: Callable[..., _T], *about: Any) -> _T | None:
    """The answer of ``pynvml`` to a question; None where there is none, for whatever reason."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return question(pynvml, *about)
    except Exception:  # every kind of NVMLError, of ImportError, of an old or a strange pynvml
        return None


def _cards() -> list[Any]:
    """Handles of the cards that CUDA shows to this process, in its order.

    ``CUDA_VISIBLE_DEVICES`` names them by number or by (the beginning of) their UUID. What
    follows a wrong name does not count, as in CUDA.
    """

    def visible(nvml: Any) -> list[Any]:
        every = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        words = os.environ.get("CUDA_VISIBLE_DEVICES")
        if words is None:
            return [_part(nvml, handle) for handle in every]
        chosen = []
        for word in map(str.strip, words.split(",")):
            if word.startswith("MIG-"):
                chosen.append(nvml.nvmlDeviceGetHandleByUUID(word))
                continue
            if word.isdecimal():
                named = every[int(word) : int(word) + 1]
            elif word.startswith("GPU-"):
                named = [card for card in every if nvml.nvmlDeviceGetUUID(card).startswith(word)]
            else:
                named = []
            if not named:
                break
            chosen.append(_part(nvml, named[0]))
        return chosen

    return _asked(visible) or []


def _part(nvml: Any, card: Any) -> Any:
    """The first part of a card that is divided (MIG), which CUDA uses; else the card."""
    try:
        if nvml.nvmlDeviceGetMigMode(card)[0]:
            return nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, 0)
    except Exception:  # a card that cannot be divided says so by an error
        pass
    return card


def _memory(nvml: Any, card: Any) -> CardMemory:
    found = nvml.nvmlDeviceGetMemoryInfo(card)
    return CardMemory(int(found.total), int(found.used))


def _name(nvml: Any, card: Any) -> str:
    return str(nvml.nvmlDeviceGetName(card))


def _rate(nvml: Any, card: Any) -> float:
    return float(nvml.nvmlDeviceGetUtilizationRates(card).gpu)


def any_visible() -> bool:
    """Whether there is a card that JAX could use."""
    return bool(_cards())


def largest_memory() -> int | None:
    """Bytes of the largest card that JAX could use, without starting JAX; None: there is none."""
    found = [_asked(_memory, card) for card in _cards()]
    return max((memory.total for memory in found if memory is not None), default=None)


def _of(devices: Sequence[jax.Device]) -> list[Any]:
    """Handles of the cards of JAX's devices; those that cannot be told are left out.

    CUDA numbers cards by speed, and the driver by where they sit, so where there are different
    ones they are told by name.
    """
    cards = _cards()
    names = [_asked(_name, card) for card in cards]
    found = []
    for device in devices:
        number = device.local_hardware_id
        if device.platform != "gpu" or number is None:
            continue
        alike = [
            card for card, name in zip(cards, names, strict=True) if name == device.device_kind
        ]
        if len(alike) not in (0, len(cards)):
            found += alike[:1]
        elif number < len(cards):
            found.append(cards[number])
    return found


def memory_of(device: jax.Device) -> CardMemory | None:
    """The memory of a device's card; None where it is no NVIDIA card, or cannot say."""
    found = _of([device])
    return _asked(_memory, found[0]) if found else None


class UtilisationMeter:
    """How busy cards are, looked at four times a second by a thread of its own.

    A context: it looks from entry to exit. Where no card can say, nothing runs.

    Args:
      devices: of this process; None: all cards that JAX could use.
    """

    def __init__(self, devices: Sequence[jax.Device] | None = None) -> None:
        self._cards = _cards() if devices is None else _of(devices)
        self._samples: list[float] = []
        self._lock, self._end = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "UtilisationMeter":
        if self._look():
            self._thread = threading.Thread(target=self._watch, name="utilisation", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=1)  # the driver may hang; the thread is a daemon

    def _watch(self) -> None:
        while not self._end.wait(1 / SAMPLES_PER_SECOND):
            self._look()

    def _look(self) -> bool:
        """Take a sample; whether a card could say."""
        rates = [_asked(_rate, card) for card in self._cards]
        known = [rate for rate in rates if rate is not None]
        if known:
            with self._lock:
                self._samples.append(statistics.fmean(known))
        return bool(known)

    def mean(self) -> float | None:
        """Mean utilisation in percent since this was last called; None where it is not known."""
        with self._lock:
            taken, self._samples = self._samples, []
        return statistics.fmean(taken) if taken else None

    def metrics(self) -> dict[str, float]:
        """:meth:`mean` as a metric, where it is known."""
        mean = self.mean()
        return {} if mean is None else {"device/gpu_utilisation": mean}
