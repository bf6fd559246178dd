"""A finished search in words: its space, trials and cost, what chance would have found, and how much of it was luck."""

from math import comb

import numpy as np
import pandas

from src.params.search import label
from src.report import page, tables
from src.wording import listing, number, percent, seconds


def markdown(name, title, outcome, rows, card, figures):
    """reports/SEARCH/report.md. outcome: search.json; rows: the evaluated winner, see results.row_of."""
    metric = metric_of(rows)
    return page.TEMPLATES.get_template("search.md.j2").render(
        name=name, title=title, card=card, figures=figures, sentences=sentences(outcome, rows),
        space=space_table(outcome), trials=trial_cells(outcome), winner=tables.comparison(rows, metric),
    )  # fmt: skip


def metric_of(rows):
    """The metric of the winner's rows: accuracy or mse."""
    return "mse" if any("val_mse" in row for row in rows) else "accuracy"


def sentences(outcome, rows):
    """[(heading, text)]: what was found, what it cost, how much was luck, the borders, what chance would have found."""
    return [
        ("What was found", best_point(outcome)),
        ("What it cost", cost(outcome)),
        ("What the winner is worth", optimism(outcome, rows)),
        ("Is the space wide enough?", borders(outcome)),
        ("What would fewer random draws have found?", chance(outcome)),
    ]


def best_point(outcome):
    """The best trial, its value, and how many others ended otherwise."""
    best, metric = outcome["trials"][outcome["best"]], outcome["metric"]
    folds = outcome["search"]["objective"]["folds"]
    kept = ", each training counted at its best epoch" if outcome["search"]["objective"]["epoch"] == "best" else ""
    spread = f" (standard deviation over the {folds} folds {show(best['deviation'], metric)})" if folds else ""
    states = [trial["status"] for trial in outcome["trials"]]
    others = [f"{states.count(state)} {state}" for state in ("pruned", "failed", "not run") if state in states]
    ended = f"; {listing(others)}" if others else ""
    return f"Best of {len(states)} trials{ended}: {point_text(best['point'])}, with {metric} {show(best['value'], metric)}{spread}{kept}."


def cost(outcome):
    """Trials, trainings, epochs and seconds that the search took."""
    spent = outcome["cost"]
    return (f"{spent['trials']} trials, {spent['trainings']} trainings, {spent['epochs']:,} epochs: "
            f"{seconds(spent['training_seconds'])} of training, summed over the workers.")  # fmt: skip


def optimism(outcome, rows):
    """The search's own value, that of the same settings under new seeds, and that of the test rows."""
    metric = metric_of(rows)
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        return "Every training of the winner failed."
    again, tested = (float(np.mean([row[key] for row in finished])) for key in (f"val_{metric}", f"test_{metric}"))
    text = (f"Trained again under {len(finished)} other seeds, the winner reaches {show(again, metric)} on the validation rows and "
            f"{show(tested, metric)} on the test rows, which nothing before had seen.")  # fmt: skip
    if outcome["metric"] != f"val_{metric}":
        return text
    promised = outcome["trials"][outcome["best"]]["value"]
    gap = promised - tested if metric == "accuracy" else tested - promised
    return text + (f" The search had promised {show(promised, metric)}: "
                   f"{difference(abs(gap), metric)} {'better' if gap > 0 else 'worse'} than the test.")  # fmt: skip


def borders(outcome):
    """Whether the best point lies on the border of its space, and in which keys."""
    found = outcome["borders"]
    if not found:
        return "The best point lies inside its space in every numeric key."
    named = listing(f"{key} ({place} value)" for key, place in found.items())
    return f"The best point lies on the border in {named}: a wider space may hold better ones."


def chance(outcome, counts=(5, 10, 20)):
    """Exact for a complete grid, whose every value is known; measured where a baseline was run."""
    metric, maximize = outcome["metric"], outcome["direction"] == "maximize"
    values = sorted((t["value"] for t in outcome["trials"] if t["status"] == "finished"), reverse=not maximize)
    if outcome["baseline"]:
        rivals = [trial["value"] for trial in outcome["baseline"] if trial["status"] == "finished"]
        found = (max if maximize else min)(rivals, default=None)
        return f"{len(rivals)} random draws, at twice the cost, found {metric} {show(found, metric)} at best."
    if outcome["search"]["sampler"] != "grid" or len(values) <= min(counts):
        return "Not known: the space was not tried completely, and no random baseline was run."
    said = [
        f"{count} draws find {show(expected_best(values, count), metric)} on average and the best point in "
        f"{percent(count / len(values), 0)} of the cases"
        for count in counts
        if count < len(values)
    ]
    return f"Of the {len(values)} points, {listing(said)}; the best point of all has {show(values[-1], metric)}."


def expected_best(values, count):
    """Mean of the best of `count` draws without repetition. values: ascending in quality.

    The i-th of N (from 1) is the best of the draws in C(i - 1, count - 1) of C(N, count) cases.
    """
    total = comb(len(values), count)
    return sum(value * comb(index, count - 1) / total for index, value in enumerate(values))


def show(figure, metric):
    return "nothing" if figure is None else percent(figure) if "accuracy" in metric else number(figure, 4)


def difference(figure, metric):
    return f"{100 * figure:.2f} percentage points" if metric == "accuracy" else number(figure)


def point_text(point):
    return ", ".join(f"{key} {short(value)}" for key, value in point.items())


def short(choice):
    """A value of the space as text; drawn numbers, of 17 digits in trials.csv, with four."""
    return f"{choice:.4g}" if isinstance(choice, float) else str(label(choice))


def space_table(outcome):
    """[{key, values, condition, best}] as text."""
    best = outcome["trials"][outcome["best"]]["point"]
    return [
        {
            "Key": key,
            "Values": values_text(dimension),
            "Condition": ", ".join(f"{other} is {label(value)}" for other, value in dimension["when"].items()),
            "Best": short(best[key]) if key in best else "",
            "Border": outcome["borders"].get(key, ""),
        }
        for key, dimension in outcome["search"]["space"].items()
    ]


def values_text(dimension):
    if "choices" in dimension:
        return "; ".join(str(label(choice)) for choice in dimension["choices"])
    kind = "whole numbers " if dimension["integer"] else ""
    return f"{kind}{dimension['low']:g} to {dimension['high']:g}{', logarithmic' if dimension['log'] else ''}"


def trials_table(outcome):
    """One row per trial, best first: point, status, value and deviation, cost."""
    sign = -1 if outcome["direction"] == "maximize" else 1
    ranked = sorted(outcome["trials"], key=lambda t: (t["value"] is None, sign * (t["value"] or 0)))
    return pandas.DataFrame([
        {"trial": trial["number"], **{key: label(trial["point"].get(key, "")) for key in outcome["search"]["space"]},
         outcome["metric"]: trial["value"], "deviation": trial["deviation"], "status": trial["status"],
         "epochs": trial["epochs"], "seconds": round(trial["seconds"], 3), "failure": trial["failure"]}
        for trial in ranked
    ])  # fmt: skip


def trial_cells(outcome):
    """The trials' table as text cells."""
    metric = outcome["metric"]
    table = trials_table(outcome)
    hidden = ["deviation", "failure"]
    rows = []
    for entry in table.to_dict("records"):
        cells = {key: short(cell) for key, cell in entry.items() if key not in hidden}
        deviation = f" ± {show(entry['deviation'], metric)}" if pandas.notna(entry["deviation"]) else ""
        cells[metric] = show(entry[metric], metric) + deviation if pandas.notna(entry[metric]) else ""
        rows.append(cells | {"seconds": f"{entry['seconds']:.1f}"})
    return rows


def metrics(outcome, rows):
    """The few numbers that `dvc metrics` compares."""
    metric = metric_of(rows)
    finished = [row for row in rows if row["status"] == "finished"]
    tested = {
        f"{part}_{metric}": float(np.mean([row[f"{part}_{metric}"] for row in finished]))
        for part in ("val", "test")
        if finished
    }
    return {"objective": outcome["trials"][outcome["best"]]["value"], **tested, "trials": outcome["cost"]["trials"],
            "epochs": outcome["cost"]["epochs"]}  # fmt: skip
