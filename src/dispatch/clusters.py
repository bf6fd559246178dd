"""Trainings on the workers of another program: a Dask scheduler or a Ray cluster. See src/dispatch/backends.py.

Neither is imported before it is asked for. A worker runs each training in a process of its own, as this machine would.
"""

import hashlib
import importlib
import logging
import multiprocessing
import pickle
import platform
import signal
import socket
import tempfile
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path

from src.dispatch import processes
from src.errors import LaboratoryError

# What computes results: a worker that has another version of any is refused.
PACKAGES = ("keras", "numpy", "optuna", "pandas", "scikit-learn", "scipy", "tensorflow")
PAGE = "see docs/beyond_one_machine.md"


class Cluster:
    """Workers of another program at `address`, which run in this project's folder, on this machine or mounted."""

    channel = None
    queues = True

    def __init__(self, address):
        self.address = address

    def __enter__(self):
        self.connect()
        Path("models").mkdir(exist_ok=True)
        self.mark = tempfile.NamedTemporaryFile(dir="models", prefix=".shared-")  # seen by workers in this folder only
        self.identity = identity()
        return self

    def __exit__(self, *_):
        self.disconnect()  # which ends what still runs there
        self.mark.close()

    def end_idle(self):
        """They are not ours to end."""

    def parcel(self, threads, function, arguments):
        """Arguments of `run_in_dask` and `run_in_ray`."""
        return self.identity, Path("models", Path(self.mark.name).name), threads, pickle.dumps((function, arguments))


class Dask(Cluster):
    """The workers of a Dask scheduler."""

    def connect(self):
        distributed = installed("distributed")
        for name in ("distributed.client", "tornado.application"):  # an error is said once, in one line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self.client = distributed.Client(self.address, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise LaboratoryError(f"workers: no Dask scheduler answers at {self.address}: {error}") from None
        try:
            self.client.wait_for_workers(1, timeout=20)
        except TimeoutError:
            self.client.close()
            raise LaboratoryError(f"workers: the Dask scheduler at {self.address} has no worker; start one in this project's "
                                  f"folder, {PAGE}") from None  # fmt: skip
        self.executor = self.client.get_executor(pure=False)

    def disconnect(self):
        self.client.close()

    def size(self, threads):
        return max(1, sum(self.client.ncores().values()) // threads)

    def submit(self, threads, function, *arguments):
        return self.executor.submit(entrance("run_in_dask"), *self.parcel(threads, function, arguments))


class Ray(Cluster):
    """The nodes of a Ray cluster, of which this machine is one."""

    def connect(self):
        self.ray, polite_end = installed("ray"), signal.getsignal(signal.SIGTERM)
        try:
            host, port = self.address.rsplit(":", 1)
            socket.create_connection((host, port), timeout=10).close()  # Ray itself would try for minutes
            self.ray.init(self.address, log_to_driver=False, logging_level="CRITICAL")
        except (OSError, RuntimeError, ValueError) as error:
            raise LaboratoryError(f"workers: no Ray cluster answers at {self.address}, {PAGE}: {error}") from None
        if not self.ray.cluster_resources().get("CPU"):
            raise LaboratoryError(f"workers: the Ray cluster at {self.address} has no node that may train, {PAGE}")
        signal.signal(signal.SIGTERM, polite_end)
        self.task = self.ray.remote(entrance("run_in_ray"))

    def disconnect(self):
        self.ray.shutdown()

    def size(self, threads):
        return max(1, int(self.ray.cluster_resources()["CPU"]) // threads)

    def submit(self, threads, function, *arguments):
        def settle(done):
            try:
                future.set_result(done.result())
            except self.ray.exceptions.RayTaskError as error:  # the text of the error itself holds a traceback
                future.set_exception(error.cause)
            except self.ray.exceptions.RayError as error:
                future.set_exception(BrokenProcessPool(str(error)))

        future = Future()
        self.task.remote(*self.parcel(threads, function, arguments)).future().add_done_callback(settle)
        return future


def installed(package):
    """The package of an optional backend, imported here and not before: who does not use it pays nothing."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise LaboratoryError(
            f"workers: this backend needs a package that is not installed: `pip install {package}`"
        ) from None


def entrance(name):
    """What a worker calls: a function of this module by name, that of its own folder.

    Nested, it travels by value, so that a worker without this project can say so.
    """

    def enter(*arguments):
        import os
        import sys

        if sys.path[0] != os.getcwd():  # Ray puts there the folder of who submits
            sys.path.insert(0, os.getcwd())
        from src.dispatch import clusters

        return getattr(clusters, name)(*arguments)

    return enter


# ---------------------------------------------------------------- in a worker

pool = processes.Processes()  # kept from one study to the next


def run_in_ray(expected, mark, threads, payload):
    """Run a pickled (function, arguments) in a process of this worker; Ray ends both once nobody waits for the result."""
    refuse_strangers(f"Ray worker on {platform.node()}", expected, mark)
    return pool.call(threads, call, payload, version=expected["code"])


def run_in_dask(expected, mark, threads, payload):
    """Run a pickled (function, arguments) in a process of this worker, until nobody waits for the result any more."""
    from distributed import Status, get_worker

    worker = get_worker()
    refuse_strangers(f"Dask worker {worker.address}", expected, mark)
    if multiprocessing.current_process().daemon:
        raise LaboratoryError(f"Dask worker {worker.address} may not start processes: start it with --no-nanny")
    task = worker.state.tasks[worker.get_current_task()]

    def given_up():  # by who asked for it, or by a worker that ends, as it does without its scheduler
        return task.state == "cancelled" or worker.status in (Status.closing, Status.closed)

    return pool.call(threads, call, payload, version=expected["code"], given_up=given_up)


def call(payload):
    function, arguments = pickle.loads(payload)
    return function(*arguments)


def refuse_strangers(name, expected, mark):
    """Raise LaboratoryError where this worker would compute something else, or write it elsewhere."""
    found = identity()
    differing = [f"{key} {found[key]}, expected {expected[key]}" for key in expected if found[key] != expected[key]]
    if differing:
        raise LaboratoryError(f"{name} in {Path.cwd()} has {'; '.join(differing)}: give it this project's code "
                              "and requirements.txt and start it again")  # fmt: skip
    if not mark.exists():
        raise LaboratoryError(f"{name} runs in {Path.cwd()}, and results written there do not arrive here: "
                              "share this project's folder with its machine and start it there")  # fmt: skip


def identity():
    """{what: version} of the code and of the packages that compute results, as they lie on disk now."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return {"code": digest.hexdigest()[:12], "Python": platform.python_version()} | {
        name: version(name) for name in PACKAGES
    }
