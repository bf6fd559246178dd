"""What TensorFlow's plain graph, in which networks with convolutions train, computes in many passes over memory, in one.

Keras writes batch normalisation and Adam as a dozen small operations; XLA melts them into one, the plain graph does not. Within
`faster` those methods of Keras use TensorFlow's own kernels, which compute the same.
"""

from contextlib import ExitStack
from unittest import mock

import keras
import tensorflow as tf

keras_normalization, keras_step = keras.layers.BatchNormalization.call, keras.optimizers.Adam.update_step


def faster():
    """A context in which Keras's batch normalisation of images and its Adam and AdamW are traced as the kernels below."""
    stack = ExitStack()
    stack.enter_context(mock.patch.object(keras.layers.BatchNormalization, "call", batch_normalization))
    stack.enter_context(mock.patch.object(keras.optimizers.Adam, "update_step", adam_step))
    return stack


def batch_normalization(layer, inputs, training=None, mask=None):
    """keras.layers.BatchNormalization.call; images in training by FusedBatchNormV3 (Ioffe and Szegedy 2015, algorithm 1).

    inputs: float32 [batch, height, width, channels]; anything else is left to Keras.
    """
    usual = layer.scale and layer.center and layer.trainable and not (layer.renorm or layer.synchronized)
    if not (training and usual and mask is None and len(inputs.shape) == 4 and layer.axis in (3, -1)):
        return keras_normalization(layer, inputs, training, mask)
    found = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=layer.gamma.value,
        offset=layer.beta.value,
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    variance = found.batch_variance * (count - 1) / count  # the kernel divides by count - 1, Keras by count
    for moving, value in ((layer.moving_mean, found.batch_mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + value * (1.0 - layer.momentum))
    return found.y


def adam_step(optimizer, gradient, variable, learning_rate):
    """keras.optimizers.Adam.update_step by ResourceApplyAdam: Kingma and Ba 2014, the form before section 2.1."""
    if optimizer.amsgrad or isinstance(gradient, tf.IndexedSlices):
        return keras_step(optimizer, gradient, variable, learning_rate)
    index, step = optimizer._get_variable_index(variable), tf.cast(optimizer.iterations + 1, tf.float32)
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        beta1_power=tf.pow(tf.constant(optimizer.beta_1, tf.float32), step),
        beta2_power=tf.pow(tf.constant(optimizer.beta_2, tf.float32), step),
        lr=learning_rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=gradient,
    )
