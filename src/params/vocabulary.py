"""The names and arguments that Keras knows, out of vocabulary.json, which src/keras_names.py writes.

With them params.yaml is checked without importing TensorFlow.
"""

import json
from pathlib import Path

from src.errors import closest

FILE = Path(__file__).with_name("vocabulary.json")
VOCABULARY = json.loads(FILE.read_text()) if FILE.exists() else {}

# Keras accepts these short names for losses (keras.losses.get); they have no class of that name.
LOSS_ALIASES = {
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "bce": "BinaryCrossentropy",
    "kld": "KLDivergence",
    "kl_divergence": "KLDivergence",
}
# The words that arguments with a text as default take.
WORDS = {
    "VarianceScaling": {
        "mode": ("fan_in", "fan_out", "fan_avg"),
        "distribution": ("truncated_normal", "untruncated_normal", "uniform"),
    },
    "OrthogonalRegularizer": {"mode": ("rows", "columns")},
}
WHOLE = (
    "axis", "decay_steps", "ema_overwrite_frequency", "first_decay_steps", "gradient_accumulation_steps", "ignore_class",
    "ns_steps", "warmup_steps",
)  # fmt: skip
LISTS = ("boundaries", "values")
CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
# Ranges that Keras documents but may check late or never: (lowest, highest), both allowed. All other numbers: LARGEST.
LARGEST = 1e30
SMALLEST = 1e-30
RANGES = {
    "initial_learning_rate": (0, LARGEST), "momentum": (0, 1), "rho": (0, 1), "beta_1": (0, 1), "beta_2": (0, 1), "ema_momentum": (0, 1),
    "label_smoothing": (0, 1), "l1": (0, LARGEST), "l2": (0, LARGEST), "max_value": (0, LARGEST),
    "weight_decay": (0, LARGEST), "epsilon": (0, LARGEST), "clipnorm": (0, LARGEST), "clipvalue": (0, LARGEST),
    "global_clipnorm": (0, LARGEST), "decay_rate": (0, LARGEST), "decay_steps": (1, LARGEST), "delta": (0, LARGEST),
    "first_decay_steps": (1, LARGEST), "warmup_steps": (0, LARGEST), "ns_steps": (1, 100), "axis": (-2, 1),
    "gradient_accumulation_steps": (2, LARGEST), "ema_overwrite_frequency": (1, LARGEST), "ignore_class": (-LARGEST, LARGEST),
    "stddev": (0, LARGEST), "scale": (SMALLEST, LARGEST), "negative_slope": (0, LARGEST), "threshold": (0, LARGEST),
    "factor": (0, LARGEST), "q": (SMALLEST, 1 - 1e-7), "initial_accumulator_value": (0, LARGEST),
    "learning_rate_power": (-LARGEST, 0), "l1_regularization_strength": (0, LARGEST),
    "l2_regularization_strength": (0, LARGEST), "l2_shrinkage_regularization_strength": (0, LARGEST),
    "rate": (0, 1),
}  # fmt: skip


def named(kind, value):
    """Check a Keras object given as a name or as a mapping with `name` and Keras's own arguments.

    kind: 'optimizer', 'loss', 'activation', 'initializer', 'regularizer', 'constraint' or 'schedule'.
    Returns a new dict {'name': canonical Keras name, **arguments}. Raises ValueError with the closest valid name.
    """
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"expected the name of a Keras {kind}, or a mapping with `name` and its arguments")
    name = canonical_name(kind, value["name"])
    arguments = {key: argument for key, argument in value.items() if key != "name"}
    known = VOCABULARY[kind][name]
    for key, argument in arguments.items():
        if key not in known:
            raise ValueError(
                f"{name} has no argument '{key}'{closest(key, known)} It takes: {', '.join(known) or 'none'}"
            )
        check_argument(name, key, argument, known[key])
    missing = [key for key, default in known.items() if default == "required" and key not in arguments]
    if missing:
        raise ValueError(f"{name} needs the argument '{missing[0]}'")
    check_together(name, arguments)
    # Where Keras has a float it may insist on one: SGD refuses `momentum: 0`.
    return {"name": name} | {
        key: float(argument) if isinstance(known[key], float) and type(argument) is int else argument
        for key, argument in arguments.items()
    }


def check_together(name, arguments):
    """Refuse arguments that are each right, but not together."""
    clipped = [key for key in CLIPPING if arguments.get(key) is not None]
    if len(clipped) > 1:
        raise ValueError(f"{name}: expected one of {', '.join(CLIPPING)}, received {' and '.join(clipped)}")
    if "boundaries" in arguments and len(arguments["values"]) != len(arguments["boundaries"]) + 1:
        raise ValueError(f"{name}: expected one value more than boundaries, received {len(arguments['values'])} and "
                         f"{len(arguments['boundaries'])}")  # fmt: skip


def canonical_name(kind, name):
    """Keras's class (or function) name for `name`, ignoring case and underscores as Keras does."""
    known = {spelling(key): key for key in VOCABULARY[kind]}
    if kind == "loss":
        known |= {spelling(alias): target for alias, target in LOSS_ALIASES.items()}
    if spelling(name) not in known:
        raise ValueError(f"expected the name of a Keras {kind}{closest(name, VOCABULARY[kind])}")
    return known[spelling(name)]


def spelling(name):
    return name.lower().replace("_", "")


def check_argument(name, key, value, default):
    """Refuse a value of another type than Keras takes, or outside its documented range."""
    words = WORDS.get(name, {}).get(key)
    if words:
        if value not in words:
            raise ValueError(f"{name}.{key}: expected one of {', '.join(words)}, received {value!r}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name}.{key}: expected true or false, received {value!r}")
    elif key in LISTS:
        if not isinstance(value, list) or not value:
            raise ValueError(f"{name}.{key}: expected a list of numbers, received {value!r}")
        for item in value:
            check_number(name, key, item)
    elif not (value is None and default is None) and not (key == "decay_steps" and value == "all"):
        check_number(name, key, value)


def check_number(name, key, value):
    """Refuse what is no number, or none in the argument's range; whole numbers must fit into 32 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}.{key}: expected a number, received {value!r}")
    if key in WHOLE and not isinstance(value, int):
        raise ValueError(f"{name}.{key}: expected a whole number, received {value!r}")
    low, high = RANGES.get(key, (-LARGEST, LARGEST))
    low, high = (max(low, -(2**31)), min(high, 2**31 - 1)) if isinstance(value, int) else (low, high)
    if not low <= value <= high:
        raise ValueError(f"{name}.{key}: expected a number from {low} to {high}, received {value!r}")
