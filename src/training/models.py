"""Configuration -> keras.Model. The first layer normalises: a saved model takes raw inputs."""

import keras
import numpy as np
import scipy.sparse
from keras import layers

from src.datasets.examples import dense
from src.params import PER_LAYER
from src.params.vocabulary import spelling


def build_model(experiment, task, shape, classes, scale):
    """A stock Keras network for one experiment.

    experiment: params.Experiment; task: 'classification' or 'regression'; shape: of one example;
    classes: number of classes, or of targets for a regression; scale: (subtract, divide) from `normalisation`.
    Initial weights follow from experiment.seed. Returns keras.Model: float32 [batch, *shape] -> float32 [batch, units].
    """
    keras.utils.set_random_seed(experiment.seed)
    subtract, divide = scale
    x = inputs = keras.Input(shape, name="raw")
    x = layers.Normalization(mean=subtract, variance=np.square(divide), name="normalisation")(x)
    if experiment.input_noise:
        x = layers.GaussianNoise(experiment.input_noise, name="input_noise")(x)
    for index, convolution in enumerate(experiment.convolutions):
        x = convolutional_layer(x, convolution, experiment.kernel_initializer, index + 1)
    x = layers.Flatten(name="flatten")(x)
    for index, units in enumerate(experiment.hidden_layers):
        options = {key: experiment.per_layer(key)[index] for key in PER_LAYER}
        x = hidden_layer(x, units, options, experiment.kernel_initializer, index + 1)
    units, activation = output_of(experiment, task, classes)
    initializer = keras_object(keras.initializers, experiment.kernel_initializer)
    x = layers.Dense(units, kernel_initializer=initializer, name="output")(x)
    # Every name is given: those Keras counts up would put the history of the process into the weights' file.
    return keras.Model(inputs, activation_layer(activation, "output_activation")(x), name="network")


def convolutional_layer(x, convolution, initializer, number):
    """Conv2D -> batch normalisation -> activation -> max pooling -> dropout, each only where asked for."""
    x = layers.Conv2D(
        convolution.filters,
        convolution.kernel_size,
        strides=convolution.strides,
        padding=convolution.padding,
        name=f"convolution_{number}",
        kernel_initializer=keras_object(keras.initializers, initializer),
    )(x)
    if convolution.batch_normalization:
        x = batch_normalization(convolution.batch_normalization, f"convolution_normalization_{number}")(x)
    x = activation_layer(convolution.activation, f"convolution_activation_{number}")(x)
    if convolution.pool_size:
        x = layers.MaxPooling2D(convolution.pool_size, name=f"pooling_{number}")(x)
    return layers.Dropout(convolution.dropout, name=f"convolution_dropout_{number}")(x) if convolution.dropout else x


def hidden_layer(x, units, options, initializer, number):
    """Dense -> batch normalisation -> activation -> noise -> dropout, each only where asked for."""
    x = layers.Dense(
        units,
        name=f"dense_{number}",
        kernel_initializer=keras_object(keras.initializers, initializer),
        kernel_regularizer=keras_object(keras.regularizers, options["kernel_regularizer"]),
        kernel_constraint=keras_object(keras.constraints, options["kernel_constraint"]),
    )(x)
    if options["batch_normalization"]:
        x = batch_normalization(options["batch_normalization"], f"batch_normalization_{number}")(x)
    x = activation_layer(options["activation"], f"activation_{number}")(x)
    if options["gaussian_noise"]:
        x = layers.GaussianNoise(options["gaussian_noise"], name=f"noise_{number}")(x)
    if options["dropout"]:
        x = layers.Dropout(options["dropout"], name=f"dropout_{number}")(x)
    return x


def batch_normalization(setting, name):
    """setting: true, or {momentum}."""
    return layers.BatchNormalization(name=name, **({} if setting is True else setting))


def normalisation(kind, x):
    """(subtract, divide) of the training examples x: one pair for images, one pair a column for tables.

    kind: 'unit' maps the training range to 0 ... 1, 'standardise' to mean 0 and deviation 1 (per channel for images),
    'none' leaves x alone. Constant columns are only shifted. Floats, ready for keras.layers.Normalization.
    """
    if kind == "none" or (kind == "unit" and scipy.sparse.issparse(x)):  # 0/1 features are in range already
        return 0.0, 1.0
    x = dense(x)
    axes = tuple(range(x.ndim - 1)) if x.ndim == 4 else 0
    if kind == "unit":
        low, high = (x.min(), x.max()) if x.ndim == 4 else (x.min(axes), x.max(axes))
        subtract, divide = np.float64(low), np.float64(high) - np.float64(low)
    else:
        subtract, divide = x.mean(axes, dtype=np.float64), x.std(axes, dtype=np.float64)
    return subtract.tolist(), np.where(divide == 0, 1.0, divide).tolist()


def output_of(experiment, task, classes):
    """Units and activation of the output layer: what the task and the loss ask for, unless the experiment says."""
    single = task == "classification" and classes == 2 and loss_name(experiment, task).startswith("Binary")
    default = (
        "linear" if task == "regression" else "sigmoid" if loss_name(experiment, task)[:6] == "Binary" else "softmax"
    )
    return (1 if single else classes), experiment.output_activation or {"name": default}


def loss_name(experiment, task):
    """The experiment's loss, or the usual one for the task."""
    if experiment.loss:
        return experiment.loss["name"]
    return "MeanSquaredError" if task == "regression" else "SparseCategoricalCrossentropy"


def build_loss(experiment, task):
    arguments = {key: value for key, value in (experiment.loss or {}).items() if key != "name"}
    return getattr(keras.losses, loss_name(experiment, task))(**arguments)


def build_optimizer(experiment, steps):
    """The Keras optimizer; steps: updates of the whole training, the length of a decay that names none."""
    arguments = {key: value for key, value in experiment.optimizer.items() if key != "name"}
    rate = experiment.learning_rate
    if isinstance(rate, dict):
        rate = rate | ({"decay_steps": steps} if rate.get("decay_steps") == "all" else {})
        rate = keras_object(keras.optimizers.schedules, rate)
    if rate is not None:
        arguments["learning_rate"] = rate
    return getattr(keras.optimizers, experiment.optimizer["name"])(**arguments)


def keras_object(module, configuration):
    """module.Name(**arguments) from {'name': ..., **arguments}; None for None."""
    if configuration is None:
        return None
    return getattr(module, configuration["name"])(**{k: v for k, v in configuration.items() if k != "name"})


def activation_layer(configuration, name):
    """A plain name is the activation function; with arguments it is the layer of that name, which takes them."""
    if len(configuration) == 1:
        return layers.Activation(configuration["name"], name=name)
    by_spelling = {spelling(key): thing for key, thing in vars(layers).items() if isinstance(thing, type)}
    arguments = {key: value for key, value in configuration.items() if key != "name"}
    return by_spelling[spelling(configuration["name"])](**arguments, name=name)
