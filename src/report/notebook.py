"""Results of a study -> the notebook to hand in: its best experiment in plain Keras, the table of all, the answers.

The notebook stands alone: it imports public packages only and fetches or holds its data. Nothing here runs it; see
execution.py. The Keras source of an experiment comes from keras_code.py.
"""

import math
import textwrap
from dataclasses import dataclass

import nbformat
import numpy as np
from nbformat import v4

from src.report import keras_code
from src.wording import number, percent

KERAS_DATASETS = ("mnist", "fashion_mnist", "cifar10")
EMBEDDED_NUMBERS = 5000  # tables up to this size are written into the notebook
MULTI_HOT = '''
def multi_hot(reviews):
    """One row a review: 1 in the columns of the words that occur in it."""
    rows = np.zeros((len(reviews), words), dtype="uint8")
    for row, review in zip(rows, reviews):
        row[review] = 1
    return rows


x, x_test = multi_hot(x), multi_hot(x_test)'''
CURVES = """figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
epochs = {epochs}
for axis, name in zip(axes, ["loss", "{metric}"]):
    axis.plot(epochs, history.history[name], label="training")
    axis.plot(epochs, history.history[f"val_{{name}}"], "--", label="validation")
    axis.set(xlabel="epoch", ylabel=name{scale})
    axis.legend()
plt.show()"""
CONFUSION = """predictions = model.predict(x_test, verbose=0)
predicted = {labels}
classes = {classes}
figure, axis = plt.subplots(figsize=({size}, {size}), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test, predicted, labels=range({count}), display_labels=classes, cmap="Blues", colorbar=False, ax=axis{rotated}
)
plt.show()"""
CURVE_FIT = """predictions = model.predict(x_test, verbose=0)
grid = np.linspace(min(x.min(), x_test.min()), max(x.max(), x_test.max()), 500).reshape(-1, 1)
figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
axis.plot(x, y, "o", markersize=4, label="training and validation samples")
axis.plot(x_test, y_test, "^", markersize=4, fillstyle="none", label="test samples")
axis.plot(grid, model.predict(grid, verbose=0), "k-", label="prediction")
axis.set(xlabel="input", ylabel="target")
axis.legend()
plt.show()"""
TARGET_FIT = """predictions = model.predict(x_test, verbose=0)
figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
axis.plot(y_test, predictions, "o", markersize=4, fillstyle="none", label="test samples")
axis.axline((y_test.min(), y_test.min()), slope=1, color="grey", label="exact")
axis.set(xlabel="target", ylabel="prediction")
axis.legend()
plt.show()"""


@dataclass
class Material:
    """What the notebook of a study is made from."""

    name: str
    title: str
    chosen: dict | None  # row of the experiment it trains, see results.row_of; None: it did not finish
    best: str | None  # the experiment that validation chose; the one it trains unless params.yaml names a cheaper one
    summary: dict | None  # the same experiment's entry in tables.summary
    card: dict  # data/processed/DATASET/card.json
    dataset: object  # params.Dataset
    seed: int  # of the split
    x: np.ndarray | None  # the dataset's arrays as in data/processed; x is None where it is sparse
    y: np.ndarray
    table: list[dict]  # tables.comparison
    answers: list[dict]  # answers.answer

    @property
    def metric(self):
        return "accuracy" if self.card["classes"] else "mse"


def build(material):
    """The notebook, not executed yet: an nbformat NotebookNode. Raises LaboratoryError for an unknown experiment key."""
    cells = [v4.new_markdown_cell(introduction(material))]
    if material.chosen:
        cells += program(material)
        cells.append(v4.new_markdown_cell(reported(material)))
    cells.append(v4.new_markdown_cell(f"## All experiments\n\n{markdown_table(material.table)}"))
    questions = "\n\n".join(f"### {item['asked']}\n\n{item['answer']}" for item in material.answers)
    cells.append(v4.new_markdown_cell(f"## Questions and answers\n\n{questions}"))
    for position, cell in enumerate(cells):
        cell["id"] = f"cell-{position}"  # nbformat's own are random
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def introduction(material):
    title = f"# {material.title}"
    if material.chosen is None:
        return f"{title}\n\nNo experiment of the study `{material.name}` finished, so there is nothing to train here."
    note = f" The laboratory's copy of the data: {material.card['note']}." if material.card.get("note") else ""
    return (f"{title}\n\nThis notebook trains the network **{material.chosen['experiment']}** of the study `{material.name}` in "
            f"plain Keras and tests it. Data: {material.card['title']}. {why(material)}; the table of all experiments and the "
            f"answers to the questions are at the end.{note}")  # fmt: skip


def why(material):
    """Why this experiment."""
    if material.chosen["experiment"] != material.best:
        return (f"The best of the study's {len(material.table)} experiments by its validation {metric_name(material)}, "
                f"**{material.best}**, takes too long for a notebook; this one is cheaper")  # fmt: skip
    others = f"Of the study's {len(material.table)} experiments it" if len(material.table) > 1 else "It"
    return f"{others} was the best by its validation {metric_name(material)}"


def metric_name(material):
    return "accuracy" if material.metric == "accuracy" else "mean squared error"


# ---------------------------------------------------------------- the program


def program(material):
    """The cells that train and test the chosen experiment."""
    configuration, loss = material.chosen["configuration"], material.chosen["loss"]
    keras_code.check_known(configuration)
    data = data_of(material)
    passes = keras_code.passes_at_once(configuration, data)
    markdown, code = v4.new_markdown_cell, v4.new_code_cell
    return [
        code(imports(material, passes)),
        markdown("## Data"),
        code(loading(material)),
        code(validation(material, data)),
        markdown("## Network"),
        code(keras_code.network(configuration, loss, data)),
        markdown("## Training"),
        code(keras_code.training(configuration, loss, data)),
        markdown("## Learning curves"),
        code(curves(material, passes)),
        markdown("## Confusion matrix" if data.classes else "## Predictions"),
        code(test_figure(material, data)),
        markdown("## Test"),
        code(score(material)),
    ]


def data_of(material):
    """keras_code.Data: what the network's source must know of the arrays."""
    shape, name, source = tuple(material.card["shape"]), material.card["name"], material.dataset.source
    channels = shape[2] if len(shape) == 3 else 0
    digits = source.format == "sklearn" and source.name == "digits"
    if not keras_code.images_needed(material.chosen["configuration"]):
        if digits:  # load_digits has them as rows of 64 numbers as well
            shape = (math.prod(shape),)
        elif channels == 1 and name in KERAS_DATASETS:
            shape = shape[:2]
    left = development_rows(material) - held_out_rows(material)
    return keras_code.Data(
        shape=shape,
        channels=channels,
        pixel_maximum=16 if digits else 255 if name in KERAS_DATASETS else None,
        sparse=source.format == "imdb",
        classes=len(material.card["classes"]),
        targets=material.y.shape[1] if material.y.ndim == 2 else 1,
        training_rows=min(left, material.chosen["configuration"]["training_rows"] or left),
    )


def development_rows(material):
    return material.card["rows"] - test_rows(material)


def held_out_rows(material):
    return round(development_rows(material) * material.chosen["configuration"]["validation_split"])


def test_rows(material):
    test, rows = material.dataset.split.test, material.card["rows"]
    return material.card["official_test_rows"] if test == "official" else math.ceil(rows * test)


def imports(material, passes):
    """The first cell: packages and seed."""
    source = material.dataset.source
    sklearn = ["from sklearn.model_selection import train_test_split"]
    if source.format == "sklearn":
        sklearn.insert(0, f"from sklearn.datasets import load_{source.name}")
    if material.card["classes"]:
        sklearn.insert(len(sklearn) - 1, "from sklearn.metrics import ConfusionMatrixDisplay")
    lines = ["import keras", "import matplotlib.pyplot as plt", "import numpy as np"]
    lines += ["import tensorflow as tf"] if passes > 1 else []
    return "\n".join([*lines, *sklearn, "", f"keras.utils.set_random_seed({material.chosen['configuration']['seed']})"])


def loading(material):
    """Source that leaves x, y (to train and validate on) and x_test, y_test."""
    name, source = material.card["name"], material.dataset.source
    if source.format == "imdb":
        return apart(material, f"words = {source.words}", "keras.datasets.imdb.load_data(num_words=words)", MULTI_HOT)
    if name in KERAS_DATASETS:
        return apart(material, "", f"keras.datasets.{name}.load_data()", keras_images(material))
    if source.format == "sklearn":
        return f"{scikit_learn(material)}\n{test_split(material)}"
    if material.x is not None and material.x.size + material.y.size <= EMBEDDED_NUMBERS and material.x.ndim == 2:
        return embedded(material)
    count = material.card["official_test_rows"]
    files = '# The examples as arrays in two files beside this notebook; see their shapes below.\nx, y = np.load("x.npy"), np.load("y.npy")'
    if material.dataset.split.test == "official":
        files += f"\nx, y, x_test, y_test = x[:-{count}], y[:-{count}], x[-{count}:], y[-{count}:]"
        return f"{files}\nprint(x.shape, x_test.shape)"
    return f"{files}\n{test_split(material)}\nprint(x.shape, x_test.shape)"


def apart(material, before, load, after):
    """Data that come in a training and a test part, put together where params.yaml splits them in another way."""
    lines = [before, f"(x, y), (x_test, y_test) = {load}", after]
    if material.dataset.split.test != "official":
        lines += ["x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])", test_split(material)]
    return "\n".join(line for line in lines if line)


def keras_images(material):
    lines = ["y, y_test = y.ravel(), y_test.ravel()"] if material.card["name"] == "cifar10" else []
    if material.card["shape"][2] == 1 and keras_code.images_needed(material.chosen["configuration"]):
        lines.append("x, x_test = x[..., np.newaxis], x_test[..., np.newaxis]  # a channel axis")
    return "\n".join(lines)


def scikit_learn(material):
    name = material.dataset.source.name
    if name == "digits" and keras_code.images_needed(material.chosen["configuration"]):
        return "digits = load_digits()\nx, y = digits.images[..., np.newaxis], digits.target"
    column = "\ny = y.reshape(-1, 1)" if not material.card["classes"] else ""
    return f"x, y = load_{name}(return_X_y=True){column}"


def test_split(material):
    """The split stage's own choice: the same function, rows and seed give the same test rows."""
    stratified = "stratify=y, " if material.card["classes"] else ""
    return (f"# The test rows are those of the material.\nx, x_test, y, y_test = train_test_split("
            f"x, y, test_size={material.dataset.split.test}, {stratified}random_state={material.seed})")  # fmt: skip


def embedded(material):
    """A small table, written out."""
    x, y, count = material.x, material.y, material.card["official_test_rows"]
    if material.dataset.split.test != "official":
        return f"{written('x', x)}\n{written('y', y)}\n{test_split(material)}"
    parts = {"x": x[:-count], "y": y[:-count], "x_test": x[-count:], "y_test": y[-count:]}
    return "\n".join(written(name, values) for name, values in parts.items())


def written(name, values):
    """'name = np.array([...])' with every number in the fewest digits that give it back."""
    numbers = textwrap.fill(", ".join(map(str, values.ravel())), 118, initial_indent="    ", subsequent_indent="    ")
    shaped = f".reshape(-1, {values.shape[1]})" if values.ndim == 2 else ""
    return f'{name} = np.array([\n{numbers},\n], dtype="{values.dtype}"){shaped}'


def validation(material, data):
    """Source that keeps validation rows apart and gives the labels the form that the loss wants."""
    configuration, loss = material.chosen["configuration"], material.chosen["loss"]
    held_out = held_out_rows(material)
    # scikit-learn refuses to spread fewer rows than classes.
    stratified = "stratify=y, " if data.classes and held_out >= data.classes else ""
    lines = [f"x_train, x_val, y_train, y_val = train_test_split(\n    x, y, test_size={configuration['validation_split']}, "
             f"{stratified}random_state={configuration['seed']}\n)"]  # fmt: skip
    if configuration["training_rows"]:
        lines.append(f"x_train, y_train = x_train[:{data.training_rows}], y_train[:{data.training_rows}]")
    if keras_code.takes_columns(loss, data):
        lines += ["# This loss compares the outputs with one column a class.",
                  *(f"{part} = keras.utils.to_categorical({part}, {data.classes})" for part in ("y_train", "y_val"))]  # fmt: skip
    return "\n".join([*lines, "print(x_train.shape, x_val.shape, x_test.shape)"])


def curves(material, passes):
    scale = "" if material.metric == "accuracy" else ', yscale="log"'
    epochs = "np.arange(len(history.epoch)) + 1"
    return CURVES.format(metric=material.metric, epochs=f"{passes} * ({epochs})" if passes > 1 else epochs, scale=scale)


def test_figure(material, data):
    """Confusion matrix, or the fit of a regression."""
    if not data.classes:
        return CURVE_FIT if material.card["shape"] == [1] else TARGET_FIT
    one_unit = keras_code.output_units(material.chosen["loss"], data) == 1
    classes = material.card["classes"]
    return CONFUSION.format(
        labels="(predictions[:, 0] > 0.5).astype(int)" if one_unit else "predictions.argmax(axis=1)",
        classes=keras_code.literal(classes), count=len(classes), size=max(4, round(0.65 * len(classes))),
        rotated=", xticks_rotation=45" if max(map(len, classes)) > 2 else "",
    )  # fmt: skip


def score(material):
    """The last code cell: its last line of output is what `execution.score_of` reads."""
    if material.metric == "accuracy":
        return 'print(f"test accuracy: {np.mean(predicted == y_test):.4f}")'
    return 'print(f"test mse: {np.mean((predictions - y_test) ** 2):.5g}")'


# ---------------------------------------------------------------- what the laboratory found


def reported(material):
    """What the laboratory measured for the same experiment, to compare with."""
    entry, metric = material.summary, material.metric
    mean, deviation = entry[f"test_{metric}"], entry[f"test_{metric}_deviation"]
    seeds = f"{entry['repeats'] - entry['failed']} seeds"
    if metric == "accuracy":
        shown = f"**{100 * mean:.2f} ± {100 * deviation:.2f} %**" if deviation is not None else f"**{percent(mean)}**"
        low, high = material.chosen["test_accuracy_interval"]
        interval = f" The 95 % interval of its best-validated run is {percent(low)} to {percent(high)}."
    else:
        shown = f"**{number(mean, 4)}" + (f" ± {number(deviation, 2)}**" if deviation is not None else "**")
        interval = ""
    over = f" (mean and standard deviation over {seeds})" if deviation is not None else ""
    return (f"The laboratory reports a test {metric_name(material)} of {shown}{over} for this experiment.{interval} This notebook "
            "chooses other validation rows and draws other random numbers, so it differs by about as much as another seed.")  # fmt: skip


def markdown_table(cells):
    rows = [list(cells[0]), ["---"] * len(cells[0]), *(row.values() for row in cells)]
    lines = ("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join(lines) + "\n\n\\* chosen by validation"


def text_of(notebook):
    """The notebook as the text of a file."""
    return nbformat.writes(notebook, version=4, indent=1) + "\n"
