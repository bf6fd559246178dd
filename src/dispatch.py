"""Where trainings run: in processes of this machine, or on the workers of a Dask scheduler.

Either way a training has a process of its own whose number of threads follows from the experiment, see src/processes.py;
where it runs never changes its result. Both kinds of workers are entered by `with` and have

    submit(threads, function, *arguments)   a concurrent.futures.Future; BrokenProcessPool is a process that died
    size(threads)                           how many trainings of so many threads run side by side
    channel                                 a queue with what the trainings say of their progress, or None
    end_idle()                              ends processes that wait for work, to free their memory
"""

import hashlib
import logging
import multiprocessing
import os
import pickle
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path

from src import params, processes, runtime
from src.errors import LaboratoryError

# What computes results: a worker that has another version of any is refused.
PACKAGES = ("keras", "numpy", "optuna", "pandas", "scikit-learn", "scipy", "tensorflow")
DIED = ("a worker process died, perhaps for want of memory. Finished trainings are kept; set `jobs: 1` in params.yaml and run the "
        "same command again")  # fmt: skip
START = "`python -m dask worker ADDRESS --no-nanny`"


def chosen(settings):
    """The workers that params.yaml asks for; LABORATORY_WORKERS and LABORATORY_ADDRESS in the environment come first."""
    given = {"backend": os.environ.get("LABORATORY_WORKERS"), "address": os.environ.get("LABORATORY_ADDRESS")}
    wanted = settings.workers.model_dump() | {key: text for key, text in given.items() if text}
    wanted = params.check(params.Workers, wanted, "params.yaml or the environment: workers")
    return Dask(wanted.address) if wanted.backend == "dask" else Local(settings.jobs)


def died(future):
    """Whether the process of a finished training died; on Dask, whether all that tried it did."""
    if future.cancelled():
        raise LaboratoryError("the Dask scheduler is gone. Finished trainings are kept; start it again with its workers and "
                              "run the same command again")  # fmt: skip
    error = future.exception()
    if isinstance(error, ModuleNotFoundError) and error.name == "src":
        raise LaboratoryError(f"a Dask worker does not find this project: start it in the project's folder, {START}")
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


class Local:
    """As many processes of this machine as `jobs` allows: a number of threads, or 'auto'."""

    def __init__(self, jobs):
        self.jobs, self.channel = jobs, processes.CONTEXT.Queue()
        self.pool, self.waiting, self.futures = processes.Processes(self.channel), {}, []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for executor in self.waiting.values():
            executor.shutdown(wait=False, cancel_futures=True)
        while kind and any(future.running() for future in self.futures):  # stopped: the next run begins them anew
            processes.terminate()
            time.sleep(0.05)
        self.end_idle()

    def end_idle(self):
        self.pool.end_idle()

    def size(self, threads):
        return runtime.workers(self.jobs, threads)

    def submit(self, threads, function, *arguments):
        # A thread for each process, and not one pool of processes, which breaks as a whole where one of them dies.
        if threads not in self.waiting:
            self.waiting[threads] = ThreadPoolExecutor(self.size(threads))
        self.futures.append(self.waiting[threads].submit(self.pool.call, threads, function, *arguments))
        return self.futures[-1]


class Dask:
    """The workers of the Dask scheduler at `address`; each runs in this project's folder, on this machine or mounted."""

    channel = None

    def __init__(self, address):
        self.address = address

    def __enter__(self):
        try:
            from distributed import Client
        except ImportError:
            raise LaboratoryError("workers: backend dask needs a package that is not installed: `pip install "
                                  "distributed`") from None  # fmt: skip
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # an error is said once, in one line
        try:
            self.client = Client(self.address, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise LaboratoryError(f"workers: no Dask scheduler answers at {self.address}: {error}") from None
        try:
            self.client.wait_for_workers(1, timeout=20)
        except TimeoutError:
            self.client.close()
            raise LaboratoryError(f"workers: the Dask scheduler at {self.address} has no worker; start one in this project's "
                                  f"folder: {START}") from None  # fmt: skip
        Path("models").mkdir(exist_ok=True)
        self.mark = tempfile.NamedTemporaryFile(dir="models", prefix=".shared-")
        self.executor, self.identity = self.client.get_executor(pure=False), identity()
        return self

    def __exit__(self, *_):
        self.client.close()  # what still runs there is given up, see `run_in_worker`
        self.mark.close()

    def end_idle(self):
        """They stay, for whoever comes next."""

    def size(self, threads):
        return max(1, sum(self.client.ncores().values()) // threads)

    def submit(self, threads, function, *arguments):
        mark = Path("models", Path(self.mark.name).name)

        def enter(*arguments):  # a nested function travels by value: a worker without this project can say so
            from src import dispatch

            return dispatch.run_in_worker(*arguments)

        return self.executor.submit(enter, self.identity, mark, threads, pickle.dumps((function, arguments)))


# ---------------------------------------------------------------- in a Dask worker

pool = processes.Processes()  # kept from one study to the next


def run_in_worker(expected, mark, threads, payload):
    """Run a pickled (function, arguments) in a process of this worker, until nobody waits for the result any more."""
    from distributed import get_worker

    worker = get_worker()
    refuse_strangers(worker.address, expected, mark)
    task = worker.state.tasks[worker.get_current_task()]
    given_up = lambda: task.state == "cancelled"  # noqa: E731
    return pool.call(threads, call, payload, version=expected["code"], given_up=given_up)


def call(payload):
    function, arguments = pickle.loads(payload)
    return function(*arguments)


def refuse_strangers(name, expected, mark):
    """Raise LaboratoryError where this worker would compute something else, or write it elsewhere."""
    found = identity()
    differing = [f"{key} {found[key]}, expected {expected[key]}" for key in expected if found[key] != expected[key]]
    if differing:
        raise LaboratoryError(f"Dask worker {name} in {Path.cwd()} has {'; '.join(differing)}: give it this project's code "
                              "and requirements.txt and start it again")  # fmt: skip
    if not mark.exists():
        raise LaboratoryError(f"Dask worker {name} runs in {Path.cwd()}, and results written there do not arrive here: "
                              "share this project's folder with its machine and start it there")  # fmt: skip
    if multiprocessing.current_process().daemon:
        raise LaboratoryError(f"Dask worker {name} may not start processes: start it without a nanny, {START}")


def identity():
    """{what: version} of the code and of the packages that compute results, as they lie on disk now."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return {"code": digest.hexdigest()[:12], "Python": platform.python_version()} | {
        name: version(name) for name in PACKAGES
    }
