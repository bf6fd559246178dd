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
class Study:
    """What the notebook of a study is made from: plain data."""

    name: str
    title: str
    chosen: dict | None  # row of the best experiment by validation, see results.row_of; None: none finished
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


def build(study):
    """The notebook, not executed yet: an nbformat NotebookNode. Raises LaboratoryError for an unknown experiment key."""
    cells = [v4.new_markdown_cell(introduction(study))]
    if study.chosen:
        cells += program(study)
        cells.append(v4.new_markdown_cell(reported(study)))
    cells.append(v4.new_markdown_cell(f"## All experiments\n\n{markdown_table(study.table)}"))
    questions = "\n\n".join(f"### {item['asked']}\n\n{item['answer']}" for item in study.answers)
    cells.append(v4.new_markdown_cell(f"## Questions and answers\n\n{questions}"))
    for position, cell in enumerate(cells):
        cell["id"] = f"cell-{position}"  # nbformat's own are random
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def introduction(study):
    title = f"# {study.title}"
    if study.chosen is None:
        return f"{title}\n\nNo experiment of the study `{study.name}` finished, so there is nothing to train here."
    note = f" The laboratory's copy of the data: {study.card['note']}." if study.card.get("note") else ""
    return (f"{title}\n\nThis notebook trains the network **{study.chosen['experiment']}** on {study.card['title']} with plain "
            f"Keras and tests it. Of the {len(study.table)} experiments of the study `{study.name}` it was the best by its "
            f"validation {metric_name(study)}; the table of all experiments and the answers to the questions are at the end."
            f"{note}")  # fmt: skip


def metric_name(study):
    return "accuracy" if study.metric == "accuracy" else "mean squared error"


# ---------------------------------------------------------------- the program


def program(study):
    """The cells that train and test the chosen experiment."""
    configuration, loss = study.chosen["configuration"], study.chosen["loss"]
    keras_code.check_known(configuration)
    data = data_of(study)
    passes = keras_code.passes_at_once(configuration, data)
    markdown, code = v4.new_markdown_cell, v4.new_code_cell
    return [
        code(imports(study, passes)),
        markdown("## Data"),
        code(loading(study)),
        code(validation(study, data)),
        markdown("## Network"),
        code(keras_code.network(configuration, loss, data)),
        markdown("## Training"),
        code(keras_code.training(configuration, loss, data)),
        markdown("## Learning curves"),
        code(curves(study, passes)),
        markdown("## Confusion matrix" if data.classes else "## Predictions"),
        code(test_figure(study, data)),
        markdown("## Test"),
        code(score(study)),
    ]


def data_of(study):
    """keras_code.Data: what the network's source must know of the arrays."""
    shape, name, source = tuple(study.card["shape"]), study.card["name"], study.dataset.source
    channels = shape[2] if len(shape) == 3 else 0
    digits = source.format == "sklearn" and source.name == "digits"
    if not keras_code.images_needed(study.chosen["configuration"]):
        if digits:  # load_digits has them as rows of 64 numbers as well
            shape = (math.prod(shape),)
        elif channels == 1 and name in KERAS_DATASETS:
            shape = shape[:2]
    development = study.card["rows"] - test_rows(study)
    return keras_code.Data(
        shape=shape,
        channels=channels,
        pixel_maximum=16 if digits else 255 if name in KERAS_DATASETS else None,
        sparse=source.format == "imdb",
        classes=len(study.card["classes"]),
        targets=study.y.shape[1] if study.y.ndim == 2 else 1,
        training_rows=development - round(development * study.chosen["configuration"]["validation_split"]),
    )


def test_rows(study):
    test, rows = study.dataset.split.test, study.card["rows"]
    return study.card["official_test_rows"] if test == "official" else math.ceil(rows * test)


def imports(study, passes):
    """The first cell: packages and seed."""
    source = study.dataset.source
    sklearn = ["from sklearn.model_selection import train_test_split"]
    if source.format == "sklearn":
        sklearn.insert(0, f"from sklearn.datasets import load_{source.name}")
    if study.card["classes"]:
        sklearn.insert(len(sklearn) - 1, "from sklearn.metrics import ConfusionMatrixDisplay")
    lines = ["import keras", "import matplotlib.pyplot as plt", "import numpy as np"]
    lines += ["import tensorflow as tf"] if passes > 1 else []
    return "\n".join([*lines, *sklearn, "", f"keras.utils.set_random_seed({study.chosen['configuration']['seed']})"])


def loading(study):
    """Source that leaves x, y (to train and validate on) and x_test, y_test."""
    name, source = study.card["name"], study.dataset.source
    if source.format == "imdb":
        return apart(study, f"words = {source.words}", "keras.datasets.imdb.load_data(num_words=words)", MULTI_HOT)
    if name in KERAS_DATASETS:
        return apart(study, "", f"keras.datasets.{name}.load_data()", keras_images(study))
    if source.format == "sklearn":
        return f"{scikit_learn(study)}\n{test_split(study)}"
    if study.x is not None and study.x.size + study.y.size <= EMBEDDED_NUMBERS and study.x.ndim == 2:
        return embedded(study)
    count = study.card["official_test_rows"]
    files = '# The examples as arrays in two files beside this notebook; see their shapes below.\nx, y = np.load("x.npy"), np.load("y.npy")'
    if study.dataset.split.test == "official":
        files += f"\nx, y, x_test, y_test = x[:-{count}], y[:-{count}], x[-{count}:], y[-{count}:]"
        return f"{files}\nprint(x.shape, x_test.shape)"
    return f"{files}\n{test_split(study)}\nprint(x.shape, x_test.shape)"


def apart(study, before, load, after):
    """Data that come in a training and a test part, put together where the study splits them in another way."""
    lines = [before, f"(x, y), (x_test, y_test) = {load}", after]
    if study.dataset.split.test != "official":
        lines += ["x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])", test_split(study)]
    return "\n".join(line for line in lines if line)


def keras_images(study):
    lines = ["y, y_test = y.ravel(), y_test.ravel()"] if study.card["name"] == "cifar10" else []
    if study.card["shape"][2] == 1 and keras_code.images_needed(study.chosen["configuration"]):
        lines.append("x, x_test = x[..., np.newaxis], x_test[..., np.newaxis]  # a channel axis")
    return "\n".join(lines)


def scikit_learn(study):
    name = study.dataset.source.name
    if name == "digits" and keras_code.images_needed(study.chosen["configuration"]):
        return "digits = load_digits()\nx, y = digits.images[..., np.newaxis], digits.target"
    column = "\ny = y.reshape(-1, 1)" if not study.card["classes"] else ""
    return f"x, y = load_{name}(return_X_y=True){column}"


def test_split(study):
    """The split stage's own choice: the same function, rows and seed give the same test rows."""
    stratified = "stratify=y, " if study.card["classes"] else ""
    return (f"# The test rows are those of the study.\nx, x_test, y, y_test = train_test_split("
            f"x, y, test_size={study.dataset.split.test}, {stratified}random_state={study.seed})")  # fmt: skip


def embedded(study):
    """A small table, written out."""
    x, y, count = study.x, study.y, study.card["official_test_rows"]
    if study.dataset.split.test != "official":
        return f"{written('x', x)}\n{written('y', y)}\n{test_split(study)}"
    parts = {"x": x[:-count], "y": y[:-count], "x_test": x[-count:], "y_test": y[-count:]}
    return "\n".join(written(name, values) for name, values in parts.items())


def written(name, values):
    """'name = np.array([...])' with every number in the fewest digits that give it back."""
    numbers = textwrap.fill(", ".join(map(str, values.ravel())), 118, initial_indent="    ", subsequent_indent="    ")
    shaped = f".reshape(-1, {values.shape[1]})" if values.ndim == 2 else ""
    return f'{name} = np.array([\n{numbers},\n], dtype="{values.dtype}"){shaped}'


def validation(study, data):
    """Source that keeps validation rows apart and gives the labels the form that the loss wants."""
    configuration, loss = study.chosen["configuration"], study.chosen["loss"]
    held_out = study.card["rows"] - test_rows(study) - data.training_rows
    # scikit-learn refuses to spread fewer rows than classes.
    stratified = "stratify=y, " if data.classes and held_out >= data.classes else ""
    lines = [f"x_train, x_val, y_train, y_val = train_test_split(\n    x, y, test_size={configuration['validation_split']}, "
             f"{stratified}random_state={configuration['seed']}\n)"]  # fmt: skip
    if keras_code.takes_columns(loss, data):
        lines += ["# This loss compares the outputs with one column a class.",
                  *(f"{part} = keras.utils.to_categorical({part}, {data.classes})" for part in ("y_train", "y_val"))]  # fmt: skip
    return "\n".join([*lines, "print(x_train.shape, x_val.shape, x_test.shape)"])


def curves(study, passes):
    scale = "" if study.metric == "accuracy" else ', yscale="log"'
    epochs = "np.arange(len(history.epoch)) + 1"
    return CURVES.format(metric=study.metric, epochs=f"{passes} * ({epochs})" if passes > 1 else epochs, scale=scale)


def test_figure(study, data):
    """Confusion matrix, or the fit of a regression."""
    if not data.classes:
        return CURVE_FIT if study.card["shape"] == [1] else TARGET_FIT
    one_unit = keras_code.output_units(study.chosen["loss"], data) == 1
    classes = study.card["classes"]
    return CONFUSION.format(
        labels="(predictions[:, 0] > 0.5).astype(int)" if one_unit else "predictions.argmax(axis=1)",
        classes=keras_code.literal(classes), count=len(classes), size=max(4, round(0.65 * len(classes))),
        rotated=", xticks_rotation=45" if max(map(len, classes)) > 2 else "",
    )  # fmt: skip


def score(study):
    """The last code cell: its last line of output is what `execution.score_of` reads."""
    if study.metric == "accuracy":
        return 'print(f"test accuracy: {np.mean(predicted == y_test):.4f}")'
    return 'print(f"test mse: {np.mean((predictions - y_test) ** 2):.5g}")'


# ---------------------------------------------------------------- what the laboratory found


def reported(study):
    """What the laboratory measured for the same experiment, to compare with."""
    entry, metric = study.summary, study.metric
    mean, deviation = entry[f"test_{metric}"], entry[f"test_{metric}_deviation"]
    seeds = f"{entry['repeats'] - entry['failed']} seeds"
    if metric == "accuracy":
        shown = f"**{100 * mean:.2f} ± {100 * deviation:.2f} %**" if deviation is not None else f"**{percent(mean)}**"
        low, high = study.chosen["test_accuracy_interval"]
        interval = f" The 95 % interval of its best-validated run is {percent(low)} to {percent(high)}."
    else:
        shown = f"**{number(mean, 4)}" + (f" ± {number(deviation, 2)}**" if deviation is not None else "**")
        interval = ""
    over = f" (mean and standard deviation over {seeds})" if deviation is not None else ""
    return (f"The laboratory reports a test {metric_name(study)} of {shown}{over} for this experiment.{interval} This notebook "
            "chooses other validation rows and draws other random numbers, so it differs by about as much as another seed.")  # fmt: skip


def markdown_table(cells):
    rows = [list(cells[0]), ["---"] * len(cells[0]), *(row.values() for row in cells)]
    lines = ("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join(lines) + "\n\n\\* chosen by validation"


def text_of(notebook):
    """The notebook as the text of a file."""
    return nbformat.writes(notebook, version=4, indent=1) + "\n"
