"""The notebook to hand in: its source is the experiment, in Keras's words; run by itself it gives the reported accuracy."""

import ast
import io
import json
import sys

import nbformat
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from src import params
from src.errors import LaboratoryError
from src.params.vocabulary import VOCABULARY
from src.report import execution, keras_code, notebook
from tests.conftest import ROOT, copy_project, small_params
from tests.test_training import experiment

DATASETS = params.load(ROOT / "params.yaml").datasets
PUBLIC = {"keras", "matplotlib", "numpy", "sklearn", "tensorflow"}
IMAGE, GREY, TABLE = (8, 8, 3), (8, 8, 1), (5,)


def data(shape=TABLE, classes=3, **facts):
    """keras_code.Data of 40 training rows."""
    channels = shape[2] if len(shape) == 3 else 0
    known = {
        "shape": shape,
        "channels": channels,
        "pixel_maximum": None,
        "sparse": False,
        "classes": classes,
        "targets": 1,
    }
    return keras_code.Data(**known | facts, training_rows=40)


def arrays(facts):
    """x_train, y_train, x_val, y_val for the source to run on."""
    random = np.random.default_rng(0)
    pixels = facts.channels > 0
    x = (
        random.integers(0, 256, (60, *facts.shape)).astype(np.uint8)
        if pixels
        else random.normal(3, 2, (60, *facts.shape))
    )
    x[0], x[1] = (0, 255) if pixels else x[:2]  # the range that models.normalisation finds
    y = random.integers(0, facts.classes, 60) if facts.classes else random.normal(size=(60, facts.targets))
    y[:3] = np.arange(3)[:, None] % 2 if y.ndim == 2 else np.arange(3) % facts.classes
    x = x if pixels else x.astype(np.float32)
    y = y.astype(np.float32 if y.ndim == 2 else np.int32)
    return {"x_train": x[:40], "y_train": y[:40], "x_val": x[40:], "y_val": y[40:]}


def run(source, names):
    """The names that the source leaves, `names` given."""
    import keras
    import tensorflow as tf

    space = {"np": np, "keras": keras, "tf": tf} | names
    exec(source.replace("model.summary()", "").replace("verbose=2", "verbose=0"), space)
    return space


def loss_of(configuration, facts):
    from src.training import models

    return models.loss_name(configuration, "classification" if facts.classes else "regression")


def networks(configuration, facts, names):
    """(the source's network, the laboratory's with the same weights)."""
    from src.training import models

    source = keras_code.network(configuration.model_dump(mode="json"), loss_of(configuration, facts), facts)
    mine = run(source, names)["model"]
    scale = models.normalisation(configuration.normalisation, names["x_train"])
    task = "classification" if facts.classes else "regression"
    theirs = models.build_model(configuration, task, facts.shape, facts.classes or facts.targets, scale)
    assert [weight.shape for weight in mine.weights] == [weight.shape for weight in theirs.weights]
    assert mine.count_params() == theirs.count_params()
    theirs.set_weights(mine.get_weights())
    return mine, theirs


CONVOLUTION = {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "batch_normalization": True, "activation": "elu",
               "pool_size": 2, "dropout": 0.2}  # fmt: skip
CASES = {
    "plain": ({}, data()),
    "no hidden layer": ({"hidden_layers": []}, data()),
    "regression": ({"activation": "selu"}, data(classes=0, targets=2)),
    "unit range of a table": ({"normalisation": "unit"}, data()),
    "raw": ({"normalisation": "none"}, data()),
    "standardised colours": ({"normalisation": "standardise"}, data(IMAGE)),
    "standardised greys": ({"normalisation": "standardise"}, data(GREY)),
    "unit range of images": ({"normalisation": "unit"}, data(IMAGE)),
    "unit range of bytes": ({"normalisation": "unit"}, data(GREY, pixel_maximum=255)),
    "raw bytes": ({"normalisation": "none"}, data(IMAGE)),
    "convolutions": ({"convolutions": [CONVOLUTION, {"filters": 2, "kernel_size": 1}]}, data(IMAGE)),
    "per layer": ({
        "hidden_layers": [6, 5, 4], "activation": ["relu", {"name": "leaky_relu", "negative_slope": 0.1}, "linear"],
        "batch_normalization": [True, False, {"momentum": 0.9}], "dropout": [0, 0.5, 0.1], "gaussian_noise": [0.1, 0, 0],
        "kernel_regularizer": [None, "L2", {"name": "L1L2", "l1": 0.1}], "kernel_constraint": ["NonNeg", None, None],
    }, data()),
    "noise, initializer": ({"input_noise": 0.1, "kernel_initializer": "HeNormal"}, data()),
    "one unit": ({"loss": "BinaryCrossentropy"}, data(classes=2)),
    "a sigmoid a class": ({"loss": "BinaryCrossentropy"}, data(classes=4)),
    "two classes, squared error": ({"loss": "MeanSquaredError"}, data(classes=2)),
    "own output": ({"output_activation": {"name": "softmax", "axis": -1}}, data()),
    "logits": ({"output_activation": "linear", "loss": {"name": "SparseCategoricalCrossentropy", "from_logits": True}}, data()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_network_of_the_source_is_the_network_of_the_laboratory(tensorflow, case):
    overrides, facts = CASES[case]
    configuration, names = experiment(**overrides), arrays(facts)
    mine, theirs = networks(configuration, facts, names)
    outputs = [model(names["x_val"].astype(np.float32), training=False).numpy() for model in (mine, theirs)]
    # the scales are rounded to float32 at other places
    np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-4)
    assert np.ptp(outputs[0]) > 0
    ours = [layer.get_config() for layer in mine.layers if kind(layer) in ("Dense", "Conv2D")]
    labs = [layer.get_config() for layer in theirs.layers if kind(layer) in ("Dense", "Conv2D")]
    for one, other in zip(ours, labs, strict=True):
        for key in ("kernel_initializer", "kernel_regularizer", "kernel_constraint"):
            assert without_seed(one[key]) == without_seed(other[key])
    noisy = [[(kind(layer), getattr(layer, "rate", None), getattr(layer, "stddev", None)) for layer in model.layers
              if kind(layer) in ("Dropout", "GaussianNoise")] for model in (mine, theirs)]  # fmt: skip
    assert noisy[0] == noisy[1]


def kind(layer):
    return type(layer).__name__


def without_seed(configuration):
    return (
        json.loads(json.dumps(configuration, default=repr).replace('"seed": null', '"seed": 0'))
        if configuration
        else None
    )


LOSSES = ["SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalCrossentropy", "BinaryCrossentropy",
          "MeanSquaredError", "Hinge", "KLDivergence"]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_accuracy_are_measured_as_in_the_laboratory(tensorflow, loss, classes):
    from src.training import models, trainer

    facts = data(classes=classes)
    configuration, names = experiment(loss=loss, epochs=1, kernel_regularizer="L2"), arrays(facts)
    plain, labels = configuration.model_dump(mode="json"), names["y_val"]
    if keras_code.takes_columns(loss, facts):
        names |= {part: np.eye(classes, dtype="float32")[names[part]] for part in ("y_train", "y_val")}
    left = run(keras_code.network(plain, loss, facts) + "\n" + keras_code.training(plain, loss, facts), names)
    model = left["model"]
    encoded = trainer.encode_targets(labels, loss, model.output_shape[-1])
    outputs, value = trainer.outputs_and_loss(
        model, models.build_loss(configuration, "classification"), names["x_val"], encoded
    )
    metric = trainer.metric_of("classification", encoded)[1]
    assert left["history"].history["val_loss"] == pytest.approx([value], rel=1e-4)
    assert left["history"].history["val_accuracy"] == pytest.approx([np.mean(metric(encoded, outputs))], rel=1e-5)


# A value for each kind of argument that differs from Keras's default.
OTHER = {
    bool: lambda default: not default,
    int: lambda default: default + 1,
    float: lambda default: 0.5 * default + 0.25,
}
WORDS = {"mode": {"OrthogonalRegularizer": "columns", "VarianceScaling": "fan_out"}, "distribution": "uniform"}
SPECIAL = {
    "axis": -1,
    "input_axes": [0],
    "output_axes": [1],
    "boundaries": [5],
    "values": [0.1, 0.01],
    "exclude_layers": ["x"],
}


def all_arguments(kind, name):
    """{'name': ..., every argument with a value that is not its default}."""
    found = {"name": name}
    for key, default in VOCABULARY[kind][name].items():
        if key in SPECIAL:
            found[key] = SPECIAL[key]
        elif key in WORDS:
            found[key] = WORDS[key][name] if isinstance(WORDS[key], dict) else WORDS[key]
        elif key != "learning_rate" and key not in (
            "global_clipnorm",
            "clipvalue",
            "gradient_accumulation_steps",
            "from_logits",
        ):
            found[key] = OTHER.get(type(default), lambda default: 2)(default)
    return found


@pytest.mark.parametrize("name", list(VOCABULARY["optimizer"]))
def test_every_optimizer_keeps_its_arguments(tensorflow, name):
    from src.training import models

    configuration = experiment(optimizer=all_arguments("optimizer", name), learning_rate=0.03)
    lines, source = keras_code.optimizer_lines(configuration.model_dump(mode="json"))
    mine = run("\n".join([*lines, f"optimizer = {source}"]), arrays(data()))["optimizer"]
    assert plain(mine.get_config()) == plain(models.build_optimizer(configuration, 9).get_config())


@pytest.mark.parametrize("name", list(VOCABULARY["schedule"]))
def test_every_schedule_keeps_its_arguments(tensorflow, name):
    from src.training import models

    schedule = all_arguments("schedule", name) | ({"decay_steps": "all"} if name == "CosineDecay" else {})
    configuration = experiment().model_copy(update={"learning_rate": schedule})
    lines, source = keras_code.optimizer_lines(configuration.model_dump(mode="json"))
    mine = run("\n".join([*lines, f"optimizer = {source}"]), arrays(data()))["optimizer"]
    steps = 3 * 3  # three epochs of 40 rows in batches of 16
    assert plain(mine.get_config()) == plain(models.build_optimizer(configuration, steps).get_config())


@pytest.mark.parametrize("kind, module", [("loss", "losses"), ("initializer", "initializers"), ("regularizer", "regularizers"),
                                          ("constraint", "constraints")])  # fmt: skip
def test_every_keras_object_keeps_its_arguments(tensorflow, kind, module):
    import keras

    from src.training import models

    for name in VOCABULARY[kind]:
        configuration = all_arguments(kind, name)
        mine = run(f"thing = {keras_code.keras_object(f'keras.{module}', configuration)}", {})["thing"]
        theirs = models.keras_object(getattr(keras, module), configuration)
        assert plain(mine.get_config()) == plain(theirs.get_config())


def plain(configuration):
    """A Keras configuration that can be compared: names counted up and seeds drawn anew left out."""
    return {key: repr(value) for key, value in configuration.items() if key not in ("name", "seed")}


def test_every_activation_with_arguments_is_a_layer_that_keeps_them(tensorflow):
    with_arguments = {name for name, arguments in VOCABULARY["activation"].items() if arguments}
    assert with_arguments == set(keras_code.ACTIVATION_LAYERS)
    for name in with_arguments:
        layer = run(f"layer = {keras_code.activation(all_arguments('activation', name), False)[1][0]}", {})["layer"]
        config = layer.get_config()
        assert all(
            np.allclose(config[key], value) for key, value in all_arguments("activation", name).items() if key != "name"
        )


def test_every_key_of_an_experiment_is_handled():
    assert set(params.Experiment.model_fields) <= keras_code.HANDLED
    with pytest.raises(LaboratoryError, match="knows, received momentum_of_inertia"):
        keras_code.check_known(experiment().model_dump() | {"momentum_of_inertia": 1})


@pytest.mark.parametrize("key, model, value", [
    ("convolutions", params.Convolution, {"filters": 5, "kernel_size": 2, "strides": 2, "padding": "same", "pool_size": 2,
                                          "batch_normalization": True, "activation": "tanh", "dropout": 0.1}),
    ("augmentation", params.Augmentation, {"horizontal_flip": True, "vertical_flip": True, "shift": 2, "rotation": 10,
                                           "zoom": 0.1, "shear": 5}),
    ("early_stopping", params.EarlyStopping, {"monitor": "loss", "min_delta": 0.1, "patience": 3, "mode": "max",
                                              "restore_best_weights": True, "start_from_epoch": 2}),
], ids=["convolutions", "augmentation", "early_stopping"])  # fmt: skip
def test_every_setting_of_a_mapping_is_written(tensorflow, key, model, value):
    assert set(value) == set(model.model_fields), "a new setting: write its Keras source, and a value for it here"
    facts = data(IMAGE)

    def source(settings):
        settings = [{"filters": 4} | settings] if key == "convolutions" else settings
        configuration = experiment(**{key: settings}).model_dump(mode="json")
        name = "SparseCategoricalCrossentropy"
        return keras_code.network(configuration, name, facts) + keras_code.training(configuration, name, facts)

    sources = [source({}), *(source({setting: changed}) for setting, changed in value.items()), source(value)]
    assert len(set(sources)) == len(sources)
    assert run(
        source(value).replace("model = keras", "\nmodel = keras").replace("])model", "])\nmodel"), arrays(facts)
    )["history"]


def test_early_stopping_has_the_arguments_of_the_experiment(tensorflow):
    settings = {"patience": 3, "min_delta": 0.1, "restore_best_weights": True}
    stopping = experiment(early_stopping=settings).model_dump(mode="json")["early_stopping"]
    callback = run(f"callback = {keras_code.early_stopping(stopping)}", {})["callback"]
    assert (callback.monitor, callback.patience, callback.min_delta, callback.restore_best_weights) == ("val_loss", 3, -0.1, True) \
        or (callback.monitor, callback.patience, callback.min_delta, callback.restore_best_weights) == ("val_loss", 3, 0.1, True)  # fmt: skip


def test_weight_decay_adds_its_share_of_each_weight_to_the_gradient(tensorflow):
    import keras

    facts, names = data(IMAGE), arrays(data(IMAGE))
    plain = experiment(convolutions=[{"filters": 2}], kernel_regularizer={"name": "L1", "l1": 0.01}).model_dump(
        mode="json"
    )

    def gradients(configuration):
        model = run(keras_code.network(configuration, "SparseCategoricalCrossentropy", facts), names)["model"]
        for number, weight in enumerate(model.trainable_variables):
            weight.assign(keras.random.normal(weight.shape, seed=number))
        with tensorflow.GradientTape() as tape:
            outputs = model(names["x_val"].astype(np.float32))
            loss = tensorflow.reduce_mean(keras.losses.sparse_categorical_crossentropy(names["y_val"], outputs))
            loss += tensorflow.add_n(model.losses)
        return model.trainable_variables, tape.gradient(loss, model.trainable_variables)

    weights, without = gradients(plain)
    _, decayed = gradients(plain | {"weight_decay": 0.5})
    assert len(weights) == 6  # kernel and bias of a convolution, a hidden layer and the output
    for weight, one, other in zip(weights, without, decayed, strict=True):
        np.testing.assert_allclose(other - one, 0.5 * weight, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["Adam", "ScheduleFreeAdamW", "Muon"])
def test_optimizers_with_states_of_their_own_train(tensorflow, name):
    facts, names = data(), arrays(data())
    names["y_train"] = (names["x_train"][:, 0] > 3).astype(np.int32)
    configuration = experiment(optimizer=name, learning_rate=0.02, epochs=40).model_dump(mode="json")
    loss = "SparseCategoricalCrossentropy"
    left = run(
        keras_code.network(configuration, loss, facts) + "\n" + keras_code.training(configuration, loss, facts), names
    )
    assert left["history"].history["loss"][-1] < 0.5 * left["history"].history["loss"][0]


def test_thousands_of_short_epochs_become_few_long_ones_with_as_many_updates(tensorflow):
    facts = data(classes=0)
    configuration = experiment(epochs=1000, batch_size=16).model_dump(mode="json")
    assert keras_code.passes_at_once(configuration, facts) == 10
    source = (
        keras_code.network(configuration, "MeanSquaredError", facts)
        + "\n"
        + keras_code.training(configuration, "MeanSquaredError", facts)
    )
    left = run(source.replace("epochs=100,", "epochs=2,"), arrays(facts))
    assert "epochs=100," in source and int(left["model"].optimizer.iterations) == 2 * 10 * 3
    stopping = experiment(epochs=1000, early_stopping={"patience": 5}).model_dump(mode="json")
    assert keras_code.passes_at_once(stopping, facts) == 1, "patience counts the experiment's own epochs"


# ---------------------------------------------------------------- the cells


def material(configuration=None, dataset="digits", card=None, **others):
    """notebook.Material of a study with one experiment."""
    shape, classes = ([8, 8, 1], list("0123456789")) if dataset != "gaps" else ([1], [])
    facts = {"name": dataset, "title": dataset, "classes": classes, "rows": 100, "shape": shape, "dtype": "uint8", "note": "",
             "official_test_rows": 20} | (card or {})  # fmt: skip
    configuration = configuration or experiment()
    random = np.random.default_rng(0)
    metric = "accuracy" if facts["classes"] else "mse"
    loss = (configuration.loss or {}).get(
        "name", "SparseCategoricalCrossentropy" if facts["classes"] else "MeanSquaredError"
    )
    known = {
        "name": "study", "title": "A study", "card": facts, "dataset": DATASETS[dataset], "seed": 3, "best": "one",
        "chosen": {"experiment": "one", "loss": loss, "configuration": configuration.model_dump(mode="json"),
                   "test_accuracy_interval": [0.9, 0.94]},
        "summary": {f"test_{metric}": 0.92, f"test_{metric}_deviation": 0.01, "repeats": 3, "failed": 0},
        "x": random.normal(size=(100, *facts["shape"])).astype(np.float32),
        "y": random.normal(size=(100, 1)).astype(np.float32) if not facts["classes"] else np.arange(100) % len(facts["classes"]),
        "table": [{"Exp": "one *", "Accuracy": "92.00 %"}, {"Exp": "two", "Accuracy": "91.00 %"}],
        "answers": [{"asked": "How good is it?", "answer": "It reaches 92 %."}],
    }  # fmt: skip
    return notebook.Material(**known | others)


def code_of(built):
    return "\n".join(cell.source for cell in built.cells if cell.cell_type == "code")


def imported(source):
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {
        name.split(".")[0] for name in [*names, *(node.module for node in nodes if isinstance(node, ast.ImportFrom))]
    }


def test_the_notebook_has_program_table_and_answers_and_says_what_was_reported():
    built = notebook.build(material())
    nbformat.validate(built)
    text = "\n".join(cell.source for cell in built.cells if cell.cell_type == "markdown")
    for expected in (
        "# A study",
        "| one * | 92.00 % |",
        "### How good is it?\n\nIt reaches 92 %.",
        "**92.00 ± 1.00 %**",
        "3 seeds",
    ):
        assert expected in text
    assert built.cells[-1].source.endswith("It reaches 92 %.") and "src" not in imported(code_of(built))
    assert notebook.text_of(built) == notebook.text_of(notebook.build(material())), "nothing random in it"


def test_a_cheaper_experiment_than_the_best_is_named_as_such():
    words = notebook.build(material(best="slow")).cells[0].source
    assert "**slow**, takes too long" in words and "**one**" in words


def test_a_limit_of_the_training_rows_is_taken_over():
    code = code_of(notebook.build(material(experiment(training_rows=10))))
    assert "x_train, y_train = x_train[:10], y_train[:10]" in code
    assert "x_train[:" not in code_of(notebook.build(material(experiment())))


def test_where_nothing_finished_the_notebook_says_so():
    built = notebook.build(material(chosen=None, summary=None))
    assert not code_of(built) and "No experiment of the study `study` finished" in built.cells[0].source


CARDS = {
    "mnist": {"shape": [28, 28, 1]}, "cifar10": {"shape": [32, 32, 3]}, "digits": {}, "gaps": {},
    "imdb": {"shape": [10000], "classes": ["negative", "positive"]},
}  # fmt: skip
LAYERS = st.lists(st.integers(1, 300), max_size=3)
ANY = st.fixed_dictionaries({
    "hidden_layers": LAYERS,
    "activation": st.sampled_from(list(VOCABULARY["activation"])),
    "normalisation": st.sampled_from(["unit", "standardise", "none"]),
    "kernel_initializer": st.sampled_from(["HeNormal", "GlorotUniform", {"name": "RandomNormal", "stddev": 0.01}]),
    "dropout": st.floats(0, 0.9), "gaussian_noise": st.floats(0, 1), "input_noise": st.floats(0, 1),
    "batch_normalization": st.sampled_from([True, False, {"momentum": 0.9}]),
    "kernel_regularizer": st.sampled_from([None, "L2", {"name": "L1", "l1": 1e-5}]),
    "kernel_constraint": st.sampled_from([None, {"name": "MaxNorm", "max_value": 3}]),
    "optimizer": st.sampled_from(list(VOCABULARY["optimizer"])),
    "learning_rate": st.sampled_from([None, 0.1, 1e-7, {"name": "CosineDecay", "initial_learning_rate": 0.001}]),
    "batch_size": st.sampled_from([1, 64, 10_000, "full"]),
    "epochs": st.sampled_from([1, 17, 50_000]),
    "early_stopping": st.sampled_from([None, {"patience": 2, "restore_best_weights": True}]),
})  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(dataset=st.sampled_from(list(CARDS)), overrides=ANY, decay=st.sampled_from([0, 1e-4]))
def test_the_source_of_any_experiment_is_python_that_imports_public_packages_only(dataset, overrides, decay):
    one = material(experiment(**overrides), dataset, CARDS[dataset])
    one.chosen["configuration"]["weight_decay"] = decay
    source = code_of(notebook.build(one))
    assert imported(source) <= PUBLIC
    assert source.splitlines()[-1].startswith("print(f") and max(map(len, source.splitlines())) <= 150


@pytest.mark.parametrize("test", ["official", 0.3])
def test_an_embedded_table_is_that_of_the_study(test):
    one = material(dataset="gaps")
    one.dataset = one.dataset.model_copy(update={"split": params.Split(test=test)})
    left = run(notebook.imports(one, 1) + "\n" + notebook.loading(one), {})
    development = np.concatenate([left["x"], left["x_test"]])
    if test == "official":
        np.testing.assert_array_equal(development, one.x)
        np.testing.assert_array_equal(np.concatenate([left["y"], left["y_test"]]), one.y)
    np.testing.assert_array_equal(np.sort(development, axis=0), np.sort(one.x, axis=0))
    assert left["x_test"].shape == ((20 if test == "official" else 30), 1) and left["x"].dtype == np.float32


def test_the_test_rows_are_those_of_the_split_stage():
    from sklearn.datasets import load_digits

    from src.datasets import split

    one = material(card={"rows": 1797, "official_test_rows": 0})
    left = run(notebook.imports(one, 1) + "\n" + notebook.loading(one), {})
    x, y = load_digits(return_X_y=True)
    _, _, rows = split.split(y, 0, 0.2, 5, one.seed, True)
    np.testing.assert_array_equal(np.sort(left["x_test"], axis=0), np.sort(x[rows], axis=0))
    assert notebook.test_rows(one) == len(rows)


@pytest.mark.parametrize("name, source_format", [("mnist", "idx"), ("cifar10", "cifar"), ("imdb", "imdb")])
def test_keras_datasets_are_read_from_disk_in_their_official_shapes(
    tensorflow, name, source_format, tmp_path, monkeypatch
):
    import keras

    module = getattr(keras.datasets, name)
    monkeypatch.setattr(module, "load_data", module.load_data)  # put back afterwards
    monkeypatch.chdir(tmp_path)
    random, shape = np.random.default_rng(0), {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "imdb": (10_000,)}[name]
    x, y = random.integers(0, 2, (30, *shape)).astype(np.uint8), random.integers(0, 2, 30).astype(np.int32)
    if name == "imdb":
        scipy.sparse.save_npz("x.npz", scipy.sparse.csr_matrix(x))
    else:
        np.save("x.npy", x)
    np.save("y.npy", y)
    exec(execution.prelude({"name": name, "official_test_rows": 10}, source_format), {})
    one = material(dataset=name, card=CARDS[name] | {"rows": 30, "official_test_rows": 10})
    left = run(notebook.imports(one, 1) + "\n" + notebook.loading(one), {})
    np.testing.assert_array_equal(left["x"].reshape(20, *shape), x[:20])
    np.testing.assert_array_equal(left["x_test"].reshape(10, *shape), x[20:])
    np.testing.assert_array_equal(np.concatenate([left["y"], left["y_test"]]), y)


def test_known_messages_of_tensorflow_are_dropped_and_others_kept():
    noise = "2026-11-21 11:59:47.923060: I tensorflow/core/util/port.cc:153] oneDNN\nI0000 00:00:1795262387.9 8520 port.cc:153] x\n"
    stream = nbformat.v4.new_output("stream", name="stderr", text=noise)
    assert execution.cleaned(stream) is None
    stream = nbformat.v4.new_output("stream", name="stderr", text=noise + "UserWarning: mind this\n")
    assert execution.cleaned(stream).text == "UserWarning: mind this\n"


def test_the_hidden_first_source_is_run_and_leaves_no_trace(tmp_path):
    cells = [nbformat.v4.new_code_cell("print(fetch())"), nbformat.v4.new_markdown_cell("the end")]
    built = nbformat.v4.new_notebook(cells=cells)
    execution.execute(built, "def fetch(): return 0.25", tmp_path, tqdm(disable=True))
    assert [cell.source for cell in built.cells] == ["print(fetch())", "the end"]
    assert built.cells[0].execution_count == 1 and execution.score_of(built) == 0.25


def test_the_bar_shows_the_epoch_of_the_running_cell_and_counts_cells(tmp_path):
    built = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell('print("Epoch 3/40")'), nbformat.v4.new_code_cell("1")]
    )
    with tqdm(file=io.StringIO(), mininterval=0) as bar:
        execution.execute(built, "", tmp_path, bar)
    assert (bar.n, bar.total) == (2, 2) and "Epoch 3/40" in bar.fp.getvalue()


def test_the_kernel_is_that_of_this_interpreter_whatever_is_installed_for_the_user(tmp_path, monkeypatch):
    spec = tmp_path / "kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": ["no-such-python", "{connection_file}"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    built = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import sys\nprint(sys.executable)")])
    execution.execute(built, "", tmp_path, tqdm(disable=True))
    assert built.cells[0].outputs[0].text.strip() == sys.executable


# ---------------------------------------------------------------- run by its stage


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A project whose small digits study has its notebook; trained long enough for its accuracy to be steady."""
    raw = small_params()
    raw["studies"]["digits"]["defaults"] |= {"epochs": 40, "batch_size": 32}
    raw["studies"]["digits"]["experiments"] = {"narrow": {"epochs": 1}, "wide": {"hidden_layers": [32], "dropout": 0.1}}
    project = copy_project(tmp_path_factory.mktemp("notebook") / "project", raw)
    project.printed = project.run("dvc repro notebook@digits report@digits").stdout
    return project


def written(project):
    return nbformat.read(project.folder / "reports/digits/notebook.ipynb", as_version=4)


def test_run_by_itself_the_notebook_reproduces_the_reported_accuracy(executed):
    built = written(executed)
    reported = json.loads((executed.folder / "reports/digits/metrics.json").read_text())["test_accuracy"]
    assert reported > 0.9
    # 360 test rows: two networks of 96 % differ by 0.02 (two standard deviations of the difference) by chance alone
    assert execution.score_of(built) == pytest.approx(reported, abs=0.03)
    assert "test accuracy" in executed.printed and "laboratory's" in executed.printed
    kinds = [output.output_type for cell in built.cells if cell.cell_type == "code" for output in cell.outputs]
    assert "error" not in kinds and "stderr" not in [o.get("name") for c in built.cells for o in c.get("outputs", [])]
    text = json.dumps(built)
    assert text.count("image/png") == 2 and "Epoch 40/40" in text and "\\u001b" not in text and "\\b" not in text
    assert "narrow" in text and "What does the confusion matrix show?" in text
    assert (executed.folder / "reports/digits/notebook.ipynb").stat().st_size < 1_000_000
    assert [cell.execution_count for cell in built.cells if cell.cell_type == "code"] == list(range(1, 9))


def test_new_words_keep_the_outputs_and_the_report_keeps_the_notebook(executed):
    before = written(executed)
    raw = executed.params()
    raw["studies"]["digits"]["questions"] = ["accuracy"]
    executed.write_params(raw)
    done = executed.run("dvc repro notebook@digits report@digits")
    assert "its outputs are kept" in done.stdout and "Running stage 'report@digits'" in done.stdout
    after = written(executed)
    assert "confusion matrix show" not in json.dumps(after) and len(after.cells) == len(before.cells)
    codes = [[cell for cell in built.cells if cell.cell_type == "code"] for built in (before, after)]
    assert codes[0] == codes[1]


@pytest.mark.parametrize("change", [
    lambda cell: cell.update(source=cell.source + " "), lambda cell: cell.update(outputs=[], execution_count=None),
], ids=["edited", "cleared"])  # fmt: skip
def test_outputs_of_a_notebook_that_somebody_changed_are_not_kept(executed, change):
    built, earlier = written(executed), written(executed)
    assert execution.ran_the_same(earlier, built)
    change(execution.code_cells(earlier)[2])
    assert not execution.ran_the_same(earlier, built)


def test_where_no_experiment_finished_the_stage_says_so_in_one_line(executed):
    raw = executed.params()
    raw["studies"]["digits"]["experiments"] = {"wild": {"optimizer": "SGD", "learning_rate": 1e30, "epochs": 2}}
    executed.write_params(raw)
    executed.run("dvc repro evaluate@digits")
    done = executed.run("python -m src.stages.notebook digits", check=False)
    assert done.returncode == 1 and done.stderr.strip().count("\n") == 0 and "no experiment finished" in done.stderr
    assert "nothing to train" in json.dumps(written(executed))
