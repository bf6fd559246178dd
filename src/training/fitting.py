"""One experiment on given rows -> a trained network. Compiled programs are shared wherever only numbers differ.

Learning rate, weight decay, seed, rows and number of epochs are inputs of a compiled program: repeats, folds and the
points of a search over them compile nothing new.
"""

import math

import keras
import numpy as np

from src.training import models, trainer


def fit(experiment, data, training_rows, validation_rows, on_block=None):
    """Build and train the network of one experiment (params.Experiment).

    data: {'x', 'y', 'card'} of the development rows; training_rows, validation_rows: index arrays or slices of them.
    Returns (keras.Model, trainer.Training, facts for the manifest).
    """
    card, x, y = data["card"], data["x"], data["y"]
    rows, held_out = len(y[training_rows]), len(y[validation_rows])
    scale = models.normalisation(experiment.normalisation, x[training_rows])
    steps = experiment.epochs * math.ceil(rows / (rows if experiment.batch_size == "full" else experiment.batch_size))
    targets = len(card["classes"]) or y.shape[1]
    model = models.build_model(experiment, card["task"], tuple(card["shape"]), targets, scale)
    optimizer = models.build_optimizer(experiment, steps)
    facts = {
        "parameters": model.count_params(),
        "loss_name": models.loss_name(experiment, card["task"]),
        "metric": "accuracy" if card["task"] == "classification" else "mse",
        "learning_rate": learning_rate_of(experiment, optimizer),
        "scale": scale,
        "training_rows": rows,
        "validation_rows": held_out,
    }
    y = trainer.encode_targets(y, facts["loss_name"], model.output_shape[-1])
    parts = trainer.Data(x[training_rows], y[training_rows], x[validation_rows], y[validation_rows])
    if experiment.engine == "numpy":
        model, trained, compile_seconds = train_numpy(experiment, card["task"], model, parts, scale, on_block)
    else:
        program, compile_seconds = program_for(experiment, card["task"], model, optimizer, parts, scale)
        program.load(parts, (card["name"], *map(rows_key, (training_rows, validation_rows))))
        program.adopt(model, optimizer, experiment.weight_decay)
        model, trained = program.model, trainer.train(program, experiment, on_block)
    return model, trained, facts | {"compile_seconds": compile_seconds}


def rows_key(rows):
    return str(rows) if isinstance(rows, slice) else rows.tobytes()


programs = {}  # the last compiled program of this process, by what it was compiled for


def program_for(experiment, task, model, optimizer, parts, scale):
    """The compiled program of an experiment, and the seconds its compilation took just now."""
    key = program_key(experiment, parts, scale)
    if key in programs:
        return programs[key], 0.0
    programs.clear()
    keras.backend.clear_session()  # also collects what the last program held
    loss, metric = models.build_loss(experiment, task), trainer.metric_of(task, parts.y_train)
    programs[key] = trainer.EpochProgram(model, optimizer, loss, metric, parts, experiment)
    return programs[key], programs[key].compile_seconds


def program_key(experiment, parts, scale):
    """All that is compiled into a program; experiments with equal keys differ in its inputs only."""
    shapes = [array.shape for array in (parts.x_train, parts.y_train, parts.x_validation, parts.y_validation)]
    block = trainer.block_length(experiment, len(parts.y_train))
    return repr((experiment.compiled_settings(), shapes, parts.x_train.dtype, scale, block))


def train_numpy(experiment, task, model, parts, scale, on_block):
    """The same training by the network written in NumPy: from equal weights, back into the Keras model."""
    from src.numpy_network import engine as numpy_engine

    _, activation = models.output_of(experiment, task, model.output_shape[-1])
    dense = [weight for layer in model.layers if isinstance(layer, keras.layers.Dense) for weight in layer.weights]
    initial = [weight.numpy() for weight in dense]
    network = numpy_engine.build(experiment, initial, activation, models.loss_name(experiment, task), task)
    x_train, x_validation = (flat(x, scale) for x in (parts.x_train, parts.x_validation))
    found = numpy_engine.train(network, experiment, x_train, parts.y_train, x_validation, parts.y_validation, on_block)
    for weight, value in zip(dense, numpy_engine.weights(network), strict=True):
        weight.assign(value)
    return model, trainer.Training(**vars(found)), 0.0


def flat(x, scale):
    """Examples as normalised rows float32 [rows, features], as the network's first layers make them."""
    subtract, divide = (np.asarray(part, np.float32) for part in scale)
    x = trainer.dense(x).astype(np.float32)
    return ((x - subtract) / divide).reshape(len(x), -1)


def learning_rate_of(experiment, optimizer):
    """The learning rate as the table shows it: a number, or the schedule's name and start."""
    rate = experiment.learning_rate
    if isinstance(rate, dict):
        return f"{rate['name']}({rate.get('initial_learning_rate', rate.get('values'))})"
    return rate if rate is not None else float(optimizer.learning_rate)
