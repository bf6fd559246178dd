"""One dataset: where its examples come from, in which format, and which of them test."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from src.params.common import Fraction, Frozen, NonNegative, Positive, Seed


class File(Frozen):
    """A file to fetch. With no URL it is the user's own and lies in data/own/<dataset>/."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    """of the file, in the mirror and on disk"""
    urls: list[str] = []
    """where it can be fetched, tried in this order"""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """its checksum; needed where there are urls"""

    @model_validator(mode="after")
    def downloads_are_checked(self):
        if self.urls and self.sha256 is None:
            raise ValueError("a file with urls needs its sha256, so that a wrong download is noticed")
        return self


class Source(Frozen):
    """Where examples come from and in which format. Files are named by their role in the format."""

    format: str
    """which decoder reads it"""
    files: dict[str, File] = {}
    """by their role in the format"""


class ScikitLearn(Source):
    """The small datasets that come with scikit-learn."""

    format: Literal["sklearn"]
    name: Literal["digits", "iris", "wine", "breast_cancer", "diabetes"]
    """which of them"""
    files: dict[str, File] = Field({}, max_length=0)
    """none"""


class Gaps(Source):
    """Generated 1-D regression (src/datasets/gaps.py)."""

    format: Literal["gaps"]
    rows: Positive = 100
    """training samples, and as many for the test"""
    training_noise: NonNegative = 0.5
    """standard deviation of the noise on the training targets"""
    test_noise: NonNegative = 0.1
    """the same on the test targets"""
    dark_intervals: list[tuple[float, float]] = [(-3.0, -1.0), (1.75, 3.0)]
    """where no training sample lies"""
    seed: Seed = 0
    """of the samples"""
    files: dict[str, File] = Field({}, max_length=0)
    """none"""


def roles(required, optional=()):
    """A field type for `files`: exactly these roles."""

    def validate(files):
        missing = [role for role in required if role not in files]
        unknown = [role for role in files if role not in (*required, *optional)]
        if missing or unknown:
            wanted = ", ".join(required) + (f" and perhaps {', '.join(optional)}" if optional else "")
            raise ValueError(f"expected the files {wanted}; received {', '.join(files) or 'none'}")
        return files

    words = ", ".join(f"`{role}`" for role in required) + "".join(f", perhaps `{role}`" for role in optional)
    return Annotated[dict[str, File], AfterValidator(validate), f"mapping of {words} to [File](#file)"]


class Idx(Source):
    """The files of MNIST: images and labels, gzipped or not."""

    format: Literal["idx"]
    files: roles(("train_images", "train_labels"), ("test_images", "test_labels"))


class Npz(Source):
    """NumPy archive with x_train, y_train and perhaps x_test, y_test."""

    format: Literal["npz"]
    files: roles(("arrays",))


class Csv(Source):
    """Comma-separated numbers with a header."""

    format: Literal["csv"]
    files: roles(("train",), ("test",))
    target: str
    """the column to predict; text in it names classes"""
    stand_in: Gaps | None = None
    """generated samples to use, with a note, where the files are nowhere to be found"""


class CifarArchive(Source):
    """The archive of CIFAR-10, the Python version."""

    format: Literal["cifar"]
    files: roles(("archive",))


class Imdb(Source):
    """Keras's imdb.npz; each review becomes a 0/1 vector over the most common words."""

    format: Literal["imdb"]
    files: roles(("reviews",), ("word_index",))
    words: Positive = 10_000
    """so many of the most common words; rarer ones count as one"""


class ImageFolder(Source):
    """A zip or tar archive with one folder of images per class."""

    format: Literal["image_folder"]
    files: roles(("train",), ("test",))
    size: tuple[Positive, Positive]
    """height and width that all images are resized to"""
    mode: Literal["grayscale", "rgb"] = "rgb"
    """one channel or three"""


FORMATS = [kind.model_fields["format"].annotation.__args__[0] for kind in Source.__subclasses__()]
AnySource = Annotated[
    ScikitLearn | Gaps | Idx | Npz | Csv | CifarArchive | Imdb | ImageFolder, Field(discriminator="format")
]


class Split(Frozen):
    """Which rows develop networks and which test them."""

    test: Literal["official"] | Fraction
    """the dataset's own test part, or this fraction of all rows"""
    folds: Annotated[int, Field(ge=2, strict=True)] = 5
    """of the development rows, for cross-validation"""
    seed: Seed | None = None
    """`null`: the top-level seed"""


class Dataset(Frozen):
    """A named source of examples, under `datasets:`."""

    title: str
    """as the report names it"""
    task: Literal["classification", "regression"]
    """what its targets are"""
    source: AnySource
    """where it comes from"""
    split: Split
    """into development and test rows"""
    classes: list[str] = []
    """names in label order; empty: taken from the data"""
