"""A zip or tar archive of images, one folder per class: `cats/1.png`, `dogs/2.jpg`. Read in memory, never unpacked."""

import io
from pathlib import PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from src.datasets import archives
from src.datasets.examples import joined
from src.errors import LaboratoryError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}


def decode(source, folder):
    """Examples of the archives in `folder`; the folders' names are the classes."""
    parts = [members(folder / source.files[role].name) for role in ("train", "test") if role in source.files]
    classes = sorted({class_of(name) for name in parts[0]})
    return joined(*(array for part in parts for array in arrays(part, classes, source)), classes=classes)


def members(path):
    """{name: content} of the archive's images, in the order of their names."""
    found = archives.members(path, lambda name: PurePosixPath(name).suffix.lower() in ENDINGS)
    if not found:
        raise LaboratoryError(f"{path}: no image in it; expected folders of {', '.join(sorted(ENDINGS))} files")
    return dict(sorted(found.items()))


def class_of(name):
    """The folder an image lies in names its class."""
    folder = PurePosixPath(name).parent.name
    if not folder:
        raise LaboratoryError(f"{name}: lies in no folder; expected one folder per class")
    return folder


def arrays(part, classes, source):
    """Pixels uint8 [rows, height, width, channels] and labels int32 [rows]."""
    unknown = {class_of(name) for name in part} - set(classes)
    if unknown:
        raise LaboratoryError(f"class '{sorted(unknown)[0]}' occurs in the test archive only")
    labels = [classes.index(class_of(name)) for name in part]
    shown = tqdm(part, "images", disable=None, leave=False)
    return np.stack([pixels(name, part[name], source) for name in shown]), np.array(labels, np.int32)


def pixels(name, content, source):
    height, width = source.size
    try:
        image = Image.open(io.BytesIO(content)).convert("L" if source.mode == "grayscale" else "RGB")
    except Exception as error:  # a damaged image can raise nearly anything
        raise LaboratoryError(f"{name}: not a readable image ({error})") from None
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, -1)
