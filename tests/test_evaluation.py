"""Numbers computed from predictions and curves, each against a value worked out another way."""

import numpy as np
import pytest

from src import evaluation, wording


def test_the_wilson_interval_is_the_published_one():
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263 -> 0.2553 to 0.3662
    assert evaluation.wilson(81 / 263, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert evaluation.wilson(1.0, 10)[1] == pytest.approx(1) and evaluation.wilson(0.0, 10)[0] == pytest.approx(0)


def test_a_classifier_is_measured_on_its_outputs():
    y = np.array([0, 1, 2, 2])
    outputs = np.eye(3)[[0, 1, 1, 2]] * 0.8 + 0.05
    found = evaluation.classification(y, outputs, ["a", "b", "c"])
    assert found["test_accuracy"] == 0.75
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert found["classes"]["b"] == {"precision": 0.5, "recall": 1.0, "f1-score": pytest.approx(2 / 3)}


def test_one_output_unit_means_two_classes():
    y, outputs = np.array([0, 1, 1, 0]), np.array([[0.2], [0.9], [0.4], [0.1]])
    found = evaluation.classification(y, outputs, ["no", "yes"])
    assert found["test_accuracy"] == 0.75 and found["confusion"] == [[2, 0], [1, 1]] and found["test_auc"] == 1.0


def test_a_regression_is_measured_on_its_outputs():
    found = evaluation.regression(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [5.0]]))
    assert found == {"test_mse": pytest.approx(4 / 3), "test_mae": pytest.approx(2 / 3), "test_r2": pytest.approx(-1.0)}


def test_the_most_confused_pairs_come_first():
    assert evaluation.most_confused([[5, 1, 0], [3, 5, 0], [0, 0, 5]], list("abc")) == [("b", "a", 3), ("a", "b", 1)]


def test_the_most_confident_mistakes_come_first():
    outputs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    assert evaluation.confident_mistakes(np.array([1, 1, 1, 0]), outputs, 2).tolist() == [0, 3]


def curves(validation):
    return {"loss": np.linspace(1, 0.1, len(validation)), "val_loss": validation}


def test_a_validation_loss_that_turns_upwards_is_over_fitting():
    down, up = np.linspace(1, 0.5, 10), np.linspace(0.5, 0.9, 20)
    found = evaluation.overfitting(curves(np.concatenate([down, up])))
    assert found["overfits"] and found["best_epoch"] == 10
    assert found["slope"] == pytest.approx(0.4 / 19, rel=0.1) and found["rise"] == pytest.approx(0.4)


def test_a_validation_loss_that_falls_or_only_trembles_is_not():
    assert not evaluation.overfitting(curves(np.linspace(1, 0.2, 30)))["overfits"]
    noise = np.random.default_rng(0).normal(0, 0.005, 30)
    assert not evaluation.overfitting(curves(0.5 + noise))["overfits"]


def rows(**values):
    return [{"experiment": name, "repeat": number + 1, "status": "finished", "val_accuracy": value, "val_mse": value}
            for name, found in values.items() for number, value in enumerate(found)]  # fmt: skip


def test_validation_chooses_the_best_mean_and_of_it_the_best_repeat():
    table = rows(lucky=[0.99, 0.5], steady=[0.9, 0.91])
    assert (evaluation.choose(table, "accuracy")["experiment"], evaluation.choose(table, "accuracy")["repeat"]) == (
        "steady",
        2,
    )
    assert (evaluation.choose(table, "mse")["experiment"], evaluation.choose(table, "mse")["repeat"]) == ("lucky", 2)


def test_failed_trainings_are_never_chosen():
    table = rows(good=[0.5], broken=[0.9])
    table[1]["status"] = "failed"
    assert evaluation.choose(table, "accuracy")["experiment"] == "good"
    table[0]["status"] = "failed"
    assert evaluation.choose(table, "accuracy") is None


@pytest.mark.parametrize("seconds, text", [(0.04, "0.0 s"), (59.94, "59.9 s"), (75, "1 min 15 s"), (4000, "1 h 6 min")])
def test_durations_read_as_people_say_them(seconds, text):
    assert wording.seconds(seconds) == text


def test_settings_read_as_people_write_them():
    assert wording.named({"name": "SGD", "momentum": 0.9}) == "SGD(momentum=0.9)"
    assert [wording.layers(units) for units in ([128, 128], [128, 64], [32], [])] == [
        "2 x 128",
        "128, 64",
        "1 x 32",
        "none",
    ]
    assert wording.listing(["a", "b", "c"]) == "a, b and c" and wording.listing([]) == ""
