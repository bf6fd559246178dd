"""What the report shows of the chosen network besides its results: summary, weights, filters, feature maps, augmentation.

Everything is returned as small NumPy arrays under flat names, so that the report needs no TensorFlow.
"""

import keras
import numpy as np
import tensorflow as tf

from src.training.augmentation import augment
from src.training.models import activation_layer

BINS = 60
MAPS = 16  # feature maps and filters shown of a convolution
REACH = np.linspace(-4, 4, 201, dtype=np.float32)  # inputs over which activations are drawn


def look_inside(model, experiment, x):
    """{name: array} of a trained network; x: some test examples as they are on disk, the first one is looked at.

    'histogram/LAYER' [2, BINS] (centres, counts), 'filters/LAYER' [height, width, count], 'maps/LAYER' the same of the
    first example, 'augmented' [examples, variants, height, width, channels].
    """
    found = {f"histogram/{layer.name}": histogram(layer.kernel.numpy()) for layer in with_kernels(model)}
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    if convolutions:
        found[f"filters/{convolutions[0].name}"] = convolutions[0].kernel.numpy()[:, :, 0, :MAPS]
        outputs = keras.Model(model.input, [layer.output for layer in convolutions])(x[:1].astype(np.float32))
        maps = [outputs] if len(convolutions) == 1 and not isinstance(outputs, list) else outputs
        found |= {f"maps/{layer.name}": values.numpy()[0, :, :, :MAPS] for layer, values in zip(convolutions, maps)}
    if experiment.augmentation:
        found["augmented"] = variants(x[:4], experiment.augmentation, experiment.seed)
    return found


def with_kernels(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


def histogram(kernel):
    counts, edges = np.histogram(kernel, BINS)
    return np.stack([(edges[:-1] + edges[1:]) / 2, counts])


def variants(images, settings, seed, count=6):
    """Each image as it is and `count` times augmented, as uint8 [images, 1 + count, height, width, channels]."""
    raw = tf.constant(images.astype(np.float32))
    changed = [augment(raw, settings, tf.constant([seed, draw])).numpy() for draw in range(count)]
    return np.clip(np.stack([raw.numpy(), *changed], 1), 0, 255).astype(np.uint8)


def activations(configurations):
    """{name shown: values over REACH} of activations {name shown: {'name': ..., **arguments}}."""
    return {name: np.asarray(activation_layer(setting, None)(REACH)) for name, setting in configurations.items()}


def summary(model):
    """keras.Model.summary as text."""
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=88)
    return "\n".join(lines) + "\n"


def weight_norm(model):
    """Euclidean length of all kernels together."""
    return float(np.sqrt(sum((layer.kernel.numpy() ** 2).sum() for layer in with_kernels(model))))
