"""Numbers for people: how good predictions are. y_true first, y_pred second."""

import numpy as np

from src.errors import LaboratoryError


def accuracy(y_true, y_pred):
    """Fraction of rows whose predicted class is the true one.

    y_pred: probabilities [rows, classes], or of class 1 alone [rows, 1], which counts as predicted above 0.5.
    y_true: labels [rows], or in the form of y_pred.
    """
    return float(np.count_nonzero(labels(y_pred) == labels(y_true)) / len(y_pred))


def mse(y_true, y_pred):
    """Mean squared error over rows and units; both [rows, units]."""
    if y_true.shape != y_pred.shape:  # NumPy would compare every row with every other
        raise LaboratoryError(f"mse: expected y_true of shape {y_pred.shape}, received {y_true.shape}")
    return float(np.square(y_pred - y_true).mean())


def confusion_matrix(y_true, y_pred):
    """How often class i (row) was taken for class j (column): int [classes, classes]. Arguments as for `accuracy`."""
    true, predicted = labels(y_true), labels(y_pred)
    classes = max(2, y_pred.shape[-1] if y_pred.ndim == 2 else 0, true.max() + 1, predicted.max() + 1)
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def labels(y):
    """Class labels [rows] of labels, one-hot rows or probabilities."""
    if y.ndim == 1:
        return y
    return y.argmax(axis=1) if y.shape[1] > 1 else (y[:, 0] > 0.5).astype(np.int64)
