"""Several commands at once on one project: no run is lost, none is there twice, the store stays whole."""

import sqlite3
import subprocess

import pytest

from tests.test_pipeline import mlflow_runs

pytestmark = pytest.mark.slow


def test_two_dvc_repro_at_once_end_as_one(project):
    both = [subprocess.Popen(["dvc", "repro", "report@digits"], cwd=project.folder, env=project.environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]  # fmt: skip
    outputs = [process.communicate(timeout=500) for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, outputs
    for code, (_, stderr) in zip(codes, outputs):
        assert "Traceback" not in stderr
        assert code == 0 or "lock" in stderr or "busy" in stderr, stderr  # DVC names who holds it
    project.run("dvc repro report@digits")
    assert project.run("dvc status report@digits").stdout.strip() == "Data and pipelines are up to date."
    assert sorted((name, status) for name, status, _ in mlflow_runs(project)) == [
        ("narrow-1", "FINISHED"),
        ("wide-1", "FINISHED"),
    ]
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        assert store.execute("pragma integrity_check").fetchone() == ("ok",)


def test_four_queued_experiments_side_by_side_all_arrive_in_a_store_that_did_not_exist(project):
    project.run("dvc repro -q split@digits")
    project.commit("split")
    project.run("dvc exp run --queue -n grid -S studies.digits.defaults.epochs=2,3,4,5 evaluate@digits")
    project.run("dvc exp run --run-all -j 4")
    found = mlflow_runs(project)
    assert len(found) == 8 and {status for _, status, _ in found} == {"FINISHED"}
    assert len({(name, tags["dvc.experiment"]) for name, _, tags in found}) == 8
