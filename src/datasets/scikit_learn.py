"""The small datasets that ship inside scikit-learn: no file, no network."""

import numpy as np

from src.datasets.examples import Examples


def decode(source, folder=None):
    """Examples of scikit-learn's dataset `source.name`."""
    import sklearn.datasets  # a second that the other formats do not need

    bunch = getattr(sklearn.datasets, f"load_{source.name}")()
    classes = [str(name) for name in getattr(bunch, "target_names", [])]
    x = bunch.images.astype(np.uint8)[..., np.newaxis] if "images" in bunch else bunch.data.astype(np.float32)
    y = bunch.target.astype(np.int32) if classes else bunch.target.astype(np.float32).reshape(-1, 1)
    return Examples(x, y, classes)
