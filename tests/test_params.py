"""params.yaml: what stands in it is valid, and every mistake is one line that names the place and the repair."""

import copy

import pytest

from src import params
from src.errors import LaboratoryError


def refused(raw):
    with pytest.raises(LaboratoryError) as caught:
        params.validate(raw)
    message = str(caught.value)
    assert "\n" not in message and message.startswith("params.yaml")
    return message


def with_experiment(raw, overrides, study="digits"):
    raw = copy.deepcopy(raw)
    raw["studies"][study]["experiments"]["mine"] = overrides
    return raw


def test_the_projects_own_file_is_valid(raw_params):
    loaded = params.validate(raw_params)
    assert set(loaded.studies) == set(raw_params["studies"])


def test_overrides_lie_over_study_defaults_over_common_defaults(raw_params):
    loaded = params.validate(with_experiment(raw_params, {"epochs": 7})).studies["digits"].experiments["mine"]
    assert loaded.epochs == 7
    assert loaded.hidden_layers == raw_params["studies"]["digits"]["defaults"]["hidden_layers"]
    assert loaded.normalisation == raw_params["defaults"]["normalisation"]
    assert loaded.seed == raw_params["seed"]


@pytest.mark.parametrize(
    "overrides, said",
    [
        ({"epoch": 3}, ["mine.epoch", "unknown key", "did you mean 'epochs'"]),
        ({"epochs": "many"}, ["mine.epochs", "integer", "'many'"]),
        ({"epochs": 0}, ["mine.epochs", "greater than 0", "0"]),
        ({"epochs": True}, ["mine.epochs", "integer"]),
        ({"epochs": None}, ["mine.epochs", "integer", "None"]),
        ({"optimizer": "adm"}, ["mine.optimizer", "Keras optimizer", "'Adam'", "adm"]),
        ({"optimizer": 3}, ["mine.optimizer", "name of a Keras optimizer", "3"]),
        ({"optimizer": {"name": "SGD", "momentun": 0.9}}, ["mine.optimizer", "momentun", "did you mean 'momentum'"]),
        ({"optimizer": {"name": "SGD", "momentum": 2}}, ["SGD.momentum", "from 0 to 1", "2"]),
        ({"optimizer": {"name": "SGD", "nesterov": 1}}, ["SGD.nesterov", "true or false", "1"]),
        ({"optimizer": {"name": "Adam", "learning_rate": 0.1}}, ["mine.optimizer", "key of its own"]),
        ({"learning_rate": -0.1}, ["mine.learning_rate", "above 0", "-0.1"]),
        ({"learning_rate": float("inf")}, ["mine.learning_rate", "above 0"]),
        ({"learning_rate": "fast"}, ["mine.learning_rate", "number above 0", "fast"]),
        ({"learning_rate": {"name": "CosineDecy", "initial_learning_rate": 1}}, ["schedule", "'CosineDecay'"]),
        ({"learning_rate": {"name": "CosineDecay"}}, ["needs the argument 'initial_learning_rate'"]),
        ({"activation": "rellu"}, ["mine.activation", "'relu'"]),
        ({"activation": {"name": "relu", "slope": 1}}, ["no argument 'slope'"]),
        ({"hidden_layers": [8, 8], "activation": ["relu"]}, ["activation", "list of 2", "list of 1"]),
        ({"hidden_layers": 32}, ["mine.hidden_layers", "list", "32"]),
        ({"hidden_layers": [32, 0]}, ["mine.hidden_layers.1", "greater than 0"]),
        ({"loss": "cross_entropy"}, ["mine.loss", "Keras loss", "cross_entropy"]),
        ({"loss": {"name": "CategoricalCrossentropy", "label_smoothing": 1.5}}, ["label_smoothing", "1.5"]),
        ({"dropout": 1.0}, ["mine.dropout", "below 1", "1.0"]),
        ({"dropout": -0.1}, ["mine.dropout", "at least 0", "-0.1"]),
        ({"hidden_layers": [8, 8], "dropout": [0.1, "x"]}, ["mine.dropout", "rate"]),
        ({"batch_normalization": "yes"}, ["mine.batch_normalization", "true or false"]),
        ({"batch_normalization": {"momentum": 1.5}}, ["mine.batch_normalization", "below 1"]),
        ({"batch_normalization": {"moment": 0.9}}, ["mine.batch_normalization", "{momentum: 0.9}"]),
        ({"batch_size": "all"}, ["mine.batch_size", "'full'", "all"]),
        ({"batch_size": 0}, ["mine.batch_size", "at least 1"]),
        ({"threads": 0}, ["mine.threads", "from 1 to 1024", "'auto'"]),
        ({"threads": True}, ["mine.threads", "from 1 to 1024", "'auto'"]),
        ({"validation_split": 1.0}, ["mine.validation_split", "less than 1"]),
        ({"validation_split": 0}, ["mine.validation_split", "greater than 0"]),
        ({"normalisation": "standardize"}, ["mine.normalisation", "'standardise'"]),
        ({"kernel_initializer": "he"}, ["mine.kernel_initializer", "Keras initializer"]),
        ({"kernel_regularizer": {"name": "L2", "l2": -1}}, ["L2.l2", "-1"]),
        ({"kernel_constraint": "maxnorm2"}, ["mine.kernel_constraint", "'MaxNorm'"]),
        ({"gaussian_noise": -1}, ["mine.gaussian_noise", "from 0 to 1"]),
        ({"input_noise": -1}, ["mine.input_noise", "greater than or equal to 0"]),
        ({"augmentation": {"flip": True}}, ["mine.augmentation.flip", "unknown key", "horizontal_flip"]),
        ({"augmentation": {"zoom": 1}}, ["mine.augmentation.zoom", "less than 1"]),
        ({"early_stopping": {"patience": -1}}, ["mine.early_stopping.patience", "greater than or equal to 0"]),
        ({"early_stopping": {"monitor": "val_los"}}, ["mine.early_stopping.monitor", "'val_loss'"]),
        ({"convolutions": [{"filter": 8}]}, ["mine.convolutions.0.filter", "unknown key", "did you mean 'filters'"]),
        ({"convolutions": [{"filters": 8}], "kernel_initializer": "identity"}, ["kernel_initializer", "Identity"]),
        ({"convolutions": [{"filters": 8, "activation": "rel"}]}, ["mine.convolutions.0.activation", "'relu'"]),
        ({"repeats": 0}, ["mine.repeats", "greater than 0"]),
        ({"seed": -1}, ["mine.seed", "greater than or equal to 0"]),
        ("wide", ["mine", "mapping of overrides", "'wide'"]),
        (None, ["mine", "mapping of overrides", "None"]),
    ],
    ids=str,
)
def test_a_wrong_experiment_is_refused_with_place_and_repair(raw_params, overrides, said):
    message = refused(with_experiment(raw_params, overrides))
    assert "studies.digits.experiments.mine" in message
    for words in said:
        assert words in message, message


def changed(raw, path, value):
    raw = copy.deepcopy(raw)
    place = raw
    for key in path[:-1]:
        place = place[key]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return raw


DELETE = "(delete)"


@pytest.mark.parametrize(
    "path, value, said",
    [
        (["seed"], "x", ["seed", "integer", "'x'"]),
        (["seed"], DELETE, ["seed"]),
        (["jobs"], 0, ["jobs"]),
        (["extra"], 1, ["extra", "unknown key"]),
        (["defaults", "epochs"], -1, ["defaults.epochs", "greater than 0", "-1"]),
        (["defaults", "epochs"], DELETE, ["defaults.epochs", "missing"]),
        (["defaults"], None, ["defaults", "mapping", "None"]),
        (["studies", "digits", "dataset"], "digit", ["studies.digits.dataset", "did you mean 'digits'"]),
        (["studies", "digits", "questions"], ["how_lon"], ["questions.0", "did you mean 'how_long'"]),
        (["studies", "digits", "experiments"], {}, ["studies.digits.experiments"]),
        (["studies", "digits", "defaults"], DELETE, ["studies.digits.defaults", "mapping"]),
        (["studies", "digits", "defaults", "epoch"], 3, ["studies.digits.defaults.epoch", "did you mean 'epochs'"]),
        (["studies", "digits", "titel"], "x", ["studies.digits.titel", "did you mean 'title'"]),
        (["studies", "digits", "experiments", "../evil"], {}, ["experiments", "../evil"]),
        (["datasets", "mnist", "source", "format"], "idxx", ["datasets.mnist.source", "idxx"]),
        (["datasets", "mnist", "source", "files", "train_images"], DELETE, ["expected the files train_images"]),
        (["datasets", "mnist", "source", "files", "train_images", "sha256"], None, ["sha256"]),
        (["datasets", "mnist", "source", "files", "train_images", "name"], "../x", ["datasets.mnist", "name"]),
        (["datasets", "mnist", "source", "wrods"], 1, ["datasets.mnist.source.wrods", "unknown key"]),
        (["datasets", "digits", "source", "name"], "digit", ["datasets.digits.source.name", "'digits'"]),
        (["datasets", "digits", "split", "test"], 1.5, ["datasets.digits.split.test"]),
        (["datasets", "digits", "split", "folds"], 1, ["datasets.digits.split.folds", "greater than or equal to 2"]),
        (["datasets", "digits", "task"], "clustering", ["datasets.digits.task", "clustering"]),
    ],
    ids=str,
)
def test_a_wrong_file_is_refused_with_place_and_repair(raw_params, path, value, said):
    message = refused(changed(raw_params, path, value))
    for words in said:
        assert words in message, message


def test_a_classification_loss_on_a_regression_is_refused(raw_params):
    raw = changed(raw_params, ["studies", "digits", "dataset"], "gaps")
    message = refused(with_experiment(raw, {"loss": "categorical_crossentropy"}))
    assert "mine.loss" in message and "regression" in message and "CategoricalCrossentropy" in message


def test_names_are_keras_names_in_any_spelling_keras_takes(raw_params):
    loaded = params.validate(
        with_experiment(raw_params, {"optimizer": "rmsprop", "loss": "mse", "activation": "leaky_relu"})
    )
    mine = loaded.studies["digits"].experiments["mine"]
    assert (mine.optimizer["name"], mine.loss["name"], mine.activation["name"]) == (
        "RMSprop",
        "MeanSquaredError",
        "leaky_relu",
    )


def test_a_file_that_is_no_yaml_or_not_there_is_one_line(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: [1\ndefaults: {")
    for path in (tmp_path / "params.yaml", tmp_path / "nowhere.yaml"):
        with pytest.raises(LaboratoryError) as caught:
            params.load(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_an_unknown_study_names_the_closest(raw_params):
    with pytest.raises(LaboratoryError, match="did you mean 'digits'"):
        params.validate(raw_params).study("digitts")


@pytest.mark.parametrize("schedule", [
    {"name": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 10},
    {"name": "piecewise_constant_decay", "boundaries": [5], "values": [0.1, 0.01]},
    {"name": "PolynomialDecay", "initial_learning_rate": 0.1},
])  # fmt: skip
def test_schedules_with_and_without_decay_steps_are_accepted(raw_params, schedule):
    raw = with_experiment(raw_params, {"learning_rate": schedule})
    rate = params.validate(raw).study("digits").experiments["mine"].learning_rate
    assert rate["name"].lower()[0] == schedule["name"].lower()[0]
    assert rate.get("decay_steps") == ("all" if schedule["name"] == "PolynomialDecay" else None)


def test_a_regression_metric_to_stop_a_classification_is_refused(raw_params):
    message = refused(with_experiment(raw_params, {"early_stopping": {"monitor": "val_mse"}}))
    assert "mine.early_stopping.monitor" in message and "val_accuracy" in message and "received val_mse" in message


def test_every_experiment_says_what_it_is_for():
    """A comment stands beside each experiment in params.yaml: purpose and expected result."""
    from tests.conftest import ROOT

    lines = (ROOT / "params.yaml").read_text().split("\n")
    inside, bare = False, []
    for number, line in enumerate(lines):
        if line.startswith("    experiments:"):
            inside = True
        elif line.strip() and not line.startswith("      "):
            inside = False
        elif inside and line[6:7].isalnum() and "#" not in line:
            before = [lines[n] for n in range(number - 1, 0, -1) if not lines[n][6:7].isalnum()][:1]
            above = lines[number - 1].strip()
            if not above.startswith("#") and not (before and before[0].strip().startswith("#")):
                bare.append(line)
    assert not bare
