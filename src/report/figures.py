"""The report's figures: from results to PNG files with their captions."""

from dataclasses import dataclass

import numpy as np
import pandas

from src import evaluation, plots
from src.report import tables
from src.wording import value

SAMPLES = 16  # images shown of a dataset


@dataclass
class Shown:
    """What is drawn of a study: its data, and the chosen network where there is one."""

    study: str
    results: object  # answers.Results
    card: dict  # of the dataset
    insides: dict  # see insides.look_inside


def write(folder, shown):
    """Write the study's figures into `folder`; returns [(file name, caption)]."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for draw in (of_all, of_data, of_network, of_chosen_curves, of_classifier, of_regression):
        drawn |= draw(shown)
    for name, (figure, _) in drawn.items():
        plots.save(figure, folder / f"{name}.png")
    return [(f"{name}.png", caption) for name, (_, caption) in drawn.items()]


def of_all(shown):
    """{name: (figure, caption)} that compare all experiments."""
    results, study = shown.results, shown.study
    first = {row["experiment"]: row for row in reversed(results.finished)}
    histories = {name: results.histories[name, row["repeat"]] for name, row in reversed(first.items())}
    if not histories:
        return {}
    losses = {name: row["loss"] for name, row in first.items()}
    times = {e["experiment"]: e["training_seconds"] for e in results.summary if e["training_seconds"] is not None}
    return {
        "learning_curves": (
            plots.learning_curves(histories, losses, results.metric, f"{study}: learning curves"),
            "Learning curves of all experiments on the validation rows (first seed each). Losses of another kind than the "
            "commonest have a scale of their own and are left out on the left.",
        ),
        "curves_of_each": (
            plots.curves_of_each(histories, f"{study}: loss of each experiment"),
            "Training and validation loss of each experiment (first seed each): where they part, it over-fits.",
        ),
        "training_times": (
            plots.training_times(times, f"{study}: training time"),
            "Training time of each experiment, mean over its seeds; compilation not counted.",
        ),
    }


def of_data(shown):
    """Sample images, where the dataset has images."""
    x, y = shown.results.samples["training"]
    if x.ndim != 4:
        return {}
    texts = [shown.card["classes"][label] for label in y[:SAMPLES]]
    title = f"{shown.study}: training images of {shown.card['title']}"
    return {"samples": (plots.image_grid(x[:SAMPLES], texts, title), "The first training images and their classes.")}


def of_network(shown):
    """Structure, activations, weights, filters and feature maps of the chosen network; its augmented images."""
    if not shown.insides:
        return {}
    name, study = shown.results.chosen["experiment"], shown.study
    drawn = {
        "structure": (
            plots.structure(chain(shown.results.chosen, shown.card), f"{study}: structure of {name}"),
            "The chosen network from input to output.",
        ),
        "weights": (
            plots.weight_histograms(shown.insides["histogram"], f"{study}: weights of {name}"),
            "How the weights of each layer of the chosen network are distributed after training.",
        ),
    }
    if "activation" in shown.insides:  # networks without a hidden layer have none
        drawn["activations"] = (
            plots.activation_functions(shown.insides["activation"], f"{study}: activation functions"),
            "The activation functions of the study's hidden layers.",
        )
    for layer, kernels in shown.insides.get("filters", {}).items():
        figure = plots.image_grid(np.moveaxis(kernels, -1, 0), [""] * kernels.shape[-1], f"{study}: filters of {layer}")
        drawn["filters"] = (figure, f"The first filters of {layer} of the chosen network (dark: positive weights).")
    for layer, maps in shown.insides.get("maps", {}).items():
        figure = plots.image_grid(np.moveaxis(maps, -1, 0), [""] * maps.shape[-1], f"{study}: feature maps of {layer}")
        drawn[f"maps_{layer}"] = (figure, f"What {layer} makes of one test image, a map a filter (dark: active).")
    if "augmented" in shown.insides:
        changed = next(iter(shown.insides["augmented"].values()))
        texts = (["original"] + [""] * (changed.shape[1] - 1)) * len(changed)
        images = changed.reshape(-1, *changed.shape[2:])
        figure = plots.image_grid(images, texts, f"{study}: augmented images of {name}", columns=changed.shape[1])
        drawn["augmented"] = (figure, "Images as they are, and as augmentation shows them to the network.")
    return drawn


def chain(row, card):
    """[(text in the box, text below it)] of a network's layers."""
    configuration = row["configuration"]
    boxes = [("input", " x ".join(map(str, card["shape"])))]
    if configuration["normalisation"] != "none":
        boxes.append(("normalise", configuration["normalisation"]))
    for convolution in configuration["convolutions"]:
        size = f"{convolution['kernel_size']} x {convolution['kernel_size']}"
        boxes.append((f"convolution\n{convolution['filters']} filters", f"{size}, {value(convolution['activation'])}"))
    for index, units in enumerate(configuration["hidden_layers"]):
        activation = configuration["activation"]
        boxes.append(
            (f"dense\n{units} units", value(activation[index] if isinstance(activation, list) else activation))
        )
    return [*boxes, ("output", f"{len(card['classes']) or 1} {'classes' if card['classes'] else 'value'}")]


def of_chosen_curves(shown):
    row = shown.results.chosen
    if row is None:
        return {}
    name, metric = row["experiment"], shown.results.metric
    history = shown.results.histories[name, row["repeat"]]
    figure = plots.training_and_validation(history, metric, f"{shown.study}: {name}, training and validation")
    return {"chosen_curves": (figure, f"The chosen experiment, {name}: where the curves part, it over-fits.")}


def of_classifier(shown):
    """Confusion matrix, ROC curves and mistakes of the chosen classifier."""
    row, classes, study = shown.results.chosen, shown.card["classes"], shown.study
    if row is None or not classes:
        return {}
    name, (x, y) = row["experiment"], shown.results.samples["test"]
    title = f"{study}: {name}, test accuracy {row['test_accuracy']:.4f}"
    drawn = {
        "confusion_matrix": (
            plots.confusion_matrix(row["confusion"], classes, title),
            "Confusion matrix of the chosen experiment on the test examples.",
        ),
        "roc": (
            plots.roc_curves(shown.insides["roc"], f"{study}: {name}, each class against the others"),
            "ROC curves of the chosen experiment on the test examples.",
        ),
    }
    wrong = evaluation.confident_mistakes(y, shown.results.predictions, 8)
    if x.ndim == 4 and len(wrong):
        guesses = evaluation.labels_of(shown.results.predictions)
        texts = [f"{classes[y[i]]}, taken\nfor {classes[guesses[i]]}" for i in wrong]
        drawn["mistakes"] = (
            plots.image_grid(x[wrong], texts, f"{study}: {name}, its most confident mistakes"),
            "The test examples that the chosen experiment got wrong with the greatest confidence.",
        )
    return drawn


def of_regression(shown):
    row = shown.results.chosen
    if row is None or shown.card["classes"]:
        return {}
    samples, predictions = shown.results.samples, shown.results.predictions
    dark = evaluation.dark_intervals(samples["training"][0][:, 0])
    figure = plots.regression_fit(samples, predictions, dark, f"{shown.study}: {row['experiment']}")
    caption = "The chosen network, the samples it learned from, and the test samples it had not seen."
    return {"fit": (figure, caption)}


def curves_table(results):
    """The curves of all experiments (first seed each) in long form, for `dvc plots`."""
    parts = []
    for entry in results.summary:
        repeats = [key for key in results.histories if key[0] == entry["experiment"]]
        if repeats:
            history = tables.thinned(results.histories[repeats[0]])
            parts.append(history.drop(columns="ended").assign(experiment=entry["experiment"]))
    return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame({"epoch": [], "experiment": []})


def confusion_pairs(results, card):
    """Actual and predicted class of each test example, for the confusion template of `dvc plots`."""
    if not card["classes"] or results.predictions is None:
        return pandas.DataFrame({"actual": [], "predicted": []})
    names = pandas.Series(card["classes"])
    actual, predicted = results.samples["test"][1], evaluation.labels_of(results.predictions)
    return pandas.DataFrame({"actual": names[actual].values, "predicted": names[predicted].values})
