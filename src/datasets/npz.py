"""NumPy archives with the arrays x_train, y_train and, where there is an official test part, x_test, y_test."""

import zipfile

import numpy as np

from src.datasets.examples import images, joined
from src.datasets.safe_pickle import load_npz


def decode(source, folder):
    """Examples of the archive in `folder`."""
    path = folder / source.files["arrays"].name
    names = ["x_train", "y_train"]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names += [name for name in ("x_test", "y_test") if f"{name}.npy" in archive.namelist()]
    arrays = load_npz(path, names)
    return joined(*(features(arrays[n]) if n[0] == "x" else labels(arrays[n]) for n in names))


def features(x):
    return images(x) if x.ndim >= 3 else x.astype(np.float32)


def labels(y):
    """Whole numbers are class labels, also when they come as a column; other numbers are regression targets."""
    return y.reshape(-1).astype(np.int32) if np.issubdtype(y.dtype, np.integer) else y.reshape(len(y), -1).astype("f4")
