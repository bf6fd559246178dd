"""A team's store: what one machine has trained, another one pulls and trains no more."""

import shutil
import sqlite3

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import Project, copy_project, small_params
from tests.test_docs import blocks
from tests.test_pipeline import mlflow_runs


def measured(project):
    """{run name: its last metrics} of the project's MLflow store."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        return {
            name: dict(store.execute("select key, value from latest_metrics where run_uuid = ?", (run,)))
            for run, name in store.execute("select run_uuid, name from runs").fetchall()
        }


@pytest.fixture(params=["beyond_one_machine.md", "class.md"])
def remote(request, tmp_path, monkeypatch):
    """The commands of a page that make a remote and push to it: a folder, or a server on loopback that speaks S3."""
    (commands,) = [text for _, text in blocks(request.param, "bash") if "dvc push" in text]
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(key, "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="class")
    yield commands.replace("http://127.0.0.1:9000", address).replace("/mnt/share", str(tmp_path)).strip().split("\n")
    server.stop()


@pytest.mark.slow
def test_a_clone_pulls_everything_trains_nothing_and_rebuilds_its_mlflow_store(tmp_path, remote):
    first = copy_project(tmp_path / "first", small_params())
    first.run("dvc repro -q report@digits")
    for command in remote:
        first.run(command)
    first.commit("reproduced")
    first.run(f"git clone -q . {tmp_path / 'second'}")
    before = measured(first)
    shutil.move(first.folder, tmp_path / "away")  # nothing but the remote and the repository can help now

    second = Project(tmp_path / "second")
    second.run("dvc pull report@digits --with-deps")
    done = second.run("dvc repro report@digits")
    assert "Running stage" not in done.stdout and "up to date" in done.stdout
    assert not (second.folder / "mlflow.db").exists()
    second.run("dvc repro --force --single-item evaluate@digits")
    assert measured(second) == before and len(before) == 2
    assert {status for _, status, _ in mlflow_runs(second)} == {"FINISHED"}
    assert "up to date" in second.run("dvc repro report@digits").stdout
