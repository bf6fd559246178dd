"""python -m benchmarks.pipeline: what the pipeline itself costs; part of `make bench`.

A copy of the project runs `dvc repro report@digits` for a study of 5, 7, 20 and 80 tiny experiments on the digits, all
different networks, then once more with nothing to do. Training is the time in which a worker compiles or trains; what is
left is the pipeline's own: DVC, imports, scoring, logging, figures. Writes benchmarks/pipeline.md and benchmarks/pipeline.png.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

import pandas
import yaml

from src import command_line

SIZES = (5, 7, 20, 80)
NEEDED = r"(src|\.dvc|data)/|dvc\.yaml|params\.yaml|requirements\.txt|\.gitignore|\.dvcignore"
STAGES = ("download", "preprocess", "split", "train", "evaluate", "report")


def main():
    command_line.parser(__doc__, "python -m benchmarks.pipeline").parse_args()
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
    seconds = stage_seconds(folder)
    everything, training = sum(seconds.values()), training_seconds(folder)
    return {
        "experiments": size,
        **{f"{stage} (s)": value for stage, value in seconds.items()},
        "all (s)": everything,
        "of it compiling and training (s)": training,
        "the pipeline's own (s)": everything - training,
        "nothing to do (s)": sum(stage_seconds(folder).values()),
    }


def stage_seconds(folder):
    """Seconds of `dvc repro report@digits`, by stage; DVC's own start is 'dvc'."""
    started, stage, seconds = time.perf_counter(), "dvc", dict.fromkeys(("dvc", *STAGES), 0.0)
    command = subprocess.Popen(["dvc", "repro", "report@digits"], cwd=folder, stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONUNBUFFERED": "1"})  # fmt: skip
    for line in chain(command.stdout, ["Running stage 'end@':"]):
        if found := re.match("Running stage '(.*)@", line):
            seconds[stage] += time.perf_counter() - started
            started, stage = time.perf_counter(), found[1]
    if command.wait():
        raise SystemExit("error: `dvc repro report@digits` failed; its messages stand above")
    return seconds


def training_seconds(folder):
    """Seconds in which at least one worker compiled or trained."""
    manifests = [json.loads(path.read_text()) for path in folder.glob("models/digits/*/*/manifest.json")]
    spans = sorted((m["started"] - m["compile_seconds"], m["started"] + m["training_seconds"]) for m in manifests)
    total, until = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def copy_project(folder):
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(re.compile(NEEDED).match, files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def draw(table):
    from src import plots

    figure, axis = plots.plt.subplots(figsize=(7, 4.5), layout="constrained")
    for stage, style in zip(("train", "evaluate", "report"), plots.STYLES):
        axis.plot(table["experiments"], table[f"{stage} (s)"], marker="o", label=stage, **style)
    axis.plot(
        table["experiments"], table["the pipeline's own (s)"], marker="s", color="grey", label="all without training"
    )
    axis.set(xlabel="experiments in the study", ylabel="seconds", title="Cost of the pipeline, 2 epochs an experiment")
    axis.set(xlim=(0, None), ylim=(0, None))
    axis.legend()
    plots.save(figure, Path("benchmarks/pipeline.png"))


if __name__ == "__main__":
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    main()
