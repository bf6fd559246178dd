"""Processes of this machine in which trainings run, one at a time in each.

TensorFlow fixes its number of threads once a process: each process serves one number, and the parent stays light.
"""

import multiprocessing
import os
import signal
import threading
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from src.training import runtime

CONTEXT = multiprocessing.get_context("spawn")
DIED = ("a worker process died, perhaps for want of memory. Finished trainings are kept; set `jobs: 1` in params.yaml and run the "
        "same command again")  # fmt: skip
events = None  # in such a process: the queue that carries progress to the parent, where it wants any


def start(threads, channel):
    """Prepare a fresh process: thread counts, then TensorFlow."""
    global events
    events = channel
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of the group; the parent answers for all
    threading.Thread(target=end_with_parent, daemon=True).start()
    runtime.configure(threads)


def end_with_parent():
    """A process whose parent was killed would train on, and write where the next run writes too."""
    multiprocessing.parent_process().join()
    os._exit(1)


class Processes:
    """Started when first needed and kept for later calls. channel: a queue that they find in `events`."""

    def __init__(self, channel=None):
        self.channel, self.idle = channel, defaultdict(list)

    def call(self, threads, function, *arguments, version=None, given_up=None):
        """The result of function(*arguments) in a process with so many threads. Several threads may call at once.

        version: of the code; a process that began with another is not used. given_up: a function asked twice a second;
        once it says true, the process is killed. Raises BrokenProcessPool where the process dies; other calls go on.
        """
        executor, process = self.take(threads, version)
        future = executor.submit(function, *arguments)
        while not wait([future], timeout=given_up and 0.5).done:
            if given_up():
                os.kill(process, signal.SIGKILL)
        if not isinstance(future.exception(), BrokenProcessPool):
            self.idle[threads, version].append((executor, process))
        return future.result()

    def take(self, threads, version):
        """(executor, process id) of an idle process, or of a new one."""
        self.end_idle(lambda key: key[1] != version)  # other code: never used again
        try:
            return self.idle[threads, version].pop()
        except IndexError:
            executor = ProcessPoolExecutor(1, CONTEXT, start, (threads, self.channel))
            return executor, executor.submit(os.getpid).result()

    def end_idle(self, which=lambda key: True):
        """End the idle processes whose (threads, version) is one that `which` names, and wait until they have.

        An interpreter that exits while they end may print a traceback (Python 3.11: "Bad file descriptor").
        """
        for key in filter(which, list(self.idle)):
            for executor, _ in self.idle.pop(key):
                executor.shutdown()


def terminate():
    """End every process at once, whatever it is doing."""
    for process in multiprocessing.active_children():
        process.terminate()
