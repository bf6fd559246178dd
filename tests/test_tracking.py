"""MLflow: one run per training however often it is logged, in the right store, under the right parent, by many at once."""

import subprocess
import sys

import mlflow
import pandas
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from src import tracking
from src.errors import LaboratoryError
from tests.conftest import ROOT
from tests.test_answers import row

CONTEXT = {
    "study": "pets",
    "command": "dvc repro report@pets",
    "card": {"name": "pets"},
    "url": None,
    "digest": "d" * 64,
    "parent": None,
    "commit": None,
}


def history(count=3):
    return pandas.DataFrame({"epoch": range(1, count + 1), "loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.8,
                             "ended": [1_700_000_000.0 + 2 * e for e in range(count)]})  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project folder with no tracking variables set."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log(rows, context=CONTEXT, attach=lambda run_id: None):
    with tracking.store(context["study"]) as (client, experiment_id):
        known, new = tracking.known_runs(client, experiment_id, {tracking.identity(item) for item in rows}), 0
        for item in rows:
            if tracking.identity(item) not in known:
                tracking.log_run(client, experiment_id, item, history(), context, attach)
                new += 1
    return new


def runs(study="pets"):
    mlflow.set_tracking_uri(tracking.store_uri())
    client = mlflow.MlflowClient()
    return client, client.search_runs([client.get_experiment_by_name(study).experiment_id])


def test_a_run_carries_settings_curves_results_and_true_times(here):
    log([row("wide", 1, 0.95, 0.96)])
    client, (run,) = runs()
    assert run.info.status == "FINISHED" and run.info.run_name == "wide-1"
    assert run.data.params["optimizer"] == "Adam" and run.data.params["hidden_layers"] == "1 x 32"
    assert run.data.metrics["test_accuracy"] == 0.95 and run.data.metrics["final_val_accuracy"] == 0.96
    curve = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [(m.step, m.timestamp) for m in curve] == [(e + 1, 1_700_000_000_000 + 2000 * e) for e in range(3)]
    assert (run.info.start_time, run.info.end_time) == (1_699_999_998_000, 1_700_000_004_000)
    assert run.data.tags["dataset"] == "pets" and run.inputs.dataset_inputs[0].dataset.name == "pets"


def test_logging_again_adds_nothing_and_a_new_result_adds_one(here):
    assert log([row("wide", 1, 0.95, 0.96)]) == 1
    assert log([row("wide", 1, 0.95, 0.96)]) == 0
    assert log([row("wide", 1, 0.95, 0.96), row("wide", 2, 0.95, 0.96)]) == 1
    assert len(runs()[1]) == 2


def test_what_a_killed_process_left_half_written_is_logged_anew(here):
    def killed(run_id):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log([row("wide", 1, 0.95, 0.96)], attach=killed)
    assert log([row("wide", 1, 0.95, 0.96)]) == 1
    assert [run.info.status for run in runs()[1]] == ["FINISHED"]


def test_folders_that_log_the_same_result_at_once_leave_each_other_alone_and_agree_on_one_run(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here / 'shared.db'}")
    (here / "elsewhere").mkdir()

    def meanwhile(run_id):
        with monkeypatch.context() as patch:
            patch.setenv("DVC_ROOT", str(here / "elsewhere"))
            assert log([row("wide", 1, 0.95, 0.96)]) == 1

    assert log([row("wide", 1, 0.95, 0.96)], attach=meanwhile) == 1
    assert {run.info.status for run in runs()[1]} == {"FINISHED"}
    assert log([row("wide", 1, 0.95, 0.96)]) == 0
    assert [run.info.status for run in runs()[1]] == ["FINISHED"]


def test_a_failed_training_is_a_failed_run_that_says_why(here):
    log([row("broken", 1, 0.1, 0.1, status="failed")])
    assert runs()[1][0].info.status == "FAILED" and runs()[1][0].data.tags["failure"] == "the loss was nan"


def test_long_curves_are_thinned_but_keep_their_last_point():
    points = tracking.curve_points(history(50_000))
    steps = [point.step for point in points if point.key == "loss"]
    assert len(steps) <= tracking.POINTS and steps[-1] == 50_000


def test_the_store_lies_in_the_parent_project_when_dvc_runs_a_copy(here, monkeypatch):
    (here / "parent").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(here / "parent"))
    log([row("wide", 1, 0.95, 0.96)])
    assert (here / "parent" / "mlflow.db").exists() and not (here / "mlflow.db").exists()
    client, (run,) = runs()
    assert run.info.artifact_uri.startswith((here / "parent" / "mlartifacts").as_uri())


def test_the_tracking_uri_variable_is_honoured(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here / 'elsewhere.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")  # of a server: a file has no accounts
    log([row("wide", 1, 0.95, 0.96)])
    assert runs("pets")[1] and (here / "elsewhere.db").exists() and not (here / "mlflow.db").exists()


def test_an_unreachable_store_is_one_line_that_says_what_to_do(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(LaboratoryError) as caught:
        log([row("wide", 1, 0.95, 0.96)])
    assert (
        "secret" not in str(caught.value)
        and "http://127.0.0.1:9" in str(caught.value)
        and "run the same command again" in str(caught.value)
    )
    assert "\n" not in str(caught.value)


def test_runs_become_children_of_the_run_that_mlflow_run_opened(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "a" * 32)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    log([row("wide", 1, 0.95, 0.96)], CONTEXT | {"parent": tracking.parent_run()})
    assert runs()[1][0].data.tags["mlflow.parentRunId"] == "a" * 32


def test_the_dvc_experiment_is_named(here, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "furry-cat")
    log([row("wide", 1, 0.95, 0.96)])
    assert runs()[1][0].data.tags["dvc.experiment"] == "furry-cat"


@pytest.mark.slow
def test_eight_processes_may_log_at_once_into_a_store_that_does_not_exist_yet(here):
    code = ("import sys; from tests.test_tracking import log, row; n = int(sys.argv[1]);"
            "log([row('wide', r, 0.95, 0.96) for r in (1, 2, n + 10)])")  # fmt: skip
    processes = [subprocess.Popen([sys.executable, "-c", code, str(n)], cwd=here, env=None, stderr=subprocess.PIPE, text=True)
                 for n in range(8)]  # fmt: skip
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    found = runs()[1]
    assert len(found) == 10 and {run.info.status for run in found} == {"FINISHED"}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_dataset_that_another_client_makes_at_the_same_moment_is_logged_all_the_same(here, monkeypatch):
    """The race itself is run in tests/test_tracking_server.py; here MLflow answers as it does there, the first time."""
    answers = [MlflowException("duplicate key value", error_code=BAD_REQUEST)]
    real = mlflow.MlflowClient.log_inputs

    def log_inputs(client, *arguments):
        if answers:
            raise answers.pop()
        real(client, *arguments)

    monkeypatch.setattr(mlflow.MlflowClient, "log_inputs", log_inputs)
    log([row("wide", 1, 0.95, 0.96)])
    _, (run,) = runs()
    assert [found.dataset.name for found in run.inputs.dataset_inputs] == ["pets"]


def test_the_chosen_model_is_registered_once_and_loads_as_champion(tensorflow, here):
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    x = np.ones((3, 4), np.float32)
    outputs = model(x).numpy()
    with tracking.store("pets") as (client, experiment_id):
        for repeat in (1, 2):
            tracking.log_run(
                client, experiment_id, row("wide", repeat, 0.95, 0.96), history(), CONTEXT,
                lambda run_id: tracking.log_model(client, run_id, model, x, outputs))  # fmt: skip
        for champion in (1, 1, 2, 1):
            found = {run.data.tags["repeat"]: run for run in tracking.known_runs(client, experiment_id, set()).values()}
            tracking.crown(client, "pets", list(found.values()), found[str(champion)])
        assert len(client.search_model_versions("name='pets'")) == 2, "one version a model, however often it is chosen"
        models = [run.data.tags["model_uri"].removeprefix("models:/") for run in found.values()]
        assert {client.get_logged_model(model).experiment_id for model in models} == {experiment_id}
        assert client.get_model_version_by_alias("pets", "champion").run_id == found["1"].info.run_id
    assert {run.data.tags["repeat"]: run.data.tags["chosen"] for run in runs()[1]} == {"1": "true", "2": "false"}
    assert all(run.info.status == "FINISHED" and run.info.end_time == 1_700_000_004_000 for run in runs()[1])
    loaded = mlflow.keras.load_model("models:/pets@champion")
    np.testing.assert_array_equal(loaded(x).numpy(), outputs)
