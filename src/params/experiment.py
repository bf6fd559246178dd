"""One experiment: a network and its training.

The vocabulary is Keras's own (src/params/vocabulary.py).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from src.params.common import Fraction, Frozen, NonNegative, Positive, Seed
from src.params.vocabulary import LARGEST, VOCABULARY, canonical_name, named

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


def check_threads(value):
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024):
        raise ValueError("expected a whole number from 1 to 1024, or 'auto'")
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
    seed: Seed
    threads: Annotated[Any, BeforeValidator(check_threads), "whole number, above 0; or `auto`"] = "auto"

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
        """The settings that are compiled into a training program, as text: its inputs (src/training/trainer.py) are left out."""
        inputs = {"seed", "repeats", "early_stopping", "validation_split", "weight_decay"}
        if not isinstance(self.learning_rate, dict):  # a schedule is compiled in, with its length
            inputs |= {"learning_rate", "epochs"}
        return f"{self.model_dump_json(exclude=inputs)} weights decay: {self.weight_decay > 0}"


# How often and on what an experiment is trained: not what its network is or learns from.
EXECUTION = ("repeats", "seed", "threads")

PER_LAYER = (
    "activation",
    "gaussian_noise",
    "dropout",
    "batch_normalization",
    "kernel_regularizer",
    "kernel_constraint",
)
