"""A study's results -> reports/STUDY/index.html."""

import math

from src.report import answers, charts, mistakes, page, tables
from src.wording import listing, percent, seconds, value

SHOWN_FIRST = 6  # curves before the reader chooses
EFFECTS = 30  # drawn at most
CLASSES = 30  # a larger confusion matrix is a picture only
SORTED_BY = {"Learning rate": "learning_rate", "Epochs": "epochs_run", "Parameters": "parameters",
             "Training time": "training_seconds"}  # fmt: skip


def html(shown, title, answered, scorecard, drawn, summary, repeated):
    """The page. shown: figures.Shown; answered, scorecard: see answers.answer and claims.scorecard; drawn: the figures."""
    found, card, metric = shown.results, shown.card, shown.results.metric
    effects = [charts.effect(change, metric) for change in answers.single_changes(found)]
    curves = charts.curves(found)
    facts = {
        "curves": curves,
        "charts": interactive(curves, effects[:EFFECTS], metric),
        "chosen": found.chosen and found.chosen["experiment"],
    }
    facts |= confusions(found, card["classes"]) if found.chosen and found.chosen.get("confusion") else {}
    changes = [effect_cells(effect) for effect in effects[:EFFECTS]]
    claims, cells = tables.scorecard(scorecard), tables.comparison(found.rows, metric)
    return page.html(
        "study.html.j2", title=title, study=shown.study, card=card, metric=metric, test_count=found.test_count,
        repeated=repeated, failures=[row for row in found.rows if row["status"] == "failed"], facts=facts,
        sections=sections(facts, changes, claims, answered, summary), figures=drawn, summary=summary, answers=answered,
        columns=page.columns(cells[0], best_first(metric)), rows=rows(shown.study, found, cells),
        shown_first=best(found)[:SHOWN_FIRST], losses=len({curve["loss"] for curve in curves.values()}),
        changes=changes, omitted=len(effects) - len(changes), effect_columns=page.columns(changes[0] if changes else []),
        scorecard=claims, verdicts=tables.verdicts(scorecard), claim_columns=page.columns(claims[0] if claims else []),
    )  # fmt: skip


def interactive(curves, effects, metric):
    """{name: specification} of the charts this study has."""
    drawn = {"curves": charts.learning_curves()} if curves else {}
    return drawn | ({"effects": charts.effects(effects, metric)} if effects else {})


def effect_cells(effect):
    return {"Change": effect["whole"], "Gain": f"{effect['gain']:.4g}", "Standard error": effect["uncertainty"]}


def confusions(found, classes):
    """Counts of each experiment, and the mistakes of the chosen run."""
    if len(classes) > CLASSES:
        return {}
    first = {row["experiment"]: row for row in reversed(found.finished)}
    first |= {found.chosen["experiment"]: found.chosen}
    cells, sprite = mistakes.behind(found, classes)
    names = [entry["experiment"] for entry in found.summary if entry["experiment"] in first]
    return {"confusions": {name: first[name]["confusion"] for name in names}, "classes": classes, "mistakes": cells,
            "sprite": sprite}  # fmt: skip


def sections(facts, changes, claims, answered, summary):
    """[(id, name)] of the page's sections."""
    every = [("comparison", "Comparison", True), ("curves", "Learning curves", facts["curves"]),
             ("confusion", "Confusion matrices", "confusions" in facts), ("effects", "Effects", changes),
             ("claims", "Claims", claims), ("answers", "Answers", answered), ("figures", "Figures", True),
             ("network", "Network", summary), ("again", "Run it again", True)]  # fmt: skip
    return [(name, text) for name, text, there in every if there]


def best(found):
    """Names of the experiments that finished, best validation first."""
    sign, key = (-1 if found.metric == "accuracy" else 1), f"val_{found.metric}"
    finished = [entry for entry in found.summary if entry[key] is not None]
    return [entry["experiment"] for entry in sorted(finished, key=lambda entry: sign * entry[key])]


def best_first(metric):
    return dict.fromkeys(measured_columns(metric), page.BEST_FIRST[metric])


def measured_columns(metric):
    """{heading in tables.comparison: key of the summary} of the measured columns."""
    if metric == "accuracy":
        return {"Accuracy": "test_accuracy", "Validation accuracy": "val_accuracy"}
    return {"MSE": "test_mse", "Validation MSE": "val_mse"}


def rows(study, found, cells):
    """The comparison table: cells with what they sort by, and what opens below each row."""
    orders = SORTED_BY | measured_columns(found.metric)
    varied = answers.varied_settings(found.rows)
    made = []
    for entry, texts in zip(found.summary, cells):
        name = entry["experiment"]
        made.append({
            "name": name,
            "chosen": entry["chosen"],
            "cells": [page.cell(text, sort_value(entry, orders.get(heading)))
                      for heading, text in texts.items() if heading != "Exp"],
            "settings": [(key, value(entry["configuration"][key])) for key in varied],
            "seeds": [seed_text(row, found) for row in found.rows if row["experiment"] == name],
            "command": f"rm -rf models/{study}/{name} && dvc repro report@{study}",
            "filter": f"tags.experiment = '{name}'",
        })  # fmt: skip
    return made


def sort_value(entry, key):
    """The number to sort by; None where there is none."""
    figure = entry.get(key)
    return figure if isinstance(figure, int | float) and math.isfinite(figure) else None


def seed_text(row, found):
    """One training in a line: its seed, results with the interval of the test, epochs, time."""
    said = [f"Seed {row['configuration']['seed']}"]
    if row["status"] == "failed":
        return f"{said[0]}: failed, {row['failure']}"
    metric = found.metric
    said.append(f"validation {found.show(row[f'val_{metric}'])}, test {found.show(row[f'test_{metric}'])}")
    if metric == "accuracy":
        low, high = row["test_accuracy_interval"]
        said.append(f"95 % interval {percent(low)} to {percent(high)}")
    said.append(f"{row['epochs_run']} epochs in {seconds(row['training_seconds'])}")
    return f"{said[0]}: {listing(said[1:])}"
