"""python -m src.stages.evaluate STUDY: score every trained experiment on the untouched test rows and log it to MLflow."""

import importlib
import shutil
from itertools import repeat

from tqdm import tqdm

from src import command_line, evaluation, params, results, scoring
from src.errors import command
from src.training import experiments


@command
def main():
    name = command_line.name(__doc__, "study")
    settings = params.load()
    study = settings.study(name)
    jobs = experiments.plan(name, study)
    for job in jobs:
        experiments.require_manifest(job)
    with scoring.pool(settings.jobs, len(jobs)) as pool:
        found = pool.map(scoring.score, jobs)
        importlib.import_module("src.tracking")  # MLflow takes seconds, in which the pool imports TensorFlow and scores
        scored = dict(zip(jobs, progress(found, f"{name}: scoring", len(jobs))))
        chosen = save(name, study, scored, pool)
        report = "report_search" if name in settings.searches else "report"
        new = log(name, f"dvc repro {report}@{name}", settings.dataset(study.dataset), scored, chosen, pool)
    print(f"{name}: {len(jobs)} evaluated, {new} new in MLflow")


def progress(items, title, total):
    """A bar with the time left over `items`; only on a terminal."""
    return tqdm(items, title, total, disable=None, leave=False)


def save(name, study, scored, pool):
    """Write rows, outputs and a look inside the best network; returns the row that validation chooses, or None.

    scored: {job: (row, outputs on the test rows or None)}.
    """
    rows = [row for row, _ in scored.values()]
    task = experiments.development(study.dataset)["card"]["task"]
    chosen = evaluation.choose(rows, "accuracy" if task == "classification" else "mse")
    for row in rows:
        row["chosen"] = row is chosen
    shutil.rmtree(results.folder(name), ignore_errors=True)
    results.save(name, rows, {(row["experiment"], row["repeat"]): outputs for row, outputs in scored.values()
                              if outputs is not None})  # fmt: skip
    if chosen:
        best = next(job for job in scored if scored[job][0] is chosen)
        used = [one for experiment in study.experiments.values() for one in experiment.per_layer("activation")]
        pool.submit(scoring.look_inside, best, used, scored[best][1]).result()
    return chosen


def log(name, command, dataset, scored, chosen, pool):
    """Write the runs MLflow does not have yet; returns how many. command: what made them."""
    from src import tracking

    data = experiments.development(next(iter(scored)).dataset)
    context = tracking.context_of(name, command, dataset.source, data["card"], experiments.data_digest(data))
    with tracking.store(name) as (client, experiment_id):
        identities = {job: tracking.identity(row) for job, (row, _) in scored.items()}
        known = tracking.known_runs(client, experiment_id, set(identities.values()))
        missing = [job for job in scored if identities[job] not in known]
        found = [scored[job] for job in missing]
        logged = pool.map(scoring.log, missing, found, repeat(context), repeat(experiment_id))
        for _ in progress(logged, f"{name}: logging to MLflow", len(missing)):
            pass
        if missing:
            known = tracking.known_runs(client, experiment_id, set(identities.values()))
        if chosen:
            runs = [known[same] for same in identities.values()]
            tracking.crown(client, name, runs, known[tracking.identity(chosen)])
    return len(missing)


if __name__ == "__main__":
    main()
