"""The compiled-epoch trainer does what Keras does: same losses, same weights, same stopping epoch; and twice the same."""

import numpy as np
import pytest
import scipy.stats

from src import params
from src.params.vocabulary import VOCABULARY

ROWS, FEATURES, CLASSES, BATCH = 44, 5, 3, 16  # two full batches and a rest of 12


def experiment(**overrides):
    """A small resolved experiment."""
    base = {
        "engine": "keras", "convolutions": [], "hidden_layers": [6], "activation": "tanh", "output_activation": None, "kernel_initializer": "GlorotUniform",
        "normalisation": "standardise", "input_noise": 0, "gaussian_noise": 0, "dropout": 0, "batch_normalization": False,
        "kernel_regularizer": None, "kernel_constraint": None, "augmentation": None, "loss": None, "optimizer": "SGD",
        "learning_rate": 0.05, "weight_decay": 0, "batch_size": BATCH, "epochs": 3, "validation_split": 0.2, "training_rows": None, "early_stopping": None,
        "repeats": 1, "seed": 7,
    }  # fmt: skip
    return params.Experiment.model_validate(base | overrides)


def rows(task="classification", count=ROWS + 20):
    random = np.random.default_rng(0)
    x = random.normal(size=(count, FEATURES)).astype(np.float32)
    if task == "regression":
        return x, (x[:, :1] - x[:, 1:2] ** 2).astype(np.float32)
    return x, (np.abs(x[:, 0]) + x[:, 1] > 0.5).astype(np.int32) + (x[:, 2] > 0.7)


def program(configuration, task="classification", shape=(FEATURES,), data=None, classes=CLASSES):
    """An EpochProgram for the configuration, as `fitting.fit` builds it."""
    from src.training import models, trainer

    x, y = data or rows(task)
    units = classes if task == "classification" else 1
    scale = models.normalisation(configuration.normalisation, x[20:])
    model = models.build_model(configuration, task, shape, units, scale)
    loss = models.loss_name(configuration, task)
    targets = trainer.encode_targets(y, loss, model.output_shape[-1])
    parts = trainer.Data(x[20:], targets[20:], x[:20], targets[:20])
    optimizer = models.build_optimizer(configuration, steps=9)
    metric = trainer.metric_of(task, targets)
    built = trainer.EpochProgram(model, optimizer, models.build_loss(configuration, task), metric, parts, configuration)
    return built, parts


def keras_reference(configuration, task, parts, orders):
    """The same training through keras.Model.train_on_batch: (curves like the program's, weights)."""
    from src.training import models, trainer

    scale = models.normalisation(configuration.normalisation, parts.x_train)
    units = CLASSES if task == "classification" else 1
    model = models.build_model(configuration, task, parts.x_train.shape[1:], units, scale)
    metric = trainer.metric_of(task, parts.y_train)[1]
    model.compile(
        models.build_optimizer(configuration, steps=9), models.build_loss(configuration, task), metrics=[metric]
    )
    model.optimizer.build(
        model.trainable_variables
    )  # built inside a graph, ScheduleFreeAdamW would not see the weights
    curves = []
    for order in orders:
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        seen = [model.train_on_batch(parts.x_train[chosen], parts.y_train[chosen]) for chosen in batches]
        mean = np.average(np.array(seen, float), axis=0, weights=[len(chosen) for chosen in batches])
        curves.append([*mean, *model.evaluate(parts.x_validation, parts.y_validation, verbose=0)])
    return np.array(curves), [weight.numpy() for weight in model.weights]


def assert_like_keras(configuration, task="classification", compiled_with="XLA", **data):
    built, parts = program(configuration, task, **data)
    orders = np.stack([np.random.default_rng(epoch).permutation(ROWS) for epoch in range(3)]).astype(np.int32)
    values = built(orders, 0, 3, configuration.seed)
    curves, weights = keras_reference(configuration, task, parts, orders)
    # float32 sums in another order: XLA fuses and reorders what Keras's kernels add up
    np.testing.assert_allclose(values, curves, rtol=2e-4, atol=2e-5)
    for mine, theirs in zip(built.model.weights, weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=2e-3, atol=2e-5)
    assert built.compiled_with == compiled_with


@pytest.mark.parametrize("name", list(VOCABULARY["optimizer"]))
def test_every_optimizer_updates_as_in_keras(tensorflow, name):
    assert_like_keras(experiment(optimizer=name, learning_rate=0.01))


@pytest.mark.parametrize("name", list(VOCABULARY["loss"]))
def test_every_loss_is_that_of_keras(tensorflow, name):
    task = (
        "regression"
        if name in ("MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "LogCosh")
        else "classification"
    )
    assert_like_keras(experiment(loss=name, learning_rate=0.001), task)


@pytest.mark.parametrize("overrides", [
    {"kernel_regularizer": {"name": "L2", "l2": 0.01}},
    {"kernel_regularizer": {"name": "L1", "l1": 0.01}},
    {"kernel_regularizer": {"name": "L1L2", "l1": 0.01, "l2": 0.02}},
    {"kernel_regularizer": "OrthogonalRegularizer"},
    {"kernel_constraint": {"name": "MaxNorm", "max_value": 0.5}},
    {"kernel_constraint": "UnitNorm"},
    {"batch_normalization": True},
    {"batch_normalization": {"momentum": 0.5}},
    {"loss": {"name": "CategoricalCrossentropy", "label_smoothing": 0.1}},
    {"optimizer": {"name": "SGD", "momentum": 0.9, "nesterov": True}},
    {"optimizer": {"name": "Adam", "clipnorm": 0.1}},
    {"learning_rate": {"name": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.5}},
    {"learning_rate": {"name": "CosineDecay", "initial_learning_rate": 0.1}},
    {"activation": {"name": "leaky_relu", "negative_slope": 0.1}},
], ids=str)  # fmt: skip
def test_every_option_is_that_of_keras(tensorflow, overrides):
    assert_like_keras(experiment(**overrides))


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "Huber"])
def test_regression_losses_are_those_of_keras(tensorflow, name):
    assert_like_keras(experiment(loss=name), "regression")


@pytest.mark.parametrize("settings", [
    {"patience": 2}, {"patience": 0}, {"patience": 3, "min_delta": 0.02}, {"patience": 1, "start_from_epoch": 10},
    {"patience": 2, "monitor": "val_accuracy"}, {"patience": 4, "restore_best_weights": True},
], ids=str)  # fmt: skip
def test_early_stopping_stops_and_restores_as_keras_does(tensorflow, settings):
    import keras

    from src.training import trainer

    configuration = experiment(epochs=40, learning_rate=0.5, early_stopping=settings)
    built, _ = program(configuration)
    assert built.block > 1, "the point is to stop inside a block of epochs"
    trained = trainer.train(built, configuration)

    unstopped, _ = program(experiment(epochs=40, learning_rate=0.5))
    weights = []
    orders = trainer.shuffled(np.random.default_rng(configuration.seed), ROWS, 40)
    model = keras.Sequential([keras.layers.Dense(1)])
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    callback = keras.callbacks.EarlyStopping(**configuration.early_stopping.model_dump())
    callback.set_model(model)
    model.compile(metrics=["accuracy"], loss="mse")
    model.fit(np.zeros((4, 1)), np.zeros((4, 1)), verbose=0)
    model.stop_training = False
    callback.on_train_begin()
    for epoch in range(40):
        padded = np.zeros((unstopped.block, ROWS), np.int32)
        padded[0] = orders[epoch]
        values = unstopped(padded, epoch, 1, configuration.seed)[0]
        weights.append([weight.numpy() for weight in unstopped.model.weights])
        callback.on_epoch_end(epoch, dict(zip(names, values.tolist())))
        if model.stop_training:
            break
    assert len(trained.history["loss"]) == epoch + 1
    assert trained.stopped_early == bool(model.stop_training)
    expected = callback.best_epoch if configuration.early_stopping.restore_best_weights else epoch
    assert trained.kept_epoch == expected + 1
    for mine, theirs in zip(built.model.weights, weights[expected], strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs)


RANDOM = {"dropout": 0.3, "gaussian_noise": 0.1, "input_noise": 0.1, "batch_normalization": True, "optimizer": "Adam"}


def test_training_twice_gives_the_same_bits(tensorflow):
    from src.training import trainer

    finals = []
    for _ in range(2):
        built, _ = program(experiment(**RANDOM, epochs=5))
        trainer.train(built, experiment(**RANDOM, epochs=5))
        finals.append([weight.numpy() for weight in built.model.weights])
    for one, other in zip(*finals, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_program_reused_for_another_seed_gives_the_bits_of_a_fresh_one(tensorflow):
    from src.training import models, trainer

    second = experiment(**RANDOM, epochs=5, seed=8)
    fresh, parts = program(second)
    trainer.train(fresh, second)

    reused, _ = program(experiment(**RANDOM, epochs=5))
    trainer.train(reused, experiment(**RANDOM, epochs=5))
    scale = models.normalisation("standardise", parts.x_train)
    reused.adopt(
        models.build_model(second, "classification", (FEATURES,), CLASSES, scale), models.build_optimizer(second, 9)
    )
    trainer.train(reused, second)
    for one, other in zip(fresh.model.weights, reused.model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_the_same_weights_are_the_same_file_whatever_was_built_before(tensorflow, tmp_path):
    from src.training import models

    configuration = experiment(**RANDOM, hidden_layers=[4, 4])
    for name in ("first", "second"):
        model = models.build_model(configuration, "classification", (FEATURES,), CLASSES, (0.0, 1.0))
        model.save_weights(tmp_path / f"{name}.weights.h5")
    assert (tmp_path / "first.weights.h5").read_bytes() == (tmp_path / "second.weights.h5").read_bytes()


def test_random_layers_act_in_training_only(tensorflow):
    built, parts = program(experiment(dropout=0.5, epochs=1))
    before = built.model(parts.x_validation, training=False).numpy()
    np.testing.assert_array_equal(before, built.model(parts.x_validation, training=False).numpy())
    values = built(np.arange(ROWS, dtype=np.int32)[None].repeat(built.block, 0), 0, 1, 7)
    accuracy = np.mean(built.model(parts.x_validation, training=False).numpy().argmax(1) == parts.y_validation)
    assert values[0, 3] == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("shape", [(7, 3001), (100, 28, 28, 1)], ids=str)
def test_the_faster_normal_numbers_are_normal_and_follow_from_their_seed(tensorflow, shape):
    from src.training import operations

    draw = tensorflow.function(lambda seed: operations.normal(shape, seed, 2.0, 0.5), jit_compile=True)
    one, same, other = (draw(tensorflow.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3]))
    assert one.shape == shape and (one == same).all() and abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03
    assert scipy.stats.kstest(one.ravel(), "norm", (2.0, 0.5)).pvalue > 0.001


def test_an_experiment_says_its_threads_or_its_steps_do():
    from src.training.experiments import threads_of

    assert [threads_of(experiment(), cost, 128) for cost in (1e5, 1e7)] == [1, 2]
    assert [threads_of(experiment(threads=3), cost, 128) for cost in (1e5, 1e7)] == [3, 3]


def test_a_loss_that_is_no_number_ends_the_training_and_is_recorded(tensorflow):
    from src.training import trainer

    configuration = experiment(loss="MeanSquaredError", learning_rate=1e30, epochs=50)
    built, _ = program(configuration, "regression")
    trained = trainer.train(built, configuration)
    assert "epoch" in trained.failure and len(trained.history["loss"]) <= built.block


def test_a_network_xla_cannot_compile_trains_in_a_plain_graph_and_says_so(tensorflow):
    import keras

    from src.training import models, trainer

    configuration = experiment(epochs=2)
    x, y = rows()
    outside = keras.layers.Lambda(lambda t: tensorflow.ensure_shape(
        tensorflow.numpy_function(lambda a: a, [t], tensorflow.float32), (None, FEATURES)))  # fmt: skip
    model = keras.Sequential([keras.Input((FEATURES,)), outside, keras.layers.Dense(CLASSES, activation="softmax")])
    parts = trainer.Data(x[20:], y[20:], x[:20], y[:20])
    optimizer, loss = models.build_optimizer(configuration, 9), models.build_loss(configuration, "classification")
    with pytest.warns(UserWarning, match="plain graph"):
        built = trainer.EpochProgram(
            model, optimizer, loss, trainer.metric_of("classification", y), parts, configuration
        )
    trained = trainer.train(built, configuration)
    assert trained.compiled_with == "graph" and trained.history["loss"][1] < trained.history["loss"][0]


def images(count=64):
    random = np.random.default_rng(1)
    return random.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8), random.integers(0, CLASSES, count).astype(
        np.int32
    )


def test_augmentation_trains_inside_the_compiled_program(tensorflow):
    from src.training import trainer

    settings = {"horizontal_flip": True, "shift": 1, "rotation": 10, "zoom": 0.1, "shear": 5}
    configuration = experiment(augmentation=settings, normalisation="unit", epochs=2)
    built, _ = program(configuration, shape=(8, 8, 1), data=images())
    assert trainer.train(built, configuration).compiled_with == "XLA"


CONVOLUTIONS = [
    {"filters": 4, "kernel_size": 3, "padding": "same", "batch_normalization": True, "pool_size": 2},
    {"filters": 5, "kernel_size": 2, "strides": 2},
]


def test_convolutions_train_in_a_plain_graph_and_again_to_the_same_bits(tensorflow):
    from src.training import trainer

    changes = {"optimizer": "adam", "normalisation": "unit", "epochs": 2, "learning_rate": 0.01}
    configuration, finals = experiment(convolutions=CONVOLUTIONS, **changes), []
    for _ in range(2):
        built, _ = program(configuration, shape=(8, 8, 1), data=images())
        trained = trainer.train(built, configuration)
        finals.append([weight.numpy() for weight in built.model.weights])
        assert trained.compiled_with == "graph" and trained.history["loss"][1] < trained.history["loss"][0]
    for one, other in zip(*finals, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("overrides", [
    {"optimizer": {"name": "Adam", "epsilon": 0.001}},
    {"optimizer": {"name": "AdamW", "epsilon": 0.001, "weight_decay": 0.1}},
    {"optimizer": {"name": "Adam", "epsilon": 0.001, "amsgrad": True, "clipnorm": 0.5}},
    {"optimizer": {"name": "Nadam", "epsilon": 0.001}},
    {"batch_normalization": {"momentum": 0.5}, "learning_rate": {"name": "CosineDecay", "initial_learning_rate": 0.01}},
], ids=str)  # fmt: skip
def test_convolutions_train_as_in_keras_by_other_kernels(tensorflow, overrides):
    """Epsilon: normalisation takes a bias out again, so that its gradient is rounding alone, which Adam's 1e-7 would blow up."""
    configuration = experiment(**{"convolutions": CONVOLUTIONS, "learning_rate": 0.01} | overrides)
    assert_like_keras(configuration, compiled_with="graph", shape=(8, 8, 1), data=images())


def test_the_kernels_of_the_plain_graph_are_those_of_networks_with_convolutions_alone(tensorflow, monkeypatch):
    from src.training import graph_operations

    seen, step = [], graph_operations.adam_step
    monkeypatch.setattr(graph_operations, "adam_step", lambda *arguments: [seen.append(convolves), step(*arguments)])
    for convolves in (True, False):
        configuration = experiment(convolutions=CONVOLUTIONS[: 2 * convolves], optimizer="Adam", learning_rate=0.01)
        program(configuration, shape=(8, 8, 1), data=images())
    assert set(seen) == {True}


def test_the_cost_of_a_network_follows_from_its_configuration(tensorflow):
    from src.training.experiments import multiply_adds

    configuration = experiment(convolutions=CONVOLUTIONS, hidden_layers=[7])
    built, _ = program(configuration, shape=(8, 8, 1), data=images())
    kernels = {
        layer.name: layer for layer in built.model.layers if layer.name.startswith(("convolution_", "dense", "output"))
    }
    sizes = [layer.output.shape[1:3] for name, layer in kernels.items() if name in ("convolution_1", "convolution_2")]
    assert sizes == [(8, 8), (2, 2)]
    expected = 64 * 4 * 9 * 1 + 4 * 5 * 4 * 4 + (20 + 1) * 7 + (7 + 1) * CLASSES
    assert multiply_adds({"shape": (8, 8, 1), "classes": list("abc")}, configuration) == expected
    assert kernels["dense_1"].kernel.shape == (20, 7)


def augmented(tensorflow, pictures, **settings):
    from src.training.augmentation import augment

    return augment(tensorflow.constant(pictures), params.Augmentation(**settings), tensorflow.constant([3, 4])).numpy()


def test_no_augmentation_leaves_images_alone(tensorflow):
    pictures = images()[0].astype(np.float32)
    np.testing.assert_array_equal(augmented(tensorflow, pictures), pictures)


def test_flips_flip_about_half_of_the_images_exactly(tensorflow):
    pictures = images()[0].astype(np.float32)
    changed = augmented(tensorflow, pictures, horizontal_flip=True)
    flipped = [np.array_equal(new, old[:, ::-1]) for new, old in zip(changed, pictures)]
    kept = [np.array_equal(new, old) for new, old in zip(changed, pictures)]
    assert all(one or other for one, other in zip(flipped, kept)) and 15 < sum(flipped) < 49


def test_shifts_move_by_whole_pixels_and_fill_with_black(tensorflow):
    pictures = images()[0].astype(np.float32) + 1
    changed = augmented(tensorflow, pictures, shift=2)
    seen = set()
    for new, old in zip(changed, pictures):
        padded = np.pad(old, ((2, 2), (2, 2), (0, 0)))
        offsets = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y : y + 8, x : x + 8], new)]
        assert len(offsets) == 1
        seen |= set(offsets)
    assert len(seen) > 12, "the shifts differ from image to image"


def test_rotation_turns_about_the_centre(tensorflow):
    disc = np.hypot(*np.meshgrid(np.arange(32) - 15.5, np.arange(32) - 15.5)) < 8
    pictures = np.tile(disc[None, ..., None].astype(np.float32), (16, 1, 1, 1))
    assert np.abs(augmented(tensorflow, pictures, rotation=45) - pictures).mean() < 0.02
    bar = np.zeros((16, 32, 32, 1), np.float32)
    bar[:, 15:17] = 1
    assert np.abs(augmented(tensorflow, bar, rotation=45) - bar).mean() > 0.02


def test_zoom_changes_the_size_by_the_stated_fraction(tensorflow):
    square = np.zeros((64, 32, 32, 1), np.float32)
    square[:, 8:24, 8:24] = 1
    sides = np.sqrt(augmented(tensorflow, square, zoom=0.25).sum((1, 2, 3)))
    assert 11.5 < sides.min() < 13.5 and 18.5 < sides.max() < 20.5


def fitted(configuration, data, training_rows=slice(20, None), validation_rows=slice(20)):
    """(final weights, compile seconds) of one training through `fitting.fit`."""
    from src.training import fitting

    model, _, facts = fitting.fit(configuration, data, training_rows, validation_rows)
    return [weight.numpy() for weight in model.weights], facts["compile_seconds"]


def table(task="classification"):
    x, y = rows(task)
    card = {
        "name": "table",
        "task": task,
        "shape": [FEATURES],
        "classes": list("abc") if task == "classification" else [],
    }
    return {"x": x, "y": y, "card": card}


OTHER_NUMBERS = [
    {"learning_rate": 0.01}, {"seed": 8}, {"early_stopping": {"patience": 2}}, {"weight_decay": 0.02}, {"epochs": 4},
]  # fmt: skip


def test_experiments_that_differ_in_numbers_share_a_program_and_get_their_own_results(tensorflow):
    """Bit for bit what each gives with a program compiled for it alone."""
    from src.training import fitting

    base = {"optimizer": "adam", "weight_decay": 0.01, "dropout": 0.2, "epochs": 5, "batch_size": 4}
    data = table()
    data["x"], data["y"] = np.tile(data["x"], (40, 1)), np.tile(data["y"], 40)  # so many that a block is one epoch
    for overrides in OTHER_NUMBERS:
        changed = experiment(**base | overrides)
        fitting.programs.clear()
        alone, compiled = fitted(changed, data)
        assert compiled > 0
        fitting.programs.clear()
        first, _ = fitted(experiment(**base), data)
        shared, compiled = fitted(changed, data)
        assert compiled == 0, overrides
        for one, other in zip(alone, shared, strict=True):
            np.testing.assert_array_equal(one, other)
        assert any((one != other).any() for one, other in zip(first, shared))


def test_folds_share_a_program(tensorflow):
    from src.training import fitting

    data, numbers = table("regression"), np.arange(64)
    configuration = experiment(normalisation="none", loss="MeanSquaredError")
    folds = [(numbers[numbers % 4 != k], numbers[numbers % 4 == k]) for k in (0, 1)]
    fitting.programs.clear()
    fitted(configuration, data, *folds[0])
    shared, compiled = fitted(configuration, data, *folds[1])
    fitting.programs.clear()
    alone, _ = fitted(configuration, data, *folds[1])
    assert compiled == 0
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weight_decay_is_an_l2_penalty_of_half_of_it_on_every_weight(tensorflow):
    """PyTorch's definition (torch.optim.SGD: g + weight_decay * w), checked against one step by hand."""
    configuration = experiment(weight_decay=0.3, batch_size="full", epochs=1, learning_rate=0.1)
    plain = experiment(batch_size="full", epochs=1, learning_rate=0.1)
    steps = []
    for each in (configuration, plain):
        built, _ = program(each)
        before = [weight.numpy() for weight in built.model.trainable_weights]
        built(np.zeros((1, ROWS), np.int32), 0, 1, 0)
        steps.append([after.numpy() - start for after, start in zip(built.model.trainable_weights, before)])
    for decayed, undecayed, start in zip(*steps, before, strict=True):
        np.testing.assert_allclose(decayed, undecayed - 0.1 * 0.3 * start, atol=1e-6)


def test_the_numpy_engine_trains_like_the_compiled_one(tensorflow):
    """From equal weights in an equal order; float32 sums in another order differ a little more with each step."""
    from src.training import fitting

    histories = []
    for engine in ("keras", "numpy"):
        configuration = experiment(engine=engine, optimizer="adam", learning_rate=0.01, epochs=4)
        model, trained, facts = fitting.fit(configuration, table(), slice(20, None), slice(20))
        histories.append(np.array(list(trained.history.values())))
        assert trained.compiled_with == {"keras": "XLA", "numpy": "NumPy"}[engine]
    np.testing.assert_allclose(*histories, rtol=1e-3)
    assert histories[0][0, 0] > histories[0][0, -1]


def test_the_numpy_engine_refuses_before_training_what_it_cannot_do():
    from src.errors import LaboratoryError
    from src.training import experiments

    card = {"name": "table", "task": "classification", "shape": [FEATURES], "classes": list("abc")}
    for key, value in {"batch_normalization": True, "weight_decay": 0.1, "optimizer": "Lion"}.items():
        with pytest.raises(LaboratoryError, match=f"here: engine numpy: {key}: .*engine: keras"):
            experiments.check_fits("here", experiment(engine="numpy", **{key: value}), card)


@pytest.mark.parametrize("columns", [1024, 48])
def test_the_faster_matrix_product_has_the_gradients_of_tensorflow(columns):
    """Rows of 1,024 numbers compete for a core's cache and are read with gaps, rows of 48 are left alone."""
    import tensorflow as tf

    from src.training import operations

    x, weights = tf.random.stateless_normal((6, columns), (1, 2)), tf.random.stateless_normal((columns, 5), (3, 4))

    def gradients(x, weights):
        with tf.GradientTape() as tape:
            tape.watch([x, weights])
            value = tf.reduce_sum(tf.square(tf.matmul(x, weights)))
        return value, *tape.gradient(value, [x, weights])

    expected = gradients(x, weights)
    with operations.faster():
        found = tf.function(gradients, jit_compile=True)(x, weights)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-2)  # sums of squares of size 1,000 in float32


def test_the_faster_normal_numbers_are_normal_and_finite():
    import tensorflow as tf

    from src.training import operations

    with operations.faster():
        draw = tf.function(lambda: tf.random.stateless_normal((1000, 1000), (1, 2), 3.0, 0.5), jit_compile=True)
        numbers = (draw().numpy().ravel() - 3) / 0.5
    assert np.isfinite(numbers).all() and abs(numbers).max() < 6
    assert scipy.stats.kstest(numbers[::100], "norm").pvalue > 0.001  # 10,000 of them
    # Moments of a million: their standard errors are 0.001, 0.0014, 0.0024 and 0.01.
    moments = [numbers.mean(), numbers.var() - 1, (numbers**3).mean(), (numbers**4).mean() - 3]
    assert np.all(np.abs(moments) < [0.005, 0.007, 0.02, 0.05])
