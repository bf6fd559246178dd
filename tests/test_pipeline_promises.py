"""What the pipeline promises about test rows, side by side, failures and mistakes: each on a fresh copy of the project."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas
import pytest
import yaml

from tests.conftest import ROOT
from tests.test_pipeline import mlflow_runs, table

pytestmark = pytest.mark.slow


def test_a_training_never_reads_the_test_rows(project):
    """Other test rows, or none at all, and every bit of every weight is the same."""
    project.run("dvc repro train@digits")
    weights = {path: path.read_bytes() for path in project.folder.glob("models/*/*/*/model.weights.h5")}
    assert len(weights) == 2
    rows = np.load(project.folder / "data/split/digits/test.npz")["rows"]
    x = np.load(project.folder / "data/processed/digits/x.npy")
    x[rows] = 255
    np.save(project.folder / "data/processed/digits/x.npy", x)
    (project.folder / "data/split/digits/test.npz").unlink()
    project.run("rm -r models && python -m src.stages.train digits")
    for path, content in weights.items():
        assert path.read_bytes() == content


def test_results_do_not_depend_on_how_many_train_side_by_side(project):
    found = {}
    for jobs in (1, 2):
        project.write_params(project.params() | {"jobs": jobs})
        project.run("rm -rf models; dvc repro --force train@digits")
        found[jobs] = [path.read_bytes() for path in sorted(project.folder.glob("models/*/*/*/model.weights.h5"))]
    assert found[1] == found[2] and len(found[1]) == 2


def test_a_failed_experiment_is_marked_and_the_others_go_on(project):
    raw = project.params()
    raw["studies"]["digits"]["experiments"]["broken"] = {"loss": "MeanSquaredError", "output_activation": "linear",
                                                          "optimizer": "SGD", "learning_rate": 1e30}  # fmt: skip
    project.write_params(raw)
    done = project.run("dvc repro", check=False)
    assert done.returncode != 0 and "1 of 3 trainings failed" in done.stderr
    found = table(project).set_index("experiment")
    assert found["status"].to_dict() == {"narrow": "finished", "wide": "finished", "broken": "failed"}
    assert not found.loc["broken", "chosen"] and "epoch 1" in found.loc["broken", "failure"]
    assert "broken" in (project.folder / "reports/digits/report.md").read_text().split("## Comparison")[0]
    assert {name: status for name, status, _ in mlflow_runs(project)}["broken-1"] == "FAILED"


def test_what_is_not_trained_as_configured_is_not_evaluated(project):
    project.run("dvc repro split@digits")
    done = project.run("python -m src.stages.evaluate digits", check=False)
    assert (
        done.stderr.startswith("error:") and "dvc repro train@digits" in done.stderr and "Traceback" not in done.stderr
    )


def test_convolutions_on_a_table_are_refused_before_training(project):
    raw = project.params()
    raw["datasets"]["iris"] = raw["datasets"]["digits"] | {"source": {"format": "sklearn", "name": "iris"}}
    raw["studies"]["digits"]["dataset"] = "iris"
    raw["studies"]["digits"]["experiments"]["narrow"] = {"convolutions": [{"filters": 4}]}
    project.write_params(raw)
    done = project.run("dvc repro train@digits", check=False)
    assert (
        "studies.digits.experiments.narrow.convolutions: expected none" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_mistake_in_params_stops_before_any_work_with_one_line(project):
    raw = project.params()
    raw["studies"]["digits"]["experiments"]["narrow"] = {"optimizer": "adm"}
    project.write_params(raw)
    done = project.run("dvc repro", check=False)
    line = next(line for line in done.stderr.split("\n") if line.startswith("error:"))
    assert "studies.digits.experiments.narrow.optimizer" in line and "did you mean 'Adam'" in line
    assert "Traceback" not in done.stderr and done.returncode != 0 and not (project.folder / "models").exists()


def test_a_dataset_of_ones_own_is_added_in_params_alone(project):
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 2))
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{a - b:.4f}" for a, b in x)]
    (project.folder / "data/own/plane").mkdir()
    (project.folder / "data/own/plane/plane.csv").write_text("\n".join(lines))
    raw = project.params()
    raw["datasets"] = {"plane": {"title": "A plane", "task": "regression", "split": {"test": 0.2, "folds": 5},
                                 "source": {"format": "csv", "target": "y", "files": {"train": {"name": "plane.csv"}}}}}  # fmt: skip
    raw["studies"] = {"plane": {"title": "A plane", "dataset": "plane", "defaults": {"epochs": 200, "normalisation": "standardise"},
                                "questions": ["how_long", "accuracy", "overfitting", "best_result"], "claims": [], "notebook": "chosen",
                                "experiments": {"linear": {"hidden_layers": []}}}}  # fmt: skip
    project.write_params(raw)
    project.run("dvc repro report@plane")
    found = pandas.read_csv(project.folder / "reports/plane/experiments.csv")
    assert {"val_mse", "test_mse"} <= set(found.columns) and found["test_mse"].min() < 0.5
    assert (project.folder / "reports/plane/figures/fit.png").exists()


def test_a_downloaded_archive_without_git_history_works_too(project):
    project.run("rm -rf .git && make repository && dvc repro split@digits")


def test_two_lists_of_the_same_names_stay_the_same():
    """Every report file that the stages write stands in dvc.yaml, and the other way round."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = [
        out
        for name in ("report", "notebook")
        for kind in ("outs", "metrics", "plots")
        for out in stages[name]["do"].get(kind, [])
    ]
    of_study = [next(iter(out)) for out in outs if next(iter(out)).startswith("reports/${key}/")]
    assert {path.split("/")[-1] for path in of_study} == {path.name for path in (ROOT / "reports/digits").iterdir()}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_ends_at_once_says_how_to_go_on_and_goes_on(project, stop):
    raw = project.params()
    raw["studies"]["digits"]["experiments"] = {"short": {"epochs": 2}, "endless": {"epochs": 100_000}}
    project.write_params(raw)
    project.run("dvc repro -q split@digits")
    command = [sys.executable, "-m", "src.stages.train", "digits"]
    training = subprocess.Popen(command, cwd=project.folder, env=project.environment, start_new_session=True,
                                stderr=subprocess.PIPE, text=True)  # fmt: skip
    first = project.folder / "models/digits/endless/1"
    wait_for(first.exists)
    os.killpg(training.pid, stop) if stop == signal.SIGINT else training.send_signal(stop)
    started = time.monotonic()
    message = training.communicate(timeout=20)[1]
    assert time.monotonic() - started < 5  # a second, on a machine that is not busy
    assert training.returncode == 1
    assert (
        message.strip().split("\n")[-1]
        == "stopped. Finished experiments are kept; run the same command again to continue."
    )
    assert "Traceback" not in message
    wait_for(lambda: not processes_of(training.pid), seconds=5)
    assert not (first / "manifest.json").exists()
    raw["studies"]["digits"]["experiments"]["endless"]["epochs"] = 3
    project.write_params(raw)
    assert "trained" in project.run("python -m src.stages.train digits").stdout and (first / "manifest.json").exists()


def processes_of(group):
    return subprocess.run(["pgrep", "-g", str(group)], check=False, capture_output=True, text=True).stdout.split()


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.1)
