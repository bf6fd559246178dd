"""Arrays -> matplotlib figures. Every figure has a title, units and a legend, and reads in grey and by the colour-blind."""

from itertools import cycle

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
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
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
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
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
    counts = np.asarray(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = max(4.5, 0.6 * len(classes) + 1.5)
    figure, axis = plt.subplots(figsize=(size + 1, size), layout="constrained")
    shaded = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axis.text(column, row, f"{count:,}", ha="center", va="center", color="white" if share[row, column] > 0.5 else "black",
                  fontsize=8)  # fmt: skip
    axis.set(xlabel="predicted class", ylabel="true class", title=title)
    axis.set_xticks(range(len(classes)), classes, rotation=45 if max(map(len, classes)) > 2 else 0)
    axis.set_yticks(range(len(classes)), classes)
    axis.grid(False)
    figure.colorbar(shaded, label="share of the true class", shrink=0.8)
    return figure


def roc_curves(curves, title):
    """One curve a class against the others. curves: {class: (false positive rate, true positive rate, area)}."""
    figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
    for name, (false_positive, true_positive, area) in curves.items():
        axis.plot(false_positive, true_positive, label=f"{name} (area {area:.4f})")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="-", label="guessing (area 0.5)")
    axis.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
    axis.legend(fontsize=8)
    return figure


def mistakes(images, texts, title):
    """A row of wrongly classified images uint8 [count, height, width, channels] with a line of text under each."""
    figure, axes = plt.subplots(1, len(images), figsize=(1.6 * len(images), 2.4), layout="constrained", squeeze=False)
    for axis, image, text in zip(axes[0], images, texts):
        axis.imshow(image.squeeze(), cmap="gray_r" if image.shape[-1] == 1 else None)
        axis.set_xlabel(text, fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    figure.suptitle(title)
    return figure


def regression_fit(x, y, prediction, title):
    """Predictions against targets, or the fitted curve over a single input. x, y, prediction: [rows, 1]."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    if x.shape[1] == 1:
        order = np.argsort(x[:, 0])
        axis.plot(x[order, 0], y[order, 0], "o", markersize=4, fillstyle="none", label="test samples")
        axis.plot(x[order, 0], prediction[order, 0], "-", label="prediction")
        axis.set(xlabel="input", ylabel="target", title=title)
    else:
        axis.plot(y[:, 0], prediction[:, 0], "o", markersize=4, fillstyle="none", label="test samples")
        axis.axline((float(y.min()),) * 2, slope=1, color="grey", linewidth=0.8, label="exact")
        axis.set(xlabel="target", ylabel="prediction", title=title)
    axis.legend()
    return figure


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
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def pixels(figure):
    """The figure as an image uint8 [height, width, 3], and free it."""
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    return image
