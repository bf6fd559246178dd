"""Kills `dvc repro` at random moments and resumes it: python -m tests.kill_test [--kills 30] [--seed 1]

Each kill is a SIGKILL to every process of the command at once. Whenever a run gets through, everything is held against an
undisturbed run, and the next one starts from nothing, until so many kills have been made. Prints what was killed when.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas

from tests.conftest import copy_project, small_params
from tests.test_pipeline import mlflow_runs

RESULTS = ("data/raw", "data/processed", "data/split", "data/evaluated", "models", "reports", ".dvc/cache", ".dvc/tmp",
           "mlartifacts", "dvc.lock", "mlflow.db", "mlflow.db-wal", "mlflow.db-shm", ".mlflow.lock")  # fmt: skip
TIMES = ("training_seconds", "compile_seconds")


def study():
    """Small experiments of several kinds: two seeds, early stopping with the best weights, dropout, the network in NumPy."""
    raw = small_params()
    raw["studies"]["digits"]["experiments"] = {
        "narrow": {"repeats": 2},
        "stopped": {"epochs": 20, "early_stopping": {"patience": 1, "restore_best_weights": True}},
        "dropout": {"hidden_layers": [16], "dropout": 0.2},
        "scratch": {"engine": "numpy"},
    }
    return raw | {"jobs": 2}


def started(project):
    """`dvc repro` in a session of its own, its output in a file."""
    log = project.folder.parent / "log"
    return subprocess.Popen(["dvc", "repro"], cwd=project.folder, env=project.environment, start_new_session=True,
                            stdin=subprocess.DEVNULL, stdout=log.open("w"), stderr=subprocess.STDOUT), log  # fmt: skip


def running_stage(log):
    """The stage that a log of `dvc repro` shows last."""
    lines = [line for line in log.read_text().split("\n") if line.startswith("Running stage")]
    return lines[-1].split("'")[1].split("@")[0] if lines else "before the first stage"


def trainings(project):
    """{folder: (fingerprint, when it began)} of the trainings that are finished."""
    found = {}
    for path in project.folder.glob("models/*/*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        found[str(path.parent.relative_to(project.folder))] = (manifest["fingerprint"], manifest["started"])
    return found


def result(project):
    """All that must be the same bit for bit, whatever happened on the way."""
    folder = project.folder
    found = {str(path.relative_to(folder)): path.read_bytes() for pattern in ("models/**/*.h5", "data/*/digits/*.np?")
             for path in sorted(folder.glob(pattern)) if path.name != "insides.npz"}  # fmt: skip
    found["experiments"] = pandas.read_csv(folder / "reports/digits/experiments.csv").drop(columns=[*TIMES]).to_csv()
    for name in ("curves.csv", "confusion.csv", "claims.csv"):
        found[name] = (folder / "reports/digits" / name).read_bytes()
    metrics = json.loads((folder / "reports/digits/metrics.json").read_text())
    return found | {"metrics": {key: value for key, value in metrics.items() if "seconds" not in key}}


def check(project, expected, finished):
    """The end of a disturbed run against that of an undisturbed one. finished: trainings that were done before a kill."""
    found = result(project)
    differing = [name for name in expected if found.get(name) != expected[name]]
    assert not differing and found.keys() == expected.keys(), f"differs from the undisturbed run: {differing}"
    now = trainings(project)
    again = [folder for folder, identity in finished.items() if now[folder] != identity]
    assert not again, f"trained again: {again}"
    runs = mlflow_runs(project)
    names = Counter(name for name, *_ in runs)
    assert (
        {status for _, status, _ in runs} == {"FINISHED"} and set(names.values()) == {1} and len(names) == len(now)
    ), runs
    assert all("model_uri" in tags for *_, tags in runs)
    status = project.run("dvc status").stdout.strip()
    assert status == "Data and pipelines are up to date.", status


def wiped(project):
    for name in RESULTS:
        path = project.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    project.run("git checkout -q .")


def kill_and_resume(folder, kills, seed):
    """Make so many kills and check every run that got through. Returns figures: kills by stage, runs that got through, ..."""
    chance, killed, completed, resumes = random.Random(seed), Counter(), 0, 0
    undisturbed = copy_project(Path(folder) / "undisturbed" / "project", study())
    begun = time.monotonic()
    process, log = started(undisturbed)
    assert process.wait() == 0, log.read_text()[-3000:]
    duration = time.monotonic() - begun
    expected = result(undisturbed)
    project, finished = copy_project(Path(folder) / "killed" / "project", study()), {}
    while killed.total() < kills or finished is not None:
        process, log = started(project)
        try:
            process.wait(chance.uniform(0.02, 0.5) * duration if killed.total() < kills else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed[running_stage(log)] += 1
            resumes += 1
            finished |= trainings(project)
            print(f"kill {killed.total()}: {running_stage(log)}, {len(finished)} trainings finished", flush=True)
            continue
        assert process.returncode == 0, log.read_text()[-3000:]
        check(project, expected, finished)
        completed += 1
        print(f"got through, the same as undisturbed: {completed}", flush=True)
        finished = {} if killed.total() < kills else None
        wiped(project)
    return {
        "kills": dict(killed),
        "resumes": resumes,
        "runs that got through": completed,
        "undisturbed run, s": round(duration),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = kill_and_resume(folder, arguments.kills, arguments.seed)
    print(json.dumps(figures, indent=1))
