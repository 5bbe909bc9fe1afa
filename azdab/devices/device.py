"""The device: its share of a run, how much memory JAX may take of it, and what it is doing."""

import contextlib
import dataclasses
import importlib.metadata
import math
import os
import sys

import jax
import platformdirs
import psutil

from azdab.common.config import Config, DeviceConfig
from azdab.common.errors import UserError, one_line
from azdab.devices import card, compile_cache

RECORDED_LAUNCHES = (
    "--xla_gpu_enable_command_buffer="
    "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONDITIONAL,WHILE,DYNAMIC_SLICE_FUSION "
    "--xla_gpu_graph_min_graph_size=1"
)
"""XLA records what a program launches on a card, whole loops too, and launches it at once. A search
of 40 games takes a fifth less time so (notebooks/gpu.md)."""

_RECORDING = ("0.11.",)
"""Versions of jaxlib with which that was measured. XLA ends a program with a flag it does not
know."""


def start(config: Config | None = None, limit: int | None = None) -> None:
    """Start JAX on its devices, with the memory it may take: every command does, before it works.

    What divides the CPU (:func:`divide_cpu`) or joins several processes
    (:func:`azdab.devices.mesh.join`) comes before.

    Args:
      config: as in :func:`limit_memory`.
      limit: likewise.

    Raises:
      UserError: as :func:`limit_memory` and :func:`require_devices`.
    """
    limit_memory(config, limit)
    record_launches()
    require_devices()


def require_devices() -> None:
    """Refuse to go on where JAX cannot start on its devices; else it has started afterwards.

    Raises:
      UserError: there is no device of the wanted kind, or it cannot be used; the line says why.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an empty AssertionError: there is no card
        reason = one_line(str(error), 300) or "there is no such device"
        wanted = _platforms()
        if not wanted:
            raise UserError(f"JAX cannot start: {reason}") from None
        raise UserError(
            f"JAX cannot start on JAX_PLATFORMS={wanted}: {reason}; unset it to use what there is, "
            f"or for an NVIDIA card {_INSTALL}"
        ) from None


_INSTALL = "pip install 'azdab[cuda12]'"


def _platforms() -> str:
    """What JAX was told to run on; empty: nothing."""
    return jax.config.jax_platforms or ""  # type: ignore[attr-defined]


def without_card(config: Config) -> str | None:
    """A line to say first where settings are made for a card and JAX runs on the CPU; else None."""
    if config.device.memory_gb is None or jax.default_backend() != "cpu":
        return None
    told = f" (JAX_PLATFORMS={_platforms()})" if _platforms() else ""
    there = "the card that is there" if card.any_visible() else "an NVIDIA card"
    return (
        f"These settings are for a card, but JAX runs on the CPU{told}, which takes far longer. "
        f"For {there}: {_INSTALL}"
    )


def limit_memory(config: Config | None = None, limit: int | None = None) -> None:
    """Tell JAX how much memory it may take of a card; it listens when it first touches one.

    Without a cap it takes what it needs, when it needs it. Variables the user has set already
    are left alone.

    Args:
      config: the run's; None: no cap.
      limit: most bytes of each card, by the driver's count, instead of the config's limit.

    Raises:
      UserError: there is a card, and the cap leaves nothing for arrays.
    """
    settings = DeviceConfig() if config is None else config.device
    most = limit / 1e9 if limit else settings.memory_gb
    reserve = most is not None if settings.preallocate is None else settings.preallocate
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", str(reserve).lower())
    total = card.largest_memory()
    if most is None or total is None:
        return
    if most <= card.CONTEXT_GB:
        raise UserError(
            f"device.memory_gb: of {most:g} GB the driver takes {card.CONTEXT_GB:g}, and nothing "
            "is left for the run"
        )
    if not {"XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"} & os.environ.keys():
        fraction = min((most - card.CONTEXT_GB) * 1e9 / total, 0.95)
        os.environ["XLA_CLIENT_MEM_FRACTION"] = f"{math.floor(fraction * 1e4) / 1e4:.4f}"


def record_launches() -> None:
    """Let XLA record the launches of whole loops, where there is a card; before JAX starts.

    What the user has set in ``XLA_FLAGS`` about this is left alone.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    names = [flag.partition("=")[0] for flag in RECORDED_LAUNCHES.split()]
    known = importlib.metadata.version("jaxlib").startswith(_RECORDING)
    if known and card.any_visible() and not any(name in flags for name in names):
        os.environ["XLA_FLAGS"] = f"{flags} {RECORDED_LAUNCHES}".strip()


def cores() -> int:
    """How many cores this process may use; the two threads of a core count once."""
    allowed = getattr(os, "sched_getaffinity", lambda process: range(os.cpu_count() or 1))(0)
    return min(len(allowed), psutil.cpu_count(logical=False) or len(allowed))


def device_share(config: Config, devices: int) -> Config:
    """The config of one of several devices that share a run: games, replay and batch divided.

    Raises:
      UserError: something cannot be divided; the message names it.
    """
    wholes = {
        "selfplay.parallel_games": (config.selfplay.parallel_games, 1),
        "learner.batch_size": (config.learner.batch_size, 1),
        "arena.num_games": (config.arena.num_games, 2),
        "arena.baseline_games": (config.arena.baseline_games, 2),
    }
    for key, (whole, unit) in wholes.items():
        if whole % (devices * unit):
            raise UserError(
                f"{key} must be a multiple of {devices * unit} on {devices} devices, got {whole}"
            )
    replace = dataclasses.replace
    parallel = config.selfplay.parallel_games // devices
    return replace(
        config,
        selfplay=replace(
            config.selfplay,
            parallel_games=parallel,
            games_per_iteration=config.selfplay.games_per_iteration // devices,
        ),
        replay=replace(
            config.replay,
            capacity=config.replay.capacity // devices,
            min_window=max(1, config.replay.min_window // devices),
        ),
        learner=replace(config.learner, batch_size=config.learner.batch_size // devices),
        arena=replace(
            config.arena,
            num_games=config.arena.num_games // devices,
            baseline_games=config.arena.baseline_games // devices,
        ),
    )


def most_devices(config: Config, limit: int) -> int:
    """The largest number of devices, at most ``limit``, that can share a run's work."""
    for count in range(limit, 1, -1):
        try:
            device_share(config, count)
        except UserError:
            continue
        return count
    return 1


def divide_cpu(config: Config | None = None, *, alone: bool = True) -> None:
    """Make JAX devices of the CPU's cores, before JAX first touches one.

    Inside a loop, XLA runs most of a program on one core, whatever the batch. A number
    the user has set already in ``XLA_FLAGS`` is left alone.

    Args:
      config: the run's config; None if work of any size can be divided.
      alone: whether this process is the only one of the run; several processes have one
        device each by default.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if config is None:
        count = cores()
    else:
        count = config.device.cpu_devices or (most_devices(config, cores()) if alone else 1)
    with contextlib.suppress(RuntimeError):  # JAX has its devices already, in a notebook say
        jax.config.update("jax_num_cpu_devices", count)


def enable_cache() -> None:
    """Keep compiled programs on disk, so that a second start does not compile again.

    A directory the user has set with ``JAX_COMPILATION_CACHE_DIR`` is left alone.
    """
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        directory = platformdirs.user_cache_path("azdab") / "xla"
        compile_cache.prune(directory)
        jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    compile_cache.forgive_damage()


def memory_bytes() -> int:
    """Memory for arrays in bytes on each device: the smallest one's, or its part of the machine's.

    The devices that are made of one CPU share its memory.
    """
    local = jax.local_devices()
    limits = [int((device.memory_stats() or {}).get("bytes_limit", 0)) for device in local]
    return min(limits) or psutil.virtual_memory().total // len(local)


def describe_device() -> str:
    """The device in words."""
    device, count = jax.devices()[0], jax.device_count()
    number = f"{count} x " if count > 1 else ""
    name = f"{number}{device.device_kind} ({device.platform})"
    if device.platform == "cpu":
        parts = f" as {count} devices" if count > 1 else ""
        number = "1 core" if cores() == 1 else f"{cores()} cores"
        name = f"the CPU ({number}{parts})"
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return name + processes


def device_metrics() -> dict[str, float]:
    """Memory in GB now and at its peak.

    ``device/memory_gb`` is the device's, or this process's on the CPU; ``device/host_memory_gb``
    this process's beside a GPU; ``device/card_memory_gb`` what all programs use of the card, by
    its driver's count. How busy it is takes time to see:
    :class:`azdab.devices.card.UtilisationMeter`.
    """
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    resident = psutil.Process().memory_info().rss / 1e9
    values = {"device/memory_gb": resident}
    if "bytes_in_use" in stats:
        in_use = stats["bytes_in_use"] / 1e9
        values = {"device/memory_gb": in_use, "device/host_memory_gb": resident}
    if "peak_bytes_in_use" in stats:
        values["device/memory_peak_gb"] = stats["peak_bytes_in_use"] / 1e9
    elif sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        values["device/memory_peak_gb"] = peak * unit / 1e9
    if (memory := card.memory_of(device)) is not None:
        values["device/card_memory_gb"] = memory.used / 1e9
    return values


def out_of_memory_advice(config: Config) -> str:
    """What to lower, and to what."""
    return (
        "out of memory; lower the settings that hold it, for example "
        f"--selfplay.parallel_games {max(1, config.selfplay.parallel_games // 2)}, "
        f"--learner.batch_size {max(1, config.learner.batch_size // 2)}, "
        f"--replay.capacity {max(1, config.replay.capacity // 2)}, or, on a GPU, raise "
        "--device.memory_gb; --dry-run shows what each phase needs"
    )
