"""python -m benchmarks.search: a grid of 36 networks, 5 epochs each, by the search and by a loop over `model.fit`.

Four topologies, three optimizers, three dropout rates on MNIST, batch 64, imports and validation included. Both sides are
fresh processes and train the same networks on the same rows; the search uses as many workers as there are cores. Writes
benchmarks/search.md. `--rows 6400` trains on fewer rows, for a quicker and less favourable figure.

The data come from the pipeline: `dvc repro split@mnist` first.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from src import command_line

SPACE = {
    "hidden_layers": [[100], [100, 50], [250], [250, 100]],
    "optimizer": ["adam", "rmsprop", {"name": "SGD", "momentum": 0.9}],
    "dropout": [0, 0.2, 0.5],
}
SEARCH = {"title": "benchmark", "dataset": "mnist", "space": SPACE, "sampler": "grid"}


def main():
    parser = command_line.parser(__doc__, "python -m benchmarks.search --rows 6400")
    parser.add_argument("--rows", type=int, help="training rows; all 48,000 where not given")
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        return loop()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), arguments.rows)
        ours = timed(folder, "from src import params; from src.dispatch import backends; from src.searching import trials\n"
                             "s = params.load()\n"
                             "with backends.chosen(s) as crew: trials.run('grid', s.search('grid'), crew)")  # fmt: skip
        theirs = timed(
            folder,
            "import runpy, sys; sys.argv = ['search', '--loop']; runpy.run_module('benchmarks.search', run_name='__main__')",
        )
    text = (f"| training rows | `model.fit` in a loop | search | ratio |\n|---|---|---|---|\n"
            f"| {arguments.rows or 48_000:,} | {theirs:.0f} s | {ours:.0f} s | {theirs / ours:.1f} |\n")  # fmt: skip
    if not arguments.rows:
        Path("benchmarks/search.md").write_text(text)
    print(text)


def prepare(folder, rows):
    """A project of the search alone, on the data of this one."""
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw["studies"] = {}
    raw["searches"] = {"grid": SEARCH | {"defaults": {"epochs": 5, "batch_size": 64, "training_rows": rows}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    for part in ("processed", "split"):
        shutil.copytree(f"data/{part}/mnist", folder / "data" / part / "mnist")


def timed(folder, code):
    """Seconds of a fresh Python that runs `code` in `folder`."""
    script = Path(folder, "run.py")  # worker processes import the main module again: it must be a file with a guard
    script.write_text(f"if __name__ == '__main__':\n    {code.replace(chr(10), chr(10) + '    ')}\n")
    started = time.perf_counter()
    subprocess.run([sys.executable, script], cwd=folder, env=os.environ | {"PYTHONPATH": os.getcwd()}, check=True)
    return time.perf_counter() - started


def loop():
    """The same networks by Keras as its documentation has them."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from src import params
    from src.searching import sampling, trials
    from src.training import experiments, models

    wanted, data = params.load().search("grid"), experiments.development("mnist")
    for point in sampling.points(wanted):
        experiment = trials.experiment_of("grid", wanted, point, data["card"])
        training = experiments.training_part(experiment, data)
        scale = models.normalisation("unit", data["x"][training])
        model = models.build_model(experiment, "classification", (28, 28, 1), 10, scale)
        model.compile(models.build_optimizer(experiment, 1), "sparse_categorical_crossentropy", metrics=["accuracy"])
        checked = slice(training.start)
        model.fit(data["x"][training], data["y"][training], batch_size=64, epochs=5, verbose=0,
                  validation_data=(data["x"][checked], data["y"][checked]))  # fmt: skip


if __name__ == "__main__":
    main()
