"""Devices and processes: games and replay are divided among them, parameters are everywhere.

One device is a mesh of one, so there is a single path through the program. Every
process runs the same program and sees the same keys. Only :func:`is_first` asks which
process this is, for files that are written once.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PRNGKeyArray

from azdab.common.errors import UserError

_Tree = TypeVar("_Tree")

AXIS = "data"
"""The mesh's only axis."""

SPLIT, WHOLE = PartitionSpec(AXIS), PartitionSpec()
"""Divided along the first axis among the devices; the same on each."""


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Become one of several processes. Call before anything touches a device.

    Args:
      coordinator: ``host:port`` of process 0, or ``auto`` where JAX can learn everything
        from the environment (Slurm, Kubernetes, TPU pods); None: this process is alone.
      num_processes: how many there are.
      process_id: which one this is, from 0.

    Raises:
      UserError: the options do not fit together, or the others cannot be reached.
    """
    if coordinator is None:
        if num_processes is not None or process_id is not None:
            raise UserError("--num-processes and --process-id need --coordinator HOST:PORT")
        return
    if coordinator == "auto":
        arguments: dict[str, Any] = {}
    elif num_processes is None or process_id is None:
        raise UserError("--coordinator HOST:PORT needs --num-processes and --process-id")
    elif not 0 <= process_id < num_processes:
        raise UserError(f"--process-id must be from 0 to {num_processes - 1}, got {process_id}")
    else:
        arguments = {
            "coordinator_address": coordinator,
            "num_processes": num_processes,
            "process_id": process_id,
        }
    try:
        jax.distributed.initialize(**arguments)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"--coordinator {coordinator}: {reason}") from None


def is_first() -> bool:
    """Whether this process is the one that writes files."""
    return jax.process_index() == 0


def all_devices() -> Mesh:
    """All devices of all processes."""
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def shardings(mesh: Mesh, specs: Any) -> Any:
    """A tree of ``PartitionSpec`` as the places that ``jax.jit`` and orbax ask for."""
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec),
        specs,
        is_leaf=lambda x: isinstance(x, PartitionSpec),
    )


def placed(mesh: Mesh, tree: _Tree, specs: Any = WHOLE) -> _Tree:
    """The arrays of a tree, put on the devices.

    Args:
      mesh: the devices.
      tree: every process holds it whole, or it is on the devices already.
      specs: how each part is divided; by default every device has all of it.
    """
    keys = jax.tree.map(_is_key, tree)
    # Between processes only numpy arrays can be passed, not keys or arrays of one device.
    bits = jax.tree.map(lambda x, key: jax.random.key_data(x) if key else x, tree, keys)
    bits = jax.tree.map(lambda x: np.asarray(x) if _is_elsewhere(x) else x, bits)
    there = jax.device_put(bits, shardings(mesh, specs))
    wrapped: _Tree = jax.tree.map(
        lambda x, key: jax.random.wrap_key_data(x) if key else x, there, keys
    )
    return wrapped


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _is_elsewhere(x: Any) -> bool:
    return isinstance(x, jax.Array) and len(x.sharding.device_set) < jax.device_count()


def divided(mesh: Mesh, function: Callable[..., Any], inputs: Any, outputs: Any) -> Any:
    """A function run by each device on its own part, without communication.

    Args:
      mesh: the devices.
      function: of the parts. :func:`own_key` tells the devices apart.
      inputs: a ``PartitionSpec`` for each argument.
      outputs: the same for the results.
    """
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)


def own_key(key: PRNGKeyArray) -> Array:
    """A random key of this device's own, inside :func:`divided`."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))


def parts(x: Array) -> list[np.ndarray]:
    """What each device of this process holds of an array divided along its first axis."""
    pieces = {piece.index[0].start or 0: piece.data for piece in x.addressable_shards}
    return [np.asarray(pieces[start]) for start in sorted(pieces)]


def local(x: Array) -> np.ndarray:
    """The same in one piece."""
    return np.concatenate(parts(x))


def from_local(mesh: Mesh, tree: _Tree) -> _Tree:
    """The reverse of :func:`local`, for trees."""
    there: _Tree = jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(shardings(mesh, SPLIT), x), tree
    )
    return there


def gather(tree: Any) -> Any:
    """A tree in numpy, whole in every process."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def anyone(flag: bool) -> bool:
    """Whether the flag is true in any process; all processes must call this."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def barrier(name: str) -> None:
    """Wait until all processes are here."""
    multihost_utils.sync_global_devices(name)


def abort(message: str) -> NoReturn:
    """End this process at once. A normal exit of JAX would wait for others that may be gone."""
    print(" ".join(message.split()), file=sys.stderr, flush=True)
    os._exit(1)
