"""Random affine changes of a batch of images, inside the compiled training program.

Keras's own random layers resample with an operation that XLA cannot compile on a CPU; this one is gathers and sums.
"""

import math

import tensorflow as tf


def augment(images, settings, seed):
    """Flip, shift, rotate, zoom and shear each image by its own random amounts; outside is black.

    images: float32 [batch, height, width, channels]; settings: params.Augmentation; seed: int32 [2].
    Returns the same shape. Bilinear; flips and whole-pixel shifts alone are exact.
    """
    batch, height, width, _ = images.shape
    draws = tf.unstack(tf.random.stateless_uniform((7, batch), seed, -1.0, 1.0))
    matrix = inverse_matrix(settings, *draws[:5])
    offset_y, offset_x = (whole_pixels(draw, settings.shift) for draw in draws[5:])
    rows = tf.range(float(height)) - (height - 1) / 2
    columns = tf.range(float(width)) - (width - 1) / 2
    y, x = rows[None, :, None], columns[None, None, :]
    source_y = matrix[0] * y + matrix[1] * x + (height - 1) / 2 + offset_y
    source_x = matrix[2] * y + matrix[3] * x + (width - 1) / 2 + offset_x
    return bilinear(images, source_y, source_x)


def inverse_matrix(settings, flip_x, flip_y, angle, zoom, shear):
    """Entries [batch, 1, 1] of the matrix from output to input positions (row, column), about the centre."""
    angle, shear = angle * math.radians(settings.rotation), tf.tan(shear * math.radians(settings.shear))
    size = 1.0 / (1.0 + zoom * settings.zoom)
    sign_x = tf.where(flip_x < 0, -1.0, 1.0) if settings.horizontal_flip else tf.ones_like(flip_x)
    sign_y = tf.where(flip_y < 0, -1.0, 1.0) if settings.vertical_flip else tf.ones_like(flip_y)
    cosine, sine = tf.cos(angle) * size, tf.sin(angle) * size
    entries = (sign_y * cosine, -sign_y * (sine + shear * cosine), sign_x * sine, sign_x * (cosine - shear * sine))
    return [entry[:, None, None] for entry in entries]


def whole_pixels(draw, largest):
    """Uniform whole numbers from -largest to largest, float32 [batch, 1, 1]."""
    return tf.clip_by_value(tf.round(draw * (largest + 0.5)), -largest, largest)[:, None, None]


def bilinear(images, y, x):
    """Sample images [batch, height, width, channels] at positions y, x, each [batch, height, width]."""
    top, left = tf.floor(y), tf.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    top, left = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    upper = (1 - right) * pixel(images, top, left) + right * pixel(images, top, left + 1)
    lower = (1 - right) * pixel(images, top + 1, left) + right * pixel(images, top + 1, left + 1)
    return (1 - down) * upper + down * lower


def pixel(images, y, x):
    """images at whole positions; 0 outside."""
    batch, height, width, channels = images.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = tf.clip_by_value(y, 0, height - 1) * width + tf.clip_by_value(x, 0, width - 1)
    flat = tf.reshape(images, (batch, height * width, channels))
    found = tf.gather(flat, tf.reshape(index, (batch, height * width)), axis=1, batch_dims=1)
    return tf.reshape(found, images.shape) * tf.cast(inside[..., None], images.dtype)
