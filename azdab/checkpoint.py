"""Runs and checkpoints on disk, through orbax.

    runs/<name>/
        config.yaml             the run's config
        metrics.jsonl           one line per iteration
        events.out.tfevents.*   the same for TensorBoard
        checkpoints/<n>/        everything after iteration n: ``params`` and ``training``
        best/<n>/               ``params`` of the best network, from iteration n

A network that is only to play is a run reduced to ``config.yaml``, ``README.md`` and
``best/<n>/``; those that come with azdab are such directories in ``azdab/models/``.

Orbax writes a checkpoint under a temporary name and renames it when complete, so
a kill at any moment leaves the one before.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint.experimental.v1 as ocp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from azdab import __version__, config, network, replay
from azdab.config import Config, ConfigError
from azdab.game import Board
from azdab.learner import LearnerState
from azdab.mesh import SPLIT, WHOLE, put, shardings
from azdab.network import Params
from azdab.replay import Replay

FORMAT = 2
"""Version of the layout above, stored in every checkpoint."""


class TrainState(NamedTuple):
    """Everything a run needs to go on. Random keys derive from seed and iteration.

    Attributes:
      learner: parameters, their average and the optimiser.
      best_params: the network that plays when gating is on.
      replay: past positions.
      iteration: ``int32[]``, iterations finished.
      best_iteration: ``int32[]``, the iteration ``best_params`` come from.
      best_elo: ``float32[]``, Elo of ``best_params``; the untrained network has 0.
    """

    learner: LearnerState
    best_params: Params
    replay: Replay
    iteration: Int[Array, ""]
    best_iteration: Int[Array, ""]
    best_elo: Float[Array, ""]


class Player(NamedTuple):
    """A trained network with what is needed to use it."""

    board: Board
    config: Config
    params: Params
    iteration: int


PLACES: Any = TrainState(WHOLE, WHOLE, SPLIT, WHOLE, WHOLE, WHOLE)  # type: ignore[arg-type]
"""How a state is divided among the devices: the replay is, the rest is on all."""


def _metadata(run_config: Config, iteration: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "azdab": __version__,
        "iteration": iteration,
        "config": config.to_dict(run_config),
    }


def _read_metadata(checkpoint: Path) -> dict[str, Any]:
    """What :func:`_metadata` wrote.

    Raises:
      ConfigError: the checkpoint is of another format.
    """
    metadata: dict[str, Any] = ocp.checkpointables_metadata(checkpoint).custom_metadata or {}
    if metadata.get("format") != FORMAT:
        raise ConfigError(
            f"{checkpoint} has format {metadata.get('format')}, this azdab reads {FORMAT}"
        )
    return metadata


def _abstract(tree: Any, places: Any) -> Any:
    """Shapes, dtypes and places, from which orbax restores."""
    return jax.tree.map(
        lambda place, part: jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), part
        ),
        places,
        tree,
    )


def _checkpointer(directory: Path, keep: int) -> ocp.training.Checkpointer:
    logging.getLogger("absl").setLevel(logging.ERROR)
    return ocp.training.Checkpointer(
        directory.absolute(),
        preservation_policy=ocp.training.preservation_policies.LatestN(keep),
        cleanup_tmp_directories=True,
    )


class Checkpoints:
    """The checkpoints of one run. Close it, or use it as a context manager."""

    def __init__(self, run: Path, run_config: Config, mesh: Mesh) -> None:
        self._config, self._mesh = run_config, mesh
        self._latest = _checkpointer(run / "checkpoints", run_config.keep_checkpoints)
        self._best = _checkpointer(run / "best", 1)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._latest.close()
        self._best.close()

    @property
    def latest(self) -> int | None:
        """The newest saved iteration."""
        found = self._latest.latest
        return None if found is None else found.step

    def save(self, state: TrainState) -> None:
        """Write a checkpoint of a finished iteration, and ``best`` if it changed."""
        iteration, best = int(state.iteration), int(state.best_iteration)
        training = state._replace(learner=state.learner._replace(ema_params=None))
        self._latest.save_checkpointables(
            iteration,
            {"params": state.learner.ema_params, "training": training},
            custom_metadata=_metadata(self._config, iteration) | {"devices": self._mesh.size},
            force=True,
        )
        written = self._best.latest
        if written is None or written.step != best:
            self._best.save_checkpointables(
                best,
                {"params": state.best_params},
                custom_metadata=_metadata(self._config, best),
                force=True,
            )

    def restore(self, like: TrainState) -> TrainState:
        """Read the newest checkpoint into the structure of ``like``.

        The replay is divided anew if the number of devices has changed.
        """
        stored = self._latest.directory / str(self.latest)
        devices = _read_metadata(Path(stored)).get("devices")
        places = shardings(self._mesh, PLACES)
        moved = devices != self._mesh.size
        if moved:
            buffer = jax.eval_shape(lambda: _buffers(self._config, devices))
            like, places = like._replace(replay=buffer), places._replace(replay=places.iteration)
        abstract: TrainState = _abstract(like, places)
        training = abstract._replace(learner=abstract.learner._replace(ema_params=None))
        loaded = self._latest.load_checkpointables(
            None, {"params": abstract.learner.ema_params, "training": training}
        )
        state: TrainState = loaded["training"]
        if moved:
            buffer = state.replay if devices else replay.stacked(state.replay)
            anew = replay.reshard(buffer, self._mesh.size)
            state = state._replace(replay=put(self._mesh, anew, SPLIT))
        return state._replace(learner=state.learner._replace(ema_params=loaded["params"]))


def _buffers(run_config: Config, devices: int | None) -> Replay:
    """The replay of a run on so many devices; None: as written before runs had several."""
    board = Board(run_config.board.rows, run_config.board.cols)
    if devices is None:
        return replay.init(board, run_config.replay.capacity)
    one = replay.init(board, run_config.replay.capacity // devices)
    return jax.tree.map(lambda x: jnp.stack([x] * devices), one)


def check_format(run: Path) -> None:
    """Refuse a run whose checkpoints cannot be read.

    Raises:
      ConfigError: they are of another format.
    """
    for path in (run / "checkpoints").glob("*/_CHECKPOINT_METADATA"):
        if path.parent.name.isdigit():  # others are half written
            _read_metadata(path.parent.absolute())


def find(path: Path, which: str = "best") -> Path:
    """The checkpoint meant by a run directory or a checkpoint directory.

    Args:
      path: a run, its ``checkpoints`` or ``best`` folder, or one checkpoint.
      which: ``best`` or ``latest``, for a run.

    Raises:
      ConfigError: there is none.
    """
    if (path / "_CHECKPOINT_METADATA").is_file():
        return path
    folder = {"best": "best", "latest": "checkpoints"}[which]
    inside = path / folder if (path / folder).is_dir() else path
    steps = [child for child in inside.glob("*") if child.name.isdigit()]
    if not steps:
        raise ConfigError(f"no checkpoint in {path}: give a run directory or a checkpoint")
    return max(steps, key=lambda child: int(child.name))


def bundled() -> dict[str, Path]:
    """The networks that come with azdab, by name."""
    models = Path(__file__).parent / "models"
    return {path.parent.name: path.parent for path in sorted(models.glob("*/config.yaml"))}


def newest_run(runs: Path, which: str) -> Path:
    """The run whose ``best`` or ``latest`` checkpoint was written last.

    Raises:
      ConfigError: there is no run with one.
    """
    folder = {"best": "best", "latest": "checkpoints"}[which]
    found = runs.glob(f"*/{folder}/*/_CHECKPOINT_METADATA")
    written = [path for path in found if path.parent.name.isdigit()]
    if not written:
        raise ConfigError(f"no run with a checkpoint in {runs}: train one, or give a path")
    return max(written, key=lambda path: path.stat().st_mtime).parents[2]


def resolve(name: str, runs: Path = Path("runs")) -> Path:
    """The checkpoint that a word on the command line means.

    Args:
      name: ``best`` or ``latest`` of the newest run, a path (see :func:`find`), or the
        name of a run in ``runs`` or of a bundled network.
      runs: where runs live.

    Raises:
      ConfigError: it means none.
    """
    if name in ("best", "latest"):
        return find(newest_run(runs, name), name)
    models = bundled()
    for path in (Path(name), runs / name):
        if path.exists():
            return find(path)
    if name in models:
        return find(models[name])
    known = ["best", "latest", *models]
    raise ConfigError(
        f"no checkpoint '{name}'{config.suggest(name, known)}; "
        f"give a run, a checkpoint or one of: {', '.join(known)}"
    )


def load_player(path: Path, which: str = "best") -> Player:
    """Load a network for play or analysis.

    Args:
      path: see :func:`find`.
      which: ``best`` or ``latest``.

    Raises:
      ConfigError: there is no checkpoint, or it is of another format.
    """
    checkpoint = find(path, which).absolute()
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what goes wrong is raised here
    try:
        metadata = _read_metadata(checkpoint)
        run_config = config.from_dict(metadata["config"])
        board = Board(run_config.board.rows, run_config.board.cols)
        like = jax.eval_shape(lambda: network.init(jax.random.key(0), board, run_config.network))
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        loaded = ocp.load_checkpointables(checkpoint, {"params": _abstract(like, device)})
    except ConfigError:
        raise
    except (ocp.errors.InvalidLayoutError, KeyError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{checkpoint} is damaged: {reason}") from None
    return Player(board, run_config, loaded["params"], metadata["iteration"])


def export_player(player: Player, directory: Path, card: str) -> None:
    """Write a network for play only, where :func:`load_player` finds it.

    Args:
      player: the network.
      directory: must not exist; becomes ``config.yaml``, ``README.md`` and ``best/<n>/``.
      card: what to know about the network, in Markdown; becomes the ``README.md``.

    Raises:
      ConfigError: the directory exists.
    """
    if directory.exists():
        raise ConfigError(f"{directory} exists: remove it first")
    directory.mkdir(parents=True)
    config.write(player.config, directory / "config.yaml")
    (directory / "README.md").write_text(card, encoding="utf-8")
    written = directory.absolute() / "best" / str(player.iteration)
    ocp.save_checkpointables(
        written,
        {"params": player.params},
        custom_metadata=_metadata(player.config, player.iteration),
    )
    (written / "commit_success.txt").unlink(missing_ok=True)  # only says where it was written


def fresh(learner: LearnerState, replay: Replay) -> TrainState:
    """The state before the first iteration: the untrained network is the best so far."""
    zero = jnp.zeros((), jnp.int32)
    best = jax.tree.map(jnp.copy, learner.ema_params)
    return TrainState(learner, best, replay, zero, zero, jnp.zeros(()))
