"""The learner: losses, one optimiser step, and a phase of steps in one ``lax.scan``."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from azdab.common.config import Config, LearnerConfig
from azdab.devices.device import device_share
from azdab.devices.mesh import AXIS, SPLIT, WHOLE, divided, own_key
from azdab.game import symmetry
from azdab.game.board import Board
from azdab.learning import replay
from azdab.learning.optimizer import optimizer
from azdab.learning.replay import Replay
from azdab.learning.selfplay import Example, zero_examples
from azdab.network import model
from azdab.network.model import Params
from azdab.search.evaluator import shown_margin

IN_CACHE = 64
"""Most positions of which a CPU core computes gradients at once. The arrays between the layers of
256 do not fit into its cache, and then it takes a third longer."""


class LearnerState(NamedTuple):
    """What the optimiser carries from step to step.

    Attributes:
      params: the network's parameters.
      ema_params: their exponential moving average, which plays.
      opt_state: the optimiser's state.
      step: ``int32[]``, steps taken.
    """

    params: Params
    ema_params: Params
    opt_state: optax.OptState
    step: Int[Array, ""]


class Losses(NamedTuple):
    """Batch means, ``float32[]`` each.

    Attributes:
      total: the weighted sum that is minimised, without weight decay.
      policy: KL divergence from target to predicted policy, in nats.
      margin: cross-entropy of the margin distribution, in nats.
      ownership: binary cross-entropy per open box, in nats.
      entropy: of the predicted policies, in nats.
      grad_norm: before clipping.
      grad_norm_max: of a phase, the largest.
    """

    total: Array
    policy: Array
    margin: Array
    ownership: Array
    entropy: Array
    grad_norm: Array
    grad_norm_max: Array


def init_learner(
    key: PRNGKeyArray, board: Board, config: Config, params: Params | None = None
) -> LearnerState:
    """A fresh learner, with random parameters if none are given."""
    if params is None:
        params = model.init_params(key, board, config.network)
    opt_state = optimizer(config.learner).init(params)
    copy = jax.tree.map(jnp.copy, params)  # a donated state must not hold one buffer twice
    return LearnerState(params, copy, opt_state, jnp.zeros((), jnp.int32))


def check_examples(board: Board, examples: Example) -> None:
    """Refuse what are no examples of the board; costs nothing in compiled code.

    Raises:
      AssertionError: an array has another shape or type.
    """
    count = len(examples.margin)
    expected = jax.eval_shape(lambda: zero_examples(board, count))
    chex.assert_trees_all_equal_shapes_and_dtypes(examples, expected)


def augment(board: Board, examples: Example, key: PRNGKeyArray) -> Example:
    """Apply a random symmetry of the board to every example."""
    check_examples(board, examples)
    index = jax.random.randint(key, (len(examples.margin),), 0, board.num_symmetries)
    edge_index = jnp.asarray(symmetry.edge_permutations(board))[index]
    box_index = jnp.asarray(symmetry.box_permutations(board))[index]
    return examples._replace(
        edges=jnp.take_along_axis(examples.edges, edge_index, axis=1),
        policy=jnp.take_along_axis(examples.policy, edge_index, axis=1),
        ownership=jnp.take_along_axis(examples.ownership, box_index, axis=1),
    )


def two_hot(board: Board, margin: Float[Array, "N"], parity: Int[Array, "N"]) -> Array:
    """Distributions with mean ``margin`` on the two nearest possible margins.

    Args:
      board: the board.
      margin: ``float32[N]`` in boxes.
      parity: ``int32[N]``; possible margins are those of the same parity, so
        neighbours are two boxes apart.

    Returns:
      ``float32[N, 2 * num_boxes + 1]``.

    Raises:
      AssertionError: the arrays are not as said.
    """
    chex.assert_rank([margin, parity], 1)
    chex.assert_equal_shape([margin, parity])
    chex.assert_type([margin, parity], [float, int])
    distance = jnp.abs(model.margins(board)[None] - margin[:, None])
    same_parity = (model.margins(board)[None] - parity[:, None]) % 2 == 0
    return jnp.where(same_parity, jnp.maximum(1 - distance / 2, 0), 0)


def margin_target(board: Board, config: LearnerConfig, examples: Example) -> tuple[Array, Array]:
    """Target distributions of the future margin, and whether each example has one.

    A mixture of the game's outcome and the search's root value. Only the latter counts
    where a later random move makes the outcome useless.

    Returns:
      ``float32[N, 2 * num_boxes + 1]`` and ``float32[N]`` weights in {0, 1}.
    """
    support = jnp.asarray(model.margins(board))[None]
    outcome = (support == examples.outcome[:, None]).astype(jnp.float32)
    possible = model.possible_margins(board, examples.edges)
    reach = jnp.max(jnp.where(possible, support, 0), axis=-1)
    has_value = jnp.isfinite(examples.search_margin)
    value = jnp.where(has_value, examples.search_margin.astype(jnp.float32), 0)
    searched = two_hot(board, jnp.clip(value, -reach, reach), reach.astype(jnp.int32))
    mix = jnp.where(examples.outcome_valid, config.search_value_weight, 1.0) * has_value
    target = (1 - mix)[:, None] * outcome + mix[:, None] * searched
    return target, (examples.outcome_valid | has_value).astype(jnp.float32)


def loss(
    params: Params, board: Board, config: Config, examples: Example, known: Array | None = None
) -> tuple[Array, Losses]:
    """The training loss on a batch.

    Args:
      params: the network's parameters.
      board: the board.
      config: the run's config.
      examples: the batch.
      known: over how many boxes the ownership loss is averaged, where this is a piece of a batch:
        the batch's mean number a piece; None: those that are known here.

    Returns:
      The scalar to minimise, and its parts (those of the gradient still 0).

    Raises:
      AssertionError: the examples are not of this board.
    """
    check_examples(board, examples)
    shown = shown_margin(examples.margin.astype(jnp.int32), config.search.utility)
    output = model.apply(board, config.network, params, examples.edges, shown)

    illegal = jnp.finfo(jnp.float32).min
    log_policy = jax.nn.log_softmax(jnp.where(examples.edges, illegal, output.prior_logits))
    target_policy = examples.policy.astype(jnp.float32)
    cross_entropy = -jnp.sum(jnp.where(examples.edges, 0, target_policy * log_policy), axis=-1)
    target_entropy = jax.scipy.special.entr(target_policy).sum(axis=-1)
    policy_loss = jnp.mean(cross_entropy - target_entropy)

    target_margin, weight = margin_target(board, config.learner, examples)
    log_margin = jax.nn.log_softmax(output.margin_logits)
    margin_loss = -jnp.mean(weight * jnp.sum(target_margin * log_margin, axis=-1))

    told = examples.ownership != 0
    known = jnp.maximum(jnp.sum(told), 1) if known is None else known
    owner_loss = optax.sigmoid_binary_cross_entropy(
        output.ownership_logits, (examples.ownership > 0).astype(jnp.float32)
    )
    ownership_loss = jnp.sum(owner_loss * told) / known

    total = (
        policy_loss
        + config.learner.margin_weight * margin_loss
        + config.learner.ownership_weight * ownership_loss
    )
    policy = jnp.exp(log_policy)
    entropy = -jnp.mean(jnp.sum(jnp.where(examples.edges, 0, policy * log_policy), axis=-1))
    zero = jnp.zeros(())
    parts = Losses(total, policy_loss, margin_loss, ownership_loss, entropy, zero, zero)
    return total, parts


def _pieces(count: int) -> int:
    """In how many equal pieces a core computes the gradients of ``count`` positions."""
    least = -(-count // IN_CACHE)
    pieces = next(n for n in range(least, count + 1) if count % n == 0)
    return pieces if 2 * count >= pieces * IN_CACHE else 1


def gradients(
    params: Params, board: Board, config: Config, examples: Example, mesh: Mesh
) -> tuple[Params, Losses]:
    """Gradients of the loss's mean over a batch, and the losses; each device computes its share.

    The devices of a CPU take their share of the batch piece by piece, see :data:`IN_CACHE`.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"

    def own(params: Params, examples: Example) -> tuple[Params, Losses]:
        pieces = _pieces(len(examples.margin)) if on_cpu else 1
        told = jax.lax.psum(jnp.sum(examples.ownership != 0), AXIS)
        known = jnp.maximum(told, 1) / (pieces * mesh.size)

        def add(total: Any, piece: Example) -> tuple[Any, None]:
            found = jax.grad(loss, has_aux=True)(params, board, config, piece, known)
            return jax.tree.map(jnp.add, total, found), None

        zero = jax.tree.map(jnp.zeros_like, params), Losses(*[jnp.zeros(())] * len(Losses._fields))
        if pieces == 1:
            total = add(zero, examples)[0]
        else:
            parts = jax.tree.map(lambda x: x.reshape(pieces, -1, *x.shape[1:]), examples)
            total = jax.lax.scan(add, zero, parts)[0]
        return jax.tree.map(lambda x: x / (pieces * mesh.size), jax.lax.psum(total, AXIS))

    grads, losses = divided(mesh, own, (WHOLE, SPLIT), (WHOLE, WHOLE))(params, examples)
    return grads, losses


def stepped(state: LearnerState, config: Config, grads: Params) -> LearnerState:
    """The optimiser's step along gradients, which the average of the parameters follows.

    Raises:
      AssertionError: the step changes the state's shapes or types, after which the next would
        be compiled anew.
    """
    updates, opt_state = optimizer(config.learner).update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # Follow closely at first, when the parameters move fast.
    decay = jnp.minimum(config.learner.ema_decay, (1 + state.step) / (10 + state.step))
    decay = jnp.where(config.learner.ema_decay > 0, decay, 0.0)
    ema_params = optax.incremental_update(params, state.ema_params, 1 - decay)
    next_state = LearnerState(params, ema_params, opt_state, state.step + 1)
    chex.assert_trees_all_equal_shapes_and_dtypes(next_state, state)
    return next_state


def update(
    state: LearnerState, board: Board, config: Config, examples: Example, mesh: Mesh
) -> tuple[LearnerState, Losses]:
    """One optimiser step on a batch, see :func:`gradients` and :func:`stepped`.

    Raises:
      AssertionError: the examples are not of this board.
    """
    grads, losses = gradients(state.params, board, config, examples, mesh)
    next_state = stepped(state, config, grads)
    norm = optax.tree.norm(grads)
    return next_state, losses._replace(grad_norm=norm, grad_norm_max=norm)


def batch(buffer: Replay, board: Board, config: Config, mesh: Mesh, key: PRNGKeyArray) -> Example:
    """What one step learns from: each device's share from its own part of the replay."""
    share = device_share(config, mesh.size)

    def draw(buffer: Replay, key: PRNGKeyArray) -> Example:
        sample_key, augment_key = jax.random.split(own_key(key))
        own = replay.own(buffer)
        examples = replay.sample(own, share.replay, sample_key, share.learner.batch_size)
        return augment(board, examples, augment_key)

    examples: Example = divided(mesh, draw, (SPLIT, WHOLE), SPLIT)(buffer, key)
    return examples


def learn(
    state: LearnerState, buffer: Replay, board: Board, config: Config, mesh: Mesh, key: PRNGKeyArray
) -> tuple[LearnerState, Losses]:
    """One learning phase: ``steps_per_iteration`` steps on samples from the replay.

    The means over a batch, and so the gradients, are taken over all devices.

    Args:
      state: the same on all devices.
      buffer: divided among the devices.
      board: the board.
      config: the whole run's.
      mesh: the devices.
      key: random key.

    Returns:
      The new state and the losses' means over the phase.
    """

    def body(state: LearnerState, key: PRNGKeyArray) -> tuple[LearnerState, Losses]:
        return update(state, board, config, batch(buffer, board, config, mesh, key), mesh)

    keys = jax.random.split(key, config.learner.steps_per_iteration)
    state, losses = jax.lax.scan(body, state, keys)
    means = jax.tree.map(jnp.mean, losses)
    return state, means._replace(grad_norm_max=jnp.max(losses.grad_norm))
