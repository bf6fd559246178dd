"""The CIFAR-10 archive: a gzipped tar of pickled batches, read without executing anything in them.

Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout / Python versions".
"""

import io

import numpy as np

from src.datasets import archives, safe_pickle
from src.datasets.examples import joined
from src.errors import LaboratoryError

TRAINING = [f"data_batch_{number}" for number in range(1, 6)]
MEMBERS = [*TRAINING, "test_batch", "batches.meta"]


def decode(source, folder):
    """Examples of the archive in `folder`. Raises LaboratoryError naming the damaged member."""
    path = folder / source.files["archive"].name
    found = archives.members(path, lambda name: name.rsplit("/", 1)[-1] in MEMBERS)
    content = {name.rsplit("/", 1)[-1]: safe_pickle.load(io.BytesIO(pickled), f"{path}: {name}")
               for name, pickled in found.items()}  # fmt: skip
    missing = [name for name in MEMBERS if name not in content]
    if missing:
        raise LaboratoryError(f"{path}: {missing[0]} is missing from the archive")
    batches = [batch(f"{path}: {name}", content[name]) for name in TRAINING]
    classes = class_names(f"{path}: batches.meta", content["batches.meta"])
    x_train, y_train = (np.concatenate(parts) for parts in zip(*batches))
    return joined(x_train, y_train, *batch(f"{path}: test_batch", content["test_batch"]), classes=classes)


def class_names(place, content):
    try:
        return [name.decode() for name in content[b"label_names"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LaboratoryError(f"{place}: expected `label_names`, a list of texts ({error})") from None


def batch(place, content):
    """Images uint8 [rows, 32, 32, 3] and labels of one pickled batch (planes red, green, blue; row by row)."""
    try:
        planes, labels = np.asarray(content[b"data"], np.uint8), np.asarray(content[b"labels"], np.int32)
        return planes.reshape(len(labels), 3, 32, 32).transpose(0, 2, 3, 1), labels
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise LaboratoryError(f"{place}: expected `data` of 3,072 bytes a row and `labels` ({error})") from None
