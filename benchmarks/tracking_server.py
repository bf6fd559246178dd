"""python -m benchmarks.tracking_server: how many runs a second MLflow's server on PostgreSQL takes from 32 clients at once.

Each client is a process in a folder of its own that logs its share with src.tracking, curves of 20 epochs and an artifact a run.
For comparison, the same with a request for each value. No run may be lost or be there twice. Writes
benchmarks/tracking_server.md; with --server URI it logs to a server that runs already and writes no file.
"""

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas

from benchmarks import servers
from src import command_line, params, tracking

STUDY = "measured"


def main():
    words = command_line.parser(__doc__, "python -m benchmarks.tracking_server --runs 1000 --clients 32")
    words.add_argument("--runs", type=int, default=1000)
    words.add_argument("--clients", type=int, default=32)
    words.add_argument("--server", help="URI of a server that runs already")
    asked = words.parse_args()
    if asked.server:
        print(f"{measured(asked.server, asked.runs, asked.clients, tracking.log_run):.1f} runs a second")
        return
    cases = [("a request for each value", 4, one_by_one, asked.runs // 10)]
    cases += [("`src.tracking.log_run`", workers, tracking.log_run, asked.runs) for workers in (1, 2, 4)]
    lines = ["| logging | workers of the server | clients | runs | runs a second |", "|---|---|---|---|---|"]
    for title, workers, log, runs in cases:
        with started(workers) as address:
            speed = measured(address, runs, asked.clients, log)
        lines.append(f"| {title} | {workers} | {asked.clients} | {runs} | {speed:.1f} |")
        print(lines[-1], flush=True)
    text = f"On {os.cpu_count()} cores that clients, server and PostgreSQL share; no run was lost, none is there twice."
    Path("benchmarks/tracking_server.md").write_text("\n".join([*lines, "", text, ""]))


@contextmanager
def started(workers):
    """A fresh server with that many worker processes, on a fresh database; yields its address."""
    with (
        servers.postgresql() as database,
        tempfile.TemporaryDirectory() as folder,
        servers.mlflow_server(folder, "postgresql:///postgres", workers, **database) as address,
    ):
        yield address


def measured(address, runs, clients, log):
    """Runs a second from the moment at which all clients may begin until the last one is done."""
    processes = multiprocessing.get_context("fork")  # TensorFlow is not loaded, and 32 imports of MLflow are saved
    ready = processes.Barrier(clients + 1, timeout=300)
    configuration = params.load().study("digits").experiments["wide"].model_dump(mode="json")
    rows = [row(number, configuration) for number in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        shares = [
            processes.Process(target=client, args=(address, Path(folder, str(n)), rows[n::clients], log, ready))
            for n in range(clients)
        ]
        for share in shares:
            share.start()
        ready.wait()
        begun = time.perf_counter()
        for share in shares:
            share.join()
        seconds = time.perf_counter() - begun
    check(address, rows, [share.exitcode for share in shares])
    return runs / seconds


def client(address, folder, rows, log, ready):
    """Log a share of the runs as the stage evaluate does, in a folder that shares no lock with the others."""
    folder.mkdir()
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = address
    context = {"study": STUDY, "command": "dvc repro report@measured", "card": {"name": "digits"}, "url": None, "digest": "0" * 64,
               "parent": None, "commit": None}  # fmt: skip
    Path("history.csv").write_text(HISTORY.to_csv(index=False))
    ready.wait()
    with tracking.store(STUDY) as (store, experiment_id):
        known = tracking.known_runs(store, experiment_id, {tracking.identity(one) for one in rows})
        for one in rows:
            if tracking.identity(one) not in known:
                log(store, experiment_id, one, HISTORY, context, partial(attach, store))


def attach(store, run_id):
    store.log_artifact(run_id, "history.csv")


def one_by_one(store, experiment_id, row, history, context, attach):
    """What tracking.log_run writes, with a request for each value."""
    run_id = store.create_run(experiment_id, None, tracking.tags(row, context)).info.run_id
    for key, text in tracking.parameters(row).items():
        store.log_param(run_id, key, text)
    for point in [*tracking.curve_points(history), *tracking.summary(row, history)]:
        store.log_metric(run_id, point.key, point.value, point.timestamp, point.step)
    tracking.log_dataset(store, run_id, context)
    attach(run_id)
    store.set_terminated(run_id)


def row(number, configuration):
    """A result as src.results.row_of makes it, of a network on the digits."""
    measured = {"val_loss": 0.1, "val_accuracy": 0.97, "test_loss": 0.1, "test_accuracy": 0.96, "training_seconds": 2.0}
    return {"experiment": f"network_{number}", "repeat": 1, "fingerprint": f"{number:016x}", "failure": "", "status": "finished",
            "configuration": configuration, "hidden_layers": "1 x 32", "loss": "CategoricalCrossentropy", "learning_rate": 0.001,
            "parameters": 2410, "epochs_run": len(HISTORY)} | measured  # fmt: skip


def check(address, rows, codes):
    """Every run is there once and whole; else the measurement is worth nothing."""
    os.environ["MLFLOW_TRACKING_URI"] = address
    with tracking.store(STUDY) as (store, experiment_id):
        found = store.search_runs([experiment_id], max_results=50_000)
    there = Counter(run.data.tags["identity"] for run in found if run.info.status == "FINISHED")
    if any(codes) or len(found) != len(rows) or there != Counter(tracking.identity(one) for one in rows):
        raise SystemExit(f"error: clients ended with {set(codes)}; of {len(rows)} runs {len(there)} are complete, "
                         f"of {len(found)} that are there")  # fmt: skip


EPOCHS = range(1, 21)
HISTORY = pandas.DataFrame({"epoch": EPOCHS, "loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.8,
                            "ended": [1_700_000_000.0 + epoch for epoch in EPOCHS]})  # fmt: skip

if __name__ == "__main__":
    main()
