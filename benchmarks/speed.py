"""python -m benchmarks.speed CASE...: how fast the trainer is; `make bench` measures all cases.

Each case is trained by this laboratory and by `keras.Model.fit` with Keras's defaults, on the same backend, rows and
network, validation included; where scikit-learn's MLPClassifier can do the task, by that too. Every measurement is a process
of its own, the sides take turns, medians are quoted. An epoch's time is that of later epochs; what comes before the first
one ends (tracing, compilation) has a column of its own. Writes benchmarks/speed.md and benchmarks/speed.png.

The data come from the pipeline: `dvc repro split@mnist split@cifar10 split@imdb split@gaps` first.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from src import command_line

ROUNDS = 3
# dataset, overrides of params.yaml's defaults, training rows (0: all), epochs timed by each side, target ratio to fit
MLP = {"hidden_layers": [128, 64], "learning_rate": 0.01, "optimizer": "SGD"}
CONVOLUTIONS = [{"filters": 32, "batch_normalization": True},
                {"filters": 64, "batch_normalization": True, "pool_size": 2, "dropout": 0.25}]  # fmt: skip
CASES = {
    "MNIST, batch 64": ("mnist", MLP | {"batch_size": 64}, 0, (20, 2), 5),
    "MNIST, batch 32, Adam": ("mnist", MLP | {"batch_size": 32, "optimizer": "adam"}, 0, (10, 2), 5),
    "MNIST, batch 32, RMSprop": ("mnist", MLP | {"batch_size": 32, "optimizer": "rmsprop"}, 0, (10, 2), 5),
    "MNIST, batch 1": ("mnist", MLP | {"batch_size": 1}, 4_800, (10, 1), 60),
    "MNIST, full batch": ("mnist", MLP | {"batch_size": "full"}, 0, (20, 20), 1.5),
    "CIFAR-10, batch 128": ("cifar10", MLP | {"batch_size": 128}, 0, (5, 2), 2),
    "IMDB, batch 512": ("imdb", {"hidden_layers": [16, 16], "loss": "binary_crossentropy", "optimizer": "rmsprop",
                                 "batch_size": 512}, 15_000, (5, 3), 3),
    "Regression, 2 steps an epoch": ("gaps", {"hidden_layers": [16, 64], "activation": ["selu", "sigmoid"], "batch_size": 50,
                                              "optimizer": "adam", "learning_rate": 4e-4}, 0, (20_000, 40), 500),
    "Wide, batch 256": ("cifar10", {"hidden_layers": [1024, 512, 256], "batch_normalization": True, "dropout": 0.3,
                                    "optimizer": {"name": "AdamW", "weight_decay": 0.01}, "batch_size": 256}, 11_520, (4, 2), 2),
    "MNIST CNN, batch 128": ("mnist", {"convolutions": CONVOLUTIONS, "hidden_layers": [300], "batch_normalization": True,
                                       "normalisation": "standardise", "batch_size": 128}, 6_400, (3, 3), 1.2),
}  # fmt: skip


def main():
    parser = command_line.parser(__doc__, 'python -m benchmarks.speed "MNIST, batch 64" "MNIST, batch 1"')
    parser.add_argument("cases", nargs="*", help="names of cases; all where none is given")
    parser.add_argument("--measure", choices=list(SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(SIDES[arguments.measure](*CASES[arguments.cases[0]])))
        return
    rows = [compare(name) for name in arguments.cases or CASES]
    if not arguments.cases:
        Path("benchmarks/speed.md").write_text(table(rows) + "\n")
        draw(rows)
    print(table(rows))


def compare(name):
    """Measure every side of a case ROUNDS times, taking turns; medians."""
    sides = ["ours", "fit"] + (["sklearn"] if name.startswith("MNIST, batch") else [])
    sides += ["products"] if name == "MNIST, batch 64" else []
    found = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side in sides:
            print(f"{name}: {side} ...", file=sys.stderr, end="\r")
            command = [sys.executable, "-m", "benchmarks.speed", name, "--measure", side]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[side].append(json.loads(done.stdout.strip().split("\n")[-1]))
    median = {side: {key: statistics.median(m[key] for m in measured) for key in measured[0]}
              for side, measured in found.items()}  # fmt: skip
    return {"name": name, "target": CASES[name][4], **median}


# ---------------------------------------------------------------- the sides, each in a process of its own


def prepared(dataset, overrides, rows, epochs):
    """The resolved experiment, (x_train, y_train, x_validation, y_validation), and the dataset's card."""
    from src import params
    from src.datasets.split import validation_rows
    from src.training import experiments

    settings = params.load()
    merged = {"seed": settings.seed, **settings.defaults, **overrides, "epochs": epochs}
    experiment = params.Experiment.model_validate(merged)
    data = experiments.development(dataset)
    x, y = data["x"], data["y"]
    held_out = len(y) - rows if dataset == "imdb" else validation_rows(len(y), experiment.validation_split)
    last = held_out + rows if rows else len(y)
    checked = held_out if dataset == "imdb" else (last - held_out) // 4  # the usual 80 to 20
    arrays = x[held_out:last], y[held_out:last], x[:checked], y[:checked]
    return experiment, arrays, data["card"]


def network(experiment, arrays, card):
    """Model, optimizer, loss, metric and the four arrays with targets as the loss takes them."""
    from src.training import models, trainer

    targets = len(card["classes"]) or 1
    scale = models.normalisation(experiment.normalisation, arrays[0])
    model = models.build_model(experiment, card["task"], tuple(card["shape"]), targets, scale)
    loss = models.loss_name(experiment, card["task"])
    encoded = [part if index % 2 == 0 else trainer.encode_targets(part, loss, model.output_shape[-1])
               for index, part in enumerate(arrays)]  # fmt: skip
    metric = trainer.metric_of(card["task"], encoded[1])
    return model, models.build_optimizer(experiment, 1), models.build_loss(experiment, card["task"]), metric, encoded


def measure_ours(dataset, overrides, rows, epochs, target):
    from src.training import experiments, runtime

    experiment, arrays, card = prepared(dataset, overrides, rows, epochs[0])
    batch = len(arrays[1]) if experiment.batch_size == "full" else experiment.batch_size
    runtime.configure(experiments.threads_of(experiment, experiments.multiply_adds(card, experiment), batch))
    from src.training import trainer

    model, optimizer, loss, metric, encoded = network(experiment, arrays, card)
    program = trainer.EpochProgram(model, optimizer, loss, metric, trainer.Data(*encoded), experiment)
    warm_up = experiment.model_copy(update={"epochs": program.block})
    trainer.train(program, warm_up)
    done = trainer.train(program, experiment)
    return {"epoch": done.seconds / experiment.epochs, "before": program.compile_seconds, "memory": peak_memory()}


def measure_fit(dataset, overrides, rows, epochs, target):
    """What a user would write: arrays in memory, compile, fit with validation data, all Keras defaults."""
    from src.datasets.examples import dense

    experiment, arrays, card = prepared(dataset, overrides, rows, epochs[1])
    model, optimizer, loss, metric, (x, y, x_validation, y_validation) = network(experiment, arrays, card)
    model.compile(optimizer, loss, metrics=[metric[1]])
    batch = len(y) if experiment.batch_size == "full" else experiment.batch_size
    x, x_validation = (dense(part).astype(np.float32) for part in (x, x_validation))
    held_out = (x_validation, y_validation)
    started = time.perf_counter()
    model.fit(x, y, batch_size=batch, epochs=1, validation_data=held_out, verbose=0)
    first = time.perf_counter() - started
    started = time.perf_counter()
    model.fit(x, y, batch_size=batch, epochs=epochs[1], validation_data=held_out, verbose=0)
    epoch = (time.perf_counter() - started) / epochs[1]
    return {"epoch": epoch, "before": max(0.0, first - epoch), "memory": peak_memory()}


def measure_sklearn(dataset, overrides, rows, epochs, target):
    """scikit-learn's MLPClassifier, its validation a call of score after each epoch."""
    from sklearn.neural_network import MLPClassifier

    experiment, arrays, _ = prepared(dataset, overrides, rows, epochs[1])
    x, x_validation = (part.reshape(len(part), -1).astype(np.float32) / 255 for part in arrays[::2])
    solver = experiment.optimizer["name"].lower()
    if solver not in ("sgd", "adam"):
        return {"epoch": math.nan, "before": 0.0, "memory": 0.0}
    network = MLPClassifier(experiment.hidden_layers, solver=solver, batch_size=experiment.batch_size, alpha=0, momentum=0,
                            learning_rate_init=experiment.learning_rate, random_state=0)  # fmt: skip
    network.partial_fit(x, arrays[1], classes=range(10))
    started = time.perf_counter()
    for _ in range(epochs[1]):
        network.partial_fit(x, arrays[1])
        network.score(x_validation, arrays[3])
    return {"epoch": (time.perf_counter() - started) / epochs[1], "before": 0.0, "memory": peak_memory()}


def measure_products(dataset, overrides, rows, epochs, target):
    """The arithmetic limit: only the matrix products of an epoch and its validation, NumPy's BLAS, one thread."""
    from threadpoolctl import threadpool_limits

    experiment, arrays, card = prepared(dataset, overrides, rows, 1)
    batch, held_out = experiment.batch_size, len(arrays[3])
    widths = [math.prod(card["shape"]), *experiment.hidden_layers, len(card["classes"])]
    random = np.random.default_rng(0)
    weights = [random.normal(size=shape).astype(np.float32) for shape in zip(widths, widths[1:])]
    activity = [random.normal(size=(batch, width)).astype(np.float32) for width in widths]
    validation = random.normal(size=(1000, widths[0])).astype(np.float32)
    with threadpool_limits(1):
        step, pass_ = (
            median_time(lambda: products(activity, weights)),
            median_time(lambda: forward(validation, weights)),
        )
    steps = len(arrays[1]) / batch
    return {"epoch": steps * step + held_out / 1000 * pass_, "before": 0.0, "memory": peak_memory()}


def products(activity, weights):
    """Forward, weight gradients, and input gradients of all layers but the first."""
    for index, weight in enumerate(weights):
        activity[index] @ weight
        activity[index].T @ activity[index + 1]
        if index:
            activity[index + 1] @ weight.T


def forward(x, weights):
    for weight in weights:
        x = x @ weight


def median_time(call, calls=300):
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak_memory():
    """Largest resident size of this process, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


SIDES = {"ours": measure_ours, "fit": measure_fit, "sklearn": measure_sklearn, "products": measure_products}


# ---------------------------------------------------------------- what people look at


def table(rows):
    lines = ["| case | epoch here | epoch in `fit` | ratio | target | epoch in scikit-learn | share of the arithmetic limit | "
             "compiled in | memory here | in `fit` |", "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        ours, fit = row["ours"], row["fit"]
        sklearn = row.get("sklearn", {"epoch": math.nan})["epoch"]
        share = f"{row['products']['epoch'] / ours['epoch']:.2f}" if "products" in row else ""
        lines.append(
            f"| {row['name']} | {duration(ours['epoch'])} | {duration(fit['epoch'])} | **{fit['epoch'] / ours['epoch']:,.1f}x** | "
            f"{row['target']}x | {'' if math.isnan(sklearn) else duration(sklearn)} | {share} | {ours['before']:.1f} s | "
            f"{ours['memory']:.2f} GB | {fit['memory']:.2f} GB |"
        )
    return "\n".join(lines)


def duration(seconds):
    return (
        f"{seconds:.2f} s"
        if seconds >= 0.1
        else f"{1e3 * seconds:.1f} ms"
        if seconds >= 1e-3
        else f"{1e6 * seconds:.0f} µs"
    )


def draw(rows):
    from src import plots

    figure, axis = plots.plt.subplots(figsize=(8, 0.45 * len(rows) + 1.5), layout="constrained")
    names, ratios = [row["name"] for row in rows], [row["fit"]["epoch"] / row["ours"]["epoch"] for row in rows]
    bars = axis.barh(names, ratios, color=plots.COLOURS[1], label="this laboratory")
    axis.plot([row["target"] for row in rows], names, "D", color=plots.COLOURS[2], label="goal")
    axis.axvline(1, color="black", linewidth=1, linestyle="--", label="keras.Model.fit")
    axis.bar_label(bars, fmt="%.1fx", padding=4)
    axis.invert_yaxis()
    axis.set(
        xscale="log", xlabel="times as fast as keras.Model.fit with its defaults (log scale)", title="Time of an epoch"
    )
    axis.margins(x=0.2)
    axis.legend(loc="lower right")
    plots.save(figure, Path("benchmarks/speed.png"))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
