"""python -m src.stages.evaluate STUDY: score every trained experiment on the untouched test rows and log it to MLflow."""

import shutil
import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas
from tqdm import tqdm

from src import command_line, evaluation, experiments, params, plots, results, runtime, tracking
from src.errors import command
from src.wording import value


@command
def main():
    name = command_line.name(__doc__, "study")
    settings = params.load()
    study = settings.study(name)
    runtime.configure(threads=1)
    jobs = experiments.plan(name, study)
    x, y = results.test_rows(study.dataset)
    card = experiments.development(study.dataset)["card"]
    scored = {job: score(job, x, y, card) for job in progress(jobs, f"{name}: scoring")}
    rows = [row for row, _ in scored.values()]
    chosen = evaluation.choose(rows, metric_of(card))
    for row in rows:
        row["chosen"] = row is chosen
    shutil.rmtree(results.folder(name), ignore_errors=True)
    results.save(name, rows, {(row["experiment"], row["repeat"]): outputs for row, outputs in scored.values()
                              if outputs is not None})  # fmt: skip
    if chosen:
        best = next(job for job in jobs if scored[job][0] is chosen)
        look_inside(name, study, best, x, y, scored[best][1], card["classes"])
    report = "report_search" if name in settings.searches else "report"
    new = log(name, f"dvc repro {report}@{name}", settings.dataset(study.dataset), scored, chosen, x)
    print(f"{name}: {len(rows)} evaluated, {new} new in MLflow")


def progress(items, title):
    """A bar with the time left over `items`; only on a terminal."""
    return tqdm(items, title, disable=None, leave=False)


def metric_of(card):
    return "accuracy" if card["task"] == "classification" else "mse"


def score(job, x, y, card):
    """(row of the results table, outputs on the test rows or None where the training failed)."""
    from src import insides

    manifest = experiments.require_manifest(job)
    row = results.row_of(manifest)
    if manifest["status"] != "finished":
        return row, None
    model = experiments.load_model(job, manifest)
    outputs, loss = experiments.apply(model, job, x, y)
    if card["task"] == "classification":
        measured = evaluation.classification(y, outputs, card["classes"])
    else:
        measured = evaluation.regression(y, outputs)
    return row | {"test_loss": loss, "weight_norm": insides.weight_norm(model)} | measured, outputs


def look_inside(name, study, job, x, y, outputs, classes):
    """Save what the report shows of the chosen network; the images looked at begin with one of the last class."""
    from src import insides

    model = experiments.load_model(job, experiments.read_manifest(job.folder))
    shown = x[np.argsort(-y[:1000].ravel(), kind="stable")[:4]] if x.ndim == 4 else x[:4]
    used = [one for experiment in study.experiments.values() for one in experiment.per_layer("activation")]
    activations = insides.activations({value(one): one for one in used})
    found = insides.look_inside(model, job.configuration, shown)
    found |= {f"activation/{key}": np.stack([insides.REACH, curve]) for key, curve in activations.items()}
    for key, (false_positive, true_positive, _) in evaluation.roc(y, outputs, classes).items():
        found[f"roc/{key}"] = np.stack([false_positive, true_positive])
    results.save_insides(name, found, insides.summary(model))


def log(name, command, dataset, scored, chosen, x):
    """Write the runs MLflow does not have yet; returns how many. command: what made them."""
    data = experiments.development(next(iter(scored)).dataset)
    context = tracking.context_of(name, command, dataset.source, data["card"], experiments.data_digest(data))
    with tracking.store(name) as (client, experiment_id):
        identities = {job: tracking.identity(row) for job, (row, _) in scored.items()}
        known = tracking.known_runs(client, experiment_id, set(identities.values()))
        missing = [job for job in scored if identities[job] not in known]
        for job in progress(missing, f"{name}: logging to MLflow"):
            row, outputs = scored[job]
            path = Path(job.folder, "history.csv")
            history = pandas.read_csv(path) if path.exists() else pandas.DataFrame({"epoch": [], "ended": []})
            add = partial(attach, client, job, row, outputs, x)
            tracking.log_run(client, experiment_id, row, history, context, add)
        if missing:
            known = tracking.known_runs(client, experiment_id, set(identities.values()))
        if chosen:
            runs = [known[same] for same in identities.values()]
            tracking.crown(client, name, runs, known[tracking.identity(chosen)])
    return len(missing)


@lru_cache(maxsize=1)
def empty_confusion_matrix(classes):
    """One figure for all runs of the study."""
    return plots.empty_confusion_matrix(classes)


def attach(client, job, row, outputs, x, run_id):
    """Curves, confusion matrix (figure, keyed image, table), report, predictions and model of one run."""
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
    tracking.log_model(client, run_id, model, x[:2], outputs[:2])


if __name__ == "__main__":
    main()
