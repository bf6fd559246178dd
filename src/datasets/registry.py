"""Which module decodes which format. A dataset in one of these formats needs lines in params.yaml only."""

from pathlib import Path

import numpy as np

from src.datasets import cifar, csv, examples, gaps, idx, image_folder, imdb, npz, scikit_learn
from src.errors import LaboratoryError

DECODERS = {
    "cifar": cifar.decode,
    "csv": csv.decode,
    "gaps": gaps.decode,
    "idx": idx.decode,
    "image_folder": image_folder.decode,
    "imdb": imdb.decode,
    "npz": npz.decode,
    "sklearn": scikit_learn.decode,
}


def decode(name, dataset, source, folder):
    """Examples of a dataset from its raw folder, checked.

    source: the dataset's own, or the stand-in that a mirror declared. Raises LaboratoryError naming the dataset.
    """
    try:
        found = DECODERS[source.format](source, Path(folder))
        if dataset.task == "regression":
            if found.classes:
                raise LaboratoryError(f"task is regression, but the targets are classes, such as '{found.classes[-1]}'")
            found.y = found.y.reshape(len(found.y), -1).astype(np.float32)
            found.classes = []
        else:
            if found.y.ndim != 1 or not np.issubdtype(found.y.dtype, np.integer):
                raise LaboratoryError("task is classification, but the labels are not whole numbers")
            found.classes = dataset.classes or found.classes or [str(label) for label in range(int(found.y.max()) + 1)]
        examples.check(found, dataset.task)
    except LaboratoryError as error:
        raise LaboratoryError(f"dataset {name}: {error}; replace the file or correct datasets.{name} in params.yaml, then "
                              f"run `dvc repro preprocess@{name}`") from None  # fmt: skip
    return found
