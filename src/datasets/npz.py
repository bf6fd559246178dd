"""NumPy archives with the arrays x_train, y_train and, where there is an official test part, x_test, y_test."""

import numpy as np

from src.datasets.examples import images, joined
from src.datasets.safe_pickle import load_npz
from src.errors import LaboratoryError

NAMES = ["x_train", "y_train", "x_test", "y_test"]


def decode(source, folder):
    """Examples of the archive in `folder`."""
    path = folder / source.files["arrays"].name
    arrays = load_npz(path, NAMES[:2], optional=NAMES[2:])
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim == 0 or array.dtype.kind not in "biuf":
            raise LaboratoryError(f"{path}: {name}: expected an array of numbers, received {array!r:.60}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise LaboratoryError(f"{path}: expected x_test and y_test, or neither of them")
    names = [name for name in NAMES if name in arrays]
    return joined(*(features(arrays[n]) if n[0] == "x" else labels(arrays[n]) for n in names))


def features(x):
    with np.errstate(over="ignore"):  # what becomes infinite is refused with what was
        return images(x) if x.ndim >= 3 else x.astype(np.float32)


def labels(y):
    """Whole numbers are class labels, also when they come as a column; other numbers are regression targets."""
    return y.reshape(-1).astype(np.int32) if np.issubdtype(y.dtype, np.integer) else y.reshape(len(y), -1).astype("f4")
