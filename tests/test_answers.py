"""The report's sentences and tables follow from the results: other results, other sentences."""

import json

import numpy as np
import pandas
import pytest

from src.evaluation import wilson
from src.report import answers, figures, page, study_page, tables

CONFIGURATION = {
    "hidden_layers": [32],
    "activation": {"name": "relu"},
    "optimizer": {"name": "Adam"},
    "normalisation": "unit",
    "convolutions": [{"filters": 4, "kernel_size": 3, "activation": {"name": "relu"}}],
    "seed": 1,
    "repeats": 2,
}


# 1,000 test images of two classes, 25 of them taken for the other class.
LABELS = np.repeat([0, 1], 500)
OUTPUTS = np.where((np.arange(1000) % 40 == 0) ^ (LABELS == 1), 0.9, 0.1)[:, None] * [-1, 1] + [1, 0]
IMAGES = np.zeros((1000, 4, 4, 1), np.uint8)
SAMPLES = {"training": (IMAGES, LABELS), "test": (IMAGES, LABELS)}
CARD = {"title": "Pets", "rows": 5000, "classes": ["cat", "dog"], "note": "2 images differ", "task": "classification",
        "shape": [4, 4, 1]}  # fmt: skip
INSIDES = {
    "histogram": {"dense_1": np.array([[0.0, 1, 2], [4, 5, 6]])},
    "filters": {"convolution_1": np.zeros((3, 3, 4))},
    "maps": {"convolution_1": np.zeros((2, 2, 4))},
    "augmented": {"": np.zeros((2, 3, 4, 4, 1), np.uint8)},
    "roc": {"cat": np.array([[0.0, 0.1, 1], [0, 0.9, 1]]), "dog": np.array([[0.0, 1], [0, 1]])},
    "activation": {"relu": np.array([[-1.0, 0, 1], [0, 0, 1]])},
}


def row(name, repeat, test, val, chosen=False, status="finished", **configuration):
    return {
        "experiment": name, "repeat": repeat, "status": status, "failure": "" if status == "finished" else "the loss was nan",
        "activation": "relu", "optimizer": "Adam", "loss": "Huber", "hidden_layers": "1 x 32", "learning_rate": 0.001,
        "batch_size": 32, "epochs": 20, "epochs_run": 20, "kept_epoch": 20, "parameters": 1000.0, "training_seconds": 2.0,
        "compile_seconds": 1.0, "fingerprint": f"{name}{repeat}", "configuration": CONFIGURATION | configuration,
        "train_loss": 0.1, "train_accuracy": 0.99, "val_loss": 0.2, "val_accuracy": val, "test_loss": 0.2,
        "test_accuracy": test, "test_accuracy_interval": wilson(test, 1000), "chosen": chosen,
        "confusion": [[480, 20], [5, 495]], "classes": {"cat": {"recall": 0.96}, "dog": {"recall": 0.99}},
    }  # fmt: skip


def history(turning):
    validation = [1 - 0.1 * min(e, turning) + 0.05 * max(0, e - turning) for e in range(20)]
    return pandas.DataFrame({"epoch": range(1, 21), "loss": [1 / e for e in range(1, 21)], "accuracy": 0.9,
                             "val_loss": validation, "val_accuracy": 0.9, "ended": range(20)})  # fmt: skip


def results(rows=None, turning=5):
    rows = rows or [
        row("narrow", 1, 0.90, 0.91), row("narrow", 2, 0.91, 0.92),
        row("wide", 1, 0.95, 0.96, hidden_layers=[64]), row("wide", 2, 0.96, 0.97, chosen=True, hidden_layers=[64]),
    ]  # fmt: skip
    finished = [r for r in rows if r["status"] == "finished"]
    histories = {(r["experiment"], r["repeat"]): history(turning) for r in finished}
    return answers.Results(rows, histories, "accuracy", 1000, SAMPLES, OUTPUTS)


def regression(error_in_the_dark=0.5):
    """Results of a curve through samples that leave 2 < x < 6 dark; errors of 0.1 elsewhere."""
    x = np.concatenate([np.linspace(0, 2, 30), np.linspace(6, 8, 30)])[:, None]
    x_test = np.linspace(0, 8, 41)[:, None]
    error = np.where((x_test > 2) & (x_test < 6), error_in_the_dark, 0.1)
    one = row("net", 1, 0.5, 0.5, chosen=True) | {"val_mse": 0.1, "test_mse": 0.2}
    samples = {"training": (x, x), "test": (x_test, x_test)}
    curves = history(5).rename(columns={"accuracy": "mse", "val_accuracy": "val_mse"})
    return answers.Results([one], {("net", 1): curves}, "mse", 41, samples, x_test + error)


def said(found, question):
    return answers.answer(found, [question])[0]["answer"]


def test_every_question_of_the_configuration_can_be_answered():
    from typing import get_args

    from src.params import Question

    assert set(get_args(Question)) == set(answers.QUESTIONS)
    of_regressions = {"fit"}
    answered = answers.answer(results(), [name for name in answers.QUESTIONS if name not in of_regressions])
    for item in [*answered, *answers.answer(regression(), list(of_regressions))]:
        assert item["answer"].endswith(".") and item["asked"].endswith("?")
        json.dumps(item)


def changed(**values):
    rows = results().rows
    rows[3] = rows[3] | values
    return results(rows)


@pytest.mark.parametrize("question, other", [
    ("how_long", changed(training_seconds=500.0)),
    ("accuracy", changed(test_accuracy=0.5)),
    ("confusion", changed(confusion=[[400, 100], [90, 410]])),
    ("overfitting", results(turning=19)),
    ("strategy", results(results().rows[:2] + [row("wide", 1, 0.95, 0.96, chosen=True, hidden_layers=[64], activation="tanh")])),
    ("best_result", results([row("narrow", 1, 0.97, 0.91), row("wide", 1, 0.95, 0.96, chosen=True, hidden_layers=[64])])),
    ("learned", changed(val_accuracy=0.2)),
    ("times", changed(training_seconds=500.0)),
])  # fmt: skip
def test_other_results_give_another_answer(question, other):
    assert said(results(), question) != said(other, question)


def test_the_strategy_says_how_many_seeds_there_were():
    uneven = results([*results().rows, row("once", 1, 0.9, 0.9)])
    assert "each under 2 seeds" in said(results(), "strategy") and "each under 1 to 2 seeds" in said(uneven, "strategy")


def test_the_answers_say_what_the_numbers_say():
    found = results()
    assert "wide" in said(found, "best_result") and "95.50 %" in said(found, "accuracy")
    assert "cat taken for dog (20 times)" in said(found, "confusion") and "one-sided" in said(found, "confusion")
    assert "wide over-fits: its validation loss is lowest at epoch 6 of 20" in said(found, "overfitting")
    assert "does not over-fit" in said(results(turning=19), "overfitting")
    assert "hidden_layers" in said(found, "learned") and "5.00 points better" in said(found, "learned")


# Chances of a coin's falling so unevenly, two-sided: 9.9 % and 4.3 %, from a table of the binomial distribution.
@pytest.mark.parametrize(("there", "back", "verdict"), [(20, 10, "is not clearly one-sided"), (21, 9, "is one-sided")])
def test_a_mistake_is_one_sided_when_a_sign_test_says_so(there, back, verdict):
    assert verdict in answers.asymmetry(np.array([[0, there], [back, 0]]), ["cat", "dog"], "cat", "dog", there)


def test_what_selection_on_the_test_set_would_have_claimed_is_said():
    rows = [row("narrow", 1, 0.97, 0.91), row("wide", 1, 0.95, 0.96, chosen=True)]
    assert "97.00 % with narrow" in said(results(rows), "best_result")


def test_a_failed_training_is_marked_and_the_others_are_reported():
    rows = [
        row("good", 1, 0.9, 0.9, chosen=True),
        row("broken", 1, 0.1, 0.1, status="failed") | {"test_accuracy": None},
    ]
    cells = tables.comparison(rows, "accuracy")
    assert cells[1]["Accuracy"] == "failed" and cells[0]["Accuracy"] == "90.00 %"
    assert tables.experiments(rows, "accuracy")["status"].tolist() == ["finished", "failed"]
    assert said(results(rows), "accuracy")


def test_a_training_that_broke_off_with_an_error_has_a_row_without_numbers():
    lost = dict.fromkeys(("parameters", "loss", "learning_rate", "test_accuracy", "val_accuracy", "training_seconds"))
    rows = [row("broken", 1, 0.1, 0.1, status="failed") | lost]
    cells = tables.comparison(rows, "accuracy")[0]
    assert (cells["Parameters"], cells["Loss"], cells["Learning rate"], cells["Accuracy"]) == ("", "", "", "failed")


def test_when_everything_failed_the_report_says_so():
    rows = [row("broken", 1, 0.1, 0.1, status="failed") | {"test_accuracy": None, "val_accuracy": None}]
    assert "No experiment finished" in said(results(rows), "accuracy")


def test_the_comparison_has_the_columns_of_the_assignment():
    first = list(tables.comparison(results().rows, "accuracy")[0])
    assert first[:8] == [
        "Exp",
        "Activation",
        "Optimizer",
        "Loss",
        "Hidden Layers",
        "Learning rate",
        "Accuracy",
        "Epochs",
    ]


def test_the_machine_readable_table_has_the_promised_columns():
    promised = ["experiment", "repeat", "status", "activation", "optimizer", "loss", "hidden_layers", "learning_rate",
                "batch_size", "epochs", "epochs_run", "parameters", "val_loss", "val_accuracy", "test_loss", "test_accuracy",
                "training_seconds", "chosen", "fingerprint"]  # fmt: skip
    table = tables.experiments(results().rows, "accuracy")
    assert set(promised) <= set(table.columns) and table["chosen"].sum() == 1
    assert {"val_mse", "test_mse"} <= set(tables.experiments([], "mse").columns)


def shown(found=None):
    return figures.Shown("pets", found or results(), CARD, INSIDES)


def test_the_page_holds_table_answers_claims_and_figures(tmp_path):
    found = results()
    drawn = figures.write(tmp_path / "figures", shown())
    claim = {"source": "s", "statement": "wide is better", "measure": "val_accuracy", "quoted": "wide > narrow",
             "measured": 0.05, "spread": 0.01, "repeats": 2, "verdict": "reproduced"}  # fmt: skip
    text = page.markdown(study="pets", title="Pets", card=CARD, metric="accuracy", test_count=1000, table=tables.comparison(found.rows, "accuracy"),
                         answers=answers.answer(found, ["accuracy"]), figures=drawn, failures=[], repeated="One seed.",
                         scorecard=tables.scorecard([claim]), verdicts=tables.verdicts([claim]), summary="3 layers")  # fmt: skip
    html = study_page.html(
        shown(), "Pets", answers.answer(found, ["accuracy"]), [claim], drawn, "3 layers", "One seed."
    )
    assert all(said in text and said in html for said in ("2 images differ", "3 layers", "1 reproduced of 1 claims"))
    assert "wide *" in text and "wide is better" in html
    assert "0.05 ± 0.01" in text and "0.05 ± 0.01" in html
    for name, caption in drawn:
        assert (tmp_path / "figures" / name).stat().st_size > 1000 and caption in text and f"figures/{name}" in html


def test_every_figure_the_assignments_show_is_drawn(tmp_path):
    names = {name for name, _ in figures.write(tmp_path / "images", shown())}
    assert names == {f"{name}.png" for name in (
        "learning_curves", "curves_of_each", "training_times", "samples", "structure", "activations", "weights", "filters",
        "maps_convolution_1", "augmented", "chosen_curves", "confusion_matrix", "roc", "mistakes")}  # fmt: skip
    fitted = figures.Shown("curve", regression(), CARD | {"classes": []}, {})
    assert "fit.png" in {name for name, _ in figures.write(tmp_path / "curve", fitted)}


def test_figures_are_the_same_bytes_when_drawn_again(tmp_path):
    for folder in ("one", "two"):
        figures.write(tmp_path / folder, shown())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_errors_in_the_dark_are_told_from_those_in_the_light():
    bright, dark = (answers.answer(regression(error), ["fit"])[0] for error in (0.1, 0.5))
    assert dark["values"]["dark_intervals"] == [(2.0, 6.0)]
    assert dark["values"]["mse_dark"] == pytest.approx(0.25) and dark["values"]["mse_lit"] == pytest.approx(0.01)
    assert bright["answer"] != dark["answer"] and "2 to 6" in dark["answer"]


def test_predictions_of_the_first_examples_are_held_against_the_truth():
    found = answers.answer(results(), ["examples"])[0]
    assert "9 of them are right: the 1. is cat" in found["answer"] and found["values"]["predicted"][:2] == [
        "dog",
        "cat",
    ]


def test_what_cures_over_fitting_is_measured_against_the_first_experiment():
    found = results()
    found.histories = {key: history(19 if key[0] == "wide" else 5) for key in found.histories}
    cured = answers.answer(found, ["cures"])[0]
    assert "narrow has its lowest validation loss at epoch 6" in cured["answer"]
    assert "Less over-fitting, by the same measure: wide 0 %" in cured["answer"]
    worse = answers.answer(results(), ["cures"])[0]
    assert "No cure: wide" in worse["answer"]
