"""Runs and checkpoints on disk, through orbax.

    runs/<name>/
        config.yaml             the run's config
        metrics.jsonl           one line per iteration
        events.out.tfevents.*   the same for TensorBoard
        checkpoints/<n>/        after iteration n: ``params``, and ``training`` without examples
        replay/<n>.npz          the examples that iteration n added, see :mod:`azdab.runs.segments`
        best/<n>/               ``params`` of the best network, from iteration n

Networks to play with are found and loaded by :mod:`azdab.runs.networks`.

How a checkpoint is written so that a kill at any moment leaves the one before, and how
damage is noticed, is in :mod:`azdab.runs.atomic`; what else is in a run in
:mod:`azdab.runs.run_directory`.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint.experimental.v1 as ocp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from azdab import __version__
from azdab.common import durable
from azdab.common.config import Config, config_to_dict
from azdab.common.errors import UserError, one_line
from azdab.devices.device import device_share
from azdab.devices.mesh import SPLIT, WHOLE, barrier, is_first, placed, shardings
from azdab.game.board import Board
from azdab.learning import learner, replay
from azdab.learning.learner import LearnerState
from azdab.learning.replay import Replay
from azdab.network.model import Params
from azdab.runs import atomic
from azdab.runs.late_errors import hushed
from azdab.runs.plain_path import plain_path
from azdab.runs.segments import Entry

FORMAT = 3
"""Version of the layout above, stored in every checkpoint."""

WITH_REPLAY = 2
"""The version before: ``training`` holds the whole replay. It is still read."""

_PATIENCE = 10 * 365 * 86400
"""Seconds that orbax may take; a machine may be asleep for days while it saves."""

_ATTEMPTS = 3
"""How often to try to save. Some timeouts of orbax are fixed; a machine that slept exceeds them."""

PASSED_ON = (UserError, MemoryError, jax.errors.JaxRuntimeError)
"""Errors while reading a checkpoint that do not mean it is damaged."""


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


PLACES: Any = TrainState(WHOLE, WHOLE, SPLIT, WHOLE, WHOLE, WHOLE)  # type: ignore[arg-type]
"""How a state is divided among the devices: the replay is divided, the rest is on all of them."""


def metadata_of(
    config: Config,
    iteration: int,
    metrics: str | None = None,
    devices: int = 1,
    segments: Sequence[Entry] = (),
) -> dict[str, Any]:
    """What a checkpoint holds beside the arrays.

    Args:
      config: the run's.
      iteration: after which it is written.
      metrics: their digest.
      devices: among which the replay is divided.
      segments: of the replay, the oldest first.
    """
    return {
        "format": FORMAT,
        "azdab": __version__,
        "iteration": iteration,
        "config": config_to_dict(config),
        "metrics": metrics,
        "devices": devices,
        "segments": [entry._asdict() for entry in segments],
    }


def read_metadata(checkpoint: Path) -> dict[str, Any]:
    """What :func:`metadata_of` wrote.

    JAX is not started here: how much memory it may take, on how many devices, is read first.

    Raises:
      UserError: the checkpoint is of another format, or cannot be read.
      ValueError: there is none.
    """
    # Orbax's own reader asks JAX for its devices.
    try:
        text = (checkpoint / atomic.METADATA).read_bytes()
    except OSError as error:
        atomic.refuse_if_unreadable(checkpoint, error)
        raise ValueError(f"{atomic.METADATA} is missing") from None
    try:
        metadata: dict[str, Any] = json.loads(text)["custom_metadata"]
        written = metadata["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("its metadata does not say what it is") from None
    if written not in (FORMAT, WITH_REPLAY):
        raise UserError(f"{checkpoint} has format {written}, this azdab reads {FORMAT}")
    return metadata


def abstract(tree: Any, places: Any) -> Any:
    """Shapes and dtypes, with a place for each part: what orbax needs to restore a tree."""
    return jax.tree.map(
        lambda place, part: jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), part
        ),
        places,
        tree,
    )


def _same_shapes(checkpoint: Path, name: str, like: Any) -> None:
    """Compare what a checkpoint claims to hold with what is expected, before any of it is read.

    Raises:
      ValueError: they differ.
    """
    claimed = ocp.checkpointables_metadata(checkpoint).metadata[name]
    paths = {jax.tree_util.keystr(path): x.shape for path, x in jax.tree.leaves_with_path(claimed)}
    for path, x in jax.tree.leaves_with_path(like):
        key = jax.tree_util.keystr(path)
        if paths.get(key) != x.shape:
            raise ValueError(f"{name}{key} has shape {paths.get(key)}, not {x.shape}")


def load_parts(checkpoint: Path, like: dict[str, Any]) -> dict[str, Any]:
    """Read parts of a checkpoint.

    Args:
      checkpoint: its directory, absolute.
      like: the parts' shapes, dtypes and placement.

    Raises:
      ValueError: it is damaged; the message says how in a few words.
      UserError: the system does not let it be read.
    """
    try:
        with hushed(), plain_path(checkpoint) as place:
            _same_shapes(place, "params", like["params"])
            loaded: dict[str, Any] = ocp.load_checkpointables(place, like)
    except PASSED_ON:
        raise
    except KeyError:  # orbax's answer if files are missing, or are others
        raise ValueError("arrays are missing, cut short or of other shapes") from None
    except Exception as error:  # orbax may raise nearly anything on damage
        if isinstance(system := _system_error(error, checkpoint), OSError):
            atomic.refuse_if_unreadable(checkpoint, system)
        raise ValueError(one_line(str(error) or type(error).__name__, 200)) from None
    return loaded


def write_checkpoint(
    folder: Path, step: int, parts: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Write ``folder/<step>``, whole or not at all.

    Raises:
      OSError: the disk is full, or whatever else stands in the way.
    """
    new = folder.absolute() / f"{step}.new"
    patient = ocp.options.AsyncOptions(timeout_secs=_PATIENCE)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            durable.make_folder(folder)
            with hushed(), ocp.Context(async_options=patient), plain_path(new) as place:
                ocp.save_checkpointables(place, parts, custom_metadata=metadata)
            if is_first():
                atomic.commit(new)
            barrier(f"{new} is written")
            return
        except (OSError, ValueError) as error:
            if is_first():
                atomic.remove_unfinished(folder)
            if isinstance(error, TimeoutError) and attempt < _ATTEMPTS:
                continue
            raise _system_error(error, folder) from None


def _system_error(error: Exception, path: Path) -> Exception:
    """The system's error that TensorStore names in a ValueError, or the error itself."""
    if found := re.search(r"os_error_code='(\d+)'", str(error)):
        number = int(found[1])
        return OSError(number, os.strerror(number), str(path))
    return error


def initial_state(
    board: Board, config: Config, mesh: Mesh, params: Params | None = None
) -> TrainState:
    """The state of a run before its first iteration, on the devices.

    The untrained network counts as the best so far.

    Args:
      board: the config's board.
      config: the run's config.
      mesh: the devices.
      params: what the network begins with; None: random parameters.
    """
    capacity = device_share(config, mesh.size).replay.capacity

    def make(params: Params | None) -> TrainState:
        key = jax.random.fold_in(jax.random.key(config.seed), 0)
        begun = learner.init_learner(key, board, config, params)
        empty = jax.vmap(lambda _: replay.init_replay(board, capacity))(jnp.arange(mesh.size))
        best = jax.tree.map(jnp.copy, begun.ema_params)
        zero = jnp.zeros((), jnp.int32)
        return TrainState(begun, best, empty, zero, zero, jnp.zeros(()))

    state: TrainState = jax.jit(make, out_shardings=shardings(mesh, PLACES))(placed(mesh, params))
    return state
