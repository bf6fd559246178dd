"""MLflow's server on PostgreSQL: many clients at once, and a class with accounts as docs/class.md sets it up."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from secrets import token_urlsafe

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client
from requests import HTTPError

from benchmarks import servers
from src import tracking
from src.errors import LaboratoryError
from tests.conftest import ROOT, copy_project, small_params
from tests.test_answers import row
from tests.test_docs import blocks, running
from tests.test_tracking import here, log, runs  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RUNS, CLIENTS = 200, 32
SECRETS = {name: token_urlsafe() for name in ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")}


def test_32_clients_log_at_once_and_no_run_is_lost_or_there_twice(postgresql, here, monkeypatch):  # noqa: F811
    with servers.mlflow_server(here, "postgresql:///postgres", 4, **postgresql) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        command = f"-m benchmarks.tracking_server --server {address} --runs {RUNS} --clients {CLIENTS}".split()
        print(subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        client, found = runs("measured")
        assert Counter(run.info.run_name for run in found) == {f"network_{n}-1": 1 for n in range(RUNS)}
        assert {run.info.status for run in found} == {"FINISHED"}
        assert {len(client.get_metric_history(run.info.run_id, "val_loss")) for run in found[::20]} == {20}
        assert len(list(here.glob("*/*/artifacts/history.csv"))) == RUNS


class Classroom:
    """The server of docs/class.md, the passwords it gave out, and a project in which Anna worked."""

    def __init__(self, folder, variables):
        self.project = copy_project(folder / "project", small_params())
        self.port = servers.free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        programs = Path(servers.postgresql_program("createdb")).parent
        path = f"{self.project.environment['PATH']}{os.pathsep}{programs}"
        self.project.environment |= variables | SECRETS | {"PATH": path}
        self.passwords = {"teacher": SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"]}

    def blocks(self, language):
        return [text.replace("5000", str(self.port)) for _, text in blocks("class.md", language)]

    def account(self, name):
        return {"MLFLOW_TRACKING_URI": self.address, "MLFLOW_TRACKING_USERNAME": name,
                "MLFLOW_TRACKING_PASSWORD": self.passwords[name]}  # fmt: skip

    def login(self, name, monkeypatch):
        for key, text in self.account(name).items():
            monkeypatch.setenv(key, text)
        return mlflow.MlflowClient(self.address)


@pytest.fixture(scope="module")
def classroom(postgresql, tmp_path_factory):
    """docs/class.md, done from top to bottom, but for the DVC remote (tests/test_remote.py)."""
    found = Classroom(tmp_path_factory.mktemp("class"), postgresql)
    database, server, student, _ = found.blocks("bash")
    found.project.run(database)
    (found.project.folder / "accounts.ini").write_text(*found.blocks("ini"))
    found.project.environment["PGUSER"] = "mlflow"
    with running(found.project, server, f"{found.address}/health"):
        (found.project.folder / "accounts.py").write_text(*found.blocks("python"))
        printed = found.project.run("python accounts.py", **found.account("teacher")).stdout
        found.passwords |= dict(line.split() for line in printed.strip().split("\n"))
        found.project.run(student, **found.account("anna"))
        yield found


@pytest.fixture
def annas(classroom):
    """The experiment, one run and the registered model of Anna, as she sees them."""
    with pytest.MonkeyPatch.context() as patch:
        client = classroom.login("anna", patch)
        experiment = client.get_experiment_by_name("anna-digits").experiment_id
        return experiment, client.search_runs([experiment])[0].info.run_id


def test_a_students_runs_are_complete_and_in_an_experiment_of_their_own(classroom, monkeypatch):
    client = classroom.login("anna", monkeypatch)
    found = client.search_runs([client.get_experiment_by_name("anna-digits").experiment_id])
    assert sorted(run.info.run_name for run in found) == ["narrow-1", "wide-1"]
    assert {run.info.status for run in found} == {"FINISHED"}
    champion = client.get_model_version_by_alias("anna-digits", "champion").run_id
    assert [run.data.tags["chosen"] for run in found if run.info.run_id == champion] == ["true"]
    assert "history.csv" in [file.path for file in client.list_artifacts(champion)]


def test_no_password_is_in_a_file_of_the_project_or_in_the_database(classroom):
    dump = classroom.project.run("pg_dump mlflow").stdout
    files = {path: path.read_bytes() for path in classroom.project.folder.rglob("*") if path.is_file()}
    assert "narrow-1" in dump and len(files) > 100
    for password in [*classroom.passwords.values(), *SECRETS.values()]:
        assert password not in dump
        assert [path for path, text in files.items() if password.encode() in text] == []


FORBIDDEN = {
    "delete a run": lambda client, experiment, run: client.delete_run(run),
    "delete the experiment": lambda client, experiment, run: client.delete_experiment(experiment),
    "rename the experiment": lambda client, experiment, run: client.rename_experiment(experiment, "mine"),
    "add a run": lambda client, experiment, run: client.create_run(experiment),
    "change a metric": lambda client, experiment, run: client.log_metric(run, "test_accuracy", 1.0),
    "change a tag": lambda client, experiment, run: client.set_tag(run, "chosen", "false"),
    "change a file": lambda client, experiment, run: client.log_text(run, "loss", "history.csv"),
    "delete the model": lambda client, experiment, run: client.delete_registered_model("anna-digits"),
    "move the champion": lambda client, experiment, run: client.delete_registered_model_alias("anna-digits", "champion"),
}  # fmt: skip


@pytest.mark.parametrize("act", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_student_may_see_the_runs_of_others_and_not_touch_them(act, classroom, annas, monkeypatch):
    client = classroom.login("ben", monkeypatch)
    before = client.get_run(annas[1]).to_dictionary()
    with pytest.raises((MlflowException, HTTPError), match="Permission denied"):
        act(client, *annas)
    assert client.get_run(annas[1]).to_dictionary() == before


def test_a_student_logs_and_deletes_runs_of_his_own(classroom, here, monkeypatch):  # noqa: F811
    client = classroom.login("ben", monkeypatch)
    assert log([row("wide", 1, 0.95, 0.96)]) == 1
    _, (run,) = runs("ben-pets")
    client.delete_run(run.info.run_id)
    assert runs("ben-pets")[1] == []


def test_who_may_edit_an_experiment_changes_tags_and_deletes_nothing(classroom, annas, monkeypatch):
    classroom.login("teacher", monkeypatch)
    get_app_client("basic-auth", classroom.address).grant_user_permission("ben", "experiment", annas[0], "EDIT")
    client = classroom.login("ben", monkeypatch)
    client.set_tag(annas[1], "seen", "by Ben")
    with pytest.raises(MlflowException, match="Permission denied"):
        client.delete_run(annas[1])
    classroom.login("teacher", monkeypatch)
    get_app_client("basic-auth", classroom.address).revoke_user_permission("ben", "experiment", annas[0])


def test_a_tutor_deletes_runs_of_others_and_makes_no_accounts(classroom, annas, monkeypatch):
    client = classroom.login("tutor", monkeypatch)
    client.delete_run(annas[1])
    client.restore_run(annas[1])
    for name in ("tutor", "ben"):
        classroom.login(name, monkeypatch)
        with pytest.raises(MlflowException, match="Permission denied"):
            get_app_client("basic-auth", classroom.address).create_user("eve", "long-enough-0815")


def test_a_name_that_another_took_is_an_error_that_says_so(classroom, here, monkeypatch):  # noqa: F811
    classroom.login("ben", monkeypatch).create_experiment("anna-pets")
    classroom.login("anna", monkeypatch)
    with pytest.raises(LaboratoryError, match="Permission denied"):
        log([row("wide", 1, 0.95, 0.96)])


def test_a_wrong_password_is_one_line_without_it(classroom, here, monkeypatch):  # noqa: F811
    classroom.login("anna", monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-annas-0815")
    with pytest.raises(LaboratoryError, match="run the same command again") as caught:
        log([row("wide", 1, 0.95, 0.96)])
    assert "\n" not in str(caught.value) and "not-annas" not in str(caught.value)
    assert tracking.owned("pets") == "anna-pets"
