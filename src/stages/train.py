"""python -m src.stages.train STUDY: train every experiment of the study whose fingerprint changed, into models/STUDY."""

import time
from pathlib import Path

from src import command_line, params
from src.dispatch import backends, workers
from src.errors import command
from src.training import experiments


@command
def main():
    name = command_line.name(__doc__, "study")
    settings = params.load()
    started = time.time()
    jobs = experiments.plan(name, settings.study(name))
    Path("models", name).mkdir(parents=True, exist_ok=True)
    removed = experiments.remove_strangers(name, jobs)
    pending = [job for job in jobs if not experiments.is_done(job)]
    failed = train(pending, settings, name) if pending else []
    for manifest in failed:
        print(f"{name}: experiment {manifest['experiment']}, repeat {manifest['repeat']} failed: {manifest['failure']}")
    print(f"{name}: trained {len(pending)} of {len(jobs)}, {len(jobs) - len(pending)} unchanged"
          f"{f', removed {len(removed)}' if removed else ''}, in {time.time() - started:.1f} s")  # fmt: skip


def train(jobs, settings, name):
    """Train the jobs; returns the manifests of those that failed."""
    with backends.chosen(settings) as crew:
        return [manifest for manifest in workers.train_all(jobs, crew, name) if manifest["status"] == "failed"]


if __name__ == "__main__":
    main()
