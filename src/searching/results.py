"""Where a search lies on disk, models/searches/NAME, and what it left there; written by src/searching/trials.py.

fits/FINGERPRINT.json   one training: a point's, or one fold of it. What is there is never trained again, so that a killed
                        search goes on where it stopped and an edited one trains only its new points
search.journal          Optuna's study, built anew from the fits at each start; random.journal: that of the baseline
search.json             the trials and what they cost
winner.json             the settings of the best point
"""

import json
from pathlib import Path

JOURNALS = ("search.journal", "random.journal")


def folder(name):
    return Path("models/searches", name)


def load(name):
    """The outcome of a finished search, see trials.outcome_of."""
    return json.loads((folder(name) / "search.json").read_text())


def load_fit(name, file):
    """One training of a search, see trials.train."""
    return json.loads((folder(name) / "fits" / file).read_text())
