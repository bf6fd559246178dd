"""Keras's imdb.npz: reviews as lists of word numbers -> which of the most common words occur (order neglected)."""

from itertools import chain

import numpy as np
import scipy.sparse

from src.datasets.examples import joined
from src.datasets.safe_pickle import load_npz
from src.errors import LaboratoryError

# keras.datasets.imdb.load_data shifts word numbers by 3: 0 is padding, 1 starts a review, 2 stands for any rarer word.
START, RARE, SHIFT = 1, 2, 3


def decode(source, folder):
    """Examples of the reviews in `folder`, x sparse."""
    path = folder / source.files["reviews"].name
    arrays = load_npz(path, ["x_train", "y_train", "x_test", "y_test"])
    try:
        x_train, x_test = (multi_hot(arrays[part], source.words) for part in ("x_train", "x_test"))
        y_train, y_test = (arrays[part].astype(np.int32) for part in ("y_train", "y_test"))
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise LaboratoryError(f"{path}: expected reviews as lists of word numbers, and labels ({error})") from None
    return joined(x_train, y_train, x_test, y_test, classes=["negative", "positive"])


def multi_hot(reviews, words):
    """uint8 CSR [reviews, words]: 1 where the word occurs. Numbering as in keras.datasets.imdb.load_data(words)."""
    columns = np.fromiter(chain.from_iterable(reviews), np.int64) + SHIFT
    if columns.min() < SHIFT:
        raise ValueError("a negative word number")
    columns = np.where(columns < words, columns, RARE)
    ends = np.cumsum([0, *map(len, reviews)])
    counts = scipy.sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(reviews), words)).tolil()
    counts[:, START] = 1
    return (counts.tocsr() > 0).astype(np.uint8)
