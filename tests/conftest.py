"""Settings that must be made before JAX is imported, what tests share, and the hypothesis profile.

Tests marked ``slow`` are left out unless asked for: ``pytest -n 2 -m slow``.
"""

import dataclasses
import functools
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What a shell starts in the background, and all that it starts, ignores Ctrl-C, which is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Most of the tests' time is compiling: so it takes a quarter, and the programs are slower.
_FLAGS = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_max_isa=AVX2 --xla_cpu_multi_thread_eigen=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)
os.environ["JAX_PLATFORMS"] = "cpu"
if _FLAGS not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAGS}".strip()

# What one test compiles no other has to, in this process or in those that tests start.
_OWN_CACHE = "JAX_COMPILATION_CACHE_DIR" not in os.environ
if _OWN_CACHE:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="azdab-compiled-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from jax.sharding import Mesh  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

from azdab.common.config import Config, DeviceConfig, LearnerConfig, ReplayConfig  # noqa: E402
from azdab.game.board import Board  # noqa: E402
from azdab.learning import programs  # noqa: E402
from azdab.learning.baselines import baselines_of  # noqa: E402
from azdab.learning.programs import Plan  # noqa: E402
from azdab.runs import checkpoint  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long forms of tests that are short by default."""
    parser.addoption(
        "--kills", type=int, default=4, help="how often test_crash.py kills training (default: 4)"
    )


_LONG = ("test_mesh", "test_damage", "test_train", "test_readme", "test_crash", "test_diverged")
_SMOKE = (
    "test_damage", "test_train", "test_diverged", "test_pipeline", "test_mesh", "test_crash",
    "test_metric_table", "test_memory",
)  # fmt: skip


class _ByRoom(LoadScopeScheduling):
    """With ``-n``, a file is one worker's, so that what a file makes is made once.

    Those that train ``smoke`` are one worker's together. Cases of one test that begin with
    ``name | `` are one worker's for each name, wherever the rest of the file is.
    """

    def _split_scope(self, nodeid: str) -> str:
        if chain := re.search(r"\[(.+?) \| ", nodeid):
            return chain[1]
        stem = Path(nodeid.split("::")[0]).stem
        return "smoke" if stem in _SMOKE else stem


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Which worker runs what."""
    return _ByRoom(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.stem not in _LONG)


def _what_is_compiled(config: Config) -> Config:
    """A run's config without what no program of it depends on; but for its seed."""
    return dataclasses.replace(
        config, description="", iterations=1, keep_checkpoints=1, initial=None,
        device=DeviceConfig(),
        replay=dataclasses.replace(config.replay, saved=True),
    )  # fmt: skip


def _what_plays(config: Config) -> Config:
    """The same without what the programs that play games do not depend on: how is learnt."""
    return dataclasses.replace(
        _what_is_compiled(config),
        seed=0,
        learner=LearnerConfig(),
        replay=ReplayConfig(capacity=config.replay.capacity),
        selfplay=dataclasses.replace(config.selfplay, engine_positions=0),
    )


def _shared(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that compiles a program that plays games, so that it does it once."""
    made: dict[object, tuple[Any, dict[str, Any]]] = {}
    usual = programs.Compiler

    def shared(board: Board, config: Config, mesh: Mesh, *more: Any) -> Any:
        *arguments, compiler = more
        if not isinstance(compiler, usual):
            return make(board, config, mesh, *more)
        what = board, _what_plays(config), mesh
        if what not in made:
            own = usual(mesh, compiler._report)
            made[what] = make(board, config, mesh, *arguments, own), own._building
        program, building = made[what]
        compiler._building |= building  # whose memory is asked for
        return program

    return shared


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Runs that differ in nothing that is compiled share their programs.

    Those that only learn in another way share the programs that play games. Tracing alone takes
    seconds. Runs in processes of their own compile all, one of them for a dry run: from shapes.
    """
    plans: dict[object, Plan] = {}
    compile_programs, initial_state = programs.compile_programs, checkpoint.initial_state

    def compiled(board: Board, config: Config, mesh: Mesh, state: Any, *more: Any) -> Plan:
        what = board, dataclasses.replace(_what_is_compiled(config), seed=0), mesh
        if what not in plans:
            plans[what] = compile_programs(board, config, mesh, state, *more)
        return plans[what]

    @functools.cache
    def baselines_once(board: Board, mesh: Mesh) -> Any:
        return baselines_of(board, mesh, lambda name: None)

    @functools.cache
    def beginning(board: Board, config: Config, mesh: Mesh) -> Any:
        return jax.jit(lambda: initial_state(board, config, mesh))

    def begun(board: Board, config: Config, mesh: Mesh, params: Any = None) -> Any:
        if params is None:
            return beginning(board, _what_is_compiled(config), mesh)()
        return initial_state(board, config, mesh, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "compile_programs", compiled)
        for name in ("self_play_program", "gate_program", "baselines_program"):
            patch.setattr(programs, name, _shared(getattr(programs, name)))
        patch.setattr(programs, "baselines_of", lambda board, mesh, _: baselines_once(board, mesh))
        patch.setattr(checkpoint, "initial_state", begun)
        yield


@pytest.fixture(scope="module")
def even_noise() -> Iterator[None]:
    """Noise at roots that compiles faster than ``jax.random.dirichlet``, a third of PUCT's time.

    For files in which it does not matter how the noise is distributed.
    """

    def even(key: jax.Array, alpha: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        found = jax.random.uniform(key, (*shape, len(alpha)))
        return found / found.sum(axis=-1, keepdims=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "dirichlet", even)
        yield


def pytest_unconfigure() -> None:
    """Of pytest's processes, the first made the cache and removes it."""
    if _OWN_CACHE:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


# A shape mistake that broadcasting would hide is an error here.
jax.config.update("jax_numpy_rank_promotion", "raise")

# Examples are the same every time, and a failure is not explained by tracing it again and again.
hypothesis.settings.register_profile(
    "azdab",
    deadline=None,
    derandomize=True,
    max_examples=30,
    database=None,
    report_multiple_bugs=False,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink],
)
hypothesis.settings.load_profile("azdab")
