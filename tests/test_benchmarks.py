"""What the benchmarks stand on still fits the project: nobody runs all of them after each change."""

import yaml

from benchmarks import pipeline, scaling
from tests.conftest import ROOT


def test_the_copy_whose_pipeline_is_timed_has_all_that_its_stages_read(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    pipeline.copy_project(tmp_path)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    read = {path for stage in stages for path in stage.get("do", stage)["deps"] if "$" not in path}
    sources = [path for path in read if not path.startswith("reports/")]  # these other stages write
    assert "requirements.txt" in sources
    assert [path for path in sources if not (tmp_path / path).exists()] == []


def test_a_run_can_be_logged_for_its_seconds(monkeypatch):
    monkeypatch.setattr(scaling, "RUNS", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "set anew by the function, taken back by the test")
    assert 0 < scaling.tracking_seconds() < 60
