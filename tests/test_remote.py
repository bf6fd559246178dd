"""A team's store: what one machine has trained, another one pulls and trains no more."""

import shutil
import sqlite3

import pytest

from tests.conftest import Project, copy_project, small_params
from tests.test_pipeline import mlflow_runs


def measured(project):
    """{run name: its last metrics} of the project's MLflow store."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        return {
            name: dict(store.execute("select key, value from latest_metrics where run_uuid = ?", (run,)))
            for run, name in store.execute("select run_uuid, name from runs").fetchall()
        }


@pytest.mark.slow
def test_a_clone_pulls_everything_trains_nothing_and_rebuilds_its_mlflow_store(tmp_path):
    first = copy_project(tmp_path / "first", small_params())
    first.run("dvc repro -q report@digits")
    first.run(f"dvc remote add -d team {tmp_path / 'remote'}")
    first.commit("reproduced")
    first.run("dvc push report@digits --with-deps")
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
