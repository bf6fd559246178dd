"""What documents claim against what was measured: a verdict for each claim. Plain data in, plain data out.

A verdict is REPRODUCED, NOT_REPRODUCED or UNDECIDABLE: the noise between repeats is too large to tell, or unknown because
there is one repeat only. All intervals are 95 % Student intervals (Student 1908, Biometrika 6:1); two experiments share
one pooled deviation, so that an experiment trained once can be held against one trained several times.
"""

import math

import numpy as np
from scipy.special import stdtrit

from src import evaluation
from src.wording import listing, number

REPRODUCED, NOT_REPRODUCED, UNDECIDABLE = "reproduced", "not reproduced", "undecidable at this noise"

# How far a measured value may lie from a quoted one and still be called the same, unless the claim says `within`:
# half a point for shares, a tenth of the quoted number for everything else.
SHARE_TOLERANCE, RELATIVE_TOLERANCE = 0.005, 0.1


# What the row of a claim says of which nothing was measured.
NOTHING = {"measured": None, "spread": None, "repeats": 0, "verdict": UNDECIDABLE}


def scorecard(claims, results):
    """One row a claim: source, statement, quoted, measured, spread, repeats, verdict, and why.

    claims: list of params.Claim; results: report.answers.Results. Experiments without a finished training make a claim
    undecidable.
    """
    return [judge(claim, results) for claim in claims]


def judge(claim, results):
    """The row of one claim in the scorecard."""
    if claim.not_measured:
        row = {"source": claim.source, "statement": claim.statement, "measure": claim.measure, "quoted": claim.quoted}
        return row | NOTHING | {"why": f"not measured: {claim.not_measured}"}
    names = [results.chosen["experiment"] if name == "chosen" else name for name in claim.experiments]
    samples = {name: values_of(results, name, claim.measure) for name in names}
    row = {"source": claim.source, "statement": claim.statement, "measure": claim.measure}
    missing = [name for name, values in samples.items() if not len(values)]
    if missing:
        return row | {"quoted": None} | NOTHING | {"why": f"{listing(missing)} did not finish"}
    rule = RULES[claim.kind]
    found = rule(claim, [samples[name] for name in names])
    repeats = min(len(values) for values in samples.values())
    shown = "; ".join(f"{name}: {interval_text(values)}" for name, values in samples.items())
    return row | found | {"repeats": repeats, "why": shown}


def values_of(results, experiment, measure):
    """The measure in each finished repeat of an experiment, float [repeats]."""
    rows = [row for row in results.finished if row["experiment"] == experiment]
    return np.array([measured(row, results.histories[experiment, row["repeat"]], measure) for row in rows], float)


def measured(row, history, measure):
    """A measure of one training: a column of the results, or derived from its curves."""
    if measure in DERIVED:
        return DERIVED[measure](row, history)
    return row.get(measure, math.nan)


DERIVED = {
    "seconds_per_epoch": lambda row, history: row["training_seconds"] / row["epochs_run"],
    "final_loss": lambda row, history: history["loss"].iloc[-1],
    "final_val_loss": lambda row, history: history["val_loss"].iloc[-1],
    "early_val_accuracy": lambda row, history: history["val_accuracy"].iloc[0],
    "best_epoch": lambda row, history: evaluation.overfitting(history)["best_epoch"],
    "rise": lambda row, history: evaluation.overfitting(history)["relative_rise"],
    "gap": lambda row, history: evaluation.overfitting(history)["gap"],
    "setbacks": lambda row, history: (np.diff(history["loss"]) > 0).mean(),
}


# ---------------------------------------------------------------- rules: (claim, samples) -> quoted, measured, spread, verdict


def about(claim, samples):
    """A quoted value: the same when it lies within the tolerance; not when it lies beyond that and the noise of one run."""
    (values,) = samples
    distance, tolerance = abs(values.mean() - claim.quoted), tolerance_of(claim)
    noise = half_width(deviation(samples), len(values) - 1, 1 + 1 / len(values))
    verdict = REPRODUCED if distance <= tolerance else NOT_REPRODUCED if distance > noise else UNDECIDABLE
    return facts(claim.quoted, values.mean(), deviation(samples), verdict)


def at_least(claim, samples):
    """A lower bound of the mean."""
    return bounded(claim.at_least, f"at least {claim.at_least:g}", samples, sign=1)


def at_most(claim, samples):
    """An upper bound of the mean."""
    return bounded(claim.at_most, f"at most {claim.at_most:g}", samples, sign=-1)


def bounded(bound, quoted, samples, sign):
    """A bound of the mean: the interval of the mean must lie on one side of it to be decided."""
    (values,) = samples
    noise = half_width(deviation(samples), len(values) - 1, 1 / len(values))
    return facts(quoted, values.mean(), deviation(samples), decide(sign * (values.mean() - bound), noise))


def highest_first(claim, samples):
    """An order: each neighbour must be told apart from the next. measured: the smallest lead."""
    leads = [lead(one, other) for one, other in zip(samples, samples[1:])]
    return combined(claim, " > ".join(claim.experiments), leads)


def highest(claim, samples):
    """The first experiment lies above each of the others. measured: its lead over the closest."""
    return combined(claim, f"{claim.experiments[0]} highest", [lead(samples[0], other) for other in samples[1:]])


def lowest(claim, samples):
    """The first experiment lies below each of the others. measured: its lead over the closest."""
    return combined(claim, f"{claim.experiments[0]} lowest", [lead(other, samples[0]) for other in samples[1:]])


def combined(claim, quoted, leads):
    """Several comparisons as one: true when all are, false when one is false. Two that are equal in each repeat have no order."""
    verdicts = [
        NOT_REPRODUCED if difference == noise == 0 else decide(difference, noise) for difference, noise in leads
    ]
    smallest, noise = min(leads, key=lambda pair: pair[0])
    worst = NOT_REPRODUCED if NOT_REPRODUCED in verdicts else UNDECIDABLE if UNDECIDABLE in verdicts else REPRODUCED
    return facts(quoted, smallest, noise, worst)


def equal(claim, samples):
    """Equivalence (Schuirmann 1987): the interval of each difference lies inside the tolerance, or all of it outside."""
    differences = [lead(samples[0], other) for other in samples[1:]]
    tolerance = tolerance_of(claim, samples[0].mean())
    inside = [decide(tolerance - abs(difference), noise) for difference, noise in differences]
    largest, noise = max(differences, key=lambda pair: abs(pair[0]))
    verdict = NOT_REPRODUCED if NOT_REPRODUCED in inside else UNDECIDABLE if UNDECIDABLE in inside else REPRODUCED
    return facts(f"equal within {tolerance:g}", largest, noise, verdict)


RULES = {"quoted": about, "at_least": at_least, "at_most": at_most, "highest_first": highest_first,
         "highest": highest, "lowest": lowest, "equal": equal}  # fmt: skip


# ---------------------------------------------------------------- statistics


def facts(quoted, value, spread, verdict):
    """The part of a row that a rule decides. A spread that is not known (nan) becomes None."""
    return {"quoted": quoted, "measured": float(value), "spread": None if math.isnan(spread) else float(spread),
            "verdict": verdict}  # fmt: skip


def decide(difference, noise):
    """REPRODUCED when a difference is positive beyond its noise, NOT_REPRODUCED when negative beyond it."""
    if difference > noise or (noise == 0 and difference >= 0):
        return REPRODUCED
    return NOT_REPRODUCED if difference < -noise else UNDECIDABLE


def lead(one, other):
    """Difference of two means and the half width of its interval: none where they are the same in each of several repeats."""
    if len(one) > 1 and np.array_equal(one, other):  # the same seeds: no noise lies between two equal trainings
        return 0.0, 0.0
    degrees = len(one) + len(other) - 2
    noise = half_width(deviation([one, other]), degrees, 1 / len(one) + 1 / len(other))
    return one.mean() - other.mean(), noise


def deviation(samples):
    """Pooled standard deviation within samples; nan where no sample has two values."""
    degrees = sum(len(values) - 1 for values in samples)
    squares = sum(((values - values.mean()) ** 2).sum() for values in samples)
    return math.sqrt(squares / degrees) if degrees else math.nan


def half_width(spread, degrees, share):
    """Half of a 95 % Student interval of something with variance share * spread^2; infinite where the spread is unknown."""
    return stdtrit(degrees, 0.975) * spread * math.sqrt(share) if degrees else math.inf


def tolerance_of(claim, value=None):
    """The claim's own tolerance, or the general one for its measure; value: what it refers to, where nothing is quoted."""
    if claim.within is not None:
        return claim.within
    reference = claim.quoted if value is None else value
    return SHARE_TOLERANCE if "accuracy" in claim.measure else RELATIVE_TOLERANCE * abs(reference)


def interval_text(values):
    """Mean ± standard deviation of values [repeats] as text."""
    spread = deviation([values])
    return number(values.mean(), 4) + (f" ± {number(spread, 2)}" if not math.isnan(spread) else "")
