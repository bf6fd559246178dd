"""Read pickled NumPy data without executing anything: only plain containers and arrays can be built."""

import io
import pickle

import numpy as np

from src.datasets import archives
from src.errors import LaboratoryError

# What NumPy arrays and the byte strings of Python 2 need, and nothing else.
ALLOWED = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
}


class SafeUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise LaboratoryError(f"refused: the file wants to run {module}.{name} while being read")
        return ALLOWED[module, name]


def load(stream, place):
    """Unpickle containers, numbers, strings and arrays. Raises LaboratoryError that begins with `place` for anything else."""
    try:
        return SafeUnpickler(stream, encoding="bytes").load()
    except LaboratoryError as error:
        raise LaboratoryError(f"{place}: {error}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise LaboratoryError(f"{place}: not a readable pickle ({type(error).__name__})") from None


def load_npz(path, names, optional=()):
    """The named arrays of an .npz archive, and the optional ones it has; object arrays are unpickled safely."""
    content = archives.members(path, lambda name: name.removesuffix(".npy") in (*names, *optional), "NumPy archive")
    missing = [name for name in names if f"{name}.npy" not in content]
    if missing:
        raise LaboratoryError(f"{path}: expected the arrays {', '.join(names)}; {missing[0]} is missing")
    return {file.removesuffix(".npy"): load_npy(f"{path}: {file}", array) for file, array in content.items()}


def load_npy(place, content):
    """An array from the bytes of an .npy file. Raises LaboratoryError that begins with `place`."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if not read_header(stream)[2].hasobject:
            return np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # a damaged header can raise nearly anything
        raise LaboratoryError(f"{place}: not a readable NumPy array ({error})") from None
    return load(stream, place)
