"""python -m benchmarks.scaling: how far many workers would help.

Measures what a training costs beside itself on a Dask worker on loopback, and what MLflow takes to write it down, in processor
seconds, which other work on the machine hardly changes; medians of batches. Then simulates 1 to 512 workers with these figures.
Writes benchmarks/scaling.md and benchmarks/scaling.png. Only the first table is measured.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pandas
import psutil

from src import command_line, params
from src.dispatch import clusters, workers
from src.training import experiments

BATCHES, TRAININGS, RUNS = 7, 30, 9  # trainings that do nothing, in each batch; runs written to MLflow
WORKERS, SECONDS = (1, 8, 64, 512), (1, 10, 100)
ROUNDS = 50  # trainings that each worker does in the simulation
NETWORK, DATASET = 117e6, 47e6  # bytes per second of a shared link of 1 Gbit/s, bytes of MNIST: assumed


def main():
    command_line.parser(__doc__, "python -m benchmarks.scaling").parse_args()
    found = measured() | {"MLflow": tracking_seconds(), "message": message_bytes()}
    grid = np.unique(np.logspace(0, 9, 28, base=2).astype(int))
    cells = {(w, t): simulated(w, t, found) for w in grid for t in SECONDS}
    text = report(found, cells)
    Path("benchmarks/scaling.md").write_text(text)
    draw(grid, cells)
    print(text)


# ---------------------------------------------------------------- measured


def measured():
    """{what: processor seconds}: of worker, scheduler and client for a training, and of a process until it trains."""
    with cluster() as (address, scheduler, worker), clusters.Dask(address) as crew:
        sides = {"client": os.getpid(), "scheduler": scheduler.pid, "worker": worker.pid}
        sides = {side: psutil.Process(number) for side, number in sides.items()}
        crew.submit(1, os.getpid).result()
        starting = max(map(processor_seconds, sides["worker"].children()))
        batches = []
        for _ in range(BATCHES):
            before = {side: processor_seconds(process) for side, process in sides.items()}
            wait([crew.submit(1, os.getpid) for _ in range(TRAININGS)])
            batches.append({side: (processor_seconds(sides[side]) - before[side]) / TRAININGS for side in sides})
    return {"starting": starting} | {side: median(batch[side] for batch in batches) for side in sides}


@contextmanager
def cluster():
    """A scheduler and a worker of one thread on loopback: (address, their processes)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "scheduler.json")
        running = [
            start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)),
            start("worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard", "--nthreads", "1"),
        ]
        try:
            while not (file.exists() and file.read_text().endswith("}")):
                time.sleep(0.1)
            yield json.loads(file.read_text())["address"], *running
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()


def start(*command):
    return subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.DEVNULL)


def processor_seconds(process):
    """Of a process and of those that it has now."""
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


def a_job():
    """The first training of the digits study, as it is sent to a worker."""
    name, configuration = next(iter(params.load().study("digits").experiments.items()))
    return experiments.Job("digits", name, 1, configuration, "digits", "0" * 16, 1, 1.0)


def message_bytes():
    """Bytes that a training takes to its worker, as the dispatcher packs them."""
    return len(pickle.dumps((workers.train_in_worker, (a_job(),))))


def tracking_seconds():
    """Processor seconds that a run of 50 epochs takes in a SQLite store, without figures and model, as a search's trials have."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        from src import tracking

        job, epochs = a_job(), np.arange(1, 51)
        curves = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 1 / epochs)
        history = pandas.DataFrame({"epoch": epochs, "ended": time.time() + epochs, **curves})
        row = {"experiment": job.experiment, "repeat": 1, "fingerprint": job.fingerprint, "status": "finished", "failure": "",
               "configuration": job.configuration.model_dump(), "hidden_layers": "32", "loss": None, "learning_rate": None,
               "parameters": 1, "training_seconds": 1.0, "epochs_run": 50}  # fmt: skip
        context = {"study": "scaling", "command": "", "card": {"name": "digits"}, "url": None, "digest": "0",
                   "parent": None, "commit": None}  # fmt: skip
        seconds = []
        with tracking.store("scaling") as (client, experiment_id):
            for _ in range(RUNS):
                before = time.process_time()
                tracking.log_run(client, experiment_id, row, history, context, lambda run_id: None)
                seconds.append(time.process_time() - before)
    return median(seconds)


def slope(table):
    """Seconds of the stage evaluate for each experiment more, from the table of benchmarks.pipeline."""
    header, _, *rows = [line.strip("| ").split(" | ") for line in table.read_text().split("\n") if line]
    sizes, seconds = (
        [float(row[header.index(name)].strip(" |")) for row in rows] for name in ("experiments", "evaluate (s)")
    )
    return float(np.polyfit(sizes, seconds, 1)[0])


# ---------------------------------------------------------------- simulated


def simulated(workers, seconds, costs):
    """(until all is trained, until all is in MLflow too): shares of the time in which the workers train.

    One process, client or scheduler, whichever takes longer, hands out trainings one after another, each to the worker that is
    free first; that spends `worker` seconds beside the training. Before its first, each worker starts a process and reads the
    data over the link that all share. One process writes the runs afterwards. seconds: of a training.
    """
    free = np.full(workers, costs["starting"] + DATASET * workers / NETWORK)
    handing, handed = max(costs["client"], costs["scheduler"]), 0.0
    for _ in range(ROUNDS * workers):
        worker = free.argmin()
        handed = max(handed, free[worker]) + handing
        free[worker] = handed + costs["worker"] + seconds
    return tuple(ROUNDS * seconds / end for end in (free.max(), free.max() + ROUNDS * workers * costs["MLflow"]))


def report(found, cells):
    evaluating, busiest = slope(Path("benchmarks/pipeline.md")), max(found["client"], found["scheduler"])
    columns = " | ".join(f"trainings of {t} s" for t in SECONDS)
    text = f"""Measured: processor time on a busy machine of {os.cpu_count()} cores, everything on loopback; medians of {BATCHES} batches of
{TRAININGS} trainings that do nothing, and of {RUNS} runs in MLflow. A process's start was measured once.

| | seconds |
|---|---|
| a process until it trains: Python, TensorFlow | {found["starting"]:.1f} |
| client, a training | {found["client"]:.4f} |
| scheduler, a training | {found["scheduler"]:.4f} |
| worker, a training, beside the training itself | {found["worker"]:.4f} |
| MLflow, a trial of a search: 50 epochs of 4 curves in SQLite, written by one process after the trainings | {found["MLflow"]:.3f} |
| MLflow, an experiment of a study: scored, with figures and model ([pipeline.md](pipeline.md), elapsed time) | {evaluating:.2f} |

A training is sent as {found["message"] / 1000:.1f} kB.

Simulated with these figures: {ROUNDS} trainings a worker, handed out one after another by the busier of client and scheduler.
Assumed: each worker reads {DATASET / 1e6:.0f} MB of data (MNIST) before its first training, all over one link of {NETWORK / 1e6:.0f} MB/s, and none
finds them in its machine's cache; processor time is elapsed time; latency hides behind the training, since a worker is sent its
next one early. Share of the time in which the workers train, until all is trained / until a search is in MLflow, too:

| workers | {columns} |
|---|{"---|" * len(SECONDS)}
"""
    for w in WORKERS:
        text += f"| {w} | {' | '.join(' / '.join(f'{share:.0%}' for share in cells[w, t]) for t in SECONDS)} |\n"
    text += f"""
With how many workers each takes as long as the trainings themselves; the smallest number of a column saturates first:

| | {columns} |
|---|{"---|" * len(SECONDS)}
"""
    limits = {
        "MLflow, experiments of a study": [t / evaluating for t in SECONDS],
        "MLflow, trials of a search": [t / found["MLflow"] for t in SECONDS],
        f"network, data read once for {ROUNDS} trainings": [ROUNDS * t * NETWORK / DATASET for t in SECONDS],
        "client or scheduler": [(t + found["worker"]) / busiest for t in SECONDS],
        "network, trainings sent": [t * NETWORK / found["message"] for t in SECONDS],
    }
    for what, numbers in limits.items():
        text += f"| {what} | {' | '.join(f'{number:,.0f}' for number in numbers)} |\n"
    return text


def draw(grid, cells):
    from src import plots

    figure, axis = plots.plt.subplots(figsize=(7, 4.5), layout="constrained")
    for t, style in zip(SECONDS, plots.STYLES):
        lines = [[100 * cells[w, t][which] for w in grid] for which in (0, 1)]
        axis.plot(grid, lines[0], label=f"trainings of {t} s", **style | {"linestyle": "-"})
        axis.plot(grid, lines[1], **style | {"linestyle": ":"})
    axis.plot([], [], color="grey", linestyle=":", label="until a search is in MLflow, too")
    axis.set_xscale("log", base=2)
    axis.set_xticks(WORKERS, WORKERS)
    axis.set(xlabel="workers", ylabel="workers train, % of the time", ylim=(0, 100))
    axis.set(title="Simulated with measured costs: what many workers are worth")
    axis.legend()
    plots.save(figure, Path("benchmarks/scaling.png"))


if __name__ == "__main__":
    main()
