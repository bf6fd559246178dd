"""The CIFAR-10 archive: a gzipped tar of pickled batches, read without executing anything in them.

Source: https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout / Python versions".
"""

import tarfile
import zlib

import numpy as np

from src.datasets import safe_pickle
from src.datasets.examples import joined
from src.errors import LaboratoryError

TRAINING = [f"data_batch_{number}" for number in range(1, 6)]


def decode(source, folder):
    """Examples of the archive in `folder`. Raises LaboratoryError naming the damaged member."""
    path = folder / source.files["archive"].name
    try:
        with tarfile.open(path) as archive:
            members = {member.name.rsplit("/", 1)[-1]: member for member in archive.getmembers() if member.isfile()}
            missing = [name for name in [*TRAINING, "test_batch", "batches.meta"] if name not in members]
            if missing:
                raise LaboratoryError(f"{path}: {missing[0]} is missing from the archive")
            content = {name: safe_pickle.load(archive.extractfile(member)) for name, member in members.items()
                       if name in (*TRAINING, "test_batch", "batches.meta")}  # fmt: skip
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise LaboratoryError(f"{path}: not a readable archive ({error})") from None
    batches = [batch(f"{path}: {name}", content[name]) for name in TRAINING]
    classes = [name.decode() for name in content["batches.meta"][b"label_names"]]
    x_train, y_train = (np.concatenate(parts) for parts in zip(*batches))
    return joined(x_train, y_train, *batch(f"{path}: test_batch", content["test_batch"]), classes=classes)


def batch(place, content):
    """Images uint8 [rows, 32, 32, 3] and labels of one pickled batch (planes red, green, blue; row by row)."""
    try:
        planes, labels = np.asarray(content[b"data"], np.uint8), np.asarray(content[b"labels"], np.int32)
        return planes.reshape(len(labels), 3, 32, 32).transpose(0, 2, 3, 1), labels
    except (KeyError, TypeError, ValueError) as error:
        raise LaboratoryError(f"{place}: expected `data` of 3,072 bytes a row and `labels` ({error})") from None
