"""The report's figures: from results to PNG files with their captions."""

import pandas

from src import evaluation, plots


def write(folder, study, results, card, predictions, x, y):
    """Write the study's figures into `folder`; returns [(file name, caption)].

    results: answers.Results; predictions: outputs of the chosen run on x, or None where everything failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = {row["experiment"]: row for row in reversed(results.finished)}
    histories = {name: results.histories[name, row["repeat"]] for name, row in reversed(first.items())}
    losses = {name: row["loss"] for name, row in first.items()}
    drawn = {}
    if histories:
        drawn["learning_curves"] = (
            plots.learning_curves(histories, losses, results.metric, f"{study}: learning curves"),
            "Learning curves of all experiments on the validation rows (first seed each). Losses of another kind than the "
            "commonest have a scale of their own and are left out on the left.",
        )
        times = {e["experiment"]: e["training_seconds"] for e in results.summary if e["training_seconds"] is not None}
        drawn["training_times"] = (
            plots.training_times(times, f"{study}: training time"),
            "Training time of each experiment, mean over its seeds; compilation not counted.",
        )
    if results.chosen:
        drawn |= of_chosen(study, results, card, predictions, x, y)
    for name, (figure, _) in drawn.items():
        plots.save(figure, folder / f"{name}.png")
    return [(f"{name}.png", caption) for name, (_, caption) in drawn.items()]


def of_chosen(study, results, card, predictions, x, y):
    """{name: (figure, caption)} of the chosen experiment."""
    row, classes = results.chosen, card["classes"]
    name = row["experiment"]
    history = results.histories[name, row["repeat"]]
    drawn = {
        "chosen_curves": (
            plots.training_and_validation(history, results.metric, f"{study}: {name}, training and validation"),
            f"The chosen experiment, {name}: where the curves part, it over-fits.",
        )
    }
    if not classes:
        caption = "Predictions of the chosen experiment on the test samples."
        return drawn | {"fit": (plots.regression_fit(x, y, predictions, f"{study}: {name}"), caption)}
    title = f"{study}: {name}, test accuracy {row['test_accuracy']:.4f}"
    drawn["confusion_matrix"] = (
        plots.confusion_matrix(row["confusion"], classes, title),
        "Confusion matrix of the chosen experiment on the test examples.",
    )
    drawn["roc"] = (
        plots.roc_curves(evaluation.roc(y, predictions, classes), f"{study}: {name}, each class against the others"),
        "ROC curves of the chosen experiment on the test examples.",
    )
    wrong = evaluation.confident_mistakes(y, predictions, 8)
    if x.ndim == 4 and len(wrong):
        guesses = evaluation.labels_of(predictions)
        texts = [f"{classes[y[i]]}, taken\nfor {classes[guesses[i]]}" for i in wrong]
        drawn["mistakes"] = (
            plots.mistakes(x[wrong], texts, f"{study}: {name}, its most confident mistakes"),
            "The test examples that the chosen experiment got wrong with the greatest confidence.",
        )
    return drawn


def curves_table(results):
    """The curves of all experiments (first seed each) in long form, for `dvc plots`."""
    parts = []
    for entry in results.summary:
        repeats = [key for key in results.histories if key[0] == entry["experiment"]]
        if repeats:
            history = results.histories[repeats[0]]
            parts.append(history.drop(columns="ended").assign(experiment=entry["experiment"]))
    return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame({"epoch": [], "experiment": []})


def confusion_pairs(results, card, predictions, y):
    """Actual and predicted class of each test example, for the confusion template of `dvc plots`."""
    if not card["classes"] or predictions is None:
        return pandas.DataFrame({"actual": [], "predicted": []})
    names = pandas.Series(card["classes"])
    return pandas.DataFrame({"actual": names[y].values, "predicted": names[evaluation.labels_of(predictions)].values})
