"""The committed results of the digits study come out again from nothing."""

import json
import platform
from pathlib import Path

import pandas
import pytest

from tests.conftest import ROOT, copy_project
from tests.kill_test import TIMES

# What decides the bits of a result, and what of it the machine has that made the committed results.
INSTRUCTIONS = {"fma", "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile"}
MADE_WITH = ("GenuineIntel", INSTRUCTIONS)


def same_type_of_machine():
    """Whether XLA and Eigen find the maker and the instructions here that they found where the committed results were made."""
    if platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists():
        return False
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().split("\n"))
    here = {key.strip(): text.strip() for key, _, text in lines}
    return (here["vendor_id"], INSTRUCTIONS & set(here["flags"].split())) == MADE_WITH


@pytest.mark.slow
def test_a_fresh_run_of_the_digits_study_gives_the_committed_results(tmp_path, raw_params):
    raw = raw_params | {"studies": {"digits": raw_params["studies"]["digits"]}, "searches": {}}
    raw["datasets"] = {"digits": raw_params["datasets"]["digits"]}
    project = copy_project(tmp_path / "project", raw)
    project.run("dvc repro report@digits")
    here, committed = (pandas.read_csv(folder / "reports/digits/experiments.csv").drop(columns=[*TIMES])
                       for folder in (project.folder, ROOT))  # fmt: skip
    numbers = here.select_dtypes("number").columns
    assert (here["fingerprint"] == committed["fingerprint"]).all(), (
        "the committed results are of other code or settings"
    )
    if not same_type_of_machine():
        # 360 test rows: one standard error of an accuracy of 0.98 is 0.007
        pandas.testing.assert_frame_equal(here[numbers], committed[numbers], atol=0.03, rtol=0.2)
        return
    pandas.testing.assert_frame_equal(here, committed, check_exact=True)
    for name in ("curves.csv", "confusion.csv"):
        assert (project.folder / "reports/digits" / name).read_text() == (ROOT / "reports/digits" / name).read_text()
    assert without_times(project.folder) == without_times(ROOT)


def without_times(folder):
    metrics = json.loads((folder / "reports/digits/metrics.json").read_text())
    return {key: value for key, value in metrics.items() if "seconds" not in key}
