"""params.yaml -> validated, frozen configuration. Every key is checked here, once, before any work.

The vocabulary is Keras's own (src/vocabulary.py). Nothing here imports TensorFlow or MLflow.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src import search_params
from src.errors import LaboratoryError, closest
from src.vocabulary import LARGEST, VOCABULARY, canonical_name, named

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
Positive = Annotated[int, Field(gt=0, lt=2**31, strict=True)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Question = Literal["how_long", "accuracy", "confusion", "overfitting", "strategy", "best_result", "learned",
                   "times", "cures", "fit", "examples"]  # fmt: skip


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# ---------------------------------------------------------------- experiments

# A text among a field's annotations says what its validator accepts: docs/params.md is generated from these classes.


def keras_object(kind):
    """A field type: a Keras name, or a mapping with `name` and Keras arguments."""
    return Annotated[Any, AfterValidator(lambda value: named(kind, value)), f"Keras {kind}"]


def one_or_per_layer(check, words):
    """A field type: one value for every hidden layer, or a list with one value (or null) per hidden layer."""

    def validate(value):
        return [check(item) for item in value] if isinstance(value, list) else check(value)

    return Annotated[Any, AfterValidator(validate), f"{words}; or a list, one a hidden layer"]


def optional_keras(kind):
    return lambda value: None if value is None else named(kind, value)


def rate(value):
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError("expected a rate of at least 0 and below 1")
    return float(value)


def deviation(value):
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("expected a standard deviation from 0 to 1")
    return float(value)


def check_batch_normalization(value):
    """true, false, or {momentum: of the moving averages that keras.layers.BatchNormalization uses outside training}."""
    if isinstance(value, dict) and list(value) == ["momentum"]:
        return {"momentum": rate(value["momentum"])}
    if not isinstance(value, bool):
        raise ValueError("expected true or false, or {momentum: 0.9} (Keras takes 0.99)")
    return value


def check_learning_rate(value):
    """A positive number, a Keras schedule, or null for the optimizer's own default."""
    if value is None:
        return None
    if isinstance(value, dict):
        # A decay that names no decay_steps stretches over the whole training.
        return named("schedule", {"decay_steps": "all", **value} if takes_decay_steps(value) else value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST:
        raise ValueError("expected a number above 0, a Keras learning-rate schedule, or null for Keras's default")
    return float(value)


def takes_decay_steps(schedule):
    name = schedule.get("name")
    known = isinstance(name, str) and VOCABULARY["schedule"].get(canonical_name("schedule", name), {})
    return bool(known) and "decay_steps" in known


def check_batch_size(value):
    if value != "full" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31):
        raise ValueError("expected a whole number of at least 1, or 'full'")
    return value


def check_optimizer(value):
    optimizer = named("optimizer", value)
    if "learning_rate" in optimizer:
        raise ValueError("the learning rate has a key of its own: write `learning_rate:` beside `optimizer:`")
    return optimizer


SWITCH = "`true`, `false` or {momentum: number}"


class Augmentation(Frozen):
    """Random changes of the training images, drawn anew for each batch. All zero or false: none."""

    horizontal_flip: bool = False
    """half of the images are mirrored, left for right"""
    vertical_flip: bool = False
    """half of the images are turned upside down, mirrored"""
    shift: NonNegative = 0
    """pixels, up to this many in each direction, whole pixels"""
    rotation: NonNegative = 0
    """degrees, up to this angle in each direction"""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0
    """0.1: between 0.9 and 1.1 of the size"""
    shear: NonNegative = 0
    """degrees, up to this angle in each direction"""


class Convolution(Frozen):
    """A convolution of images, in the words of keras.layers.Conv2D, and what follows it."""

    filters: Positive
    """channels that come out"""
    kernel_size: Positive = 3
    """side of the square that a filter sees, in pixels"""
    strides: Positive = 1
    """pixels from one place of the filter to the next"""
    padding: Literal["valid", "same"] = "valid"
    """`same`: zeros around the image keep its size"""
    batch_normalization: Annotated[Any, AfterValidator(check_batch_normalization), SWITCH] = False
    """before the activation; momentum: of the moving averages, Keras takes 0.99"""
    activation: keras_object("activation") = Field("relu", validate_default=True)
    """of the convolution"""
    pool_size: Positive | None = None
    """max pooling after the activation, over squares of this side"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0
    """fraction of values silenced in training, last of all"""

    def size(self, height, width):
        """Height and width of what the convolution and its pooling make of an image."""
        reach = 0 if self.padding == "same" else self.kernel_size - 1
        sides = [-(-(side - reach) // self.strides) for side in (height, width)]
        return tuple(side // (self.pool_size or 1) for side in sides)


class EarlyStopping(Frozen):
    """The arguments of keras.callbacks.EarlyStopping, with its defaults."""

    monitor: Literal["loss", "val_loss", "accuracy", "val_accuracy", "mse", "val_mse"] = "val_loss"
    """the curve that is watched"""
    min_delta: NonNegative = 0
    """what counts as better"""
    patience: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    """epochs without anything better after which the training stops"""
    mode: Literal["auto", "min", "max"] = "auto"
    """whether lower or higher is better; `auto`: higher for accuracies"""
    restore_best_weights: bool = False
    """keep the weights of the best epoch instead of the last one's"""
    start_from_epoch: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
    """epochs before the watching begins"""


class Experiment(Frozen):
    """One fully resolved configuration. Lists under per-layer keys count the hidden layers."""

    engine: Literal["keras", "numpy"]
    convolutions: list[Convolution]
    hidden_layers: list[Positive]
    activation: one_or_per_layer(lambda value: named("activation", value), "Keras activation")
    output_activation: Annotated[Any, AfterValidator(optional_keras("activation")), "Keras activation, or `null`"]
    kernel_initializer: keras_object("initializer")
    normalisation: Literal["unit", "standardise", "none"]
    input_noise: Annotated[float, Field(ge=0, le=1)]
    gaussian_noise: one_or_per_layer(deviation, "number, at least 0, at most 1")
    dropout: one_or_per_layer(rate, "number, at least 0, below 1")
    batch_normalization: one_or_per_layer(check_batch_normalization, SWITCH)
    kernel_regularizer: one_or_per_layer(optional_keras("regularizer"), "Keras regularizer, or `null`")
    kernel_constraint: one_or_per_layer(optional_keras("constraint"), "Keras constraint, or `null`")
    augmentation: Augmentation | None
    loss: Annotated[Any, AfterValidator(optional_keras("loss")), "Keras loss, or `null`"]
    optimizer: Annotated[Any, AfterValidator(check_optimizer), "Keras optimizer"]
    learning_rate: Annotated[Any, AfterValidator(check_learning_rate), "number, above 0; or Keras schedule, or `null`"]
    weight_decay: NonNegative
    batch_size: Annotated[Any, BeforeValidator(check_batch_size), "whole number, above 0; or `full`"]
    epochs: Positive
    validation_split: Fraction
    training_rows: Positive | None
    early_stopping: EarlyStopping | None
    repeats: Positive
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)]

    @model_validator(mode="after")
    def lists_fit_the_layers(self):
        layers = len(self.hidden_layers)
        for key in PER_LAYER:
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != layers:
                raise ValueError(f"{key}: expected one value or a list of {layers} (one per hidden layer), "
                                 f"received a list of {len(value)}")  # fmt: skip
        return self

    @model_validator(mode="after")
    def identity_is_a_matrix(self):
        if self.convolutions and self.kernel_initializer["name"] == "Identity":
            raise ValueError("kernel_initializer: expected another than Identity, which no convolution can begin with")
        return self

    def per_layer(self, key):
        """The value of `key` for each hidden layer, as a list as long as hidden_layers."""
        value = getattr(self, key)
        return value if isinstance(value, list) else [value] * len(self.hidden_layers)

    def compiled_settings(self):
        """The settings that are compiled into a training program, as text: its inputs (src/training.py) are left out."""
        inputs = {"seed", "repeats", "early_stopping", "validation_split", "weight_decay"}
        if not isinstance(self.learning_rate, dict):  # a schedule is compiled in, with its length
            inputs |= {"learning_rate", "epochs"}
        return f"{self.model_dump_json(exclude=inputs)} weights decay: {self.weight_decay > 0}"


PER_LAYER = (
    "activation",
    "gaussian_noise",
    "dropout",
    "batch_normalization",
    "kernel_regularizer",
    "kernel_constraint",
)


# ---------------------------------------------------------------- datasets


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
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] = 0
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
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)] | None = None
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


# ---------------------------------------------------------------- studies

MEASURES = (
    "train_loss", "train_accuracy", "train_mse", "val_loss", "val_accuracy", "val_mse", "test_loss", "test_accuracy",
    "test_mse", "training_seconds", "parameters", "epochs_run", "weight_norm",
    "seconds_per_epoch", "final_loss", "final_val_loss", "early_val_accuracy", "best_epoch", "rise", "gap",
    "setbacks",
)  # fmt: skip
COMPARISONS = ("highest_first", "highest", "lowest", "equal")


class Claim(Frozen):
    """A statement of a document, to be held against the results (src/claims.py).

    Either `of` names an experiment (or `chosen`) and one of quoted, at_least, at_most gives a value; or one of
    highest_first, equal lists experiments; or highest, lowest names one, `among` the others (default: all). What costs
    more than the study may is `not_measured`, and says why.
    """

    source: str
    """the document"""
    statement: str
    """what it says, in short"""
    measure: Literal[MEASURES]
    """what decides it; a mapping under `quoted` gives several"""
    of: Name | None = None
    """the experiment it is about, or `chosen`"""
    quoted: float | None = None
    """the number that the document gives"""
    at_least: float | None = None
    """a bound that the document gives"""
    at_most: float | None = None
    """a bound that the document gives"""
    highest_first: Annotated[list[Name], Field(min_length=2)] | None = None
    """experiments in the order claimed"""
    equal: Annotated[list[Name], Field(min_length=2)] | None = None
    """experiments claimed to do alike"""
    highest: Name | None = None
    """the experiment claimed to have the highest value"""
    lowest: Name | None = None
    """the experiment claimed to have the lowest value"""
    among: list[Name] = []
    """the others; none: all of the study"""
    within: NonNegative | None = None
    """tolerance; `null`: half a percentage point, or a tenth of the quoted number"""
    not_measured: str | None = None
    """why nothing of the study measures it, instead of an experiment: the row then stands in the scorecard, undecided"""

    @model_validator(mode="after")
    def says_one_thing(self):
        kinds = [kind for kind in ("quoted", "at_least", "at_most", *COMPARISONS) if getattr(self, kind) is not None]
        if self.not_measured and self.of is None and set(kinds) <= {"quoted"}:
            return self
        if self.not_measured or len(kinds) != 1 or (self.of is None) != (kinds[0] in COMPARISONS):
            raise ValueError("expected `of` with one of quoted, at_least, at_most; or one of highest_first, equal, "
                             "highest, lowest; or `not_measured` with quoted or alone; received "
                             f"{', '.join(kinds) or 'none of them'}")  # fmt: skip
        return self

    @property
    def kind(self):
        return next(kind for kind in ("quoted", "at_least", "at_most", *COMPARISONS) if getattr(self, kind) is not None)

    @property
    def experiments(self):
        """The experiments it is about, the first one first."""
        if self.not_measured:
            return []
        if self.of:
            return [self.of]
        named = getattr(self, self.kind)
        return named if isinstance(named, list) else [named, *(name for name in self.among if name != named)]


class Study(Frozen):
    """Experiments on one dataset that answer questions, under `studies:`."""

    title: str
    """of the report"""
    dataset: str
    """a name under `datasets:`"""
    questions: list[Question]
    """what the report answers, in this order"""
    claims: list[Claim]
    """statements of documents to be held against the results"""
    notebook: Name
    """the experiment that the notebook trains, or `chosen`"""
    defaults: dict[str, Any]
    """settings that differ from the common defaults"""
    experiments: dict[Name, Experiment] = Field(min_length=1)
    """by name: the settings in which each differs"""


class Workers(Frozen):
    """Where trainings run, see src/dispatch.py. Never changes a result."""

    backend: Literal["local", "dask", "ray"] = "local"
    """processes of this machine, or workers of a Dask scheduler or of a Ray cluster"""
    address: str | None = None
    """of the scheduler, e.g. tcp://10.0.0.1:8786, or of Ray's head, e.g. 10.0.0.1:6379"""

    @model_validator(mode="after")
    def _a_scheduler_is_somewhere(self):
        if self.backend != "local" and not self.address:
            raise ValueError(
                "expected the address of Dask's scheduler, e.g. tcp://10.0.0.1:8786, or of Ray's head, e.g. 10.0.0.1:6379"
            )
        return self


class Params(Frozen):
    """The whole file."""

    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)]
    """every random choice follows from it"""
    jobs: Positive | Literal["auto"]
    """experiments trained side by side; `auto`: one a core"""
    workers: Workers = Workers()
    """where they are trained"""
    datasets: dict[Name, Dataset]
    """by name"""
    defaults: dict[str, Any]
    """every setting of an experiment, with the value it has where nobody says otherwise"""
    studies: dict[Name, Study]
    """by name"""
    searches: dict[Name, search_params.Search] = {}
    """by name"""

    def study(self, name):
        """A study by name; the name of a search stands for the study of its winner."""
        return self.winner(name) if name in self.searches else self._find(self.studies, "study", name)

    def search(self, name):
        return self._find(self.searches, "search", name)

    def winner(self, name):
        """The study of one experiment, `winner`, that a finished search left in models/searches/NAME/winner.json."""
        path, search = Path("models/searches", name, "winner.json"), self.searches[name]
        if not path.exists():
            raise LaboratoryError(f"{path}: not found; run `dvc repro search@{name}` first")
        winner = check(Experiment, json.loads(path.read_text()), str(path))
        return Study(
            title=search.title,
            dataset=search.dataset,
            questions=[],
            claims=[],
            notebook="winner",
            defaults={},
            experiments={"winner": winner},
        )

    def dataset(self, name):
        return self._find(self.datasets, "dataset", name)

    @staticmethod
    def _find(known, kind, name):
        if name not in known:
            raise LaboratoryError(
                f"params.yaml: no {kind} '{name}'; there are {', '.join(known)}{closest(name, known)}"
            )
        return known[name]


def load(path="params.yaml"):
    """Read and check params.yaml.

    Returns Params. Raises LaboratoryError naming file, study, experiment and key, what was expected and received.
    """
    try:
        raw = YAML(typ="safe").load(Path(path))  # the parser DVC uses: 1e-3 is a number, a key given twice an error
    except FileNotFoundError:
        raise LaboratoryError(f"{path}: not found; run the command in the project's top folder") from None
    except (YAMLError, ValueError, RecursionError) as error:  # of bytes, dates and depths that are none
        raise LaboratoryError(
            f"{path}: not valid YAML: {' '.join(str(error).split())}; correct it and run the same command again"
        ) from None
    try:
        return validate(raw, str(path))
    except LaboratoryError as error:
        raise LaboratoryError(f"{error}; correct it and run the same command again") from None


def validate(raw, file="params.yaml"):
    """Check a params mapping as it is read from YAML; see `load`."""
    if not isinstance(raw, dict):
        raise LaboratoryError(f"{file}: expected a mapping with {', '.join(Params.model_fields)}")
    raw = dict(raw)
    for key in ("defaults", "studies", "datasets"):
        if not isinstance(raw.get(key), dict):
            raise LaboratoryError(f"{file}: {key}: expected a mapping, received {shortened(raw.get(key))}")
    base = {"seed": raw.get("seed"), **raw["defaults"]}
    check(Experiment, base, f"{file}: defaults")
    raw["studies"] = {name: resolve_study(file, name, study, base) for name, study in raw["studies"].items()}
    searches = raw.get("searches") or {}
    if not isinstance(searches, dict):
        raise LaboratoryError(f"{file}: searches: expected a mapping, received {shortened(searches)}")
    raw["searches"] = {name: resolve_search(file, name, search, base) for name, search in searches.items()}
    params = check(Params, raw, file)
    for name, search in params.searches.items():
        check_search(f"{file}: searches.{name}", name, search, params)
    for name, study in params.studies.items():
        check_study(f"{file}: studies.{name}", study, params)
    return params


def resolve_study(file, name, study, base):
    """Lay each experiment's overrides over the study's defaults and the common ones; check every layer."""
    place = f"{file}: studies.{name}"
    if not isinstance(study, dict) or not isinstance(study.get("experiments"), dict):
        raise LaboratoryError(f"{place}: expected a mapping with experiments, received {shortened(study)}")
    defaults = study.get("defaults")
    if not isinstance(defaults, dict):
        raise LaboratoryError(
            f"{place}.defaults: expected a mapping ({{}} when there are none), received {shortened(defaults)}"
        )
    check(Experiment, base | defaults, f"{place}.defaults")
    experiments = {}
    for key, overrides in study["experiments"].items():
        if not isinstance(overrides, dict):
            raise LaboratoryError(
                f"{place}.experiments.{key}: expected a mapping of overrides, received {shortened(overrides)}"
            )
        experiments[key] = check(Experiment, base | defaults | overrides, f"{place}.experiments.{key}")
    if isinstance(study.get("claims"), list):
        study = study | {
            "claims": [single for claim in study["claims"] for single in resolve_claim(claim, experiments)]
        }
    return study | {"experiments": experiments}


def resolve_search(file, name, search, base):
    """Lay a search's defaults over the common ones and check its space; see src/search_params.py."""
    place = f"{file}: searches.{name}"
    if not isinstance(search, dict) or not isinstance(search.get("space"), dict) or not search["space"]:
        raise LaboratoryError(f"{place}: expected a mapping with a space, received {shortened(search)}")
    defaults = search.get("defaults", {})
    if not isinstance(defaults, dict):
        raise LaboratoryError(f"{place}.defaults: expected a mapping, received {shortened(defaults)}")
    check(Experiment, base | defaults, f"{place}.defaults")
    space = {key: check_dimension(f"{place}.space.{key}", key, raw) for key, raw in search["space"].items()}
    return check(search_params.Search, {"seed": base["seed"]} | search | {
        "space": space, "defaults": base | defaults}, place)  # fmt: skip


def check_dimension(place, key, raw):
    try:
        kind, mapping = search_params.read_dimension(raw)
    except ValueError as error:
        raise LaboratoryError(f"{place}: {error}; received {shortened(raw)}") from None
    if key in ("seed", "repeats"):
        raise LaboratoryError(f"{place}: expected a setting of the network or its training; trials share one seed")
    return check(kind, mapping, place)


def check_search(place, name, search, params):
    """Every choice must make a valid experiment for the dataset, and no name may stand for two things."""
    if name in params.studies or name == "searches":
        raise LaboratoryError(f"{place}: expected a name that no study has (models/{name} belongs to it)")
    task = task_of(place, search.dataset, params)
    for key, value, point in search_params.single_changes(search):
        where = f"{place}.space.{key}: {shortened(value)}"
        experiment = check(Experiment, search_params.applied(search.defaults, point), where)
        if task == "regression":
            refuse_classification(where, experiment)
    if search.objective.metric == {"classification": "val_mse", "regression": "val_accuracy"}[task]:
        raise LaboratoryError(f"{place}.objective: expected a metric of the dataset's task, which is {task}, received "
                              f"{search.objective.metric}")  # fmt: skip


def resolve_claim(claim, experiments):
    """A claim with several quoted values becomes one a measure; that one is highest or lowest, one about all others."""
    if not isinstance(claim, dict):
        return [claim]
    if isinstance(claim.get("quoted"), dict):
        return [claim | {"measure": measure, "quoted": value} for measure, value in claim["quoted"].items()]
    alone = ("highest" in claim or "lowest" in claim) and not claim.get("among")
    return [claim | {"among": list(experiments)} if alone else claim]


def check_study(place, study, params):
    """What can only be known when dataset and experiments are seen together."""
    task = task_of(place, study.dataset, params)
    if study.notebook not in ("chosen", *study.experiments):
        raise LaboratoryError(f"{place}.notebook: expected `chosen` or an experiment of the study, received "
                              f"'{study.notebook}'{closest(study.notebook, study.experiments)}")  # fmt: skip
    for index, claim in enumerate(study.claims):
        for name in claim.experiments:
            if name not in study.experiments and not (claim.of and name == "chosen"):
                raise LaboratoryError(f"{place}.claims.{index}: expected an experiment of the study, received "
                                      f"'{name}'{closest(name, study.experiments)} ({claim.statement})")  # fmt: skip
    for name, experiment in study.experiments.items():
        if task == "regression":
            refuse_classification(f"{place}.experiments.{name}", experiment)
        elif experiment.early_stopping and "mse" in experiment.early_stopping.monitor:
            raise LaboratoryError(f"{place}.experiments.{name}.early_stopping.monitor: expected loss, val_loss, accuracy or "
                                  "val_accuracy (the dataset's task is classification), received "
                                  f"{experiment.early_stopping.monitor}")  # fmt: skip
    unanswerable = {"classification": ("fit",), "regression": ("confusion", "examples")}[task]
    for question in study.questions:
        if question in unanswerable:
            raise LaboratoryError(f"{place}.questions: '{question}' has no answer where the dataset's task is {task}")


def task_of(place, dataset, params):
    if dataset not in params.datasets:
        raise LaboratoryError(f"{place}.dataset: expected one of {', '.join(params.datasets)}, received "
                              f"'{dataset}'{closest(dataset, params.datasets)}")  # fmt: skip
    return params.datasets[dataset].task


def refuse_classification(place, experiment):
    if experiment.loss and "ategorical" in experiment.loss["name"]:
        raise LaboratoryError(f"{place}.loss: expected a regression loss such as MeanSquaredError (the dataset's task "
                              f"is regression), received {experiment.loss['name']}")  # fmt: skip
    monitor = experiment.early_stopping and experiment.early_stopping.monitor
    if monitor and "accuracy" in monitor:
        raise LaboratoryError(f"{place}.early_stopping.monitor: expected loss, val_loss, mse or val_mse (the dataset's "
                              f"task is regression), received {monitor}")  # fmt: skip
    if experiment.augmentation:
        raise LaboratoryError(f"{place}.augmentation: expected null (the dataset's task is regression)")


def check(model, raw, place):
    """Validate with pydantic; an error becomes one line that starts with `place`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors()
        unknown = [item for item in found if item["type"] == "extra_forbidden"]  # often why another key is missing
        raise LaboratoryError(explain((unknown or found)[0], place, model)) from None


def explain(error, place, model):
    """One pydantic error in one line: where, what was expected, what was received, the closest valid name."""
    location = [str(part) for part in error["loc"]]
    where = ".".join([place, *shown(location)]) if ": " in place else f"{place}: {'.'.join(shown(location))}"
    received = shortened(error["input"])
    if error["type"] == "extra_forbidden":
        known = known_keys(model, location[:-1])
        return f"{where}: unknown key; expected one of {', '.join(known)}{closest(location[-1], known)}"
    if error["type"] == "missing":
        return f"{where}: missing; expected a value for this key"
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return f"{where}: {message}" if "received" in message else f"{where}: {message}; received {received}"
    if error["type"] == "union_tag_invalid":
        tag = error["ctx"]["tag"]
        return f"{where}.format: expected one of {', '.join(FORMATS)}, received {tag!r}{closest(tag, FORMATS)}"
    if error["type"] == "union_tag_not_found":
        return f"{where}: expected a mapping with `format`, one of {', '.join(FORMATS)}; received {received}"
    if error["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{where}: expected a mapping, received {received}"
    expected = error["msg"].replace("Input should be", "expected").replace("String should", "expected a name to")
    hint = (
        closest(error["input"], error["ctx"]["expected"].split("'")[1::2]) if error["type"] == "literal_error" else ""
    )
    return f"{where}: {expected}, received {received}{hint}"


def shown(location):
    """A path as the file has it: without the tags that pydantic adds for unions and keys."""
    plain = [part for before, part in zip(["", *location], location) if before != "source" or part not in FORMATS]
    return [part for part in plain if part != "[key]" and "[" not in part and not part.startswith("constrained-")]


def shortened(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def known_keys(model, location):
    """The keys allowed at `location` inside `model`: the last nested model that the path names."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        nested = [kind for kind in models_in(field.annotation) if kind] if field else models_named(model, part)
        model = nested[0] if nested else model
    return list(model.model_fields)


def models_in(annotation):
    """Every pydantic model that a type annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in models_in(part)]


def models_named(model, part):
    """Below a mapping or a union pydantic's path holds keys and tags: the model of that tag, if there is one."""
    return [kind for kind in Source.__subclasses__() if kind.model_fields["format"].annotation == Literal[part]]
