"""Numbers that are not finite: noticed before a checkpoint is written, and kept for study."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from azdab.common import durable
from azdab.common.config import Config, LearnerConfig
from azdab.devices.mesh import gather, is_first, placed
from azdab.game.board import Board
from azdab.learning import learner
from azdab.learning.learner import LearnerState
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example
from azdab.network.model import Params

_UNSTABLE = "learning_rate", "margin_weight", "ownership_weight", "weight_decay", "max_grad_norm"
_ABSURD = 100  # times the default


class DivergedError(Exception):
    """A learning phase whose losses or parameters are not finite.

    Attributes:
      iteration: the number of the iteration.
      before: the learner before the phase, on the host.
      buffer: the replay that the phase sampled from.
      key: the phase's random key.
    """

    def __init__(
        self, iteration: int, before: LearnerState, buffer: Replay, key: PRNGKeyArray
    ) -> None:
        super().__init__(f"iteration {iteration} diverged")
        self.iteration, self.before, self.buffer, self.key = iteration, before, buffer, key


class Culprit(NamedTuple):
    """The first step of a phase that went wrong.

    Attributes:
      found: whether there was such a step; if not, the rest means nothing.
      step: its number in the phase, from 0.
      params: the network before the step.
      examples: the batch of the step, as augmented.
      loss: the total loss of the step.
    """

    found: Bool[Array, ""]
    step: Int[Array, ""]
    params: Params
    examples: Example
    loss: Array


@jax.jit
def _largest(tree: Any) -> Array:
    """The largest magnitude among all floating-point numbers, ``float32[]``; NaN if one is NaN."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    sizes = [jnp.max(jnp.abs(x)).astype(jnp.float32) for x in leaves if x.size]
    return jnp.max(jnp.stack(sizes)) if sizes else jnp.float32(0)


def ranges(state: LearnerState) -> dict[str, Array]:
    """The largest magnitudes in a learner, as metrics; not finite if anything in it is not."""
    return {
        "range/params": _largest(state.params),
        "range/ema_params": _largest(state.ema_params),
        "range/optimiser": _largest(state.opt_state),
    }


def finite(values: dict[str, Any]) -> bool:
    """Whether all metrics are finite."""
    return bool(np.isfinite([float(value) for value in values.values()]).all())


def culprit(
    state: LearnerState, buffer: Replay, board: Board, config: Config, mesh: Mesh, key: PRNGKeyArray
) -> Culprit:
    """Repeat a phase, see :func:`azdab.learning.learner.learn`, up to the step that went wrong."""
    like = jax.eval_shape(lambda: learner.batch(buffer, board, config, mesh, key))
    blank: Example = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)

    def body(carry: Any, key: PRNGKeyArray) -> tuple[Any, None]:
        state, worst = carry
        examples = learner.batch(buffer, board, config, mesh, key)
        after, losses = learner.update(state, board, config, examples, mesh)
        wrong = ~jnp.isfinite(losses.total + losses.grad_norm + _largest(after))
        here = Culprit(jnp.asarray(True), state.step - start, state.params, examples, losses.total)
        take = wrong & ~worst.found
        worst = jax.tree.map(lambda new, old: jnp.where(take, new, old), here, worst)
        return (after, worst), None

    start = state.step
    none = Culprit(jnp.asarray(False), jnp.int32(0), state.params, blank, jnp.zeros(()))
    keys = jax.random.split(key, config.learner.steps_per_iteration)
    (_, worst), _ = jax.lax.scan(body, (state, none), keys)
    return worst


def keep(run: Path, board: Board, config: Config, mesh: Mesh, error: DivergedError) -> str:
    """Write what went wrong to ``diverged-<n>.npz``.

    The file holds the batch (``batch/...``), the network before the step (``params/...``),
    the number of the step and its loss: plain arrays, read by ``numpy.load``.

    Returns:
      One line: what happened, where it is kept, and what to do.
    """
    search = jax.jit(culprit, static_argnums=(2, 3, 4))
    before, key = placed(mesh, error.before), placed(mesh, error.key)
    worst: Culprit = gather(search(before, error.buffer, board, config, mesh, key))
    if bool(worst.found):
        params, what = worst.params, f"the loss of step {int(worst.step)} is {float(worst.loss)}"
    else:  # compiled in another way the phase may just stay finite
        params, what = error.before.params, "its numbers are not finite"
    arrays = {"found": np.asarray(worst.found), "step": np.asarray(worst.step)}
    arrays["loss"] = np.asarray(worst.loss)
    arrays |= {f"batch/{name}": _plain(x) for name, x in worst.examples._asdict().items()}
    for path, x in jax.tree.leaves_with_path(params):
        arrays[f"params/{jax.tree_util.keystr(path, simple=True, separator='/')}"] = _plain(x)
    file = run / f"diverged-{error.iteration}.npz"
    if is_first():
        with durable.new_file(file) as out:
            np.savez_compressed(out, allow_pickle=False, **arrays)
    return (
        f"iteration {error.iteration} diverged: {what}; nothing of it was saved, the batch and "
        f"the network before it are in {file}. {advice(run, config)}"
    )


def calmer(config: Config) -> dict[str, float]:
    """Settings to try after a divergence, by name: usual values for those that are absurd.

    Where none is, the learning rate becomes the usual one or, from there on, half of what it was.
    """
    usual, given = LearnerConfig(), config.learner
    absurd = {
        name: getattr(usual, name)
        for name in _UNSTABLE
        if getattr(given, name) > _ABSURD * getattr(usual, name)
    }
    rate = given.learning_rate
    lower = usual.learning_rate if rate > usual.learning_rate else rate / 2
    return {f"learner.{name}": value for name, value in (absurd or {_UNSTABLE[0]: lower}).items()}


def advice(run: Path, config: Config) -> str:
    """How to go on with a run after a divergence, in one sentence."""
    settings = " ".join(f"--{name} {value:g}" for name, value in calmer(config).items())
    command = f"--resume --run {run.name} {settings}"
    if str(run.parent) != "runs":
        command += f" --runs {run.parent}"
    names = [path.name for path in (run / "checkpoints").glob("*")]
    steps = [int(name) for name in names if re.fullmatch(r"\d{1,12}", name)]
    if not steps:
        return f"Begin again with {command}"
    earlier = ", or from an earlier one with --from-step N" if len(steps) > 1 else ""
    return f"Go on from checkpoint {max(steps)} with {command}{earlier}"


def _plain(x: Any) -> np.ndarray:
    """As an array that NumPy knows: short floats become ``float32``."""
    return np.asarray(x.astype(np.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x)
