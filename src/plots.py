"""Arrays -> matplotlib figures. Every figure has a title, units and a legend, and reads in grey and by the colour-blind."""

from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), darkest first. Colour and line style change together, so
# that neighbouring curves can be told apart in grey too; 28 curves differ.
COLOURS = ["#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
STYLES = cycler(color=COLOURS * 4) + cycler(linestyle=["-", "--", "-.", ":"] * 7)
plt.rcParams.update({"figure.dpi": 120, "axes.prop_cycle": STYLES, "axes.grid": True, "grid.alpha": 0.3,
                     "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})  # fmt: skip


def learning_curves(histories, losses, metric, title):
    """Validation loss and metric against epochs, all experiments overlaid.

    histories: {experiment: table with epoch, loss, METRIC, val_loss, val_METRIC}; losses: {experiment: name of its
    loss}. Losses of different kinds share no scale: only those of the commonest kind are drawn.
    """
    columns = -(-len(histories) // 16)  # of the legend
    figure, axes = plt.subplots(1, 2, figsize=(10 + 1.8 * columns, 4.5), layout="constrained")
    commonest = max(dict.fromkeys(losses.values()), key=list(losses.values()).count)
    for (name, history), style in zip(histories.items(), cycle(STYLES)):
        axes[1].plot(history["epoch"], history[f"val_{metric}"], label=name, **style)
        if losses[name] == commonest:
            axes[0].plot(history["epoch"], history["val_loss"], **style)
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set(xlabel="epoch", ylabel="validation loss", title=f"{commonest} (lower is better)", yscale="log")
    best = "higher" if metric == "accuracy" else "lower"
    axes[1].set(xlabel="epoch", ylabel=f"validation {metric}", title=f"{metric.capitalize()} ({best} is better)")
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), ncols=columns, fontsize=8)
    figure.suptitle(title)
    return figure


def training_and_validation(history, metric, title):
    """Loss and metric of one training on its training and validation rows: where they part, it over-fits."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("loss", metric)):
        axis.plot(history["epoch"], history[name], label="training")
        axis.plot(history["epoch"], history[f"val_{name}"], label="validation")
        axis.set(xlabel="epoch", ylabel=name)
        axis.legend()
    figure.suptitle(title)
    return figure


def confusion_matrix(counts, classes, title):
    """Counts in the cells, shaded by the share of the true class."""
    figure = empty_confusion_matrix(classes)
    fill_confusion_matrix(figure, counts, title)
    return figure


def empty_confusion_matrix(classes):
    """The figure of a confusion matrix, to be filled once or more often: to fill takes a third of drawing it anew."""
    size = max(4.5, 0.6 * len(classes) + 1.5)
    figure, axis = plt.subplots(figsize=(size + 1, size), layout="constrained")
    shaded = axis.imshow(np.zeros((len(classes), len(classes))), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(len(classes), len(classes)):
        # Text within the axes moves nothing; to measure all of it for the layout only takes time.
        axis.text(column, row, "", ha="center", va="center", fontsize=8, in_layout=False)
    axis.set(xlabel="predicted class", ylabel="true class")
    axis.set_xticks(range(len(classes)), classes, rotation=45 if max(map(len, classes)) > 2 else 0)
    axis.set_yticks(range(len(classes)), classes)
    axis.grid(False)
    figure.colorbar(shaded, label="share of the true class", shrink=0.8)
    return figure


def fill_confusion_matrix(figure, counts, title):
    """Put other counts [true class, predicted class] and another title into the figure."""
    counts, axis = np.asarray(counts), figure.axes[0]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axis.images[0].set_data(share)
    axis.set_title(title)
    for text, count, dark in zip(axis.texts, counts.ravel(), share.ravel() > 0.5):
        text.set(text=f"{count:,}", color="white" if dark else "black")


def roc_curves(curves, title):
    """One curve a class against the others. curves: {class: [false positive rate, true positive rate]}, by thresholds."""
    figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
    for name, (false_positive, true_positive) in curves.items():
        area = np.trapezoid(true_positive, false_positive)
        axis.plot(false_positive, true_positive, label=f"{name} (area {area:.4f})")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="-", label="guessing (area 0.5)")
    axis.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
    axis.legend(fontsize=8)
    return figure


def regression_fit(samples, prediction, dark, title):
    """Predictions against targets, or the fitted curve over a single input with the intervals that trained on nothing.

    samples: {'training': (x, y), 'test': (x, y)}, arrays [rows, columns]; prediction: of the test samples [rows, 1];
    dark: [(low, high)] of the intervals.
    """
    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    x, y = samples["test"]
    if x.shape[1] == 1:
        order = np.argsort(x[:, 0])
        for low, high in dark:
            axis.axvspan(low, high, color="grey", alpha=0.2, label="dark interval")
        for (name, (inputs, targets)), marker in zip(samples.items(), "x+"):
            axis.plot(inputs[:, 0], targets[:, 0], marker, markersize=5, label=f"{name} samples")
        axis.plot(x[order, 0], prediction[order, 0], "-", color=COLOURS[2], linewidth=2, label="prediction")
        axis.set(xlabel="input", ylabel="target", title=title)
    else:
        axis.plot(y[:, 0], prediction[:, 0], "o", markersize=4, fillstyle="none", label="test samples")
        axis.axline((float(y.min()),) * 2, slope=1, color="grey", linewidth=0.8, label="exact")
        axis.set(xlabel="target", ylabel="prediction", title=title)
    handles = dict(zip(*reversed(axis.get_legend_handles_labels())))
    axis.legend(handles.values(), handles.keys())
    return figure


def curves_of_each(histories, title):
    """Training and validation loss of each experiment in a panel of its own. histories: {experiment: table of curves}."""
    columns = min(5, len(histories))
    rows = -(-len(histories) // columns)
    size = (2.6 * columns, 2.1 * rows + 0.6)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, (name, history) in zip(axes.flat, histories.items()):
        axis.plot(history["epoch"], history["loss"], label="training")
        axis.plot(history["epoch"], history["val_loss"], label="validation")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        if history["loss"].max() > 20 * history["loss"].min():
            axis.set_yscale("log")
    for axis in axes.flat[len(histories) :]:
        axis.set_visible(False)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.supxlabel("epoch")
    figure.supylabel("loss")
    figure.suptitle(title, x=0.02, ha="left")
    return figure


def activation_functions(curves, title):
    """curves: {name: [inputs, outputs]}."""
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, (inputs, outputs) in curves.items():
        axis.plot(inputs, outputs, label=name)
    axis.set(xlabel="input of the unit", ylabel="output", title=title)
    axis.legend()
    return figure


def weight_histograms(histograms, title):
    """One panel a layer. histograms: {layer: [centres, counts]}."""
    figure, axes = panels(len(histograms), 3.2, 2.8)
    for axis, (name, (centres, counts)) in zip(axes, histograms.items()):
        axis.bar(centres, counts, width=centres[1] - centres[0], color=COLOURS[1])
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("weight")
    axes[0].set_ylabel("how many weights")
    figure.suptitle(title)
    return figure


def image_grid(images, texts, title, columns=8):
    """Images [count, height, width(, channels)] in rows of `columns`, a line of text under each ('' for none)."""
    rows = -(-len(images) // columns)
    size = (1.15 * columns, (1.45 if any(texts) else 1.15) * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, text in zip(axes.flat, images, texts):
        axis.imshow(image.squeeze(), cmap=None if image.ndim == 3 and image.shape[-1] == 3 else "gray_r")
        axis.set_title(text, fontsize=7, y=-0.28)
    figure.suptitle(title)
    return figure


def structure(layers, title):
    """A network as a chain of boxes. layers: [(text in the box, text below it)] from input to output."""
    figure, axis = plt.subplots(figsize=(1.45 * len(layers), 1.8), layout="constrained")
    for position, (inside, below) in enumerate(layers):
        axis.text(position, 0.6, inside, ha="center", va="center", fontsize=8, bbox={"boxstyle": "round,pad=0.5", "fc": "white", "ec": COLOURS[1]})  # fmt: skip
        axis.text(position, 0.22, below, ha="center", va="center", fontsize=7)
    for position in range(len(layers) - 1):
        axis.annotate("", (position + 0.62, 0.6), (position + 0.38, 0.6), arrowprops={"arrowstyle": "->"})
    axis.set(xlim=(-0.6, len(layers) - 0.4), ylim=(-0.2, 1), title=title)
    axis.set_axis_off()
    return figure


def predictions(images, answers, title):
    """One panel an answer of src/predict.py: the image as the network sees it where there is one, and the likeliest classes.

    images: float32 [count, height, width, channels], or None; answers: see predict.answer.
    """
    if "prediction" in answers[0]:
        return predicted_values(answers, title)
    width = 2 if images is not None else 1
    columns = min(len(answers), 4)
    rows = -(-len(answers) // columns)
    figure, axes = plt.subplots(rows, columns * width, figsize=(2.6 * columns * width, 1.9 * rows + 0.6), layout="constrained",
                                squeeze=False)  # fmt: skip
    for axis in axes.flat:
        axis.set_axis_off()
    for position, answer in enumerate(answers):
        *image, bars = axes.flat[width * position : width * (position + 1)]
        if image:
            picture = images[position] / max(1, images.max())
            image[0].imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1)
        bars.set_axis_on()
        bars.barh(
            [one["class"] for one in answer["top"]], [one["probability"] for one in answer["top"]], color=COLOURS[1]
        )
        bars.invert_yaxis()
        bars.set(xlim=(0, 1))
        bars.set_title(Path(answer["file"]).name, fontsize=8)
        bars.tick_params(labelsize=7)
    figure.supxlabel("probability", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def predicted_values(answers, title):
    """Predictions of a regression with their typical error, one row of a table below the other."""
    figure, axis = plt.subplots(figsize=(7, 0.3 * len(answers) + 1.5), layout="constrained")
    names = [Path(answer["file"]).name for answer in answers]
    values, errors = zip(*((answer["prediction"][0], answer["typical_error"][0]) for answer in answers))
    axis.errorbar(values, names, xerr=errors, fmt="o", color=COLOURS[1], capsize=3, label="prediction ± typical error")
    axis.invert_yaxis()
    axis.set(xlabel="prediction", title=title)
    axis.legend()
    return figure


def panels(count, width, height):
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), layout="constrained", squeeze=False)
    return figure, axes[0]


def training_times(seconds, title):
    """Bars of training seconds. seconds: {experiment: mean over repeats}."""
    figure, axis = plt.subplots(figsize=(7, 0.35 * len(seconds) + 1.5), layout="constrained")
    bars = axis.barh(list(seconds), list(seconds.values()), color=COLOURS[1])
    axis.bar_label(bars, fmt="%.2f s", padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set(xlabel="training time (seconds)", title=title)
    return figure


def save(figure, path):
    """Write the figure without anything that changes from run to run, and free it."""
    fix_layout(figure)  # else savefig draws all of it a first time, for the layout alone
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def pixels(figure):
    """The figure as an image uint8 [height, width, 3]. It keeps its layout, whatever is drawn into it later."""
    fix_layout(figure)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def fix_layout(figure):
    """Settle where everything stands, once and for all."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
