"""The network from scratch: its derivatives are those of its functions, its training is Keras's, and it is an engine."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from src import params
from src.errors import LaboratoryError
from src.numpy_network import activations, engine, layers, losses, metrics, optimizer
from src.numpy_network.data import Dataset
from src.numpy_network.early_stopping import EarlyStopping
from src.numpy_network.neuralnet import NeuralNetwork
from tests.conftest import ROOT
from tests.test_training import experiment

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)

# ---------------------------------------------------------------- derivatives, against central differences in float64


def numerical(function, array, step=1e-5):
    """d function() / d array by central differences; the array is changed in place and restored."""
    found = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        below = function()
        array[index], found[index] = kept, (above - below) / (2 * step)
    return found


def assert_same_gradient(analytic, expected):
    """Relative error under 1e-6, of the whole array: single entries may be zero."""
    size = np.linalg.norm(analytic) + np.linalg.norm(expected)
    assert np.linalg.norm(analytic - expected) <= 1e-6 * size + 1e-12


def away_from(kinks, values, distance=1e-3):
    """The values, moved off the points where a function has no derivative."""
    for kink in kinks:
        values = np.where(np.abs(values - kink) < distance, kink + 2 * distance, values)
    return values


ACTIVATIONS = [
    activations.LinearActivation(),
    activations.ReLUActivation(),
    activations.LeakyReLUActivation(0.1),
    activations.ELUActivation(0.7),
    activations.SELUActivation(),
    activations.SigmoidActivation(),
    activations.TanhActivation(),
    activations.SoftmaxActivation(),
]


def check_layer(layer, x, random):
    """Every error the layer hands back or keeps, for E = Σ c·Y with random c, so that dE/dY = c."""
    c = random.normal(size=layer.forward_propagation(x, training=True).shape)

    def loss():
        return float((c * layer.forward_propagation(x, training=True)).sum()) + layer.penalty()

    loss()
    assert_same_gradient(layer.backward_propagation(c), numerical(loss, x))
    if isinstance(layer, layers.DenseLayer):
        assert_same_gradient(layer.weights_error, numerical(loss, layer.weights))
        assert_same_gradient(layer.biases_error, numerical(loss, layer.biases))


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: layer.layer_name())
@given(rows=sizes, units=sizes, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_every_activation_passes_back_the_derivative_of_its_function(layer, rows, units, seed):
    random = np.random.default_rng(seed)
    check_layer(layer, away_from([0.0], 2 * random.normal(size=(rows, units))), random)


@given(rows=sizes, inputs=sizes, units=sizes, l1=st.sampled_from([0, 0.1]), l2=st.sampled_from([0, 0.1]), seed=seeds)
@settings(max_examples=40, deadline=None)
def test_a_dense_layer_has_the_gradients_of_its_function_and_penalties(rows, inputs, units, l1, l2, seed):
    random = np.random.default_rng(seed)
    layer = layers.DenseLayer(units, (inputs,), l1=l1, l2=l2)
    layer.initialize(optimizer.SGD(), random, np.float64)
    layer.set_weights(away_from([0.0], layer.weights), random.normal(size=units))
    check_layer(layer, random.normal(size=(rows, inputs)), random)


class Frozen:
    """A random generator that draws the same numbers every time, so that differences can be taken."""

    def __init__(self, seed):
        self.seed = seed

    def random(self, shape, dtype):
        return np.random.default_rng(self.seed).random(shape, dtype)

    def standard_normal(self, shape, dtype):
        return np.random.default_rng(self.seed).standard_normal(shape, dtype)


@pytest.mark.parametrize(
    "make", [lambda: layers.Dropout(0.4), lambda: layers.GaussianNoise(0.3)], ids=["dropout", "noise"]
)
@given(rows=sizes, units=sizes, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_random_layers_pass_back_the_derivative_for_what_they_drew(make, rows, units, seed):
    layer, random = make(), np.random.default_rng(seed)
    layer.initialize(None, Frozen(seed), np.float64)
    check_layer(layer, random.normal(size=(rows, units)), random)


def targets_for(loss, shape, random):
    """(y_true, y_pred) that the loss is made for, away from its kinks."""
    rows, units = shape
    if isinstance(loss, losses.BinaryCrossEntropy):
        return random.integers(0, 2, shape).astype(float), random.uniform(0.05, 0.95, shape)
    if isinstance(loss, losses.CategoricalCrossEntropy):
        y_pred = random.uniform(0.05, 0.95, shape)
        return np.eye(units)[random.integers(0, units, rows)], y_pred / y_pred.sum(axis=1, keepdims=True)
    y_true = random.normal(size=shape)
    return y_true, y_true + away_from([-1.0, 0.0, 1.0], 2 * random.normal(size=shape))


LOSSES = [
    losses.MeanSquaredError(),
    losses.MeanAbsoluteError(),
    losses.Huber(),
    losses.BinaryCrossEntropy(),
    losses.CategoricalCrossEntropy(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@given(rows=sizes, units=sizes, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_every_loss_has_the_derivative_of_its_value(loss, rows, units, seed):
    y_true, y_pred = targets_for(loss, (rows, units), np.random.default_rng(seed))
    assert_same_gradient(loss.derivative(y_true, y_pred), numerical(lambda: loss.loss(y_true, y_pred), y_pred))


FUSED = [
    (losses.BinaryCrossEntropy(), activations.SigmoidActivation()),
    (losses.CategoricalCrossEntropy(), activations.SoftmaxActivation()),
]


@pytest.mark.parametrize(("loss", "activation"), FUSED, ids=["sigmoid", "softmax"])
@given(rows=sizes, units=st.integers(2, 6), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_joint_formula_of_loss_and_activation_is_that_of_the_two_in_turn(loss, activation, rows, units, seed):
    random = np.random.default_rng(seed)
    y_true, _ = targets_for(loss, (rows, units), random)
    logits = random.normal(size=(rows, units))
    y_pred = activation.forward_propagation(logits)
    joint = loss.derivative_from_logits(y_true, y_pred)
    assert loss.loss_from_logits(y_true, logits) == pytest.approx(loss.loss(y_true, y_pred), rel=1e-9)
    assert_same_gradient(joint, activation.backward_propagation(loss.derivative(y_true, y_pred)))
    assert_same_gradient(joint, numerical(lambda: loss.loss_from_logits(y_true, logits), logits))


@given(rows=sizes, classes=st.integers(2, 6), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_labels_mean_the_same_as_one_hot_rows(rows, classes, seed):
    random, loss = np.random.default_rng(seed), losses.CategoricalCrossEntropy()
    labels, logits = random.integers(0, classes, rows), random.normal(size=(rows, classes))
    one_hot, y_pred = np.eye(classes)[labels], activations.SoftmaxActivation().activation_function(logits)
    for function, values in ((loss.loss, y_pred), (loss.derivative, y_pred), (loss.loss_from_logits, logits),
                             (loss.derivative_from_logits, y_pred)):  # fmt: skip
        np.testing.assert_allclose(function(labels, values), function(one_hot, values), rtol=1e-12)


@pytest.mark.parametrize(("loss", "activation"), FUSED, ids=["sigmoid", "softmax"])
def test_certain_mistakes_have_a_finite_loss_and_gradient(loss, activation):
    logits = np.array([[1000.0, -1000.0]], np.float32)
    y_true, y_pred = np.array([[0.0, 1.0]], np.float32), activation.forward_propagation(logits)
    assert np.isfinite(y_pred).all()
    assert loss.loss_from_logits(y_true, logits) in (1000.0, 2000.0)  # the logit's size, or the distance of the two
    assert np.isfinite([loss.loss(y_true, y_pred), *loss.derivative(y_true, y_pred).ravel()]).all()
    np.testing.assert_allclose(np.abs(loss.derivative_from_logits(y_true, y_pred)).max(), 1, rtol=0.51)


def test_the_derivative_of_softmax_is_the_whole_matrix():
    layer, random = activations.SoftmaxActivation(), np.random.default_rng(0)
    x, error = random.normal(size=(4, 3)), random.normal(size=(4, 3))
    layer.forward_propagation(x)
    by_matrix = np.einsum("ri,rij->rj", error, layer.derivative(x))
    np.testing.assert_allclose(layer.backward_propagation(error), by_matrix, rtol=1e-12)
    assert np.abs(error * (layer.output * (1 - layer.output)) - by_matrix).max() > 0.01, (
        "the slides' diagonal is not it"
    )


def test_a_whole_network_has_the_gradients_of_its_loss():
    random = np.random.default_rng(3)
    network = NeuralNetwork(
        loss=losses.CategoricalCrossEntropy(), optimizer=optimizer.SGD(0.0), metric=metrics.accuracy, dtype=np.float64
    )
    for layer in (layers.DenseLayer(5, (4,), l2=0.01), activations.TanhActivation(), layers.DenseLayer(6, l1=0.01),
                  activations.ELUActivation(), layers.DenseLayer(3), activations.SoftmaxActivation()):  # fmt: skip
        network.add(layer)
    x, y = random.normal(size=(7, 4)), random.integers(0, 3, 7)
    network.train_batch(x, y)  # at a learning rate of 0: the gradients stay behind

    def loss():
        return network.data_loss(y, network.forward_propagation(x)) + network.penalties()

    for layer in network.dense_layers():
        assert_same_gradient(layer.weights_error, numerical(loss, layer.weights))
        assert_same_gradient(layer.biases_error, numerical(loss, layer.biases))


# ---------------------------------------------------------------- Keras, from equal weights

KERAS_OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.05}),
    ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    ("RMSprop", {"learning_rate": 0.001}),
    ("Adam", {"learning_rate": 0.001}),
]


def pair(name, arguments):
    """(Keras model with its optimizer, the same network here with equal weights), float32."""
    import keras

    regularizer = keras.regularizers.L1L2(l1=1e-4, l2=1e-3)
    model = keras.Sequential([
        keras.Input((8,)), keras.layers.Dense(16, "tanh", kernel_regularizer=regularizer),
        keras.layers.Dense(6, "elu"), keras.layers.Dense(3, "softmax"),
    ])  # fmt: skip
    configuration = experiment(
        hidden_layers=[16, 6],
        activation=["tanh", "elu"],
        kernel_regularizer=[{"name": "L1L2", "l1": 1e-4, "l2": 1e-3}, None],
        optimizer={"name": name, **{key: value for key, value in arguments.items() if key != "learning_rate"}},
        learning_rate=arguments["learning_rate"],
    )
    network = engine.build(
        configuration, model.get_weights(), {"name": "softmax"}, "SparseCategoricalCrossentropy", "classification"
    )
    return model, getattr(keras.optimizers, name)(**arguments), network


@pytest.mark.parametrize(("name", "arguments"), KERAS_OPTIMIZERS, ids=str)
def test_losses_gradients_and_weights_are_those_of_keras_over_100_steps(tensorflow, name, arguments):
    import keras

    keras.utils.set_random_seed(1)
    model, keras_optimizer, network = pair(name, arguments)
    keras_loss, random = keras.losses.SparseCategoricalCrossentropy(), np.random.default_rng(0)
    for _ in range(100):
        x = random.normal(size=(32, 8)).astype(np.float32)
        y = (x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0.5)
        with tensorflow.GradientTape() as tape:
            expected = keras_loss(y, model(x, training=True)) + tensorflow.add_n(model.losses)
        gradients = tape.gradient(expected, model.trainable_variables)
        keras_optimizer.apply(gradients, model.trainable_variables)
        loss, _ = network.train_batch(x, y)
        found = [error for layer in network.dense_layers() for error in (layer.weights_error, layer.biases_error)]
        assert loss == pytest.approx(float(expected), abs=1e-5)
        for mine, theirs in zip(found + network.get_weights(), gradients + model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)
    assert np.abs(np.subtract(network.get_weights()[0], pair(name, arguments)[2].get_weights()[0])).max() > 0.01


def trained_by_both(overrides, task="classification", data=None):
    """(what the compiled trainer leaves, its weights; what this engine leaves, its weights) for the same experiment."""
    from src.training import models, trainer

    configuration = experiment(**overrides)
    assert engine.refuse(configuration, task) == ""
    x, y = data
    units = y.max() + 1 if task == "classification" else y.shape[1]
    model = models.build_model(configuration, task, x.shape[1:], int(units), (0.0, 1.0))
    loss_name, activation = models.loss_name(configuration, task), models.output_of(configuration, task, int(units))[1]
    y = trainer.encode_targets(y, loss_name, model.output_shape[-1])
    held_out = len(y) // 5
    parts = trainer.Data(x[held_out:], y[held_out:], x[:held_out], y[:held_out])
    network = engine.build(configuration, [w.numpy() for w in model.trainable_weights], activation, loss_name, task)
    program = trainer.EpochProgram(model, models.build_optimizer(configuration, 1), models.build_loss(configuration, task),
                                    trainer.metric_of(task, y), parts, configuration)  # fmt: skip
    compiled = trainer.train(program, configuration)
    mine = engine.train(network, configuration, parts.x_train, parts.y_train, parts.x_validation, parts.y_validation)
    return compiled, [w.numpy() for w in model.trainable_weights], mine, engine.weights(network)


def digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.data / 16).astype(np.float32), bunch.target.astype(np.int32)


def two_classes():
    x, y = digits()
    return x, (y > 4).astype(np.int32)


def regression():
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    return x, (np.sin(3 * x[:, :1]) * x[:, 1:]).astype(np.float32)


SMALL = {"normalisation": "none", "hidden_layers": [32, 16], "activation": "relu", "batch_size": 64, "epochs": 5}
STOPPING = {"patience": 2, "min_delta": 0.01, "restore_best_weights": True}
EXPERIMENTS = {
    "softmax": ({}, "classification", digits),
    "momentum": ({"optimizer": {"name": "SGD", "momentum": 0.9}, "loss": "CategoricalCrossentropy"}, "classification", digits),
    "binary": ({"loss": "BinaryCrossentropy", "activation": "sigmoid"}, "classification", two_classes),
    "squared": ({"loss": "MeanSquaredError", "activation": ["leaky_relu", {"name": "leaky_relu", "negative_slope": 0.3}]},
                "classification", digits),
    "full batch": ({"batch_size": "full", "activation": "selu", "epochs": 20}, "regression", regression),
    "huber": ({"loss": {"name": "Huber", "delta": 0.1}, "activation": "elu", "optimizer": "adam", "learning_rate": 0.001},
              "regression", regression),
    "decay": ({"loss": "MeanAbsoluteError", "kernel_regularizer": "L2"}, "regression", regression),
    "stopped": ({"hidden_layers": [], "learning_rate": 0.5, "epochs": 40, "early_stopping": STOPPING}, "classification", digits),
}  # fmt: skip


@pytest.mark.parametrize(("overrides", "task", "data"), EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_engine_draws_the_curves_of_the_compiled_trainer(tensorflow, overrides, task, data):
    compiled, theirs, mine, found = trained_by_both(SMALL | overrides, task, data())
    assert list(mine.history) == list(compiled.history)
    for name, curve in compiled.history.items():
        # float32 sums in another order; of accuracies a row on the border may change sides
        np.testing.assert_allclose(mine.history[name], curve, rtol=1e-4, atol=2e-3 if "accuracy" in name else 1e-5)
    for one, other in zip(found, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
    assert mine.history["loss"][-1] < mine.history["loss"][0]
    assert mine.stopped_early == ("early_stopping" in overrides), "the one case is there to stop, the others to go on"
    assert (mine.kept_epoch, mine.stopped_early, mine.failure) == (compiled.kept_epoch, compiled.stopped_early, "")
    assert len(mine.epoch_ends) == len(mine.history["loss"]) and mine.started <= mine.epoch_ends[0]


def built(overrides=(), task="classification", features=5, units=3, seed=0):
    """A network of the engine with random weights, and its experiment."""
    configuration, random = experiment(**dict(overrides)), np.random.default_rng(seed)
    widths = [features, *configuration.hidden_layers, units]
    weights = [array.astype(np.float32) for inputs, outputs in zip(widths, widths[1:])
               for array in (random.normal(size=(inputs, outputs)), np.zeros(outputs))]  # fmt: skip
    loss = (
        configuration.loss["name"]
        if configuration.loss
        else {"classification": "SparseCategoricalCrossentropy"}.get(task, "MeanSquaredError")
    )
    return engine.build(
        configuration, weights, {"name": "softmax" if task == "classification" else "linear"}, loss, task
    ), configuration


def some_rows(count=44, features=5):
    x = np.random.default_rng(0).normal(size=(count, features)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0.5)


RANDOM = {"dropout": 0.3, "gaussian_noise": 0.1, "input_noise": 0.1, "optimizer": "Adam", "learning_rate": 0.01}


def test_the_engine_trains_twice_to_the_same_bits_with_random_layers_that_act_in_training_only():
    x, y = some_rows()
    finals = []
    for _ in range(2):
        network, configuration = built(RANDOM)
        engine.train(network, configuration, x, y, x, y)
        finals.append(engine.weights(network))
    for one, other in zip(*finals, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(network.predict(x), network.predict(x))
    assert np.abs(network.forward_propagation(x, training=True) - network.predict(x)).max() > 0.01


def test_dropout_keeps_the_expected_output():
    layer, x = layers.Dropout(0.25), np.ones((1000, 100), np.float32)
    layer.initialize(None, np.random.default_rng(0))
    y = layer.forward_propagation(x, training=True)
    assert y.dtype == np.float32 and np.mean(y == 0) == pytest.approx(0.25, abs=0.01)  # 7 standard deviations
    assert y.mean() == pytest.approx(1, abs=0.01)


def test_sparse_features_train_as_dense_ones_do():
    x, y = some_rows()
    x = (x > 0).astype(np.float32)
    curves = []
    for features in (x, scipy.sparse.csr_matrix(x)):
        network, configuration = built()
        curves.append(engine.train(network, configuration, features, y, features, y).history)
    assert curves[0] == curves[1]


def test_a_loss_that_is_no_number_ends_the_training_and_is_named():
    x, y = some_rows()
    network, configuration = built({"learning_rate": 1e30, "epochs": 50, "activation": "relu"}, "regression", units=1)
    trained = engine.train(network, configuration, x, y[:, None].astype(np.float32), x, y[:, None].astype(np.float32))
    epochs = len(trained.history["loss"])
    assert epochs < 50 and trained.failure in (f"the loss was {loss} in epoch {epochs}" for loss in ("nan", "inf"))


def test_on_block_is_told_of_every_epoch():
    x, y = some_rows()
    network, configuration = built()
    told = []
    trained = engine.train(network, configuration, x, y, x, y, lambda done, values: told.append((done, values["loss"])))
    assert told == list(enumerate(trained.history["loss"], start=1))


REFUSED = {
    "convolutions": [{"filters": 4}],
    "activation": ["gelu", {"name": "relu", "max_value": 6.0}],
    "output_activation": ["gelu", "sigmoid"],
    "batch_normalization": [True],
    "kernel_regularizer": ["OrthogonalRegularizer"],
    "kernel_constraint": ["UnitNorm"],
    "augmentation": [{"shift": 1}],
    "loss": ["Poisson", {"name": "CategoricalCrossentropy", "label_smoothing": 0.1}],
    "optimizer": [
        "AdamW",
        {"name": "SGD", "nesterov": True, "momentum": 0.9},
        {"name": "SGD", "momentum": 1.0},
        {"name": "RMSprop", "centered": True},
        {"name": "RMSprop", "momentum": 0.9},
        {"name": "Adam", "amsgrad": True},
        {"name": "Adam", "weight_decay": 0.01},
        {"name": "Adam", "beta_1": 1.0},
        {"name": "SGD", "clipnorm": 1.0},
        {"name": "SGD", "use_ema": True},
    ],
    "learning_rate": [{"name": "CosineDecay", "initial_learning_rate": 0.1}],
}
REFUSED["convolutions"] = [REFUSED["convolutions"]]  # its value is a list itself


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values], ids=str
)
def test_what_the_engine_has_not_is_refused_in_one_line_that_names_the_key_and_a_way_out(key, value):
    line = engine.refuse(experiment(**{key: value}), "classification")
    assert line.startswith(f"{key}: the numpy engine ") and line.endswith(", or use engine: keras") and "\n" not in line


def test_a_refused_layer_is_found_wherever_it_stands():
    line = engine.refuse(
        experiment(hidden_layers=[4, 4, 4], batch_normalization=[False, False, True]), "classification"
    )
    assert line.startswith("batch_normalization: ")


def test_a_cross_entropy_needs_the_activation_that_makes_probabilities():
    assert engine.refuse(experiment(loss="BinaryCrossentropy"), "classification") == ""
    assert engine.refuse(experiment(loss="BinaryCrossentropy", output_activation="sigmoid"), "regression") == ""
    assert "sigmoid" in engine.refuse(experiment(loss="BinaryCrossentropy"), "regression")
    assert engine.refuse(experiment(loss="MeanSquaredError", output_activation="tanh"), "classification") == ""


def test_arguments_written_out_at_their_defaults_are_not_refused():
    adam = {"name": "Adam", "amsgrad": False, "weight_decay": None, "epsilon": 1e-7}
    loss = {"name": "CategoricalCrossentropy", "label_smoothing": 0.0}
    assert engine.refuse(experiment(optimizer=adam, loss=loss), "classification") == ""


def test_the_experiments_of_the_first_study_can_all_run_here():
    study = params.load().studies["digits"]
    assert {engine.refuse(configuration, "classification") for configuration in study.experiments.values()} == {""}


def test_the_package_imports_neither_keras_nor_tensorflow():
    code = "import sys, src.numpy_network.engine; print({'keras', 'tensorflow', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------- the network by itself, as the lecture uses it


def small_network(**options):
    network = NeuralNetwork(**{"epochs": 60, "batch_size": 16, "loss": losses.CategoricalCrossEntropy(),
                               "metric": metrics.accuracy, "learning_rate": 0.5, **options})  # fmt: skip
    network.add(layers.DenseLayer(8, (5,))).add(activations.TanhActivation())
    return network.add(layers.DenseLayer(3)).add(activations.SoftmaxActivation())


def test_a_network_learns_and_keeps_its_history(capsys):
    x, y = some_rows(300)
    network = small_network(verbose=True).fit(Dataset(x, y), Dataset(x[:50], y[:50]))
    assert list(network.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert {len(curve) for curve in network.history.values()} == {60}
    assert network.history["loss"][-1] < 0.3 < network.history["loss"][0]
    assert network.score(Dataset(x, y)) > 0.9 > np.bincount(y).max() / len(y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 60 and lines[0].startswith("epoch 1/60 loss ")


def test_layers_know_their_names_shapes_and_numbers_of_parameters():
    network = small_network()
    names = ["DenseLayer", "TanhActivation", "DenseLayer", "SoftmaxActivation"]
    assert [layer.layer_name() for layer in network.layers] == names
    assert [layer.input_shape() for layer in network.layers] == [(5,), (8,), (8,), (3,)]
    assert [layer.output_shape() for layer in network.layers] == [(8,), (8,), (3,), (3,)]
    assert [layer.parameters() for layer in network.layers] == [48, 0, 27, 0]


def test_batches_hold_every_row_once_in_a_new_order_each_epoch():
    network, (x, y) = small_network(), some_rows()
    epochs = [[(a.copy(), b.copy()) for a, b in network.get_mini_batches(x, y)] for _ in range(2)]
    assert [len(b) for _, b in epochs[0]] == [16, 16, 12]
    for batches in epochs:
        joined = np.concatenate([a for a, _ in batches])
        order = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in joined]
        assert sorted(order) == list(range(44)) and order != sorted(order)
        np.testing.assert_array_equal(np.concatenate([b for _, b in batches]), y[order])
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0])
    in_order = np.concatenate([a.copy() for a, _ in network.get_mini_batches(x, y, shuffle=False)])
    np.testing.assert_array_equal(in_order, x)


def test_weights_survive_a_file_without_pickle(tmp_path):
    x, y = some_rows()
    network, other = small_network(epochs=3).fit(Dataset(x, y)), small_network(seed=1)
    network.save_weights(tmp_path / "weights.npz")
    assert np.abs(network.predict(x) - other.predict(x)).max() > 0.01
    other.load_weights(tmp_path / "weights.npz")
    np.testing.assert_array_equal(network.predict(x), other.predict(x))
    assert sorted(np.load(tmp_path / "weights.npz", allow_pickle=False).files) == ["0", "1", "2", "3"]


def test_the_retained_gradient_of_the_slides_is_keras_momentum_at_another_learning_rate():
    slides, keras_like = optimizer.SGD(0.1, 0.9), optimizer.SGD.like_keras(0.01, 0.9)
    weights = [np.ones(3), np.ones(3)]
    velocity, by_hand = np.zeros(3), np.ones(3)
    for gradient in np.random.default_rng(0).normal(size=(20, 3)):
        slides.update(weights[0], gradient)
        keras_like.update(weights[1], gradient)
        velocity = 0.9 * velocity - 0.01 * gradient
        by_hand += velocity
    np.testing.assert_allclose(weights[0], by_hand, rtol=1e-12)
    np.testing.assert_allclose(weights[1], by_hand, rtol=1e-12)


@pytest.mark.parametrize(
    "kind", [lambda: optimizer.SGD(0.1, 0.9), optimizer.RMSProp, optimizer.Adam], ids=["SGD", "RMSProp", "Adam"]
)
def test_averages_of_a_silent_weight_never_become_subnormal_which_would_be_slow(kind):
    made, weights = kind(), np.ones(1, np.float32)
    made.update(weights, np.ones(1, np.float32))
    for _ in range(1500):  # 0.9 ** 1500 is far below the smallest float32
        made.update(weights, np.zeros(1, np.float32))
    averages = [value for name, value in vars(made).items() if name.startswith("retained")]
    assert averages and all(average[0] > np.finfo(np.float32).tiny for average in averages)
    after = weights.copy()
    assert made.update(weights, np.zeros(1, np.float32)) is weights
    np.testing.assert_array_equal(weights, after, "the floor must move nothing")


@pytest.mark.parametrize("settings", [
    {"patience": 2}, {"patience": 0}, {"patience": 3, "min_delta": 0.05}, {"patience": 1, "start_from_epoch": 10},
    {"patience": 2, "monitor": "val_accuracy"}, {"patience": 4, "restore_best_weights": True},
    {"patience": 1, "mode": "max"}, {"patience": 30, "restore_best_weights": True},
], ids=str)  # fmt: skip
def test_early_stopping_stops_and_restores_where_keras_does(tensorflow, settings):
    import keras

    theirs = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])  # its weight: the epoch
    theirs.compile(loss="mse", metrics=["accuracy"])
    theirs.fit(np.zeros((2, 1)), np.zeros((2, 1)), verbose=0)  # the callback asks the metrics for their direction
    theirs.stop_training = False
    mine = NeuralNetwork().add(layers.DenseLayer(1, (1,)))
    stopping, callback = EarlyStopping(**settings), keras.callbacks.EarlyStopping(**settings)
    callback.set_model(theirs)
    callback.on_train_begin()
    random = np.random.default_rng(2)
    for epoch in range(1, 31):
        values = {"val_loss": 1 / epoch + random.uniform(0, 0.3), "val_accuracy": -1 / epoch - random.uniform(0, 0.3)}
        mine.set_weights([np.array([[epoch]]), np.zeros(1)])
        theirs.set_weights([np.array([[epoch]])])
        stopping.watch(epoch, values, mine)
        callback.on_epoch_end(epoch - 1, values)
        assert stopping.stopped == theirs.stop_training
        if stopping.stopped:
            break
    stopping.restore(mine)
    callback.on_train_end()
    assert mine.get_weights()[0] == theirs.get_weights()[0] and epoch > 1


MISTAKES = {
    "expected y of shape (44, 3), received (44,)": lambda x, y: small_network(loss=losses.MeanSquaredError()).fit(
        Dataset(x, y)
    ),
    "expected as many rows in x as in y": lambda x, y: Dataset(x, y[1:]),
    "needs its input shape": lambda x, y: NeuralNetwork().add(layers.DenseLayer(3)),
    "give them to Adam": lambda x, y: NeuralNetwork(optimizer=optimizer.Adam(), learning_rate=0.1),
    "expected 4 arrays": lambda x, y: small_network().set_weights([]),
    "expected an array of shape (5, 8)": lambda x, y: small_network().set_weights([x, x, x, x]),
    "mse: expected y_true of shape": lambda x, y: metrics.mse(y, x),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_explained(message):
    with pytest.raises(LaboratoryError) as raised:
        MISTAKES[message](*some_rows())
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_accuracy_and_confusion_take_labels_one_hot_rows_and_single_outputs():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.5, 0.3, 0.2]])
    true = np.array([0, 2, 2, 1])
    for y in (true, np.eye(3)[true]):
        assert metrics.accuracy(y, probabilities) == 0.5
        np.testing.assert_array_equal(metrics.confusion_matrix(y, probabilities), [[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    assert metrics.accuracy(np.array([[1.0], [0.0], [1.0]]), np.array([[0.6], [0.6], [0.5]])) == pytest.approx(1 / 3)
    assert metrics.mse(np.array([[1.0], [3.0]]), np.array([[2.0], [1.0]])) == 2.5
