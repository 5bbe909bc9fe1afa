"""Layers the network is made of, all without batch statistics."""

import functools
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]

_NHWC = ("NHWC", "HWIO", "NHWC")


def _conv(x: Array, kernel: Array, padding: Padding) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=_NHWC)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(
    x: Float[Array, "B H W C"], kernel: Float[Array, "h w C F"], padding: Padding
) -> Float[Array, "B H W F"]:
    """A stride-1 convolution whose kernel gradient is also fast on the CPU.

    In a loop, XLA's CPU backend runs the kernel gradient on one thread without
    vector instructions: 300 samples/s for the quick network where the one matrix
    product used here instead gives 9,000. Other backends keep their own gradient.

    Raises:
      AssertionError: an array has another rank.
    """
    chex.assert_rank([x, kernel], 4)
    chex.assert_axis_dimension(kernel, 2, x.shape[3])
    return _conv(x, kernel, padding)


def _conv_forward(x: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, padding), (x, kernel)


def _conv_backward(
    padding: Padding, residuals: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = residuals

    def matrix_product(x: Array, dy: Array) -> tuple[Array, Array]:
        (h, w), (height, width) = kernel.shape[:2], dy.shape[1:3]
        top, left = (h - 1 - padding[0][0], w - 1 - padding[1][0])
        bottom, right = (h - 1 - padding[0][1], w - 1 - padding[1][1])
        flipped = kernel[::-1, ::-1].swapaxes(2, 3)
        dx = _conv(dy, flipped, ((top, bottom), (left, right)))
        padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        patches = [padded[:, i : i + height, j : j + width] for i in range(h) for j in range(w)]
        columns = jnp.concatenate(patches, axis=-1).reshape(-1, h * w * x.shape[-1])
        # The barrier keeps the transpose out of the product, which halves its time.
        rows = jax.lax.optimization_barrier(columns.T)
        return dx, (rows @ dy.reshape(-1, dy.shape[-1])).reshape(kernel.shape)

    def native(x: Array, dy: Array) -> tuple[Array, Array]:
        return jax.vjp(functools.partial(_conv, padding=padding), x, kernel)[1](dy)

    return jax.lax.platform_dependent(x, dy, cpu=matrix_product, default=native)


conv.defvjp(_conv_forward, _conv_backward)


class Conv(nn.Module):
    """A convolution with bias: float32 parameters, computed in ``dtype``."""

    filters: int
    size: int
    padding: Padding
    dtype: Any
    kernel_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel_init = nn.initializers.variance_scaling(
            self.kernel_scale, "fan_in", "truncated_normal"
        )
        shape = (self.size, self.size, x.shape[-1], self.filters)
        kernel = self.param("kernel", kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        y = conv(x.astype(self.dtype), kernel.astype(self.dtype), self.padding)
        return y + bias.astype(self.dtype).reshape(1, 1, 1, self.filters)


class ResidualBlock(nn.Module):
    """Pre-norm residual block: edges to boxes, pool, boxes to edges.

    On the grid of dots, a box's four edges lie in its own cell and the cells to the right
    and below. An edge's two boxes lie in its own cell and the cells to the left and above.
    So two 2x2 convolutions, padded on opposite sides, see all that matters, for 4/9 of
    the work of two 3x3 ones.
    """

    filters: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.relu(nn.LayerNorm(dtype=self.dtype)(x))
        y = Conv(self.filters, 2, ((0, 1), (0, 1)), self.dtype)(y)
        y += GlobalPool(self.filters, self.dtype)(y)[:, None, None]
        y = nn.relu(nn.LayerNorm(dtype=self.dtype)(y))
        # Small, so that a deep stack starts close to the identity.
        return x + Conv(self.filters, 2, ((1, 0), (1, 0)), self.dtype, kernel_scale=0.1)(y)


@jax.custom_vjp
def pooled_max(x: Float[Array, "B H W C"]) -> Float[Array, "B C"]:
    """The maximum over the board, with a gradient that stays finite.

    JAX divides the gradient among the elements that equal the maximum. XLA may compute ``x``
    twice, in two fusions that round differently: then none equals it, and 0/0 is NaN.
    """
    return x.max(axis=(1, 2))


def _max_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    largest = pooled_max(x)
    return largest, (x, largest)


def _max_backward(residuals: tuple[Array, Array], dy: Array) -> tuple[Array]:
    x, largest = residuals
    hit = (x >= largest[:, None, None]).astype(x.dtype)
    share = dy / jnp.maximum(hit.sum(axis=(1, 2)), 1)
    return (hit * share[:, None, None],)


pooled_max.defvjp(_max_forward, _max_backward)


class GlobalPool(nn.Module):
    """Mean and maximum over the board, projected: ``[B, H, W, C] -> [B, features]``."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        pooled = jnp.concatenate([x.mean(axis=(1, 2)), pooled_max(x)], axis=-1)
        return nn.Dense(self.features, dtype=self.dtype)(pooled)


class AttentionBlock(nn.Module):
    """Pre-norm self-attention over the board's cells, then an MLP (Vaswani et al., 2017)."""

    num_heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        batch, height, width, filters = x.shape
        position = self.param("position", nn.initializers.normal(0.02), (height * width, filters))
        cells = x.reshape(batch, height * width, filters)
        y = nn.LayerNorm(dtype=self.dtype)(cells + position.astype(self.dtype)[None])
        cells += nn.MultiHeadDotProductAttention(self.num_heads, dtype=self.dtype)(y)
        y = nn.LayerNorm(dtype=self.dtype)(cells)
        y = nn.Dense(2 * filters, dtype=self.dtype)(y)
        cells += nn.Dense(filters, dtype=self.dtype)(nn.relu(y))
        return cells.reshape(x.shape)
