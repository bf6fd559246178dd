"""The simulation of many workers gives what can be reckoned by hand where it can."""

import pytest

from benchmarks import scaling

FREE = {"starting": 0.0, "client": 0.0, "scheduler": 0.0, "worker": 0.0, "MLflow": 0.0}


@pytest.mark.parametrize(
    ("workers", "costs", "trained", "logged"),
    [
        (64, {}, 1, 1),
        (1, {"client": 0.1, "worker": 0.3}, 1 / 1.4, 1 / 1.4),
        (64, {"client": 0.1, "scheduler": 0.05}, 10 / 64, 10 / 64),  # ten a second, whoever waits for them
        (8, {"MLflow": 0.5}, 1, 1 / 5),
        (8, {"starting": scaling.ROUNDS}, 1 / 2, 1 / 2),
    ],
)
def test_shares_of_trainings_of_one_second(workers, costs, trained, logged, monkeypatch):
    monkeypatch.setattr(scaling, "DATASET", 0)
    assert scaling.simulated(workers, 1, FREE | costs) == pytest.approx((trained, logged), rel=0.02)


def test_reading_the_data_delays_all_workers_alike(monkeypatch):
    monkeypatch.setattr(scaling, "DATASET", scaling.NETWORK)  # a second each
    assert scaling.simulated(scaling.ROUNDS, 1, FREE)[0] == pytest.approx(1 / 2)
