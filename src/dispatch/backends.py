"""Where trainings run: in processes of this machine, or on the workers of a Dask scheduler or of a Ray cluster.

In each place a training has a process of its own whose number of threads follows from the experiment, see processes.py;
where it runs never changes its result. All kinds of workers are entered by `with` and have

    submit(threads, function, *arguments)   a concurrent.futures.Future; BrokenProcessPool is a process that died
    size(threads)                           how many trainings of so many threads run side by side
    queues                                  whether they want all at once: a cluster decides itself what runs where, and when
    channel                                 a queue with what the trainings say of their progress, or None
    end_idle()                              ends processes that wait for work, to free their memory
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from src import params
from src.dispatch import clusters, processes
from src.errors import LaboratoryError
from src.training import runtime


def chosen(settings):
    """The workers that params.yaml asks for; LABORATORY_WORKERS and LABORATORY_ADDRESS in the environment come first."""
    given = {"backend": os.environ.get("LABORATORY_WORKERS"), "address": os.environ.get("LABORATORY_ADDRESS")}
    wanted = settings.workers.model_dump() | {key: text for key, text in given.items() if text}
    wanted = params.check(params.Workers, wanted, "params.yaml or the environment: workers")
    if wanted.backend == "local":
        return Local(settings.jobs)
    return {"dask": clusters.Dask, "ray": clusters.Ray}[wanted.backend](wanted.address)


def died(future):
    """Whether the process of a finished training died; on Dask, whether all that tried it did."""
    if future.cancelled():
        raise LaboratoryError("the Dask scheduler is gone. Finished trainings are kept; start it again with its workers and "
                              "run the same command again")  # fmt: skip
    error = future.exception()
    if isinstance(error, ModuleNotFoundError) and error.name == "src":
        raise LaboratoryError(f"a worker does not find this project: start it in the project's folder, {clusters.PAGE}")
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


class Local:
    """As many processes of this machine as `jobs` allows: a number of threads, or 'auto'."""

    queues = False

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
