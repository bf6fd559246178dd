"""Calibrated probabilities are as often right as they say, and name the same class."""

import numpy as np
import pytest

from src import calibration


def network_that_exaggerates(factor, rows=4000, classes=5):
    """Logits `factor` times as large as those that the labels were drawn from."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 1.5, (rows, classes))
    probabilities = calibration.probabilities(logits, 1.0)
    y = np.array([random.choice(classes, p=row) for row in probabilities])
    return logits * factor, y


def calibration_error(probabilities, y, bins=15):
    """Expected calibration error (Naeini et al. 2015): |accuracy - confidence| over bins of confidence, weighted by rows."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == y
    of = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(abs(right[of == b].mean() - confidence[of == b].mean()) * np.mean(of == b) for b in np.unique(of))


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_exaggeration_on_rows_it_has_not_seen(factor):
    logits, y = network_that_exaggerates(factor)
    found = calibration.temperature(logits[:2000], y[:2000])
    assert found == pytest.approx(factor, rel=0.1)
    raw, calibrated = (calibration.probabilities(logits[2000:], t) for t in (1.0, found))
    assert calibration_error(calibrated, y[2000:]) < 0.03
    assert factor == 1.0 or calibration_error(raw, y[2000:]) > 0.1
    assert (raw.argmax(1) == calibrated.argmax(1)).all()


def test_a_network_without_mistakes_gets_a_finite_temperature():
    logits = np.eye(3)[[0, 1, 2]] * 4
    assert calibration.COLDEST <= calibration.temperature(logits, np.array([0, 1, 2])) < 1
