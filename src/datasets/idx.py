"""IDX, the format of MNIST: a big-endian header (0, 0, type, axes), the axes' lengths, then the values.

Source: http://yann.lecun.com/exdb/mnist/, "The IDX file format".
"""

import gzip
import math
import zlib

import numpy as np

from src.datasets.examples import images, joined
from src.errors import LaboratoryError

TYPES = {8: np.uint8, 9: np.int8, 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read(path):
    """One IDX file, gzipped or not, as an array. Raises LaboratoryError when header and length disagree."""
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise LaboratoryError(f"{path}: damaged gzip file ({error})") from None
    if (
        len(content) < 4
        or content[:2] != b"\0\0"
        or content[2] not in TYPES
        or not 0 < 4 * content[3] <= len(content) - 4
    ):
        raise LaboratoryError(f"{path}: not an IDX file; it begins with {content[:4]!r}")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">i4").tolist()
    dtype = np.dtype(TYPES[content[2]])
    if min(shape) < 0 or len(content) - start != math.prod(shape) * dtype.itemsize:
        raise LaboratoryError(f"{path}: header says shape {shape}, but {len(content) - start} bytes follow")
    return np.frombuffer(content[start:], dtype).reshape(shape)


def part(source, folder, name):
    """Images and labels of one part, or (None, None) where the dataset has no such part."""
    if f"{name}_images" not in source.files:
        return None, None
    pixels = read(folder / source.files[f"{name}_images"].name)
    labels = read(folder / source.files[f"{name}_labels"].name)
    if pixels.ndim not in (3, 4):
        raise LaboratoryError(f"{source.files[f'{name}_images'].name}: expected images, received axes {pixels.shape}")
    return images(pixels), labels.astype(np.int32)


def decode(source, folder):
    """Examples of the IDX files in `folder`; the names of the classes are not in them."""
    return joined(*part(source, folder, "train"), *part(source, folder, "test"))
