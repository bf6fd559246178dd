"""The report's sentences and tables follow from the results: other results, other sentences."""

import json

import pandas
import pytest

from src.evaluation import wilson
from src.report import answers, figures, page, tables

CONFIGURATION = {
    "hidden_layers": [32],
    "activation": {"name": "relu"},
    "optimizer": {"name": "Adam"},
    "seed": 1,
    "repeats": 2,
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
    return answers.Results(rows, {(r["experiment"], r["repeat"]): history(turning) for r in finished}, "accuracy", 1000)


def said(found, question):
    return answers.answer(found, [question])[0]["answer"]


def test_every_question_of_the_configuration_can_be_answered():
    from typing import get_args

    from src.params import Question

    assert set(get_args(Question)) == set(answers.QUESTIONS)
    for item in answers.answer(results(), list(answers.QUESTIONS)):
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
])  # fmt: skip
def test_other_results_give_another_answer(question, other):
    assert said(results(), question) != said(other, question)


def test_the_answers_say_what_the_numbers_say():
    found = results()
    assert "wide" in said(found, "best_result") and "95.50 %" in said(found, "accuracy")
    assert "cat taken for dog (20 times)" in said(found, "confusion") and "one-sided" in said(found, "confusion")
    assert "wide over-fits: its validation loss is lowest at epoch 6 of 20" in said(found, "overfitting")
    assert "does not over-fit" in said(results(turning=19), "overfitting")
    assert "hidden_layers" in said(found, "learned") and "5.00 points better" in said(found, "learned")


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


def test_the_page_holds_table_answers_and_figures(tmp_path):
    import numpy as np

    found = results()
    outputs = np.full((1000, 2), 0.5)
    card = {
        "title": "Pets",
        "rows": 5000,
        "classes": ["cat", "dog"],
        "note": "2 images differ",
        "task": "classification",
    }
    labels = np.repeat([0, 1], 500)
    drawn = figures.write(
        tmp_path / "figures", "pets", found, card, outputs, np.zeros((1000, 4, 4, 1), np.uint8), labels
    )
    text = page.markdown(study="pets", title="Pets", card=card, metric="accuracy", test_count=1000, table=tables.comparison(found.rows, "accuracy"),
                         answers=answers.answer(found, ["accuracy"]), figures=drawn, failures=[], repeated="One seed.")  # fmt: skip
    html = page.html("Pets", text)
    assert "2 images differ" in text and "wide *" in text and "<table>" in html
    for name, caption in drawn:
        assert (tmp_path / "figures" / name).stat().st_size > 1000 and caption in text and f"figures/{name}" in html


def test_figures_are_the_same_bytes_when_drawn_again(tmp_path):
    import numpy as np

    card = {"classes": ["cat", "dog"]}
    for folder in ("one", "two"):
        figures.write(
            tmp_path / folder,
            "pets",
            results(),
            card,
            np.full((1000, 2), 0.5),
            np.zeros((1000, 4, 4, 1), np.uint8),
            np.repeat([0, 1], 500),
        )
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
