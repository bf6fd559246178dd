"""A resolved experiment -> plain Keras source, as one would write it by hand: only what the experiment uses.

The source expects the arrays x_train, y_train, x_val and y_val (notebook.py writes the cells that make them); it leaves
`model` and `history`. What it computes is what models.py and trainer.py of src/training compute; tests hold the two together.
"""

import math
from dataclasses import dataclass
from textwrap import indent

from src.errors import LaboratoryError
from src.params import EXECUTION, PER_LAYER, EarlyStopping

# Every key of params.Experiment. A key that is not here changes the training in a way this module does not know.
HANDLED = frozenset([
    "convolutions", "hidden_layers", "output_activation", "kernel_initializer", "normalisation", "input_noise", *PER_LAYER,
    "augmentation", "loss", "optimizer", "learning_rate", "weight_decay", "batch_size", "epochs", "validation_split",
    "training_rows", "early_stopping", "engine", *EXECUTION,
])  # fmt: skip
TAKE_LABELS = ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy")
ACTIVATION_LAYERS = {"elu": "ELU", "leaky_relu": "LeakyReLU", "relu": "ReLU", "softmax": "Softmax"}
WIDTH = 100  # of a line of source
STEPS_AT_ONCE = 100  # batches Keras trains before it returns to Python; pays where batches are small
# Fewer steps than this in an epoch, and `fit` spends its time between the epochs.
SHORT_EPOCH, LINES_OF_OUTPUT = 10, 100


@dataclass(frozen=True)
class Data:
    """What the source must know of the arrays that the data cells leave."""

    shape: tuple[int, ...]  # of one example: (28, 28) where no layer wants a channel axis
    channels: int  # 0: no images
    pixel_maximum: int | None  # where it is known to be the same for every choice of training rows
    sparse: bool  # 0/1 features, most of them 0
    classes: int  # 0: a regression
    targets: int
    training_rows: int


def check_known(configuration):
    """Raise LaboratoryError where the experiment has a key that no source is written for."""
    unknown = sorted(set(configuration) - HANDLED)
    if unknown:
        raise LaboratoryError(f"notebook: expected the experiment keys that src/report/keras_code.py knows, received "
                              f"{unknown[0]}; write its Keras source there")  # fmt: skip


# ---------------------------------------------------------------- words of Python


def call(function, **arguments):
    """'f(a=1, b=x)' from a name and the source of each argument."""
    return f"{function}({', '.join(f'{key}={value}' for key, value in arguments.items())})"


def keras_object(module, configuration):
    """'module.Name(a=1)' from {'name': ..., **arguments}; None for None."""
    if configuration is None:
        return None
    arguments = {key: literal(value) for key, value in configuration.items() if key != "name"}
    return call(f"{module}.{configuration['name']}", **arguments)


def literal(value):
    """A plain value as Python source, strings in double quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def layer(name, *positional, **named):
    """'keras.layers.NAME(...)' with the arguments that are not None; one a line where they are many."""
    arguments = [*map(str, positional), *(f"{key}={value}" for key, value in named.items() if value is not None)]
    line = f"keras.layers.{name}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"keras.layers.{name}(", *(f"    {argument}," for argument in arguments), ")"])


# ---------------------------------------------------------------- the network


def network(configuration, loss, data):
    """Source of the cell that builds `model`.

    configuration: a resolved experiment as plain JSON; loss: the name of its loss; data: a Data.
    """
    before, scaling = normalisation(configuration["normalisation"], data)
    decay = configuration.get("weight_decay", 0)
    if decay:
        before.append(f"weight_decay = keras.regularizers.L2({decay} / 2)  # adds {decay} * weight to the gradient")
    layers = [f"keras.Input({data.shape})", *augmentation(configuration["augmentation"], data.shape), *scaling]
    layers += [layer("GaussianNoise", configuration["input_noise"])] if configuration["input_noise"] else []
    for convolution in configuration["convolutions"]:
        layers += convolutional_layers(convolution, configuration)
    layers += [layer("Flatten")] if len(data.shape) > 1 else []
    for index, units in enumerate(configuration["hidden_layers"]):
        layers += hidden_layers(units, {key: per_layer(configuration, key, index) for key in PER_LAYER}, configuration)
    layers += output_layers(configuration, loss, data)
    body = [indent(f"{source},", "    ") for source in layers]
    return "\n".join([*before, "model = keras.Sequential([", *body, "])", "model.summary()"])


def images_needed(configuration):
    """Whether a layer wants images with a channel axis."""
    return bool(configuration["convolutions"] or any((configuration["augmentation"] or {}).values()))


def per_layer(configuration, key, index):
    value = configuration[key]
    return value[index] if isinstance(value, list) else value


def normalisation(kind, data):
    """(lines before the model, layers) that map raw inputs to the range the experiment asks for; see models.normalisation."""
    if kind == "none" or (kind == "unit" and data.sparse):
        return [], []
    if kind == "unit" and data.pixel_maximum:
        return [], [layer("Rescaling", f"1 / {data.pixel_maximum}")]
    axis = "" if data.channels == 1 else "axis=(0, 1, 2)" if data.channels else "axis=0"
    if kind == "unit":
        over = "" if data.channels else axis
        width = "float(high) - float(low)" if data.channels else "np.where(high > low, high - low, 1)"
        lines = [f"low, high = x_train.min({over}), x_train.max({over})", f"width = {width}"]
        return lines, [layer("Rescaling", "1 / width", offset="-low / width")]
    lines = [f"mean, variance = x_train.mean({axis}), x_train.var({axis})"]
    lines += [] if data.channels else ["variance[variance == 0] = 1  # constant columns are only shifted"]
    one_for_all = "None" if data.channels == 1 else None
    return lines, [layer("Normalization", axis=one_for_all, mean="mean", variance="variance")]


def augmentation(settings, shape):
    """Keras's random image layers, which act in training only. Outside of an image is black, shifts are of whole pixels."""
    settings = {key: int(value) if value == int(value) else value for key, value in (settings or {}).items()}
    flips = [name for name in ("horizontal", "vertical") if settings.get(f"{name}_flip")]
    black = '"constant"'
    layers = [layer("RandomFlip", f'"{"_and_".join(flips)}"')] if flips else []
    if settings.get("shift"):
        height, width = (f"{settings['shift']} / {side}" for side in shape[:2])
        layers.append(layer("RandomTranslation", height, width, fill_mode=black, interpolation='"nearest"'))
    if settings.get("rotation"):
        layers.append(layer("RandomRotation", f"{settings['rotation']} / 360", fill_mode=black))
    if settings.get("zoom"):
        layers.append(layer("RandomZoom", settings["zoom"], fill_mode=black))
    if settings.get("shear"):
        layers.append(layer("RandomShear", x_factor=f"np.tan(np.radians({settings['shear']}))", fill_mode=black))
    return layers


def convolutional_layers(convolution, configuration):
    """Conv2D -> batch normalisation -> activation -> max pooling -> dropout, as models.convolutional_layer."""
    inside, after = activation(convolution["activation"], convolution["batch_normalization"])
    layers = [layer(
        "Conv2D", convolution["filters"], convolution["kernel_size"],
        strides=convolution["strides"] if convolution["strides"] > 1 else None,
        padding=literal(convolution["padding"]) if convolution["padding"] != "valid" else None,
        activation=inside, **kernel(configuration),
    )]  # fmt: skip
    layers += batch_normalization(convolution["batch_normalization"])
    layers += after
    layers += [layer("MaxPooling2D", convolution["pool_size"])] if convolution["pool_size"] else []
    return layers + ([layer("Dropout", convolution["dropout"])] if convolution["dropout"] else [])


def hidden_layers(units, options, configuration):
    """Dense -> batch normalisation -> activation -> noise -> dropout, as models.hidden_layer."""
    inside, after = activation(options["activation"], options["batch_normalization"])
    layers = [layer(
        "Dense", units, activation=inside, **kernel(configuration, options["kernel_regularizer"]),
        kernel_constraint=keras_object("keras.constraints", options["kernel_constraint"]),
    )]  # fmt: skip
    layers += batch_normalization(options["batch_normalization"])
    layers += after
    layers += [layer("GaussianNoise", options["gaussian_noise"])] if options["gaussian_noise"] else []
    return layers + ([layer("Dropout", options["dropout"])] if options["dropout"] else [])


def batch_normalization(setting):
    """setting: true, false or {momentum}."""
    return [layer("BatchNormalization", **({} if setting is True else setting))] if setting else []


def kernel(configuration, regularizer=None):
    """Initializer and penalties of a layer, as source; None for what Keras does anyway."""
    initializer = configuration["kernel_initializer"]
    usual = initializer == {"name": "GlorotUniform"}
    found = {
        "kernel_initializer": None if usual else keras_object("keras.initializers", initializer),
        "kernel_regularizer": keras_object("keras.regularizers", regularizer),
    }
    if configuration.get("weight_decay"):
        own = found["kernel_regularizer"]
        both = f"lambda kernel: {own}(kernel) + weight_decay(kernel)" if own else "weight_decay"
        found |= {"kernel_regularizer": both, "bias_regularizer": "weight_decay"}
    return found


def activation(configuration, something_between):
    """(the layer's own activation argument, layers after it): a layer of its own where it has arguments or must wait."""
    name = configuration["name"]
    if len(configuration) > 1:
        return None, [keras_object("keras.layers", configuration | {"name": ACTIVATION_LAYERS[name]})]
    if name == "linear":
        return None, []
    return (None, [layer("Activation", literal(name))]) if something_between else (literal(name), [])


def output_layers(configuration, loss, data):
    """The last Dense layer; units and activation as models.output_of."""
    default = "linear" if not data.classes else "sigmoid" if loss.startswith("Binary") else "softmax"
    inside, after = activation(configuration["output_activation"] or {"name": default}, False)
    return [layer("Dense", output_units(loss, data), activation=inside, **kernel(configuration)), *after]


def output_units(loss, data):
    """One unit decides between two classes under a binary loss; a regression has one unit a target."""
    return 1 if data.classes == 2 and loss.startswith("Binary") else data.classes or data.targets


def takes_columns(loss, data):
    """Whether the loss compares outputs with one column a class instead of labels."""
    return data.classes > 0 and loss not in TAKE_LABELS and output_units(loss, data) > 1


# ---------------------------------------------------------------- the training


def training(configuration, loss, data):
    """Source of the cell that compiles and fits the model; arguments as those of `network`."""
    steps, passes = steps_of(configuration, data), passes_at_once(configuration, data)
    before, optimizer = optimizer_lines(configuration)
    batches, rows = (
        batched(configuration, passes) if passes > 1 else ([], f"x_train, y_train, batch_size={batch(configuration)}")
    )
    loss = keras_object("keras.losses", (configuration["loss"] or {}) | {"name": loss})
    epochs = configuration["epochs"] // passes
    callback = early_stopping(configuration["early_stopping"])
    lines = [
        *before,
        "model.compile(",
        f"    optimizer={optimizer},",
        f"    loss={loss},",
        f"    metrics=[{literal('accuracy' if data.classes else 'mse')}],",
        *speed(configuration, steps, passes),
        ")",
        *batches,
        "history = model.fit(",
        f"    {rows},",
        "    validation_data=(x_val, y_val),",
        f"    epochs={epochs},",
        f"    callbacks=[{callback}],",
        f"    verbose={2 if epochs <= 10 * LINES_OF_OUTPUT else 0},",
        ")",
    ]
    return "\n".join(line for line in lines if line != "    callbacks=[],")


def batch(configuration):
    return "len(x_train)" if configuration["batch_size"] == "full" else configuration["batch_size"]


def steps_of(configuration, data):
    """Updates in an epoch."""
    return 1 if configuration["batch_size"] == "full" else math.ceil(data.training_rows / configuration["batch_size"])


def optimizer_lines(configuration):
    """(lines before, source) of the optimizer; a decay that names no length stretches over the whole training."""
    optimizer, rate, lines = configuration["optimizer"], configuration["learning_rate"], []
    if isinstance(rate, dict):
        if rate.get("decay_steps") == "all":
            steps = f"{configuration['epochs']} * int(np.ceil(len(x_train) / {batch(configuration)}))"
            lines.append(f"steps = {steps}  # of the whole training")
        schedule = {key: "steps" if value == "all" else literal(value) for key, value in rate.items() if key != "name"}
        lines.append(f"learning_rate = {call('keras.optimizers.schedules.' + rate['name'], **schedule)}")
    arguments = {key: literal(value) for key, value in optimizer.items() if key != "name"}
    if rate is not None:
        arguments = {"learning_rate": "learning_rate" if lines else literal(rate)} | arguments
    return lines, call(f"keras.optimizers.{optimizer['name']}", **arguments)


def passes_at_once(configuration, data):
    """How many of the experiment's epochs one Keras epoch holds: more than 1 only for thousands of epochs of few steps.

    A divisor of the number of epochs, so that the training is as long as it was.
    """
    wanted = configuration["epochs"] // LINES_OF_OUTPUT
    if steps_of(configuration, data) > SHORT_EPOCH or wanted < 2 or configuration["early_stopping"]:
        return 1
    return max(divisor for divisor in range(1, wanted + 1) if configuration["epochs"] % divisor == 0)


def batched(configuration, passes):
    """(lines, name) of a data set whose one epoch is many passes over a small table."""
    return [
        f"# One of Keras's epochs is {passes} passes over the rows here: between its epochs Keras takes longer than for a pass.",
        "batches = tf.data.Dataset.from_tensor_slices((x_train, y_train)).cache().shuffle(len(x_train))",
        f"batches = batches.batch({batch(configuration)}).repeat({passes})",
    ], "batches, shuffle=False"


def speed(configuration, steps, passes):
    """Arguments of `compile` that change how fast it trains on a CPU, and nothing else."""
    at_once = steps * passes if passes > 1 else min(steps, STEPS_AT_ONCE)
    lines = [f"    steps_per_execution={at_once},  # batches at once: fewer returns to Python"] if at_once > 1 else []
    random = any(per_layer(configuration, key, index) for key in ("dropout", "gaussian_noise")
                 for index in range(len(configuration["hidden_layers"])))  # fmt: skip
    if random or configuration["input_noise"] or images_needed(configuration):
        lines.append("    jit_compile=False,  # on a CPU, XLA is slow at convolutions and random numbers")
    return lines


def early_stopping(settings):
    """Source of the callback with the arguments that differ from Keras's defaults, or ''."""
    if not settings:
        return ""
    defaults = EarlyStopping().model_dump()
    named = {key: literal(value) for key, value in settings.items() if value != defaults[key] or key == "monitor"}
    return call("keras.callbacks.EarlyStopping", **named)
