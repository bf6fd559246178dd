"""A finished search -> reports/SEARCH/index.html."""

from src.params.search import label
from src.report import charts, page, search, tables

SECTIONS = [("findings", "Findings"), ("space", "Space"), ("winner", "Winner"), ("keys", "Effect of each key"),
            ("figures", "Figures"), ("trials", "Trials"), ("again", "Run it again")]  # fmt: skip


def html(name, title, outcome, rows, card, drawn):
    """The page. outcome: search.json; rows: the evaluated winner, see results.row_of; drawn: [(file, caption)]."""
    space, winner = search.space_table(outcome), tables.comparison(rows, search.metric_of(rows))
    keys = key_charts(outcome)
    cells, made = search.trial_cells(outcome), trial_rows(name, outcome)
    best_first = {outcome["metric"]: page.BEST_FIRST["accuracy" if outcome["direction"] == "maximize" else "mse"]}
    return page.html(
        "search.html.j2", name=name, title=title, card=card, figures=drawn, sentences=search.sentences(outcome, rows),
        sections=[section for section in SECTIONS if keys or section[0] != "keys"], facts={"charts": keys},
        space=space, space_columns=page.columns(space[0], sortable=False),
        winner=winner, winner_columns=page.columns(winner[0], sortable=False),
        trials=made, trial_columns=page.columns(cells[0], best_first),
    )  # fmt: skip


def key_charts(outcome):
    """{key: chart of its values against the objective} of the keys with two finished trials or more."""
    metric = outcome["metric"]
    finished = [trial for trial in outcome["trials"] if trial["status"] == "finished"]
    found = {}
    for key, dimension in outcome["search"]["space"].items():
        rows = [{"trial": trial["number"], key: label(trial["point"][key]), metric: trial["value"]}
                for trial in finished if key in trial["point"]]  # fmt: skip
        if len(rows) > 1:
            found[key] = charts.trials(rows, key, dimension.get("log", False), metric)
    return found


def trial_rows(name, outcome):
    """The trials as cells with what they sort by, and the command that trains each again."""
    fits = {trial["number"]: trial["fits"] for trial in outcome["trials"]}
    records = search.trials_table(outcome).to_dict("records")
    made = []
    for record, texts in zip(records, search.trial_cells(outcome)):
        number = record["trial"]
        files = " ".join(f"models/searches/{name}/fits/{file}" for file in fits[number])
        made.append({
            "number": number,
            "cells": [page.cell(text, order(record[key])) for key, text in texts.items() if key != "trial"],
            "command": f"rm -f {files} && dvc repro report_search@{name}",
            "filter": f"tags.experiment = 'trial_{number:03d}'",
        })  # fmt: skip
    return made


def order(entry):
    """The number to sort by; None where there is none."""
    return entry if isinstance(entry, int | float) and entry == entry else None  # NaN is not itself
