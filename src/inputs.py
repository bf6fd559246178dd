"""Files of people -> examples as a dataset holds them: images, texts or the rows of tables.

A reader has `endings` (of the files it takes from a folder), `read(path)`, which returns Given examples, and `stack`, which
makes one float32 array of them. Wherever a reader had to guess, the example carries a note that says what.
"""

import io
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas
from PIL import Image, ImageOps
from pydantic import TypeAdapter

from src.datasets import image_folder, imdb
from src.datasets.examples import dense
from src.errors import LaboratoryError
from src.params import AnySource

ALIKE = 0.9  # share of the training images that must agree before "their background" means anything
PUNCTUATION = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n\r]"""  # that keras.datasets.imdb was split at


@dataclass(frozen=True)
class Given:
    """One example as somebody gave it. value: what the reader stacks; notes: what was guessed about it."""

    name: str
    value: object
    notes: tuple[str, ...] = ()


def expand(paths, reader):
    """Files in the order given; a folder stands for the files in it that the reader takes. Raises LaboratoryError."""
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in reader.endings)
            if not inside:
                raise LaboratoryError(f"{path}: expected files ending in {', '.join(sorted(reader.endings))} in this folder, "
                                      "received none; give another folder or name the files")  # fmt: skip
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise LaboratoryError(f"{path}: there is no such file or folder; check the spelling")
    return found


def reader_of(dataset, x):
    """The reader of a dataset's kind of example. x: its development examples."""
    if x.ndim == 4:
        return Images(x)
    folder = Path("data/raw", dataset)
    if not (folder / "source.json").exists():
        raise LaboratoryError(f"{folder}/source.json: not found; run `dvc repro download@{dataset}` first")
    source = TypeAdapter(AnySource).validate_python(json.loads((folder / "source.json").read_text())["source"])
    return Texts(source, folder) if source.format == "imdb" else Rows(columns_of(source, folder), x)


def columns_of(source, folder):
    """Names of a table's columns in the order of the examples; None where the format has none."""
    if source.format == "csv":
        names = pandas.read_csv(folder / source.files["train"].name, nrows=0).columns
        return [name for name in names if name != source.target]
    if source.format == "sklearn":
        import sklearn.datasets

        return list(getattr(sklearn.datasets, f"load_{source.name}")().feature_names)
    return None


# ---------------------------------------------------------------- images


class Images:
    """Images of any size and colour mode, made like those that trained. x: training images uint8 [rows, h, w, channels]."""

    endings = image_folder.ENDINGS | {".tif", ".tiff", ".pgm", ".ppm"}

    def __init__(self, x):
        _, self.height, self.width, channels = x.shape
        if channels not in (1, 3):
            raise LaboratoryError(f"image files have 1 or 3 channels, the dataset's images {channels}; call the exported "
                                  "model from Python instead: `python -m src.export --help`")  # fmt: skip
        self.mode = "L" if channels == 1 else "RGB"
        self.brightest = int(x.max())
        self.background = background(x)

    def read(self, path):
        try:
            with Image.open(path) as opened:
                opened.draft(self.mode, (4 * self.width, 4 * self.height))  # a large JPEG need not be decoded whole
                image, notes = plain(opened)
        except Exception as error:  # a damaged image can raise nearly anything
            raise LaboratoryError(
                f"{path}: not a readable image ({error}); convert it to PNG or leave it out"
            ) from None
        image = image.convert(self.mode)
        border = border_of(image)
        if abs(image.width / image.height / (self.width / self.height) - 1) > 0.02:
            notes.append("has other proportions: it was padded with the colour of its border")
        image = ImageOps.pad(image, (self.width, self.height), Image.Resampling.BILINEAR, color=tuple(border))
        pixels = np.asarray(image).reshape(self.height, self.width, -1)
        is_bright = sum(border) / len(border) > 127
        if self.background and is_bright != (self.background == "bright"):
            notes.append(f"has a {'bright' if is_bright else 'dark'} background, the training images a {self.background} one: "
                         "it was inverted")  # fmt: skip
            pixels = 255 - pixels
        return [Given(str(path), *self.scaled(pixels, notes))]

    def scaled(self, pixels, notes):
        """Pixels 0 to 255 brought into the range of the training images where that is a smaller one; and the notes."""
        if self.brightest > 127:
            return pixels, tuple(notes)
        notes.append(f"pixels 0 to 255 were brought to 0 to {self.brightest}, the range of the training images")
        return pixels * np.float32(self.brightest / 255), tuple(notes)

    @staticmethod
    def stack(values):
        return np.stack(values).astype(np.float32)


def background(x):
    """'dark' or 'bright' where nearly all images have such a border, else None. x: uint8 [rows, h, w, channels]."""
    sample = x[:1000]
    edge = np.concatenate([sample[:, 0], sample[:, -1], sample[:, :, 0], sample[:, :, -1]], axis=1)
    levels = np.median(edge.mean(-1), axis=1) / max(1, x.max())
    if np.mean(levels < 0.25) >= ALIKE:
        return "dark"
    return "bright" if np.mean(levels > 0.75) >= ALIKE else None


def border_of(image):
    """The median of an image's outermost pixels, a whole number for each channel."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.median(edge, axis=0).astype(int).tolist()


def plain(opened):
    """An upright image of mode L or RGB, without transparency, and notes on what was guessed."""
    notes = []
    if getattr(opened, "n_frames", 1) > 1:
        notes.append("has several frames: the first one was taken")
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float64)
        top = next((top for top in (1, 255, 65535) if values.max() <= top), values.max())
        notes.append(f"has more than 8 bits a pixel: 0 to {top:g} was taken as black to white")
        image = Image.fromarray((values.clip(0) * (255 / top)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        pixels = np.asarray(image)
        visible = pixels[pixels[..., 3] > 127][:, :3]
        ground = "black" if len(visible) and visible.mean() > 127 else "white"
        notes.append(f"is transparent: it was laid on {ground}")
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), notes


# ---------------------------------------------------------------- texts


class Texts:
    """Reviews as which of the commonest words occur, one a file: as text, or as the numbers of keras.datasets.imdb."""

    endings = {".txt"}

    def __init__(self, source, folder):
        self.words, self.index_file = source.words, source.files.get("word_index")
        self.folder = Path(folder)

    def read(self, path):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LaboratoryError(f"{path}: not a readable text ({error}); save it as UTF-8") from None
        if re.fullmatch(r"[\d\s,\[\]]*\d[\d\s,\[\]]*", text):
            ranks, notes = self.decoded(map(int, re.findall(r"\d+", text)))
        else:
            ranks, notes = self.looked_up(re.sub(PUNCTUATION, " ", text.lower()).split())
        if not ranks:
            raise LaboratoryError(f"{path}: expected a text, received no word; write the review into the file")
        return [Given(str(path), ranks, notes)]

    def decoded(self, numbers):
        """Ranks of words numbered as keras.datasets.imdb numbers them; 0 and 1 pad and start a review."""
        found = [min(number - imdb.SHIFT, self.words) if number != imdb.RARE else self.words
                 for number in numbers if number > imdb.START]  # fmt: skip
        return found, ("holds numbers only: they were taken as word numbers of keras.datasets.imdb.load_data()",)

    def looked_up(self, words):
        """Ranks of words, a rare one's for those that the index does not know; and a note where these are many."""
        found = [self.ranks.get(word, self.words) for word in words]
        unknown = sum(rank + imdb.SHIFT >= self.words for rank in found) / max(1, len(found))
        return found, (
            f"{unknown:.0%} of its words are not among the {self.words:,} known ones",
        ) if unknown > 0.3 else ()

    @cached_property
    def ranks(self):
        """{word: its rank by frequency, from 1}."""
        path = self.folder / self.index_file.name if self.index_file else None
        if path is None or not path.exists():
            raise LaboratoryError(
                "to read text, the dataset needs its word index: a file `word_index` under source.files in params.yaml "
                f"({path or 'none is named there'}), fetched by `dvc repro download@{self.folder.name}`. Word numbers of "
                "keras.datasets.imdb are read without it"
            )
        return json.loads(path.read_text())

    def stack(self, values):
        return dense(imdb.multi_hot(values, self.words)).astype(np.float32)


# ---------------------------------------------------------------- rows of tables


class Rows:
    """Rows of CSV files. columns: names in the dataset's order, or None where it has none; x: training rows [rows, columns]."""

    endings = {".csv"}

    def __init__(self, columns, x):
        self.columns, self.count = columns, x.shape[1]
        self.low, self.high = x.min(0), x.max(0)

    def read(self, path):
        table, notes = self.chosen(path, *self.table(path))
        values = table.apply(pandas.to_numeric, errors="coerce").to_numpy(np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            raise LaboratoryError(f"{path}: row {row + 1}, column {table.columns[column]}: expected a number, received "
                                  f"{table.iat[row, column]!r}; correct it or leave the row out")  # fmt: skip
        return [Given(f"{path}, row {number}", row, (*notes, *self.beyond(row)))
                for number, row in enumerate(values, 1)]  # fmt: skip

    @staticmethod
    def table(path):
        """The file as a table, and notes; a first line of numbers is a row, not a header."""
        try:
            content = Path(path).read_text(encoding="utf-8-sig")
            table = pandas.read_csv(io.StringIO(content), skipinitialspace=True)
            if all(re.fullmatch(r"-?[\d.]+(e-?\d+)?(\.\d+)?", str(name).lower()) for name in table.columns):
                return pandas.read_csv(io.StringIO(content), header=None), [
                    "has no header: its first line was taken as a row"
                ]
        except (OSError, ValueError) as error:
            raise LaboratoryError(
                f"{path}: not a readable CSV table ({error}); write one row a line, with commas"
            ) from None
        return table, []

    def chosen(self, path, table, notes):
        """The columns that the network takes, by name where possible, else by position; and notes."""
        named = self.columns and set(self.columns) <= set(table.columns)
        if named:
            return table[self.columns], notes
        if table.shape[1] != self.count:
            wanted = f"the columns {', '.join(self.columns)}" if self.columns else f"{self.count} columns"
            raise LaboratoryError(f"{path}: expected {wanted}, received {', '.join(map(str, table.columns))}; "
                                  "rename or remove columns")  # fmt: skip
        if self.columns:
            notes = [
                *notes,
                f"has other column names: its columns were taken as {', '.join(self.columns)}, in this order",
            ]
        return table, notes

    def beyond(self, row):
        """Notes on numbers outside what the training rows reached: there the network only extrapolates."""
        names = self.columns or [f"column {number}" for number in range(1, self.count + 1)]
        return [f"{name}: {value:g} lies outside the training rows, {low:g} to {high:g}"
                for name, value, low, high in zip(names, row, self.low, self.high) if not low <= value <= high]  # fmt: skip

    @staticmethod
    def stack(values):
        return np.stack(values).astype(np.float32)
