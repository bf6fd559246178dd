"""Comma-separated numbers with a header line; one column is the target."""

import numpy as np
import pandas

from src.datasets.examples import joined
from src.errors import LaboratoryError


def decode(source, folder):
    """Examples of the tables in `folder`; a text column as target holds class names, whole numbers are labels."""
    parts = [
        read(folder / source.files[role].name, source.target) for role in ("train", "test") if role in source.files
    ]
    classes = []
    if not pandas.api.types.is_numeric_dtype(parts[0][1]):
        classes = sorted(set(parts[0][1]))
        parts = [(x, encode(y, classes)) for x, y in parts]
    elif pandas.api.types.is_integer_dtype(parts[0][1]):
        parts = [(x, y.to_numpy(np.int32)) for x, y in parts]
    else:
        parts = [(x, y.to_numpy(np.float32).reshape(-1, 1)) for x, y in parts]
    return joined(*(array for part in parts for array in part), classes=classes)


def read(path, target):
    """Features float32 [rows, columns] and the target column of one file."""
    try:
        table = pandas.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise LaboratoryError(f"{path}: not a readable CSV table ({error})") from None
    if table.empty:
        raise LaboratoryError(f"{path}: no line below the header")
    if target not in table:
        raise LaboratoryError(f"{path}: expected a column '{target}'; it has {', '.join(map(str, table.columns))}")
    features = table.drop(columns=target)
    text = [name for name in features if not pandas.api.types.is_numeric_dtype(features[name])]
    if text:
        raise LaboratoryError(f"{path}: column '{text[0]}' holds text; expected numbers")
    if features.shape[1] == 0:
        raise LaboratoryError(f"{path}: no column beside the target '{target}'")
    return features.to_numpy(np.float32), table[target]


def encode(names, classes):
    """Class names as labels int32 [rows]."""
    unknown = set(names) - set(classes)
    if unknown:
        raise LaboratoryError(f"class '{sorted(map(str, unknown))[0]}' occurs in the test file only")
    return np.searchsorted(classes, names).astype(np.int32)
