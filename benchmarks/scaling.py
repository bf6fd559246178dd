"""python -m benchmarks.scaling: how far many workers would help.

Measures on this machine what a training costs beside itself on the workers of a Dask scheduler on loopback, then simulates 1 to
512 workers with those figures. Writes benchmarks/scaling.md. Only the first table is measured.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import wait
from pathlib import Path

import numpy as np

from src import command_line, dispatch

TRAININGS = 300  # that do nothing, for the cost of dispatching one
WORKERS, SECONDS = (1, 8, 64, 512), (1, 10, 100)
ROUNDS = 50  # trainings a worker does in the simulation
NETWORK, DATASET = 117e6, 47e6  # bytes per second of a shared 1 Gbit/s link, bytes of MNIST: assumed


def main():
    command_line.parser(__doc__, "python -m benchmarks.scaling").parse_args()
    dispatching, starting = measured()
    evaluating = slope(Path("benchmarks/pipeline.md"))
    cells = {(w, t): simulated(w, t, dispatching, starting + DATASET * w / NETWORK) for w in WORKERS for t in SECONDS}
    text = f"""| measured here | seconds |
|---|---|
| a worker process until it trains | {starting:.1f} |
| dispatching a training and its result, scheduler, client and worker on {os.cpu_count()} cores | {dispatching:.4f} |
| scoring a result and writing it to MLflow, one process after the training ([pipeline.md](pipeline.md)) | {evaluating:.2f} |

Simulated with these figures: {ROUNDS} trainings a worker, handed out one after another by one scheduler, data of {DATASET / 1e6:.0f} MB read
once a worker over one shared link of {NETWORK / 1e6:.0f} MB/s. Share of the time in which workers train:

| workers | {" | ".join(f"trainings of {t} s" for t in SECONDS)} |
|---|{"---|" * len(SECONDS)}
"""
    for w in WORKERS:
        text += f"| {w} | {' | '.join(f'{cells[w, t]:.0%}' for t in SECONDS)} |\n"
    text += f"""
What saturates first: scoring and MLflow's store, written by one process after the trainings, takes as long as the trainings
from {SECONDS[0] / evaluating:.0f} workers on for trainings of {SECONDS[0]} s, {SECONDS[2] / evaluating:.0f} for {SECONDS[2]} s; \
the scheduler from {SECONDS[0] / dispatching:.0f} and {SECONDS[2] / dispatching:.0f} workers on.
"""
    Path("benchmarks/scaling.md").write_text(text)
    print(text)


def measured():
    """(seconds to dispatch a training that does nothing, seconds until a fresh worker's process trains)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "scheduler.json")
        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        worker = start("worker", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "1")
        try:
            while not (file.exists() and file.read_text().endswith("}")):
                time.sleep(0.1)
            return timed(json.loads(file.read_text())["address"])
        finally:
            worker.kill()
            scheduler.kill()


def start(*command):
    return subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.DEVNULL)


def timed(address):
    with dispatch.Dask(address) as workers:
        begun = time.perf_counter()
        workers.submit(1, os.getpid).result()
        started = time.perf_counter()
        wait([workers.submit(1, os.getpid) for _ in range(TRAININGS)])
        return (time.perf_counter() - started) / TRAININGS, started - begun


def slope(table):
    """Seconds of the stage evaluate for each experiment more, from the table of benchmarks.pipeline."""
    header, _, *rows = [line.strip("| ").split(" | ") for line in table.read_text().split("\n") if line]
    sizes, seconds = (
        [float(row[header.index(name)].strip(" |")) for row in rows] for name in ("experiments", "evaluate (s)")
    )
    return float(np.polyfit(sizes, seconds, 1)[0])


def simulated(workers, seconds, dispatching, starting):
    """Share of the time in which workers train, until the last training ends."""
    free, scheduler = np.full(workers, starting), 0.0
    for _ in range(ROUNDS * workers):
        worker = free.argmin()
        scheduler = max(scheduler, free[worker]) + dispatching
        free[worker] = scheduler + seconds
    return ROUNDS * seconds / free.max()


if __name__ == "__main__":
    main()
