"""The trainings of a study, dispatched to workers, and how far they are."""

import queue
from concurrent.futures import FIRST_COMPLETED, wait

from tqdm import tqdm

from src.dispatch import backends, processes
from src.errors import LaboratoryError
from src.training import experiments


def train_in_worker(job):
    def on_block(epoch, values):
        if processes.events:
            processes.events.put((job, epoch, values))

    return experiments.run(job, on_block)


def train_all(jobs, workers, title):
    """Train jobs on workers, see src/dispatch/backends.py, and yield each manifest as it is written.

    Jobs of one thread run side by side, then those of two. A worker that dies costs its own job only: the others are
    trained before a LaboratoryError names it.
    """
    lost = []
    with Progress(jobs, title) as progress:
        for threads in sorted({job.threads for job in jobs}):
            waiting = sorted((job for job in jobs if job.threads == threads), key=lambda job: -job.work)
            yield from train_waiting(waiting, threads, workers, progress, lost)
            workers.end_idle()
    if lost:
        names = ", ".join(f"{job.experiment} (repeat {job.repeat})" for job in lost)
        raise LaboratoryError(f"study {title}, experiment {names}: {processes.DIED}")


def train_waiting(waiting, threads, workers, progress, lost):
    """Yield manifests as they come, and put the jobs whose worker died into `lost`."""
    pending, ended = {}, None
    if workers.queues:
        pending, waiting = {workers.submit(threads, train_in_worker, job): job for job in waiting}, []
    while waiting or pending:
        while waiting and len(pending) < workers.size(threads):
            job = next_job(waiting, ended, {job.program for job in pending.values()})
            waiting.remove(job)
            pending[workers.submit(threads, train_in_worker, job)] = job
        done, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
        progress.show(workers.channel)
        for future in done:
            ended = pending.pop(future)
            if backends.died(future):
                lost.append(ended)
            else:
                progress.finish(ended)
                yield future.result()


def next_job(waiting, ended, running):
    """What to train where `ended` has just been: what its program is compiled for, a repeat say; else the longest.

    waiting: jobs, long ones first, so that no core waits for a late one; running: programs that others have, whose jobs
    are left to them while there is another choice.
    """
    alike = [job for job in waiting if ended and job.program == ended.program]
    untouched = [job for job in waiting if job.program not in running]
    return (alike or untouched or waiting)[0]


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
        while channel:
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
