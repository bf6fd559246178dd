"""What every file format is decoded to, how it is checked, and how it is kept on disk."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse

from src.errors import LaboratoryError


@dataclass
class Examples:
    """Decoded examples; the last `official_test_rows` rows are the dataset's own test part.

    x: images uint8 [rows, height, width, channels], a table float32 [rows, columns],
       or sparse 0/1 features uint8 CSR [rows, words]
    y: class labels int32 [rows], or targets float32 [rows, 1]
    """

    x: np.ndarray | scipy.sparse.csr_matrix
    y: np.ndarray
    classes: list[str] = field(default_factory=list)
    official_test_rows: int = 0


def joined(x_train, y_train, x_test=None, y_test=None, classes=()):
    """Examples from a training part and, where the dataset has one, its official test part."""
    if x_test is None:
        return Examples(x_train, y_train, list(classes))
    stack = scipy.sparse.vstack if scipy.sparse.issparse(x_train) else np.concatenate
    if x_train.shape[1:] != x_test.shape[1:]:
        raise LaboratoryError(f"training and test examples differ in shape: {x_train.shape[1:]} and {x_test.shape[1:]}")
    return Examples(stack([x_train, x_test]), np.concatenate([y_train, y_test]), list(classes), len(y_test))


def images(pixels):
    """Pixels [rows, height, width] or [rows, height, width, channels] as uint8 with a channel axis."""
    if pixels.dtype != np.uint8:
        raise LaboratoryError(f"expected images of type uint8, received {pixels.dtype}")
    return pixels[..., np.newaxis] if pixels.ndim == 3 else pixels


def check(examples, task):
    """Refuse examples no network should be trained on. Raises LaboratoryError saying what is wrong."""
    x, y = examples.x, examples.y
    if x.shape[0] != len(y):
        raise LaboratoryError(f"{x.shape[0]} examples but {len(y)} labels")
    if x.ndim < 2:
        raise LaboratoryError("expected rows of numbers or images as examples, received one number each")
    if len(y) < 10:
        raise LaboratoryError(f"expected at least 10 examples, received {len(y)}")
    values = x.data if scipy.sparse.issparse(x) else x
    if not np.isfinite(values).all():
        raise LaboratoryError("the examples hold missing or infinite numbers (NaN)")
    if task == "regression":
        if not np.isfinite(y).all():
            raise LaboratoryError("the targets hold missing or infinite numbers (NaN)")
    else:
        check_labels(y, examples.classes)


def check_labels(y, classes):
    """Class labels must be 0 ... number of classes - 1, each present."""
    present = np.unique(y)
    if present[0] < 0 or present[-1] >= len(classes):
        raise LaboratoryError(f"expected labels from 0 to {len(classes) - 1} ({len(classes)} classes), "
                              f"received {present[0]} to {present[-1]}")  # fmt: skip
    if len(present) < len(classes):
        absent = sorted(set(range(len(classes))) - set(present.tolist()))
        raise LaboratoryError(f"no example of class {classes[absent[0]]} (label {absent[0]})")


def save(folder, examples, card):
    """Write x (.npy, or .npz when sparse), y.npy and card.json (facts about the dataset) into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if scipy.sparse.issparse(examples.x):
        scipy.sparse.save_npz(folder / "x.npz", examples.x)
    else:
        np.save(folder / "x.npy", examples.x)
    np.save(folder / "y.npy", examples.y)
    facts = card | {
        "classes": examples.classes,
        "rows": len(examples.y),
        "official_test_rows": examples.official_test_rows,
        "shape": list(examples.x.shape[1:]),
        "dtype": str(examples.x.dtype),
    }
    (folder / "card.json").write_text(json.dumps(facts, indent=1) + "\n")


def load_rows(folder, rows):
    """x and y of the given rows only, x as it is on disk: an array, or CSR. No other row leaves the file."""
    folder = Path(folder)
    y = np.load(folder / "y.npy", mmap_mode="r")[rows]
    if (folder / "x.npz").exists():
        return scipy.sparse.load_npz(folder / "x.npz")[rows], y
    return np.load(folder / "x.npy", mmap_mode="r")[rows], y


def dense(x):
    """x as an array; features kept sparse take up memory only where they are used."""
    return x.toarray() if scipy.sparse.issparse(x) else x


def load_card(folder):
    """The facts `save` wrote: title, task, classes, rows, shape, dtype, note."""
    return json.loads((Path(folder) / "card.json").read_text())
