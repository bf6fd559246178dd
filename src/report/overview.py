"""Studies and searches in a few facts each, reports/summaries/NAME.json -> reports/index.html.

The reports write the facts and the stage `site` gathers them, so that the overview depends on every report without a list
of them in dvc.yaml, and shows in a fresh clone what git has of the studies that were not run there.
"""

import json
from pathlib import Path

from src.report import page, search, tables
from src.wording import number, percent, seconds

FOLDER = Path("reports/summaries")
METRIC_NAMES = {"accuracy": "accuracy", "mse": "MSE"}


def save(name, facts):
    """Write reports/summaries/NAME.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")


def load(declared):
    """{name: facts} of the studies or searches; where no report was made, the title alone. declared: those of params.yaml."""
    paths = {name: FOLDER / f"{name}.json" for name in declared}
    return {name: json.loads(path.read_text()) if path.exists() else {"title": declared[name].title}
            for name, path in paths.items()}  # fmt: skip


def of_study(title, card, found, scorecard):
    """What the overview says of a study."""
    return {"title": title, "dataset": card["title"], "experiments": len(found.summary), "trainings": len(found.rows),
            "training_seconds": total_seconds(found.rows), "claims": tables.verdicts(scorecard),
            **winner(found.rows, found.metric)}  # fmt: skip


def of_search(title, card, outcome, rows):
    """What the overview says of a search."""
    spent = outcome["cost"]
    return {"title": title, "dataset": card["title"], "sampler": outcome["search"]["sampler"], "trials": spent["trials"],
            "trainings": spent["trainings"], "training_seconds": spent["training_seconds"],
            "best": search.point_text(outcome["trials"][outcome["best"]]["point"]),
            **winner(rows, search.metric_of(rows))}  # fmt: skip


def total_seconds(rows):
    return round(sum(row["training_seconds"] for row in rows if row["training_seconds"] is not None), 2)


def winner(rows, metric):
    """{metric, chosen, val, test: mean and deviation, interval} of the chosen experiment; chosen None without any."""
    entry = next((entry for entry in tables.summary(rows, metric) if entry["chosen"]), None)
    if entry is None:
        return {"metric": metric, "chosen": None}
    best = next(row for row in rows if row["chosen"])
    measured = {part: [entry[f"{part}_{metric}"], entry[f"{part}_{metric}_deviation"]] for part in ("val", "test")}
    return {"metric": metric, "chosen": entry["experiment"], **measured, "interval": best.get("test_accuracy_interval")}


def html(studies, searches):
    """The page. studies, searches: see `load`."""
    first = {"Validation": "descending", "Test": "descending"}
    return page.html(
        "index.html.j2",
        title="Small network laboratory: all studies and searches",
        studies=[row(name, facts, study_cells, f"dvc repro report@{name}") for name, facts in studies.items()],
        study_columns=[*page.columns(["Study", *STUDY_COLUMNS], first), *page.columns(["More"], sortable=False)],
        searches=[
            row(name, facts, search_cells, f"dvc repro report_search@{name}") for name, facts in searches.items()
        ],
        search_columns=[*page.columns(["Search", *SEARCH_COLUMNS], first), *page.columns(["More"], sortable=False)],
    )


STUDY_COLUMNS = ["Dataset", "Chosen", "Validation", "Test", "Claims reproduced", "Experiments", "Training time"]
SEARCH_COLUMNS = ["Dataset", "Winner", "Validation", "Test", "Sampler", "Trials", "Training time"]


def row(name, facts, cells, command):
    """A row of the overview; a report that was never made shows the command that makes it."""
    made = "metric" in facts
    shown = cells(facts) if made else [page.cell(f"not made yet: {command}")] + [page.cell("")] * 6
    return {"name": name, "title": facts["title"], "made": made, "cells": shown}


def study_cells(facts):
    claims = facts["claims"]
    reproduced, every = claims.get("reproduced", 0), sum(claims.values())
    said = f"{reproduced} of {every}" if every else "no claims"
    return [
        page.cell(facts["dataset"]),
        page.cell(facts["chosen"] or "none finished"),
        *results(facts),
        page.cell(said, reproduced / every if every else None),
        page.cell(f"{facts['experiments']} ({facts['trainings']} trainings)", facts["experiments"]),
        page.cell(seconds(facts["training_seconds"]), facts["training_seconds"]),
    ]


def search_cells(facts):
    return [
        page.cell(facts["dataset"]),
        page.cell(facts["best"]),
        *results(facts),
        page.cell(facts["sampler"]),
        page.cell(f"{facts['trials']} ({facts['trainings']} trainings)", facts["trials"]),
        page.cell(seconds(facts["training_seconds"]), facts["training_seconds"]),
    ]


def results(facts):
    """Validation and test result as cells; the test with its interval where it has one."""
    if facts["chosen"] is None:
        return [page.cell(""), page.cell("")]
    texts = {part: unbroken(measured(*facts[part], facts["metric"])) for part in ("val", "test")}
    if facts["interval"]:
        low, high = facts["interval"]
        texts["test"] += " " + unbroken(f"({100 * low:.2f} to {percent(high)})")
    return [page.cell(texts[part], facts[part][0]) for part in ("val", "test")]


def measured(mean, deviation, metric):
    if metric == "accuracy":
        return f"{100 * mean:.2f} ± {100 * deviation:.2f} %" if deviation is not None else percent(mean)
    return f"MSE {number(mean)}" + (f" ± {number(deviation, 2)}" if deviation is not None else "")


def unbroken(text):
    """The text on one line: its spaces do not break."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
