"""The door for `engine: numpy`: an experiment of params.yaml trained by this package. No TensorFlow, no Keras.

The initial weights come from Keras's model and the trained ones go back into it, so that both engines start from the
same numbers, see the same batches in the same order, and all that follows training is common to them.
"""

import functools
import math
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from src.numpy_network.activations import (
    ELUActivation,
    LeakyReLUActivation,
    LinearActivation,
    ReLUActivation,
    SELUActivation,
    SigmoidActivation,
    SoftmaxActivation,
    TanhActivation,
)
from src.numpy_network.data import Dataset
from src.numpy_network.early_stopping import EarlyStopping
from src.numpy_network.layers import DenseLayer, Dropout, GaussianNoise
from src.numpy_network.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
)
from src.numpy_network.metrics import accuracy, mse
from src.numpy_network.neuralnet import NeuralNetwork
from src.numpy_network.optimizer import SGD, Adam, RMSProp
from src.params.vocabulary import VOCABULARY

# Keras's name -> what stands for it here, and {Keras's argument: ours}. Arguments not given have Keras's defaults.
ACTIVATIONS = {
    "relu": (ReLUActivation, {}),
    "sigmoid": (SigmoidActivation, {}),
    "tanh": (TanhActivation, {}),
    "softmax": (SoftmaxActivation, {}),
    "leaky_relu": (LeakyReLUActivation, {"negative_slope": "negative_slope"}),
    "elu": (ELUActivation, {"alpha": "alpha"}),
    "selu": (SELUActivation, {}),
    "linear": (LinearActivation, {}),
}
LOSSES = {
    "MeanSquaredError": (MeanSquaredError, {}),
    "MeanAbsoluteError": (MeanAbsoluteError, {}),
    "Huber": (Huber, {"delta": "delta"}),
    "BinaryCrossentropy": (BinaryCrossEntropy, {}),
    "CategoricalCrossentropy": (CategoricalCrossEntropy, {}),
    "SparseCategoricalCrossentropy": (CategoricalCrossEntropy, {}),
}
OPTIMIZERS = {
    "SGD": (SGD.like_keras, {"learning_rate": "learning_rate", "momentum": "momentum"}),
    "RMSprop": (RMSProp, {"learning_rate": "learning_rate", "rho": "beta", "epsilon": "epsilon"}),
    "Adam": (Adam, {key: key for key in ("learning_rate", "beta_1", "beta_2", "epsilon")}),
}
REGULARIZERS = {
    "L1": (functools.partial(dict, l1=0.01), {"l1": "l1"}),
    "L2": (functools.partial(dict, l2=0.01), {"l2": "l2"}),
    "L1L2": (dict, {"l1": "l1", "l2": "l2"}),
}
# A cross-entropy is one of probabilities, and Keras joins it with the activation that makes them, as is done here.
PROBABILITIES = {
    "BinaryCrossentropy": "sigmoid",
    "CategoricalCrossentropy": "softmax",
    "SparseCategoricalCrossentropy": "softmax",
}


# ---------------------------------------------------------------- what is supported


def refuse(experiment, task):
    """'' where this engine can train the experiment (params.Experiment), else one line: the key, and what to use instead.

    task: 'classification' or 'regression'; it decides loss and output activation where the experiment names none.
    """
    for key, reason in refusals(experiment, task):
        if reason:
            return f"{key}: the numpy engine {reason}, or use engine: keras"
    return ""


def refusals(experiment, task):
    """(key, why it is refused or '') for all that could be, in the order of the experiment's keys."""
    yield "convolutions", experiment.convolutions and "has dense layers only; leave it empty"
    for activation in experiment.per_layer("activation"):
        yield "activation", unknown("activation", activation, ACTIVATIONS)
    yield "output_activation", unknown("activation", experiment.output_activation, ACTIVATIONS)
    yield "output_activation", mismatch(experiment, task)
    yield "batch_normalization", any(experiment.per_layer("batch_normalization")) and "has none; write false"
    for regularizer in experiment.per_layer("kernel_regularizer"):
        yield "kernel_regularizer", unknown("regularizer", regularizer, REGULARIZERS)
    yield "kernel_constraint", any(experiment.per_layer("kernel_constraint")) and "has none; write null"
    yield "augmentation", experiment.augmentation and "has none; write null"
    yield "loss", unknown("loss", experiment.loss, LOSSES)
    yield "optimizer", unknown("optimizer", experiment.optimizer, OPTIMIZERS)
    endless = [key for key in ("momentum", "beta_1", "beta_2") if experiment.optimizer.get(key) == 1]
    yield "optimizer", endless and f"needs a {endless[0]} below 1; at 1 its average never forgets"
    yield "weight_decay", experiment.weight_decay and "has L1 and L2 penalties instead (kernel_regularizer); write 0"
    yield "learning_rate", isinstance(experiment.learning_rate, dict) and "has no schedules; write a number"


def unknown(kind, configuration, known):
    """'' or why a Keras object {'name': ..., **arguments} is refused; arguments at Keras's default never are."""
    if configuration is None:
        return ""
    name = configuration["name"]
    if name not in known:
        return f"has no {kind} '{name}'; choose from {', '.join(known)}"
    defaults = VOCABULARY[kind][name]
    for key, value in configuration.items():
        if key != "name" and key not in known[name][1] and value != defaults[key]:
            return f"has no {name}.{key}; leave it at {defaults[key]}"
    return ""


def mismatch(experiment, task):
    """'' or why output activation and loss do not go together."""
    usual = "MeanSquaredError" if task == "regression" else "SparseCategoricalCrossentropy"
    loss = experiment.loss["name"] if experiment.loss else usual
    wanted = PROBABILITIES.get(loss)
    given = experiment.output_activation["name"] if experiment.output_activation else None
    if wanted and (given or ("linear" if task == "regression" else wanted)) != wanted:
        return f"has {loss} of {wanted} outputs only; write {wanted}"
    return ""


# ---------------------------------------------------------------- build, train, give back


def build(experiment, weights, output_activation, loss_name, task):
    """The NeuralNetwork of an experiment that `refuse` lets pass.

    weights: initial values as Keras has them, [kernel [inputs, units], bias [units], ...] from first to last Dense layer;
    output_activation: {'name': ..., **arguments} and loss_name: Keras's, with the task's defaults filled in.
    """
    network = NeuralNetwork(
        epochs=experiment.epochs,
        batch_size=None if experiment.batch_size == "full" else experiment.batch_size,
        optimizer=build_optimizer(experiment),
        loss=made({**(experiment.loss or {}), "name": loss_name}, LOSSES),
        metric=mse if task == "regression" else accuracy,
        seed=experiment.seed,
    )
    for layer in layers(experiment, weights[-1].shape[0], output_activation):
        if not network.layers:
            layer.set_input_shape((weights[0].shape[0],))
        network.add(layer)
    network.set_weights(weights)
    return network


def layers(experiment, output_units, output_activation):
    """The layers in the order of src.training.models.build_model: dense, activation, noise, dropout; then the output."""
    if experiment.input_noise:
        yield GaussianNoise(experiment.input_noise)
    options = [experiment.per_layer(key) for key in ("kernel_regularizer", "activation", "gaussian_noise", "dropout")]
    for units, regularizer, activation, noise, dropout in zip(experiment.hidden_layers, *options):
        yield DenseLayer(units, **(made(regularizer, REGULARIZERS) if regularizer else {}))
        yield made(activation, ACTIVATIONS)
        if noise:
            yield GaussianNoise(noise)
        if dropout:
            yield Dropout(dropout)
    yield DenseLayer(output_units)
    yield made(output_activation, ACTIVATIONS)


def build_optimizer(experiment):
    rate = {} if experiment.learning_rate is None else {"learning_rate": experiment.learning_rate}
    return made(experiment.optimizer | rate, OPTIMIZERS)


def made(configuration, known):
    """The object that stands for Keras's {'name': ..., **arguments}."""
    make, arguments = known[configuration["name"]]
    return make(**{ours: configuration[keras] for keras, ours in arguments.items() if keras in configuration})


@dataclass
class Training:
    """What a training left behind, beside the weights in the network: the fields of src.training.trainer.Training."""

    history: dict[str, list[float]]  # loss, METRIC, val_loss, val_METRIC: one value an epoch
    epoch_ends: list[float]  # seconds since the Unix epoch
    started: float
    seconds: float
    kept_epoch: int  # the epoch (from 1) whose weights the network holds
    stopped_early: bool = False
    failure: str = ""
    compiled_with: str = "NumPy"


def train(network, experiment, x_train, y_train, x_validation, y_validation, on_block=None, threads=1):
    """Train a network from `build` in place; returns a Training.

    x: float32 [rows, features], normalised, or CSR; y: as src.training.trainer.encode_targets makes it.
    on_block(epochs done, {name: value}) is called after each epoch. threads: of BLAS, one for small layers; results may depend on
    it in the last bits.
    """
    started, ends = time.time(), []
    stopping = EarlyStopping(**experiment.early_stopping.model_dump()) if experiment.early_stopping else None

    def on_epoch(epoch, values):
        ends.append(time.time())
        if on_block:
            on_block(epoch, values)

    # A diverging loss is recorded as a failure; NumPy need not warn of it too.
    with threadpool_limits(threads, user_api="blas"), np.errstate(all="ignore"):
        network.fit(Dataset(x_train, y_train), Dataset(x_validation, y_validation), stopping, on_epoch)
    restored = stopping and stopping.best_weights
    return Training(
        history=network.history,
        epoch_ends=ends,
        started=started,
        seconds=time.time() - started,
        kept_epoch=stopping.best_epoch if restored else len(ends),
        stopped_early=bool(stopping and stopping.stopped),
        failure=not_a_number(network.history["loss"]),
    )


def not_a_number(curve):
    """'' or why training could not go on: its last loss is infinite or not a number."""
    return "" if math.isfinite(curve[-1]) else f"the loss was {curve[-1]} in epoch {len(curve)}"


def weights(network):
    """The trained weights in the order in which `build` takes them, to be put back into Keras's model."""
    return network.get_weights()
