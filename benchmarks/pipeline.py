"""What the pipeline itself costs: part of `make bench`, or `python -m benchmarks.pipeline`.

A copy of the project runs `dvc repro` of a study of 5, 20 and 80 tiny experiments on the digits, all different networks, then
once more with nothing to do. Writes benchmarks/pipeline.md and benchmarks/pipeline.png.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas
import yaml

SIZES = (5, 20, 80)
STAGES = ("download", "preprocess", "split", "train", "evaluate", "report")


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder, str(size)), size) for size in SIZES]
    table = pandas.DataFrame(rows).round(1)
    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(f"{value:g}" for value in row) + " |" for row in table.to_numpy()]
    text = "\n".join(lines)
    Path("benchmarks/pipeline.md").write_text(text + "\n")
    draw(table)
    print(text)


def measure(folder, size):
    """Seconds of each stage for a study of `size` experiments, and of a second `dvc repro` that does nothing."""
    print(f"{size} experiments ...", file=sys.stderr)
    copy_project(folder)
    raw = yaml.safe_load((folder / "params.yaml").read_text())
    experiments = {f"units_{units}": {"hidden_layers": [units]} for units in range(8, 8 + size)}
    raw["studies"] = {"digits": raw["studies"]["digits"] | {
        "defaults": {"epochs": 2, "batch_size": 64}, "experiments": experiments}}  # fmt: skip
    raw["datasets"], raw["searches"] = {"digits": raw["datasets"]["digits"]}, {}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    seconds = {stage: timed(folder, f"dvc repro --single-item {stage}@digits") for stage in STAGES}
    results = pandas.read_csv(folder / "reports/digits/experiments.csv")
    training = results["training_seconds"].sum()
    return {
        "experiments": size,
        **{f"{stage} (s)": value for stage, value in seconds.items()},
        "all (s)": sum(seconds.values()),
        "of it in epochs (s)": training,
        "in compilation, summed over workers (s)": results["compile_seconds"].sum(),
        "nothing to do (s)": timed(folder, "dvc repro"),
    }


def timed(folder, command):
    started = time.perf_counter()
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def copy_project(folder):
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(re.compile(r"(src|\.dvc|data)/|dvc\.yaml|params\.yaml|\.gitignore|\.dvcignore").match, files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def draw(table):
    from src import plots

    figure, axis = plots.plt.subplots(figsize=(7, 4.5), layout="constrained")
    for stage, style in zip(("train", "evaluate", "report"), plots.STYLES):
        axis.plot(table["experiments"], table[f"{stage} (s)"], marker="o", label=stage, **style)
    axis.plot(table["experiments"], table["all (s)"], marker="s", color="grey", label="all stages")
    axis.set(xlabel="experiments in the study", ylabel="seconds", title="Cost of the pipeline, 2 epochs an experiment")
    axis.set(xlim=(0, None), ylim=(0, None))
    axis.legend()
    plots.save(figure, Path("benchmarks/pipeline.png"))


if __name__ == "__main__":
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    main()
