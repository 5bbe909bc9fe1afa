"""The learner's optimiser: clipping, then Muon, AdamW or SGD, on a schedule.

Muon multiplies each kernel fifteen times in a step, and the 55 arrays of a network like ours are
small. Every product is a launch on a card, and they take longer than their arithmetic. So arrays
of a shape are stacked: a step has 453 fusions and 120 products instead of 879 and 285 (64 filters,
4 blocks), and takes four fifths of the time on the CPU (notebooks/speed.md).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers

from azdab.common.config import LearnerConfig
from azdab.network.model import Params

Matrices = Callable[[Params], Any]
"""Which axes of each array are inputs and which outputs, as :func:`optax.contrib.muon` asks; None
where an array is no matrix."""


def optimizer(config: LearnerConfig) -> optax.GradientTransformation:
    """Clipping, then Muon, AdamW or SGD, on a warm-up and cosine schedule.

    Muon (Jordan et al., 2024) orthogonalises the updates of matrices. Scaled as in
    "Muon is Scalable for LLM Training" (Liu et al., 2025) they are as large as
    AdamW's, so one learning rate serves both and everything that is not a matrix.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0 if config.warmup_steps else config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=max(config.schedule_steps, config.warmup_steps + 1),
        end_value=config.learning_rate / 10,
    )
    if config.optimizer == "adamw":
        update = optax.adamw(schedule, weight_decay=config.weight_decay, mask=_decayed)
    elif config.optimizer == "muon":

        def muon(matrices: Matrices) -> optax.GradientTransformation:
            return optax.contrib.muon(
                schedule,
                weight_decay=config.weight_decay,
                consistent_rms=0.2,
                muon_weight_dimension_numbers=matrices,
            )

        update = in_stacks(muon, matrices_of)
    else:
        update = optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=_decayed),
            optax.sgd(schedule, momentum=0.9, nesterov=True),
        )
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), update)


def _decayed(params: Params) -> Params:
    """Weight decay applies to kernels, not to biases and norm scales."""
    return jax.tree.map(lambda x: x.ndim > 1, params)


def matrices_of(params: Params) -> Params:
    """Which axes of the kernels are inputs and which outputs; None: not a matrix."""

    def matrix(path: Any, x: Array) -> optax.contrib.MuonDimensionNumbers | None:
        module, name = (key.key for key in path[-2:])
        if name != "kernel":
            return None
        inputs = 1 if module in ("query", "key", "value") else x.ndim - 1
        axes = tuple(range(x.ndim))
        return optax.contrib.MuonDimensionNumbers(axes[:inputs], axes[inputs:])

    return jax.tree_util.tree_map_with_path(matrix, params)


class _Stacks:
    """Arrays of the same shape and kind, together.

    Args:
      params: the tree whose arrays are stacked; any tree like it can be.
      matrices: its matrices.
    """

    def __init__(self, params: Params, matrices: Matrices) -> None:
        self._structure = jax.tree.structure(params)
        self._axes: dict[str, MuonDimensionNumbers | None] = {}

        def kind_of(x: Array, axes: MuonDimensionNumbers | None) -> str:
            kind = f"{x.shape} {x.dtype} {axes}"
            moved = axes and [tuple(axis + 1 for axis in part) for part in axes]
            self._axes[kind] = moved and MuonDimensionNumbers(*moved)
            return kind

        self._rows: dict[str, list[int]] = {}
        kinds = jax.tree.leaves(jax.tree.map(kind_of, params, matrices(params)))
        for row, kind in enumerate(kinds):
            self._rows.setdefault(kind, []).append(row)
        self._keys = params.keys(), self._rows.keys()

    def matrices(self, stacks: Any) -> dict[str, MuonDimensionNumbers | None]:
        """The matrices of the stacks; each has one axis more, the first."""
        del stacks
        return self._axes

    def known(self, tree: Any) -> bool:
        """Whether a tree is like the parameters or like the stacks."""
        return isinstance(tree, dict) and tree.keys() in self._keys

    def stack(self, tree: Any) -> dict[str, Any]:
        """Stacks of a tree that is like the parameters. What optax left out of it stays out."""
        leaves = jax.tree.leaves(tree, is_leaf=_left_out)
        return {
            kind: leaves[rows[0]]
            if _left_out(leaves[rows[0]])
            else jnp.stack([leaves[row] for row in rows])
            for kind, rows in self._rows.items()
        }

    def unstack(self, stacks: dict[str, Any]) -> Any:
        """The reverse of :meth:`stack`."""
        leaves = {
            row: stacks[kind] if _left_out(stacks[kind]) else stacks[kind][at]
            for kind, rows in self._rows.items()
            for at, row in enumerate(rows)
        }
        return jax.tree.unflatten(self._structure, [leaves[row] for row in range(len(leaves))])


def _left_out(x: Any) -> bool:
    return isinstance(x, optax.MaskedNode)


def in_stacks(
    optimiser: Callable[[Matrices], optax.GradientTransformation], matrices: Matrices
) -> optax.GradientTransformation:
    """The same optimiser, but for the order of some sums, in fewer and larger operations.

    Args:
      optimiser: makes it, for trees with these matrices. All arrays of a shape and kind must be
        treated alike.
      matrices: of the parameters.

    Returns:
      It. Its state is the plain one's, so that no checkpoint depends on this.

    >>> params = {"a": jnp.eye(2), "b": 2 * jnp.eye(2), "c": jnp.ones(3)}
    >>> sgd = in_stacks(lambda matrices: optax.sgd(0.5), lambda params: dict.fromkeys(params))
    >>> updates, state = sgd.update(params, sgd.init(params), params)
    >>> updates["b"].tolist(), updates["c"].tolist()
    ([[-1.0, -0.0], [-0.0, -1.0]], [-0.5, -0.5, -0.5])
    """

    def update(
        updates: Params, state: optax.OptState, params: Params | None = None
    ) -> tuple[Params, optax.OptState]:
        stacks = _Stacks(updates, matrices)

        def each(change: Callable[[Any], Any], tree: Any) -> Any:
            return jax.tree.map(
                lambda x: change(x) if stacks.known(x) else x, tree, is_leaf=stacks.known
            )

        inner = optimiser(stacks.matrices)
        made, state = inner.update(
            stacks.stack(updates),
            each(stacks.stack, state),
            None if params is None else stacks.stack(params),
        )
        return stacks.unstack(made), each(stacks.unstack, state)

    return optax.GradientTransformation(optimiser(matrices).init, update)
