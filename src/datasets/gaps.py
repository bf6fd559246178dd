"""Generated 1-D regression with dark intervals: noisy training samples that leave two intervals empty,
and less noisy test samples over the whole range. Ours, in the spirit of assignments that give such samples."""

import numpy as np

from src.datasets.examples import joined

LOW, HIGH = -5.0, 5.0


def curve(x):
    """A smooth function with several extrema, so that an interval without samples really hides something."""
    return 2.0 * np.sin(1.3 * x + 0.4) + 0.5 * np.cos(2.6 * x) + 0.05 * x**2


def decode(source, folder=None):
    """Training and official test samples; the same for the same seed."""
    random = np.random.default_rng(source.seed)
    x_train = lit(random, source.rows, source.dark_intervals)
    x_test = random.uniform(LOW, HIGH, source.rows)
    y_train = curve(x_train) + random.normal(0, source.training_noise, source.rows)
    y_test = curve(x_test) + random.normal(0, source.test_noise, source.rows)
    return joined(*(column.astype(np.float32).reshape(-1, 1) for column in (x_train, y_train, x_test, y_test)))


def lit(random, rows, dark_intervals):
    """`rows` uniform positions outside the dark intervals."""
    positions = random.uniform(LOW, HIGH, 100 * rows)
    for low, high in dark_intervals:
        positions = positions[(positions < low) | (positions > high)]
    return positions[:rows]
