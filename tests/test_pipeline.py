"""The whole pipeline, by the commands its users type, in a git repository of its own with real DVC and real MLflow."""

import json
import re
import sqlite3

import pandas
import pytest

from tests.conftest import copy_project, small_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A small project after its first `dvc repro`; the tests below go on from there, in order."""
    project = copy_project(tmp_path_factory.mktemp("pipeline") / "project", small_params())
    project.first = project.run("dvc repro")
    project.commit("reproduced")
    return project


def table(project):
    return pandas.read_csv(project.folder / "reports/digits/experiments.csv")


def mlflow_runs(project):
    """(name, status, tags) of every live run in the project's store."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        runs = store.execute("select run_uuid, name, status from runs where lifecycle_stage = 'active'").fetchall()
        tags = {
            run: dict(store.execute("select key, value from tags where run_uuid = ?", (run,)).fetchall())
            for run, *_ in runs
        }
    return [(name, status, tags[run]) for run, name, status in runs]


def trained(done):
    """How many trainings a command's output reports."""
    return sum(int(count) for count in re.findall(r"trained (\d+) of", done.stdout))


def test_params_become_trained_evaluated_tracked_and_reported_experiments(reproduced):
    assert trained(reproduced.first) == 2
    report = reproduced.folder / "reports/digits"
    found = table(reproduced)
    assert found["experiment"].tolist() == ["narrow", "wide"] and found["status"].eq("finished").all()
    assert found["chosen"].sum() == 1 and found["test_accuracy"].between(0.1, 1).all()
    answered = json.loads((report / "answers.json").read_text())
    assert [item["question"] for item in answered] == small_params()["studies"]["digits"]["questions"]
    assert "digits" in (report / "index.html").read_text() and (report / "figures/confusion_matrix.png").exists()
    runs = mlflow_runs(reproduced)
    assert sorted(name for name, _, _ in runs) == ["narrow-1", "wide-1"]
    assert {status for _, status, _ in runs} == {"FINISHED"}
    assert sorted(tags["chosen"] for _, _, tags in runs) == ["false", "true"]


def test_reproducing_again_does_nothing(reproduced):
    done = reproduced.run("dvc repro")
    assert "Running stage" not in done.stdout and "up to date" in done.stdout
    assert reproduced.run("dvc status").stdout.strip() == "Data and pipelines are up to date."


def test_dvc_shows_metrics_plots_and_graph(reproduced):
    metrics = json.loads(reproduced.run("dvc metrics show --json").stdout)[""]["data"]["reports/digits/metrics.json"][
        "data"
    ]
    assert 0 < metrics["test_accuracy"] <= 1 and len(metrics) <= 5
    reproduced.run("dvc plots show -o plots")
    page = (reproduced.folder / "plots/index.html").read_text()
    assert "experiment" in page and "confusion" in page
    assert "train@digits" in reproduced.run("dvc dag").stdout


def test_editing_one_experiment_trains_one_experiment(reproduced):
    raw = reproduced.params()
    raw["studies"]["digits"]["experiments"]["wide"] = {"hidden_layers": [20]}
    reproduced.write_params(raw)
    before = table(reproduced).set_index("experiment")["fingerprint"]
    assert trained(reproduced.run("dvc repro")) == 1
    after = table(reproduced).set_index("experiment")["fingerprint"]
    assert before["narrow"] == after["narrow"] and before["wide"] != after["wide"]
    assert len(mlflow_runs(reproduced)) == 3, "the earlier run of `wide` stays for comparison"


def test_a_new_question_changes_the_report_and_trains_nothing(reproduced):
    raw = reproduced.params()
    raw["studies"]["digits"]["questions"] = ["accuracy"]
    reproduced.write_params(raw)
    done = reproduced.run("dvc repro")
    assert "Running stage 'report@digits'" in done.stdout and "Running stage 'train@digits'" not in done.stdout
    assert len(json.loads((reproduced.folder / "reports/digits/answers.json").read_text())) == 1


def test_a_removed_experiment_leaves_the_table(reproduced):
    raw = reproduced.params()
    del raw["studies"]["digits"]["experiments"]["wide"]
    reproduced.write_params(raw)
    assert trained(reproduced.run("dvc repro")) == 0
    assert table(reproduced)["experiment"].tolist() == ["narrow"]
    assert not (reproduced.folder / "models/digits/wide").exists()


def test_a_fresh_mlflow_store_is_filled_from_what_lies_on_disk(reproduced):
    (reproduced.folder / "mlflow.db").unlink()
    done = reproduced.run("dvc repro --force --single-item evaluate@digits")
    assert "1 new in MLflow" in done.stdout and trained(done) == 0
    reproduced.commit("one experiment")


def test_dvc_exp_run_changes_any_knob(reproduced):
    reproduced.run("dvc exp run -S defaults.dropout=0.2 -S '+studies.digits.experiments.wide={hidden_layers: [12]}'")
    assert sorted(table(reproduced)["experiment"]) == ["narrow", "wide"]
    assert any(tags.get("dvc.experiment") for _, _, tags in mlflow_runs(reproduced))
    shown = reproduced.run("dvc exp show --csv --only-changed").stdout
    assert "test_accuracy" in shown and len(shown.split("\n")[0].split(",")) < 40
    reproduced.run("git checkout -q . && dvc checkout -q")


def test_a_temporary_experiment_runs_its_own_copy_and_logs_to_the_project(reproduced):
    before = len(mlflow_runs(reproduced))
    reproduced.run("dvc exp run --temp -n temporary -S studies.digits.defaults.epochs=4")
    runs = mlflow_runs(reproduced)
    assert len(runs) == before + 1 and runs[-1][2]["dvc.experiment"] == "temporary"
    assert table(reproduced)["epochs"].tolist() == [3], "the workspace is untouched"


def test_queued_experiments_run_side_by_side_and_none_is_lost(reproduced):
    (reproduced.folder / "mlflow.db").unlink()  # two processes then create the store at once
    reproduced.run("dvc exp run --queue -n grid -S studies.digits.defaults.epochs=5,6")
    reproduced.run("dvc exp run --run-all -j 2")
    epochs = {name: tags for name, _, tags in mlflow_runs(reproduced)}
    runs = mlflow_runs(reproduced)
    assert len(runs) == 2 and {status for _, status, _ in runs} == {"FINISHED"}
    assert {tags["dvc.experiment"] for _, _, tags in runs} == {"grid-1", "grid-2"}, epochs


def test_mlflow_run_opens_the_same_pipeline_and_owns_its_runs(reproduced):
    reproduced.run("mlflow run . --env-manager=local -e experiment "
                   "-P set_param='studies.digits.defaults.epochs=7 defaults.dropout=0.1'")  # fmt: skip
    mine = [tags for _, _, tags in mlflow_runs(reproduced) if "mlflow.parentRunId" in tags]
    assert len(mine) == 1
    for entry in ("main", "report", "repro"):
        reproduced.run(f"mlflow run . --env-manager=local -e {entry}")
