"""Run trainings in worker processes and show how far they are.

Every training runs in a worker: TensorFlow fixes its number of threads once a process, and the parent stays light.
"""

import multiprocessing
import os
import queue
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from src import experiments, runtime
from src.errors import LaboratoryError

events = None  # in a worker: the queue that carries progress to the parent


def start_worker(threads, progress):
    """Prepare a fresh process: thread counts, then TensorFlow."""
    global events
    events = progress
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of the group; the parent answers for all
    threading.Thread(target=end_with_parent, daemon=True).start()
    runtime.configure(threads)


def end_with_parent():
    """A worker whose parent was killed would train on, and write where the next run writes too."""
    multiprocessing.parent_process().join()
    os._exit(1)


def train_in_worker(job):
    def on_block(epoch, values):
        events.put((job, epoch, values))

    return experiments.run(job, on_block)


def train_all(jobs, how_many, title):
    """Train jobs and yield each manifest as it is written.

    Jobs of one thread run side by side, then those of two; long ones first, so that no core waits for a late one.
    """
    context = multiprocessing.get_context("spawn")
    with Progress(jobs, title) as progress:
        for threads in sorted({job.threads for job in jobs}):
            mine = sorted((job for job in jobs if job.threads == threads), key=lambda job: -job.work)
            channel = context.Queue()
            size = min(runtime.workers(how_many, threads), len(mine))
            with ProcessPoolExecutor(size, context, start_worker, (threads, channel)) as pool:
                pending = {pool.submit(train_in_worker, job): job for job in mine}
                try:
                    yield from gather(pending, channel, progress)
                except BaseException:  # stopped, or a worker died: what still runs is begun anew by the next run
                    pool.shutdown(wait=False, cancel_futures=True)
                    for process in multiprocessing.active_children():
                        process.terminate()
                    raise


def gather(pending, channel, progress):
    """Yield manifests as they come; pass the workers' events to the progress bar meanwhile."""
    while pending:
        done, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
        progress.show(channel)
        for future in done:
            job = pending.pop(future)
            try:
                manifest = future.result()
            except BrokenProcessPool:
                raise LaboratoryError(
                    f"study {job.study}, experiment {job.experiment}: a worker process died, perhaps for want of memory. "
                    "Finished experiments are kept; set `jobs: 1` in params.yaml and run the same command again"
                ) from None
            progress.finish(job)
            yield manifest


class Progress:
    """A bar over the work of all jobs; only on a terminal."""

    def __init__(self, jobs, title):
        self.done, self.count, self.title = {}, len(jobs), title
        self.finished = 0
        layout = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed}, {remaining} left {postfix}"
        self.bar = tqdm(total=sum(job.work for job in jobs), bar_format=layout, disable=None, leave=False)
        self.bar.set_description_str(f"{title}: 0/{self.count} experiments")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def show(self, channel):
        """Take in what the workers have sent."""
        while True:
            try:
                job, epoch, values = channel.get_nowait()
            except queue.Empty:
                return
            self.advance(job, job.work * epoch / job.configuration.epochs)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in list(values.items())[:2])
            self.bar.set_postfix_str(f"{job.experiment}: epoch {epoch}/{job.configuration.epochs}, {shown}")

    def advance(self, job, work):
        self.bar.update(work - self.done.get(job.folder, 0))
        self.done[job.folder] = work

    def finish(self, job):
        self.finished += 1
        self.advance(job, job.work)
        self.bar.set_description_str(f"{self.title}: {self.finished}/{self.count} experiments")
