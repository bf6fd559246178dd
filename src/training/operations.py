"""Operations that XLA compiles badly for a CPU, and what takes their place while a training program is traced.

Keras calls these public functions of TensorFlow by these names; within `faster` it finds ours, which compute the same.
"""

import functools
import math
from contextlib import ExitStack
from unittest import mock

import tensorflow as tf

# Rows whose starts lie a multiple of so many numbers (2 KB) apart compete for the same few places in a core's cache.
COMPETING = 512
APART = 16  # numbers put between such rows


def faster():
    """A context in which random numbers and matrix products are traced as the faster operations below."""
    stack = ExitStack()
    # Under XLA on a CPU the default generator, `auto_select`, takes 290 ns a number, threefry 2 to 4: with default
    # dropout a wide network trains slower in a compiled epoch than in `fit`. Threefry exists under XLA only.
    uniform = functools.partial(tf.random.stateless_uniform, alg="threefry")
    dropout = functools.partial(tf.nn.experimental.stateless_dropout, rng_alg="threefry")
    product = functools.partial(matrix_product, tf.matmul)
    for module, name, function in (
        (tf.random, "stateless_uniform", uniform),
        (tf.random, "stateless_normal", normal),
        (tf.nn.experimental, "stateless_dropout", dropout),
        (tf, "matmul", product),
    ):
        stack.enter_context(mock.patch.object(module, name, function))
    return stack


def normal(shape, seed, mean=0.0, stddev=1.0, dtype=tf.float32):
    """tf.random.stateless_normal: uniform numbers through the inverse of the normal distribution function.

    TensorFlow's own takes three times as long, 17 ns a number. A number is computed where it is first needed; what is put
    into a larger array is not: next to the lookup of a batch's rows, XLA computes one at a time, eight times as slowly.
    """
    halves = tf.zeros((2, -(-shape[0] // 2), *shape[1:]), dtype)
    uniform = tf.random.stateless_uniform(halves.shape, seed, -1.0, 1.0, dtype, alg="threefry")
    inside = tf.maximum(uniform, -1.0 + 2.0**-23)  # the inverse of -1 is infinite
    for half in (0, 1):
        halves = tf.tensor_scatter_nd_update(halves, [[half]], [tf.math.erfinv(inside[half])])
    drawn = tf.reshape(halves, (-1, *shape[1:]))[: shape[0]]
    return mean + stddev * math.sqrt(2) * drawn


def matrix_product(matmul, x, weights, output_type=None):
    """tf.matmul. The gradient of weights under wide rows takes six tenths of the time: it reads them with gaps between.

    x: float32 [rows, columns]; weights: [columns, units].
    """
    if output_type or len(x.shape) != 2 or len(weights.shape) != 2 or x.shape[1] % COMPETING:
        return matmul(x, weights, output_type=output_type)

    @tf.custom_gradient
    def product(x, weights):
        def gradients(upstream):
            spread = tf.pad(x, [(0, 0), (0, APART)])
            of_weights = tf.transpose(matmul(upstream, spread, transpose_a=True)[:, : x.shape[1]])
            return matmul(upstream, weights, transpose_b=True), of_weights

        return matmul(x, weights), gradients

    return product(x, weights)
