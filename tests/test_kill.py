"""A few kills of `dvc repro`, each resumed; tests/kill_test.py makes as many as one likes."""

import pytest

from tests.kill_test import kill_and_resume


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_pipeline_goes_on_where_it_stopped_and_ends_as_if_nothing_had_happened(tmp_path):
    figures = kill_and_resume(tmp_path, kills=4, seed=2)
    assert sum(figures["kills"].values()) == 4 and figures["runs that got through"] >= 1
    print(figures)
