"""The network: what a position is worth and which edges to draw.

Its inputs are in :mod:`azdab.network.features`. Three heads:

* policy: logits over the ``E`` edges;
* margin: a distribution over the mover's *future* margin in boxes, from which
  expected margin and, with the score, win probability follow;
* ownership: which player closes each open box. It is an auxiliary target; Wu,
  "Accelerating Self-Play Learning in Go" (2019) found it the largest single gain.

Chain parity decides this game and is a global property, so residual blocks pool
over the whole board (as in the same paper) or attend over it.
"""

from typing import Any, NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from azdab.common.config import NetworkConfig
from azdab.game import geometry
from azdab.game.board import Board
from azdab.network.features import network_features
from azdab.network.layers import AttentionBlock, Conv, GlobalPool, ResidualBlock

Params = Any
"""A flax parameter tree."""


class NetworkOutput(NamedTuple):
    """Float32 outputs for a batch of positions, from the mover's point of view.

    Attributes:
      prior_logits: ``float32[B, E]``, not masked.
      margin_logits: ``float32[B, 2 * num_boxes + 1]`` over :func:`margins`;
        impossible margins carry about ``-1e9``.
      ownership_logits: ``float32[B, num_boxes]``, positive where the mover is
        expected to close the box; meaningless for closed boxes.
    """

    prior_logits: Float[Array, "B E"]
    margin_logits: Float[Array, "B M"]
    ownership_logits: Float[Array, "B boxes"]


def margins(board: Board) -> np.ndarray:
    """The support of the margin head, ``float32[2 * num_boxes + 1]``, in boxes."""
    return np.arange(-board.num_boxes, board.num_boxes + 1, dtype=np.float32)


def _support(board: Board, lead: tuple[int, ...]) -> Float[Array, "*b M"]:
    """:func:`margins` repeated for a batch."""
    return jnp.broadcast_to(margins(board), (*lead, 2 * board.num_boxes + 1))


def possible_margins(board: Board, edges: Bool[Array, "*b E"]) -> Bool[Array, "*b M"]:
    """Which future margins ``n`` open boxes allow: ``|m| <= n`` and ``m = n (mod 2)``."""
    chex.assert_axis_dimension(edges, -1, board.num_edges)
    num_open = jnp.sum(geometry.box_degrees(board, edges) < 4, axis=(-1, -2))[..., None]
    support = _support(board, edges.shape[:-1]).astype(jnp.int32)
    return (jnp.abs(support) <= num_open) & ((support - num_open) % 2 == 0)


class Network(nn.Module):
    """The trunk and its three heads.

    Takes the drawn edges, ``bool[B, E]``, and the mover's score margin, ``int[B]`` (0
    where it must not matter). There are no batch statistics.
    """

    board: Board
    config: NetworkConfig

    @nn.compact
    def __call__(self, edges: Array, margin: Array) -> NetworkOutput:
        board, filters = self.board, self.config.filters
        dtype = jnp.bfloat16 if self.config.mixed_precision else jnp.float32
        inputs = network_features(board, self.config.features, edges, margin)
        x = Conv(filters, 3, ((1, 1), (1, 1)), dtype)(inputs.cells)
        x += nn.Dense(filters, use_bias=False, dtype=dtype)(inputs.board)[:, None, None]
        for _ in range(self.config.blocks):
            x = ResidualBlock(filters, dtype)(x)
        if self.config.family == "resnet_attention":
            x = AttentionBlock(self.config.num_heads, dtype)(x)
        x = nn.relu(nn.LayerNorm(dtype=dtype)(x))

        # The board as a whole: the margin head, and what every cell should know of it.
        whole = nn.relu(GlobalPool(2 * filters, dtype)(x))
        margin_logits = nn.Dense(2 * board.num_boxes + 1, dtype=dtype)(whole)

        # Per cell: the edge to the right, the edge below, and the box's owner.
        context = nn.Dense(filters, dtype=dtype)(whole)[:, None, None]
        cells = nn.relu(nn.Dense(filters, dtype=dtype)(x) + context)
        cells = nn.Dense(3, dtype=dtype)(cells).astype(jnp.float32)
        batch = edges.shape[0]
        right = cells[:, :, : board.cols, 0].reshape(batch, -1)
        below = cells[:, : board.rows, :, 1].reshape(batch, -1)
        owner = cells[:, : board.rows, : board.cols, 2].reshape(batch, -1)

        possible = possible_margins(board, edges)
        return NetworkOutput(
            prior_logits=jnp.concatenate([right, below], axis=-1),
            margin_logits=jnp.where(possible, margin_logits.astype(jnp.float32), -1e9),
            ownership_logits=owner,
        )


def apply(
    board: Board,
    config: NetworkConfig,
    params: Params,
    edges: Bool[Array, "B E"],
    margin: Int[Array, "B"],
) -> NetworkOutput:
    """Evaluate a batch of positions, see :class:`Network`.

    Raises:
      AssertionError: an array has another shape or type.
    """
    chex.assert_shape(edges, (None, board.num_edges))
    chex.assert_rank(margin, 1)
    chex.assert_equal_shape_prefix([edges, margin], 1)
    chex.assert_type([edges, margin], [bool, int])
    output: Any = Network(board, config).apply({"params": params}, edges, margin)
    return output


def init_params(key: PRNGKeyArray, board: Board, config: NetworkConfig) -> Params:
    """Float32 parameters."""
    edges = jnp.zeros((1, board.num_edges), bool)
    return Network(board, config).init(key, edges, jnp.zeros(1, jnp.int32))["params"]


def expected_margin(board: Board, margin_logits: Float[Array, "*b M"]) -> Float[Array, "*b"]:
    """Mean of the predicted future margin, in boxes, for the player to move."""
    chex.assert_axis_dimension(margin_logits, -1, 2 * board.num_boxes + 1)
    return jax.nn.softmax(margin_logits) @ margins(board)


def win_value(
    board: Board, margin_logits: Float[Array, "*b M"], margin: Int[Array, "*b"]
) -> Float[Array, "*b"]:
    """P(win) - P(loss) for the player to move who leads by ``margin`` boxes now."""
    chex.assert_shape(margin_logits, (*margin.shape, 2 * board.num_boxes + 1))
    final = _support(board, margin.shape) + margin[..., None]
    return jnp.sum(jax.nn.softmax(margin_logits) * jnp.sign(final), axis=-1)
