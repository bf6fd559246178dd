"""The processes that score: how many, what they do with memory, and what is said when one dies."""

import os
import platform
import subprocess
import sys

import pytest

from src import scoring
from src.errors import LaboratoryError
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "jobs, count, processes",
    [(1, 80, 1), (2, 80, 2), (2, 5, 2), (2, 4, 1), (16, 21, scoring.MOST_PROCESSES), (4, 1, 1)],
)
def test_as_many_processes_score_as_jobs_allows_and_the_work_is_worth(jobs, count, processes):
    assert scoring.size(jobs, count) == processes


def test_a_scoring_process_that_dies_is_named_in_one_line():
    with (
        pytest.raises(LaboratoryError, match=r"a worker process died.*set `jobs: 1` in params.yaml"),
        scoring.pool(1, 1) as pool,
    ):
        pool.submit(os._exit, 1).result()


FAULTS = """
import resource, sys
import numpy as np
from src import scoring
if sys.argv[1] == "kept":
    scoring.keep_freed_memory()
np.ones(50_000_000, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(50_000_000, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is a function of the GNU C library")
def test_memory_of_freed_arrays_is_used_again():
    given_back, kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("given back", "kept")
    )
    assert kept < given_back / 4
