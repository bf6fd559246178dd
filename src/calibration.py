"""Probabilities that mean what they say: of the predictions made at 90 %, nine in ten should be right.

Temperature scaling, C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: one
number divides all logits. It moves no prediction to another class, and is fitted on rows that trained nothing.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

COLDEST, HOTTEST = 0.05, 20.0  # without a wrong prediction to learn from, the best temperature would be 0


def temperature(logits, y):
    """The temperature with the lowest log loss. logits: float [rows, classes]; y: labels [rows]."""
    found = minimize_scalar(lambda logarithm: log_loss(logits, y, np.exp(logarithm)),
                            bounds=np.log([COLDEST, HOTTEST]), method="bounded")  # fmt: skip
    return float(np.exp(found.x))


def log_loss(logits, y, temperature):
    """Mean negative logarithm of the probability given to the true class."""
    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(y)), y].mean())


def probabilities(logits, temperature):
    """Calibrated probabilities float [rows, classes]."""
    return softmax(logits / temperature, axis=1)
