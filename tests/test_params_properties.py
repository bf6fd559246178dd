"""Whatever is done to params.yaml: it stays valid, or it is refused in one line that names the place. Nothing else.

LABORATORY_EXAMPLES=50000 tries more changes than the 5,000 of a usual run, other ones each time.
"""

import copy
import datetime
import os
import re
from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src import params
from src.errors import LaboratoryError
from src.params.vocabulary import VOCABULARY
from src.training import experiments
from tests.conftest import small_params

EXAMPLES = int(os.environ.get("LABORATORY_EXAMPLES", 5000))
MANY = settings(max_examples=EXAMPLES, derandomize="LABORATORY_EXAMPLES" not in os.environ, deadline=None, database=None, suppress_health_check=list(HealthCheck))  # fmt: skip

FILE = {"name": "a.bin", "urls": ["https://example.org/a.bin"], "sha256": "0" * 64}
EXPERIMENTS = {
    "plain": {},
    "layers": {"hidden_layers": [8, 4], "activation": ["relu", {"name": "leaky_relu", "negative_slope": 0.1}],
               "dropout": [0.1, 0], "batch_normalization": [True, False], "gaussian_noise": [0, 0.1],
               "kernel_regularizer": [{"name": "L2", "l2": 0.001}, None], "kernel_constraint": [None, "UnitNorm"],
               "kernel_initializer": {"name": "VarianceScaling", "scale": 2.0, "mode": "fan_in"}},
    "decay": {"learning_rate": {"name": "CosineDecay", "initial_learning_rate": 0.01},
              "optimizer": {"name": "SGD", "momentum": 0.9, "nesterov": True, "clipnorm": 1.0},
              "loss": {"name": "CategoricalCrossentropy", "label_smoothing": 0.1}},
    "stopped": {"early_stopping": {"monitor": "val_loss", "patience": 2, "restore_best_weights": True}, "repeats": 2},
    "images": {"convolutions": [{"filters": 4, "kernel_size": 3, "pool_size": 2, "dropout": 0.1, "activation": "elu"}],
               "augmentation": {"horizontal_flip": True, "shift": 1, "rotation": 5}, "training_rows": 100},
    "scratch": {"engine": "numpy", "optimizer": {"name": "Adam", "beta_1": 0.8}, "batch_size": "full"},
}  # fmt: skip
CLAIMS = [
    {"source": "s", "statement": "t", "measure": "test_accuracy", "of": "plain", "quoted": 0.9, "within": 0.1},
    {"source": "s", "statement": "t", "measure": "val_accuracy", "highest_first": ["plain", "layers"]},
    {"source": "s", "statement": "t", "measure": "parameters", "lowest": "plain", "among": ["decay"]},
]
SEARCH = {
    "title": "t", "dataset": "digits", "defaults": {"epochs": 2}, "trials": 4, "sampler": "tpe",
    "objective": {"metric": "val_loss", "folds": 3}, "pruner": "median", "time_budget": 60, "baseline": True,
    "space": {"optimizer": ["adam", "SGD"], "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
              "optimizer.momentum": {"choices": [0, 0.9], "when": {"optimizer": "SGD"}}},
}  # fmt: skip


def every_kind_of_entry():
    """A valid params.yaml, small, that holds every section, every dataset format and most settings."""
    raw = small_params()
    formats = {
        "sklearn": {"name": "iris"}, "npz": {"files": {"arrays": FILE}}, "cifar": {"files": {"archive": FILE}},
        "idx": {"files": {"train_images": FILE, "train_labels": FILE}}, "imdb": {"files": {"reviews": FILE}, "words": 50},
        "csv": {"files": {"train": FILE}, "target": "y", "stand_in": {"format": "gaps"}},
        "image_folder": {"files": {"train": {"name": "own.zip"}}, "size": [4, 6], "mode": "rgb"},
        "gaps": {"rows": 50, "dark_intervals": [[-1.0, 1.0]]},
    }  # fmt: skip
    for name, source in formats.items():
        task = "regression" if name in ("csv", "gaps") else "classification"
        raw["datasets"][name] = {"title": name, "task": task, "source": {"format": name, **source},
                                 "split": {"test": 0.2, "folds": 5, "seed": 3}}  # fmt: skip
    study = raw["studies"]["digits"]
    study["experiments"], study["claims"] = copy.deepcopy(EXPERIMENTS), copy.deepcopy(CLAIMS)
    raw["studies"]["curve"] = study | {"dataset": "gaps", "questions": ["fit"], "claims": [],
                                       "experiments": {"plain": {"loss": "mae"}, "wide": {"hidden_layers": [64]}}}  # fmt: skip
    raw["searches"] = {"tuned": copy.deepcopy(SEARCH)}
    return copy.deepcopy(raw)  # no part is shared with another


BASE = every_kind_of_entry()


def paths(node, path=()):
    """The path of every entry below `node`."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from paths(value, (*path, key))


# What YAML can hold where something else is expected.
STRINGS = ["", " ", "x", "adam", "SGD", "relu", "full", "chosen", "digits", "plain", "NaN", "1e-3", "../evil", "a.b", "a\nb",
           "\0", "ä" * 300, "{}", "__class__", "https://example.org"]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 3.5, 0.5, -0.5, 1e-320, 1e308, 10**9, 2**31, 2**63, 10**30, -(10**30), 10**400,
           float("nan"), float("inf"), -float("inf")]  # fmt: skip
SCALARS = st.sampled_from([None, True, False, b"x", datetime.date(2026, 1, 1), *STRINGS, *NUMBERS])
KEYS = st.sampled_from(
    ["name", "choices", "low", "epochs", "format", "files", "x", "", "a.b", 0, -1, None, True, 1.5, ("a", 1)]
)
KIND = {
    "optimizer": "optimizer", "loss": "loss", "activation": "activation", "output_activation": "activation",
    "kernel_initializer": "initializer", "kernel_regularizer": "regularizer", "kernel_constraint": "constraint",
    "learning_rate": "schedule",
}  # fmt: skip


def keras_objects(kind):
    """{name, **arguments} of Keras's own names, with up to two of their arguments set to anything."""
    return st.sampled_from(sorted(VOCABULARY[kind])).flatmap(
        lambda name: st.dictionaries(st.sampled_from([*VOCABULARY[kind][name], "x"]), ARGUMENTS, max_size=2).map(
            lambda arguments: {"name": name, **arguments}))  # fmt: skip


ARGUMENTS = SCALARS | st.sampled_from([0.1, 0.9, 5, 100, "fan_avg", "uniform", [0.1], [1, 2], [3.0, 0.1, 0.2]])
KERAS = st.sampled_from(sorted(VOCABULARY)).flatmap(keras_objects)
VALUES = KERAS | st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
SETTINGS = [(*place, key) for place in (("defaults",), ("studies", "digits", "defaults"), ("studies", "digits", "experiments", "plain"),
            ("studies", "curve", "experiments", "plain")) for key in BASE["defaults"]]  # fmt: skip
PLACES = st.sampled_from(SETTINGS) | st.sampled_from(sorted(paths(BASE), key=str))
CHANGES = ["delete", "replace", "rename", "add", "wrap", "nest", "copy", "misspell"]
MUTATIONS = st.lists(st.tuples(PLACES, st.sampled_from(CHANGES), VALUES, PLACES), min_size=1, max_size=3)


def at(raw, path):
    for key in path:
        raw = raw[key]
    return raw


def mutated(mutations):
    """BASE with each change made that the ones before it left possible."""
    raw = copy.deepcopy(BASE)
    for path, change, value, other in mutations:
        try:
            parent, key = at(raw, path[:-1]), path[-1]
            mutate(parent, key, change, value, raw, other)
        except (KeyError, IndexError, TypeError):
            continue
    return raw


def mutate(parent, key, change, value, raw, other):
    if change == "replace":
        parent[key] = value
        return
    old = parent[key]
    if change == "delete":
        del parent[key]
    elif change == "wrap":
        parent[key] = [old]
    elif change == "nest":
        parent[key] = {"name": old}
    elif change == "copy":
        parent[key] = copy.deepcopy(at(raw, other))
    elif change == "add" and isinstance(old, dict):
        old[str(value)[:20]] = value
    elif change == "add" and isinstance(old, list):
        old.append(value)
    elif isinstance(parent, dict):
        parent[key[:-1] + "x" if change == "misspell" else str(value)[:20]] = parent.pop(key)


def verdict(raw):
    """params.Params, or the message of the one error that is allowed."""
    try:
        return params.validate(raw)
    except LaboratoryError as error:
        return str(error)


def test_every_change_of_params_yaml_is_accepted_or_refused_in_one_line():
    found = Counter()

    @MANY
    @given(MUTATIONS)
    def check(mutations):
        result = verdict(mutated(mutations))
        found["valid" if isinstance(result, params.Params) else "refused"] += 1
        if isinstance(result, str):
            assert "\n" not in result and result.isprintable(), result
            assert re.match(r"params\.yaml: (expected a mapping|[^ ]+)", result) and named(result), result

    check()
    print(f"{found.total()} changes of params.yaml: {found['valid']} valid, {found['refused']} refused in one line")
    assert min(found.values()) > EXAMPLES / 50


def named(message):
    """Whether the place that a message names lies in one of the file's sections, or is a key of the user's beside them."""
    place = re.split(r"[:.]", message.removeprefix("params.yaml: "), maxsplit=1)[0]
    return place in params.Params.model_fields or "unknown key" in message


@settings(MANY, max_examples=EXAMPLES // 25)
@given(st.binary(max_size=20), st.integers(0, 2**20), st.integers(0, 20))
def test_a_params_file_with_any_bytes_in_it_is_read_or_refused_in_one_line(tmp_path_factory, put, place, left_out):
    """What an editor, a merge or a disk may do to the text itself."""
    place %= len(TEXT)
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_bytes(TEXT[:place] + put + TEXT[place + left_out :])
    try:
        params.load(path)
    except LaboratoryError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


TEXT = yaml.safe_dump(BASE).encode()


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {seed: *a}", "- 1", "", "seed: !!python/object/apply:os.system [echo]",
                                  "[" * 3000, "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]", "seed: 2026-99-99"])  # fmt: skip
def test_strange_yaml_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(LaboratoryError) as caught:
        params.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value) and "params.yaml" in str(caught.value)


# ---------------------------------------------------------------- what is valid can be trained

CARDS = {
    "digits": {"name": "d", "task": "classification", "shape": [8, 8, 1], "classes": ["a", "b", "c"]},
    "curve": {"name": "c", "task": "regression", "shape": [1], "classes": []},
}
RANDOM = np.random.default_rng(0)
ROWS = {
    "digits": (RANDOM.integers(0, 17, (20, 8, 8, 1)).astype(np.uint8), (np.arange(20) % 3).astype(np.int32)),
    "curve": (RANDOM.normal(size=(20, 1)).astype(np.float32), RANDOM.normal(size=(20, 1)).astype(np.float32)),
}
OVERRIDES = st.lists(st.sampled_from([*BASE["defaults"], *KIND, *KIND]), min_size=1, max_size=2, unique=True).flatmap(
    lambda keys: st.fixed_dictionaries({key: keras_objects(KIND[key]) if key in KIND else ARGUMENTS for key in keys})
)


@pytest.mark.slow
def test_what_is_accepted_can_be_trained(tensorflow):
    """One update each, outside the compiled program: the same layers, optimizer and loss."""
    found = Counter()

    @settings(MANY, max_examples=EXAMPLES // 2)
    @given(
        st.sampled_from([(study, name) for study in CARDS for name in BASE["studies"][study]["experiments"]]), OVERRIDES
    )
    def check(place, overrides):
        study, name = place
        raw = copy.deepcopy(BASE)
        raw["studies"][study]["experiments"][name].update(overrides)
        accepted = verdict(raw)
        if isinstance(accepted, str):
            found["refused"] += 1
            return
        experiment = accepted.study(study).experiments[name]
        try:
            experiments.check_fits(name, experiment, CARDS[study])
        except LaboratoryError:
            found["refused for this dataset"] += 1
            return
        if experiments.weights(CARDS[study], experiment) < 1e6:
            update_once(experiment, CARDS[study], *ROWS[study])
            found["trained"] += 1

    check()
    print(", ".join(f"{count} {what}" for what, count in found.items()))
    assert found["trained"] > EXAMPLES / 50


def update_once(experiment, card, x, y):
    """One step of training, as src/training/trainer.py makes it."""
    import tensorflow as tf

    from src.training import models, trainer

    scale = models.normalisation(experiment.normalisation, x)
    targets = len(card["classes"]) or 1
    model = models.build_model(experiment, card["task"], tuple(card["shape"]), targets, scale)
    optimizer, loss = models.build_optimizer(experiment, 10), models.build_loss(experiment, card["task"])
    y = trainer.encode_targets(y, models.loss_name(experiment, card["task"]), model.output_shape[-1])
    with tf.GradientTape() as tape:
        value = loss(y, model(x.astype(np.float32), training=True)) + sum(model.losses)
    optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
