"""Rows of evaluated experiments -> the comparison table and the machine-readable files."""

from collections import Counter

import pandas

from src.wording import number, percent, seconds

COLUMNS = [
    "experiment", "repeat", "status", "activation", "optimizer", "loss", "hidden_layers", "learning_rate", "batch_size",
    "epochs", "epochs_run", "kept_epoch", "parameters", "train_loss", "train_METRIC", "val_loss", "val_METRIC",
    "test_loss", "test_METRIC", "weight_norm", "training_seconds", "compile_seconds", "chosen", "failure", "fingerprint",
]  # fmt: skip


def experiments(rows, metric):
    """The table of reports/STUDY/experiments.csv: one row per experiment and repeat."""
    names = [name.replace("METRIC", metric) for name in COLUMNS]
    return pandas.DataFrame([{name: row.get(name) for name in names} for row in rows], columns=names)


def summary(rows, metric):
    """One dict per experiment: settings of its first repeat, mean and deviation over repeats of what was measured."""
    table = pandas.DataFrame(rows)
    found = []
    for _, group in table.groupby("experiment", sort=False):
        finished = group[group["status"] == "finished"]
        entry = group.iloc[0].to_dict() | {"repeats": len(group), "failed": len(group) - len(finished)}
        entry["chosen"] = bool(group["chosen"].any())
        for key in (f"val_{metric}", f"test_{metric}", "training_seconds", "epochs_run"):
            values = finished[key] if key in finished else pandas.Series(dtype=float)
            entry[key] = float(values.mean()) if len(values) else None
            entry[f"{key}_deviation"] = float(values.std(ddof=1)) if len(values) > 1 else None
        found.append(entry)
    return found


def comparison(rows, metric):
    """The comparison table as text cells: the assignment's columns, then size, validation and time."""
    name = "Accuracy" if metric == "accuracy" else "MSE"
    return [
        {
            "Exp": entry["experiment"] + (" *" if entry["chosen"] else ""),
            "Activation": entry["activation"],
            "Optimizer": entry["optimizer"],
            "Loss": "" if pandas.isna(entry["loss"]) else entry["loss"],
            "Hidden Layers": entry["hidden_layers"],
            "Learning rate": rate(entry["learning_rate"]),
            name: measured(entry, f"test_{metric}", metric),
            "Epochs": epochs(entry),
            "Parameters": "" if pandas.isna(entry["parameters"]) else f"{entry['parameters']:,.0f}",
            f"Validation {name.lower() if name == 'Accuracy' else name}": measured(entry, f"val_{metric}", metric),
            "Training time": "" if entry["training_seconds"] is None else seconds(entry["training_seconds"]),
        }
        for entry in summary(rows, metric)
    ]


def rate(value):
    """A learning rate without float32 noise; a schedule by its name."""
    return value if isinstance(value, str) else "" if pandas.isna(value) else f"{value:.6g}"


def epochs(entry):
    """Epochs asked for, and those run where it stopped early."""
    run = entry["epochs_run"]
    return str(entry["epochs"]) if run is None or run == entry["epochs"] else f"{run:.0f} of {entry['epochs']}"


def measured(entry, key, metric):
    """Mean, with ± deviation where there are repeats; 'failed' where there is nothing."""
    mean, deviation = entry[key], entry[f"{key}_deviation"]
    if mean is None:
        return "failed"
    if metric != "accuracy":
        return f"{mean:.4g}" + (f" ± {deviation:.2g}" if deviation is not None else "")
    return f"{100 * mean:.2f} ± {100 * deviation:.2f} %" if deviation is not None else percent(mean)


def seeds(entries):
    """Under how many seeds the experiments of a summary were trained: '1 seed', '3 seeds', '1 to 3 seeds'."""
    counts = {entry["repeats"] for entry in entries}
    fewest = f"{min(counts)} to " if len(counts) > 1 else ""
    return f"{fewest}{max(counts)} seed{'s' if max(counts) > 1 else ''}"


CLAIM_COLUMNS = ["source", "statement", "quoted", "measured", "spread", "repeats", "verdict", "measure", "why"]


def claims(rows):
    """The table of reports/STUDY/claims.csv: one row a claim."""
    return pandas.DataFrame(rows, columns=CLAIM_COLUMNS)


def scorecard(rows):
    """The scorecard as text cells."""
    return [
        {
            "Source": row["source"],
            "Claim": row["statement"],
            "Measure": row["measure"],
            "Quoted": row["quoted"] if isinstance(row["quoted"], str) else number(row["quoted"], 4),
            "Measured": row["why"] if row["measured"] is None else with_spread(row),
            "Repeats": str(row["repeats"]),
            "Verdict": row["verdict"],
        }
        for row in rows
    ]


def with_spread(row):
    return number(row["measured"], 4) + (f" ± {number(row['spread'], 2)}" if row["spread"] is not None else "")


def verdicts(rows):
    """{verdict: how many claims}, the commonest first; {} where there are no claims."""
    return dict(Counter(row["verdict"] for row in rows).most_common())


def text(cells):
    """The comparison table with aligned columns, for a terminal."""
    if not cells:
        return ""
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]}
    lines = ["  ".join(name.ljust(width) for name, width in widths.items())]
    lines += ["  ".join(row[name].ljust(width) for name, width in widths.items()) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def metrics(rows, metric):
    """The few numbers that `dvc metrics` and `dvc exp show` compare: those of the chosen experiment, and the cost."""
    chosen = next((entry for entry in summary(rows, metric) if entry["chosen"]), None)
    total = sum(row["training_seconds"] for row in rows if row["training_seconds"] is not None)
    found = {f"val_{metric}": chosen[f"val_{metric}"], f"test_{metric}": chosen[f"test_{metric}"]} if chosen else {}
    return found | {"experiments": len({row["experiment"] for row in rows}), "training_seconds": round(total, 2)}


def thinned(history, points=200):
    """At most about `points` epochs of a long training, the last one among them: files in git stay small."""
    step = -(-len(history) // points)
    return history[(history["epoch"] % step == 0) | (history["epoch"] == len(history))]
