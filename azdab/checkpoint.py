"""Runs and checkpoints on disk, through orbax.

    runs/<name>/
        config.yaml             the run's config
        metrics.jsonl           one line per iteration
        events.out.tfevents.*   the same for TensorBoard
        checkpoints/<n>/        everything after iteration n: ``params`` and ``training``
        best/<n>/               ``params`` of the best network, from iteration n

Orbax writes a checkpoint under a temporary name and renames it when complete, so
a kill at any moment leaves the one before.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint.experimental.v1 as ocp
from jaxtyping import Array, Float, Int

from azdab import __version__, config, network
from azdab.config import Config, ConfigError
from azdab.game import Board
from azdab.learner import LearnerState
from azdab.network import Params
from azdab.replay import Replay

FORMAT = 1
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


def _metadata(run_config: Config, iteration: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "azdab": __version__,
        "iteration": iteration,
        "config": config.to_dict(run_config),
    }


def _abstract(tree: Any) -> Any:
    """Shapes, dtypes and placement, from which orbax restores."""
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), tree)


def _checkpointer(directory: Path, keep: int) -> ocp.training.Checkpointer:
    logging.getLogger("absl").setLevel(logging.ERROR)
    return ocp.training.Checkpointer(
        directory.absolute(),
        preservation_policy=ocp.training.preservation_policies.LatestN(keep),
        cleanup_tmp_directories=True,
    )


class Checkpoints:
    """The checkpoints of one run. Close it, or use it as a context manager."""

    def __init__(self, run: Path, run_config: Config) -> None:
        self._config = run_config
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
            custom_metadata=_metadata(self._config, iteration),
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
        """Read the newest checkpoint into the structure of ``like``."""
        abstract = _abstract(like)
        training = abstract._replace(learner=abstract.learner._replace(ema_params=None))
        loaded = self._latest.load_checkpointables(
            None, {"params": abstract.learner.ema_params, "training": training}
        )
        state: TrainState = loaded["training"]
        return state._replace(learner=state.learner._replace(ema_params=loaded["params"]))


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


def load_player(path: Path, which: str = "best") -> Player:
    """Load a network for play or analysis.

    Args:
      path: see :func:`find`.
      which: ``best`` or ``latest``.

    Raises:
      ConfigError: there is no checkpoint, or it is of a newer format.
    """
    checkpoint = find(path, which).absolute()
    metadata = ocp.checkpointables_metadata(checkpoint).custom_metadata or {}
    if metadata.get("format") != FORMAT:
        raise ConfigError(
            f"{checkpoint} has format {metadata.get('format')}, this azdab reads {FORMAT}"
        )
    run_config = config.from_dict(metadata["config"])
    board = Board(run_config.board.rows, run_config.board.cols)
    like = jax.eval_shape(lambda: network.init(jax.random.key(0), board, run_config.network))
    loaded = ocp.load_checkpointables(checkpoint, {"params": _abstract(like)})
    return Player(board, run_config, loaded["params"], metadata["iteration"])


def fresh(learner: LearnerState, replay: Replay) -> TrainState:
    """The state before the first iteration: the untrained network is the best so far."""
    zero = jnp.zeros((), jnp.int32)
    best = jax.tree.map(jnp.copy, learner.ema_params)
    return TrainState(learner, best, replay, zero, zero, jnp.zeros(()))
