"""Verdicts on the documents' claims follow from the measured repeats by stated rules."""

import numpy as np
import pandas
import pytest

from src import claims, params
from src.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDABLE
from src.errors import LaboratoryError
from src.report.answers import Results


def results(**values):
    """Results of experiments with the given validation accuracies, one a repeat; None: failed."""
    rows, histories = [], {}
    for name, accuracies in values.items():
        for repeat, accuracy in enumerate(accuracies, 1):
            status = "failed" if accuracy is None else "finished"
            rows.append({"experiment": name, "repeat": repeat, "status": status, "val_accuracy": accuracy,
                         "chosen": len(rows) == 0, "training_seconds": 10.0, "epochs_run": 4})  # fmt: skip
            histories[name, repeat] = pandas.DataFrame({"loss": [3, 2, 1.0, 0.5], "val_loss": [3, 1.0, 2, 3],
                                                        "val_accuracy": [0.25, 0.5, 0.6, 0.7]})  # fmt: skip
    return Results(rows, histories, "accuracy", 1000)


def verdict(measured, **said):
    claim = params.Claim.model_validate({"source": "s", "statement": "t", "measure": "val_accuracy"} | said)
    (row,) = claims.scorecard([claim], measured)
    return row


STEADY, HIGHER, NOISY = [0.900, 0.901, 0.902], [0.920, 0.921, 0.922], [0.80, 0.90, 1.00]

CASES = [
    # a quoted value
    ({"a": STEADY}, {"of": "a", "quoted": 0.904}, REPRODUCED),  # within half a point
    ({"a": STEADY}, {"of": "a", "quoted": 0.91}, NOT_REPRODUCED),  # 0.009 off, noise of one run 0.005
    ({"a": NOISY}, {"of": "a", "quoted": 0.95}, UNDECIDABLE),  # 0.05 off, but one run lands within 0.5
    ({"a": STEADY}, {"of": "a", "quoted": 0.91, "within": 0.02}, REPRODUCED),
    ({"a": [0.9]}, {"of": "a", "quoted": 0.904}, REPRODUCED),
    ({"a": [0.9]}, {"of": "a", "quoted": 0.5}, UNDECIDABLE),  # one repeat says nothing of its noise
    # bounds of the mean
    ({"a": STEADY}, {"of": "a", "at_least": 0.89}, REPRODUCED),
    ({"a": STEADY}, {"of": "a", "at_least": 0.91}, NOT_REPRODUCED),
    ({"a": STEADY}, {"of": "a", "at_least": 0.9005}, UNDECIDABLE),
    ({"a": STEADY}, {"of": "a", "at_most": 0.91}, REPRODUCED),
    ({"a": STEADY}, {"of": "a", "at_most": 0.89}, NOT_REPRODUCED),
    # orders
    ({"a": STEADY, "b": HIGHER}, {"highest_first": ["b", "a"]}, REPRODUCED),
    ({"a": STEADY, "b": HIGHER}, {"highest_first": ["a", "b"]}, NOT_REPRODUCED),
    ({"a": STEADY, "b": NOISY}, {"highest_first": ["a", "b"]}, UNDECIDABLE),
    ({"a": STEADY, "b": HIGHER, "c": [0.7, 0.71]}, {"highest_first": ["b", "a", "c"]}, REPRODUCED),
    ({"a": STEADY, "b": HIGHER, "c": [0.7, 0.71]}, {"highest_first": ["b", "c", "a"]}, NOT_REPRODUCED),
    ({"a": STEADY, "b": [0.95]}, {"highest_first": ["b", "a"]}, REPRODUCED),  # b's noise is taken to be a's
    ({"a": [0.9], "b": [0.95]}, {"highest_first": ["b", "a"]}, UNDECIDABLE),
    ({"a": STEADY, "b": HIGHER, "c": STEADY}, {"highest": "b", "among": ["a", "c"]}, REPRODUCED),
    ({"a": STEADY, "b": HIGHER, "c": STEADY}, {"highest": "a", "among": ["b", "c"]}, NOT_REPRODUCED),
    ({"a": STEADY, "b": HIGHER}, {"lowest": "a", "among": ["b"]}, REPRODUCED),
    ({"a": [1.0, 1.0], "b": [1.0, 1.0]}, {"highest_first": ["a", "b"]}, NOT_REPRODUCED),  # equal is not higher
    ({"a": NOISY, "b": NOISY}, {"highest_first": ["a", "b"]}, NOT_REPRODUCED),  # nor is the same in each repeat
    # equality
    ({"a": NOISY, "b": NOISY}, {"equal": ["a", "b"]}, REPRODUCED),  # the same in each repeat: no noise between them
    ({"a": NOISY, "b": NOISY[::-1]}, {"equal": ["a", "b"]}, UNDECIDABLE),  # the same mean by chance
    ({"a": [0.9], "b": [0.9]}, {"equal": ["a", "b"]}, UNDECIDABLE),  # once may be chance
    ({"a": [1.0, 1.0], "b": [1.0, 1.0]}, {"equal": ["a", "b"], "within": 0}, REPRODUCED),
    ({"a": STEADY, "b": STEADY}, {"equal": ["a", "b"]}, REPRODUCED),
    ({"a": STEADY, "b": HIGHER}, {"equal": ["a", "b"]}, NOT_REPRODUCED),
    ({"a": STEADY, "b": NOISY}, {"equal": ["a", "b"]}, UNDECIDABLE),
    # failures
    ({"a": STEADY, "b": [None]}, {"highest_first": ["a", "b"]}, UNDECIDABLE),
]


@pytest.mark.parametrize("measured, said, expected", CASES)
def test_the_verdict_follows_from_the_repeats(measured, said, expected):
    assert verdict(results(**measured), **said)["verdict"] == expected


def test_a_row_says_what_was_measured():
    row = verdict(results(a=STEADY, b=HIGHER), highest_first=["b", "a"])
    assert row["measured"] == pytest.approx(0.02) and row["repeats"] == 3 and row["quoted"] == "b > a"
    # half width of the 95 % interval of a difference of two means of three, each with deviation 0.001: t(4) = 2.776
    assert row["spread"] == pytest.approx(2.776 * 0.001 * np.sqrt(2 / 3), rel=1e-3)
    assert "a: 0.901 ± 0.001" in row["why"]


def test_a_claim_that_costs_too_much_to_measure_stands_undecided_and_says_why():
    row = verdict(results(a=STEADY), quoted=0.9, not_measured="it takes a day")
    assert row["verdict"] == UNDECIDABLE and row["measured"] is None and row["repeats"] == 0 and row["quoted"] == 0.9
    assert row["why"] == "not measured: it takes a day"


def test_the_chosen_experiment_can_be_meant():
    assert verdict(results(a=STEADY, b=HIGHER), of="chosen", quoted=0.901)["measured"] == pytest.approx(0.901)


def test_every_measure_can_be_taken():
    """Columns of the results or derived from curves; none is only a name."""
    measured = results(a=STEADY)
    assert set(claims.DERIVED) <= set(params.MEASURES)
    expected = {"seconds_per_epoch": 2.5, "final_loss": 0.5, "final_val_loss": 3, "early_val_accuracy": 0.25,
                "best_epoch": 2, "rise": 2, "gap": 2.5, "setbacks": 0}  # fmt: skip
    assert {name: claims.values_of(measured, "a", name)[0] for name in claims.DERIVED} == expected


def with_claim(raw_params, **said):
    raw_params["studies"]["digits"]["claims"] = [{"source": "s", "statement": "t", "measure": "val_accuracy"} | said]
    return raw_params


def test_a_claim_about_several_values_becomes_one_each(raw_params):
    raw = with_claim(raw_params, of="wide", quoted={"val_accuracy": 0.9, "final_loss": 0.1})
    found = params.validate(raw).study("digits").claims
    assert [(claim.measure, claim.quoted) for claim in found] == [("val_accuracy", 0.9), ("final_loss", 0.1)]


def test_highest_without_rivals_means_all_others(raw_params):
    (claim,) = params.validate(with_claim(raw_params, highest="wide")).study("digits").claims
    assert claim.experiments[0] == "wide" and set(claim.experiments) == set(
        raw_params["studies"]["digits"]["experiments"]
    )


WRONG = [
    ({"of": "wid", "quoted": 0.9}, "claims.0.*'wid'.*did you mean 'wide'"),
    ({"highest_first": ["wide", "wider"]}, "claims.0.*'wider'"),
    ({"of": "wide", "quoted": 0.9, "measure": "val_acuracy"}, "claims.0.measure.*val_acuracy"),
    ({"of": "wide", "quoted": 0.9, "not_measured": "why"}, "claims.0.*or `not_measured` with quoted or alone"),
    ({"of": "wide"}, "claims.0.*expected `of` with one of"),
    ({"of": "wide", "quoted": 0.9, "at_least": 0.8}, "claims.0.*received quoted, at_least"),
    ({"of": "wide", "quoted": 0.9, "qoted": 1}, "claims.0.*unknown key"),
    ({"highest_first": ["wide"]}, "claims.0.highest_first"),
]


@pytest.mark.parametrize("said, complaint", WRONG)
def test_a_wrong_claim_is_refused_before_any_work(raw_params, said, complaint):
    with pytest.raises(LaboratoryError, match=complaint):
        params.validate(with_claim(raw_params, **said))


@pytest.mark.parametrize("question, dataset", [("fit", "digits"), ("confusion", "gaps")])
def test_a_question_without_an_answer_is_refused_before_any_work(raw_params, question, dataset):
    study = raw_params["studies"]["regression_gaps" if dataset == "gaps" else "digits"]
    study |= {"dataset": dataset, "questions": [question]}
    with pytest.raises(LaboratoryError, match=f"questions: '{question}' has no answer"):
        params.validate(raw_params)
