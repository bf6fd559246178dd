"""Loss functions: one number for a batch, and dE/dY, where back-propagation begins.

y_true comes first, y_pred second, both [rows, units]; a loss is the mean over rows (for squared and absolute errors and
binary cross-entropy over units too, as in Keras). `derivative` is dE/dy_pred, shape of y_pred, and points uphill.

On the slides Y is the truth and Y* the prediction. Their 2/n (Y* - Y) is therefore the derivative with respect to the
prediction, which is what back-propagation needs, though they write it as one with respect to Y, whose sign would be
the opposite. Here it is 2/n (y_pred - y_true).
"""

from abc import ABC, abstractmethod

import numpy as np

from src.numpy_network.activations import SigmoidActivation, SoftmaxActivation


class LossFunction(ABC):
    """fused_with: the output activations that this loss has a joint formula with, in terms of their input (logits).

    takes_labels: whether y_true may be class labels int [rows] instead of [rows, units].
    """

    fused_with, takes_labels = (), False

    @abstractmethod
    def loss(self, y_true, y_pred):
        """E, a float."""

    @abstractmethod
    def derivative(self, y_true, y_pred):
        """dE/dy_pred, shape of y_pred."""


class MeanSquaredError(LossFunction):
    """E = mean of (y_pred - y_true)²."""

    def loss(self, y_true, y_pred):
        return float(np.square(y_pred - y_true).mean())

    def derivative(self, y_true, y_pred):
        return (2 / y_pred.size) * (y_pred - y_true)


class MeanAbsoluteError(LossFunction):
    """E = mean of |y_pred - y_true|; where they are equal the derivative is taken as 0."""

    def loss(self, y_true, y_pred):
        return float(np.abs(y_pred - y_true).mean())

    def derivative(self, y_true, y_pred):
        return np.sign(y_pred - y_true) / y_pred.size


class Huber(LossFunction):
    """Half the squared error up to delta, a straight line of the same slope beyond: outliers pull no harder. Huber (1964)."""

    def __init__(self, delta=1.0):
        self.delta = delta

    def loss(self, y_true, y_pred):
        error = np.abs(y_pred - y_true)
        return float(np.where(error <= self.delta, error**2 / 2, self.delta * (error - self.delta / 2)).mean())

    def derivative(self, y_true, y_pred):
        return np.clip(y_pred - y_true, -self.delta, self.delta) / y_pred.size


SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1 before a logarithm or a division; Keras's epsilon


class BinaryCrossEntropy(LossFunction):
    """E = - mean of y log p + (1 - y) log(1 - p), for y 0 or 1 and p = y_pred a probability.

    The slides write y log y + (1 - y) log(1 - y), which does not contain the prediction at all. Their derivative,
    -y/p + (1 - y)/(1 - p), is right but for the factor 1/n.
    """

    fused_with = (SigmoidActivation,)

    def loss(self, y_true, y_pred):
        p = np.clip(y_pred, SMALLEST, 1 - SMALLEST)
        return float(-(y_true * np.log(p) + (1 - y_true) * np.log1p(-p)).mean())

    def derivative(self, y_true, y_pred):
        p = np.clip(y_pred, SMALLEST, 1 - SMALLEST)
        return ((1 - y_true) / (1 - p) - y_true / p) / y_pred.size

    def loss_from_logits(self, y_true, logits):
        """The same of p = sigmoid(x), without a logarithm of 0: max(x, 0) - x y + log(1 + e^-|x|) for each logit x."""
        return float((np.maximum(logits, 0) - logits * y_true + np.log1p(np.exp(-np.abs(logits)))).mean())

    def derivative_from_logits(self, y_true, y_pred):
        """dE/dx: the sigmoid's p (1 - p) cancels the denominators and (p - y) / n is left."""
        return (y_pred - y_true) / y_pred.size


class CategoricalCrossEntropy(LossFunction):
    """E = - mean over rows of Σ_i y_i log p_i: how improbable the network finds the true classes.

    y_true: one-hot [rows, classes], or class labels [rows], which mean the same. The slides add over the examples;
    here it is their mean, so that the learning rate does not depend on the batch size.
    """

    fused_with, takes_labels = (SoftmaxActivation,), True

    def loss(self, y_true, y_pred):
        return float(-of_true_class(y_true, np.log(np.maximum(y_pred, SMALLEST))).mean())

    def derivative(self, y_true, y_pred):
        """-y/p / rows: the slides' formula, but for the mean."""
        return -one_hot(y_true, y_pred) / (np.maximum(y_pred, SMALLEST) * len(y_pred))

    def loss_from_logits(self, y_true, logits):
        """The same of p = softmax(x), without a logarithm of 0: log Σ_j e^(x_j) - x_true, mean over rows."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - of_true_class(y_true, shifted)).mean())

    def derivative_from_logits(self, y_true, y_pred):
        """dE/dx = (p - y) / rows: softmax's Jacobian cancels the division by p."""
        error = y_pred / len(y_pred)
        if y_true.ndim == 1:
            error[np.arange(len(error)), y_true] -= 1 / len(error)
        else:
            error -= y_true / len(error)
        return error


def of_true_class(y_true, values):
    """The entry of each row of `values` [rows, classes] that belongs to its true class: [rows]."""
    return values[np.arange(len(values)), y_true] if y_true.ndim == 1 else (y_true * values).sum(axis=1)


def one_hot(y_true, like):
    """Labels [rows] as 0/1 rows with the shape and type of `like`; what is one-hot already is returned as it is."""
    return np.eye(like.shape[1], dtype=like.dtype)[y_true] if y_true.ndim == 1 else y_true
