"""What a network is trained on, and how a batch of it is taken."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from src.errors import LaboratoryError


@dataclass
class Dataset:
    """Examples x [rows, features] (an array or scipy CSR) and targets y: [rows, units], or labels int [rows]."""

    x: np.ndarray | scipy.sparse.csr_matrix
    y: np.ndarray

    def __post_init__(self):
        if self.x.shape[0] != len(self.y):
            raise LaboratoryError(
                f"Dataset: expected as many rows in x as in y, received {self.x.shape[0]} and {len(self.y)}"
            )

    def __len__(self):
        return len(self.y)

    def shape(self):
        """(rows, features)."""
        return self.x.shape


class Gather:
    """Copies rows of an array into one buffer that every batch uses again: a new one each time would take longer."""

    def __init__(self, array, rows):
        self.array = array
        self.buffer = None if scipy.sparse.issparse(array) else np.empty((rows, *array.shape[1:]), array.dtype)

    def __call__(self, chosen):
        """The chosen rows, dense; valid until the next call."""
        if self.buffer is None:
            return self.array[chosen].toarray()
        # With the default mode="raise" NumPy would make a copy first, in spite of `out`.
        return np.take(self.array, chosen, axis=0, out=self.buffer[: len(chosen)], mode="clip")
