"""Read pickled NumPy data without executing anything: only plain containers and arrays can be built."""

import io
import pickle
import zipfile

import numpy as np

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


def load(stream):
    """Unpickle containers, numbers, strings and arrays. Raises LaboratoryError for anything else."""
    try:
        return SafeUnpickler(stream, encoding="bytes").load()
    except LaboratoryError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise LaboratoryError(f"not a readable pickle ({type(error).__name__})") from None


def load_npz(path, names):
    """The named arrays of an .npz archive; object arrays are unpickled safely."""
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
            if missing:
                raise LaboratoryError(f"{path}: expected the arrays {', '.join(names)}; {missing[0]} is missing")
            return {name: load_npy(archive.read(f"{name}.npy")) for name in names}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise LaboratoryError(f"{path}: not a readable NumPy archive ({error})") from None


def load_npy(content):
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if read_header(stream)[2].hasobject:
        return load(stream)
    return np.load(io.BytesIO(content), allow_pickle=False)
