"""A search in MLflow: a parent run with the figures and the outcome, and a child run for each trial.

As in src/tracking.py, each is written once however often it is logged, and after the fact with true times.
"""

import hashlib
import json

import numpy as np
import pandas
from mlflow.entities import Metric, Param, RunStatus

from src import tracking
from src.params.search import label
from src.searching import results
from src.wording import layers, value


def log(name, outcome, context, figures):
    """Write what MLflow does not have yet; returns how many runs are new.

    context: see tracking.context_of; figures: the folder that holds them.
    """
    fingerprint = fingerprint_of(outcome)
    top = {"experiment": "search", "repeat": 1, "fingerprint": fingerprint, "failure": "", "status": "finished"}
    rows = {trial["number"]: row_of(trial, fingerprint, outcome["metric"]) for trial in outcome["trials"]}
    histories = {trial["number"]: history_of(name, trial) for trial in outcome["trials"]}
    with tracking.store(name) as (client, experiment_id):
        wanted = {tracking.identity(row) for row in (top, *rows.values())}
        known, new = tracking.known_runs(client, experiment_id, wanted), 0
        parent, is_new = open_parent(client, experiment_id, known, top, context, histories)
        for number, row in rows.items():
            run = known.get(tracking.identity(row))
            if run is None:
                details = Details(client, outcome["trials"][number])
                tracking.log_run(client, experiment_id, row, histories[number], context | {"parent": parent}, details)
                new += 1
            elif run.data.tags.get("mlflow.parentRunId") != parent:  # its parent was being written when it was killed
                client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)
        if is_new:
            close_parent(client, parent, name, outcome, figures, histories)
    return new + is_new


def fingerprint_of(outcome):
    """Identity of a search: what was asked and what came out, without what the clock says."""
    trials = [[trial["fits"], trial["status"], trial["value"]] for trial in outcome["trials"] + outcome["baseline"]]
    return hashlib.sha256(json.dumps([outcome["search"], trials], sort_keys=True).encode()).hexdigest()[:16]


def row_of(trial, fingerprint, metric):
    """A trial as tracking.log_run takes it."""
    configuration = trial["configuration"]
    return {
        "experiment": f"trial_{trial['number']:03d}",
        "repeat": 1,
        "fingerprint": fingerprint,
        "failure": trial["failure"],
        "status": "failed" if trial["status"] == "failed" else "finished",
        "configuration": configuration,
        "hidden_layers": layers(configuration["hidden_layers"], configuration["convolutions"]),
        "loss": None,
        "learning_rate": None,
        "parameters": trial["parameters"],
        "training_seconds": trial["seconds"],
        "epochs_run": trial["epochs"],
        metric: trial["value"],
    }


def history_of(name, trial):
    """The trial's curves as a table with epoch and ended; the mean over its folds where it has some."""
    fits = [results.load_fit(name, file) for file in trial["fits"]]
    tables = [pandas.DataFrame(fit["curves"]) for fit in fits if "curves" in fit]
    if not tables:
        return pandas.DataFrame({"epoch": [], "ended": []})
    shortest = min(map(len, tables))
    mean = sum(table[:shortest] for table in tables) / len(tables)
    return mean.assign(epoch=tables[0]["epoch"][:shortest], ended=tables[-1]["ended"][:shortest])


class Details:
    """Adds to a trial's run what only trials have: the point, its state, the results of its folds."""

    def __init__(self, client, trial):
        self.client, self.trial = client, trial

    def __call__(self, run_id):
        trial = self.trial
        found = {"objective": trial["value"], "objective_deviation": trial["deviation"]}
        metrics = [Metric(key, figure, 0, 0) for key, figure in found.items() if figure is not None]
        metrics += [Metric("fold_objective", figure, 0, fold + 1) for fold, figure in enumerate(trial["folds"])]
        point = [Param(f"space.{key}", str(label(choice))) for key, choice in trial["point"].items()]
        self.client.log_batch(run_id, metrics=metrics, params=point)
        self.client.set_tag(run_id, "state", trial["status"])


def open_parent(client, experiment_id, known, row, context, histories):
    """(run id, whether it is new) of the search's own run."""
    run = known.get(tracking.identity(row))
    if run is not None:
        return run.info.run_id, False
    begun = [history["ended"].iloc[0] for history in histories.values() if len(history)]
    started = int(1000 * min(begun)) if begun else None
    run = client.create_run(experiment_id, started, tracking.tags(row, context), "search")
    return run.info.run_id, True


def close_parent(client, run_id, name, outcome, figures, histories):
    """Settings, result, cost and figures of the search; then its run is complete."""
    asked = {
        key: json.dumps(entry) if isinstance(entry, dict) else value(entry) for key, entry in outcome["search"].items()
    }
    best = outcome["trials"][outcome["best"]]
    asked |= {f"best.{key}": str(label(choice)) for key, choice in best["point"].items()}
    measured = {"best_objective": best["value"], "best_objective_deviation": best["deviation"], **outcome["cost"]}
    client.log_batch(
        run_id,
        params=[Param(key, text[:6000]) for key, text in asked.items()],
        metrics=[Metric(key, float(figure), 0, 0) for key, figure in measured.items() if figure is not None],
    )
    client.log_artifacts(run_id, figures, "figures")
    client.log_artifact(run_id, results.folder(name) / "search.json")
    ended = [history["ended"].iloc[-1] for history in histories.values() if len(history)]
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED), int(1000 * np.max(ended)) if ended else None)
