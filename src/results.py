"""The evaluated results of a study as rows, one per experiment and repeat; written by evaluate, read by report."""

import json
from pathlib import Path

import numpy as np
import pandas

from src.datasets import examples
from src.wording import layers, named, value


def folder(study):
    return Path("data/evaluated", study)


def row_of(manifest):
    """What the manifest says of a training, under the names of reports/STUDY/experiments.csv."""
    configuration, metric = manifest["configuration"], manifest.get("metric")
    row = {
        "experiment": manifest["experiment"],
        "repeat": manifest["repeat"],
        "status": manifest["status"],
        "activation": value(configuration["activation"]),
        "optimizer": named(configuration["optimizer"]),
        "loss": manifest.get("loss_name"),
        "hidden_layers": layers(configuration["hidden_layers"], configuration["convolutions"]),
        "learning_rate": manifest.get("learning_rate"),
        "batch_size": configuration["batch_size"],
        "epochs": configuration["epochs"],
        "epochs_run": manifest.get("epochs_run"),
        "kept_epoch": manifest.get("kept_epoch"),
        "parameters": manifest.get("parameters"),
        "training_seconds": manifest.get("training_seconds"),
        "compile_seconds": manifest.get("compile_seconds"),
        "failure": manifest["failure"],
        "fingerprint": manifest["fingerprint"],
        "configuration": configuration,
    }
    if metric:
        row["train_loss"] = manifest["loss"]
        row[f"train_{metric}"] = manifest[metric]
        row["val_loss"] = manifest["val_loss"]
        row[f"val_{metric}"] = manifest[f"val_{metric}"]
    return row


def save(study, rows, predictions):
    """Write evaluation.json and the test predictions {(experiment, repeat): float32 [rows, units]}."""
    folder(study).mkdir(parents=True, exist_ok=True)
    (folder(study) / "evaluation.json").write_text(json.dumps(rows, indent=1) + "\n")
    for (experiment, repeat), outputs in predictions.items():
        np.save(folder(study) / f"{experiment}-{repeat}.npy", outputs)


def save_insides(study, arrays, summary):
    """Write what `insides.look_inside` found of the chosen network, and its summary."""
    np.savez(folder(study) / "insides.npz", **arrays)
    (folder(study) / "summary.txt").write_text(summary)


def load_insides(study):
    """{kind: {name: array}} of the chosen network, and its summary; nothing where no training finished."""
    if not (folder(study) / "insides.npz").exists():
        return {}, ""
    found = {}
    with np.load(folder(study) / "insides.npz") as arrays:
        for key in arrays.files:
            kind, _, name = key.partition("/")
            found.setdefault(kind, {})[name] = arrays[key]
    return found, (folder(study) / "summary.txt").read_text()


def load(study):
    return json.loads((folder(study) / "evaluation.json").read_text())


def load_predictions(study, row):
    return np.load(folder(study) / f"{row['experiment']}-{row['repeat']}.npy")


def load_history(study, row):
    """The curves of one training: a table with epoch, loss, METRIC, val_loss, val_METRIC, ended."""
    return pandas.read_csv(Path("models", study, row["experiment"], str(row["repeat"]), "history.csv"))


def development_rows(dataset):
    """x and y of the development rows (training and validation), in the split's order."""
    rows = np.load(Path("data/split", dataset, "development.npz"))["rows"]
    return examples.load_rows(Path("data/processed", dataset), rows)


def test_rows(dataset):
    """x and y of the test rows. Only evaluate and report call this; train never does."""
    rows = np.load(Path("data/split", dataset, "test.npz"))["rows"]
    return examples.load_rows(Path("data/processed", dataset), rows)
