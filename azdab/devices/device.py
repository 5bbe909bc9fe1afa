"""The device: its share of a run, how much memory JAX may take of it, and what it is doing."""

import contextlib
import dataclasses
import os
import sys

import jax
import platformdirs
import psutil

from azdab.common.config import Config
from azdab.common.errors import UserError
from azdab.devices import compile_cache


def limit_memory(config: Config, limit: int | None = None) -> None:
    """Tell JAX how much memory it may take; it listens when it first touches the device.

    Variables the user has set already are left alone.

    Args:
      config: the run's.
      limit: most bytes of the device to use, instead of the config's limit.
    """
    most = limit / 1e9 if limit else config.device.memory_gb
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", str(config.device.preallocate).lower())
    total = gpu_memory_gb()
    fraction_names = {"XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"}
    if most and total and not fraction_names & os.environ.keys():
        fraction = min(most / total, 0.95)
        os.environ["XLA_CLIENT_MEM_FRACTION"] = f"{fraction:.3f}"


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
        jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    compile_cache.forgive_damage()


def gpu_memory_gb() -> float | None:
    """Memory of the first NVIDIA GPU, without starting JAX; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).total / 1e9
    except Exception:  # no driver, no card, no pynvml: there is nothing to cap
        return None


def memory_bytes() -> int:
    """Memory for arrays in bytes: the first device's, or on the CPU the machine's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("bytes_limit", 0)) or psutil.virtual_memory().total


def describe_device() -> str:
    """The device in words."""
    device, count = jax.devices()[0], jax.device_count()
    number = f"{count} x " if count > 1 else ""
    name = f"{number}{device.device_kind} ({device.platform})"
    if device.platform == "cpu":
        parts = f" as {count} devices" if count > 1 else ""
        name = f"the CPU ({cores()} cores{parts})"
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return name + processes


def device_metrics() -> dict[str, float]:
    """Memory in GB now and at its peak, and GPU utilisation.

    ``device/memory_gb`` is the device's, or this process's on the CPU; ``device/host_memory_gb``
    this process's beside a GPU. Utilisation needs NVIDIA's ``pynvml``, part of the extra
    ``cuda12``.
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
    if device.platform == "gpu":
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(device.local_hardware_id or 0)
            utilisation = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            values["device/gpu_utilisation"] = float(utilisation)
        except ImportError:
            pass
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
