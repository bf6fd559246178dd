"""Trained experiments -> rows of results, a look inside the chosen network, runs in MLflow: side by side, in processes.

The calling process stays light: TensorFlow is imported in the processes of the pool only.
"""

import ctypes
import math
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas

from src import evaluation, results
from src.dispatch import processes
from src.errors import LaboratoryError
from src.training import experiments, runtime
from src.wording import value

MOST_PROCESSES = 4  # SQLite lets one of them write at a time
WORTH_A_PROCESS = 4  # experiments: to score and log them takes about as long as to import TensorFlow and MLflow


@contextmanager
def pool(jobs, count):
    """Processes that score and log `count` trained experiments. jobs: of params.yaml. Raises LaboratoryError if one dies."""
    executor = ProcessPoolExecutor(size(jobs, count), processes.CONTEXT, start)
    try:
        yield executor
    except BrokenProcessPool as error:
        raise LaboratoryError(processes.DIED) from error
    except BaseException:
        processes.terminate()  # what is being scored or logged is begun anew by the next run
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def size(jobs, count):
    """How many processes score `count` trained experiments."""
    return min(runtime.workers(jobs, threads=1), MOST_PROCESSES, max(1, math.ceil(count / WORTH_A_PROCESS)))


def start():
    """Prepare a fresh process of the pool."""
    keep_freed_memory()
    processes.start(threads=1, channel=None)


def keep_freed_memory():
    """Let the C library use the memory of freed arrays again, instead of giving it back and asking for more.

    Linux clears each page that it hands out, which was half of the time that scoring film reviews took. The numbers are those
    of mallopt(3); where there is no such function, nothing changes.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
        mallopt(mmap_max, 0)


@lru_cache(maxsize=1)
def test_rows(dataset):
    return results.test_rows(dataset)


def score(job):
    """(row of the results table, outputs on the test rows or None where the training failed)."""
    from src import insides

    manifest = experiments.require_manifest(job)
    row = results.row_of(manifest)
    if manifest["status"] != "finished":
        return row, None
    (x, y), card = test_rows(job.dataset), experiments.development(job.dataset)["card"]
    model = experiments.load_model(job, manifest)
    outputs, loss = experiments.apply(model, job, x, y)
    if card["task"] == "classification":
        measured = evaluation.classification(y, outputs, card["classes"])
    else:
        measured = evaluation.regression(y, outputs)
    return row | {"test_loss": loss, "weight_norm": insides.weight_norm(model)} | measured, outputs


def look_inside(job, used, outputs):
    """Save what the report shows of the chosen network; the images looked at begin with one of the last class.

    used: the activations of all experiments of the study.
    """
    from src import insides

    (x, y), card = test_rows(job.dataset), experiments.development(job.dataset)["card"]
    model = experiments.load_model(job, experiments.read_manifest(job.folder))
    shown = x[np.argsort(-y[:1000].ravel(), kind="stable")[:4]] if x.ndim == 4 else x[:4]
    activations = insides.activations({value(one): one for one in used})
    found = insides.look_inside(model, job.configuration, shown)
    found |= {f"activation/{key}": np.stack([insides.REACH, curve]) for key, curve in activations.items()}
    for key, (false_positive, true_positive, _) in evaluation.roc(y, outputs, card["classes"]).items():
        found[f"roc/{key}"] = np.stack([false_positive, true_positive])
    results.save_insides(job.study, found, insides.summary(model))


def log(job, scored, context, experiment_id):
    """Write one run into the MLflow store that the calling process has opened.

    scored: (row, outputs), see `score`; context: see tracking.context_of.
    """
    from src import tracking

    row, outputs = scored
    path = Path(job.folder, "history.csv")
    history = pandas.read_csv(path) if path.exists() else pandas.DataFrame({"epoch": [], "ended": []})
    with tracking.joined(experiment_id) as client:
        tracking.log_run(client, experiment_id, row, history, context, partial(attach, client, job, row, outputs))


@lru_cache(maxsize=1)
def empty_confusion_matrix(classes):
    """One figure for all runs of the study."""
    from src import plots

    return plots.empty_confusion_matrix(classes)


def attach(client, job, row, outputs, run_id):
    """Curves, confusion matrix (figure, keyed image, table), report, predictions and model of one run."""
    from src import plots, tracking

    with tempfile.TemporaryDirectory() as folder:
        for file in (Path(job.folder, "history.csv"), Path(job.folder, "manifest.json")):
            if file.exists():
                client.log_artifact(run_id, file)
        if outputs is None:
            return
        predictions = pandas.DataFrame(outputs, columns=row.get("classes") if outputs.shape[1] > 1 else ["output"])
        predictions.round(6).to_csv(Path(folder, "predictions.csv"), index=False)
        client.log_artifact(run_id, Path(folder, "predictions.csv"))
    if "confusion" in row:
        classes = list(row["classes"])
        title = f"{job.study}: {job.experiment}, test accuracy {row['test_accuracy']:.4f}"
        figure = empty_confusion_matrix(tuple(classes))
        plots.fill_confusion_matrix(figure, row["confusion"], title)
        image = plots.pixels(figure)
        client.log_image(run_id, image, "figures/confusion_matrix.png")
        client.log_image(run_id, image, key="confusion_matrix", step=0)
        table = pandas.DataFrame(row["confusion"], columns=classes)
        table.insert(0, "true class", classes)
        client.log_table(run_id, table, "confusion_matrix.json")
        client.log_dict(run_id, row["classes"], "classification_report.json")
    model = experiments.load_model(job, experiments.read_manifest(job.folder))
    tracking.log_model(client, run_id, model, test_rows(job.dataset)[0][:2], outputs[:2])
