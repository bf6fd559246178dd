"""A search run and written down: points drawn by Optuna, their trainings in worker processes, the best point.

Everything lies in models/searches/NAME, see src/searching/results.py.

Points follow from the seed alone, or for tpe and gp from the seed and from the results of earlier rounds of ROUND trials. How
many trainings run side by side decides nothing; only a pruner, which stops what others have overtaken, looks at the clock.
"""

import hashlib
import json
import math
import os
import statistics
import time
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from sklearn.model_selection import KFold, StratifiedKFold
from tqdm import tqdm

from src import params
from src.dispatch import backends, processes
from src.errors import LaboratoryError
from src.params import Experiment
from src.params.search import ADAPTIVE, applied, label
from src.searching import results, sampling
from src.training import experiments

ROUND = 4  # trials that tpe and gp draw before they look at results again, whatever the number of workers
CURVE_POINTS = 200  # epochs kept of a curve


@dataclass(frozen=True)
class Fit:
    """One training of a search: a trial's, or one fold of it."""

    trial: int
    fold: int | None
    experiment: Experiment
    dataset: str
    path: Path  # its result, see `train`
    threads: int
    work: float  # as in experiments.Job


def run(name, search, workers):
    """Run the search and return its outcome, kept by search.json (see `outcome_of`). workers: see src/dispatch/backends.py."""
    started, data = time.time(), experiments.development(search.dataset)
    folder = results.folder(name)
    (folder / "fits").mkdir(parents=True, exist_ok=True)
    deadline = started + (search.time_budget or math.inf)
    trials = explore(name, search, folder / results.JOURNALS[0], data, workers, deadline)
    rival = rival_of(search) if search.baseline else None
    baseline = explore(name, rival, folder / results.JOURNALS[1], data, workers, deadline) if rival else []
    remove_strangers(folder, trials + baseline)
    outcome = outcome_of(search, data["card"], trials, baseline, time.time() - started)
    write(folder / "search.json", outcome)
    if outcome["best"] is None:
        reasons = {trial["failure"] for trial in trials if trial["failure"]} or {"the time budget was too short"}
        raise LaboratoryError(
            f"search {name}: none of {len(trials)} trials finished: {'; '.join(sorted(reasons))}; "
            f"change searches.{name} in params.yaml and run the same command again"
        )
    write_winner(folder / "winner.json", search, trials[outcome["best"]])
    return outcome


def rival_of(search):
    """The random search with twice the trials that an elaborate one should beat."""
    trials = 2 * (search.trials or len(sampling.points(search)))
    return search.model_copy(update={"sampler": "random", "trials": trials, "pruner": "none"})


def explore(name, search, journal, data, workers, deadline):
    """Draw and train all trials of one sampler; returns them in order, see `judged`."""
    journal.unlink(missing_ok=True)
    # A killed process may have left Optuna's lock, a link to the journal; dangling, it would be waited for without end.
    Path(f"{journal}.lock").unlink(missing_ok=True)
    study = sampling.open_study(journal, search, direction_of(search, data["card"]))
    trials, wanted, digest = {}, sampling.how_many(study, search), digest_of(search, data)
    progress = tqdm(total=wanted * (search.objective.folds or 1), desc=f"{name}: trainings", disable=None, leave=False)
    while len(trials) < wanted and time.time() < deadline:
        count = min(ROUND if search.sampler in ADAPTIVE else wanted, wanted - len(trials))
        drawn = dict(sampling.ask(study, search) for _ in range(count))
        trainings = {number: fits_of(name, search, number, point, data, digest) for number, point in drawn.items()}
        replay(study, search, trainings)
        for number in train_round(search, journal, trainings, workers, deadline, progress):
            trial = judged(search, data["card"], number, drawn[number], trainings[number])
            sampling.tell(study, number, trial["status"], trial["value"])
            trials[number] = trial
    progress.close()
    return [trials[number] for number in sorted(trials)]


# ---------------------------------------------------------------- from a point to its trainings


def experiment_of(name, search, point, card):
    """The experiment at a point of the space. Raises LaboratoryError naming the point where it is none."""
    place = f"params.yaml: searches.{name}: at {described(point)}"
    experiment = params.check(Experiment, applied(search.defaults, point), place)
    experiments.check_fits(place.removeprefix("params.yaml: "), experiment, card)
    return experiment


def described(point):
    return ", ".join(f"{key} {label(value)}" for key, value in point.items())


def fits_of(name, search, number, point, data, digest):
    """The trainings of one trial: one, or one a fold. A result's name tells configuration, rows, code, fold and pruner."""
    experiment = experiment_of(name, search, point, data["card"])
    job = experiments.job_of(name, search.dataset, "trial", 1, experiment, data, digest)
    folds = [None] if search.objective.folds is None else range(search.objective.folds)
    names = [hashlib.sha256(repr((job.fingerprint, fold, search.pruner)).encode()).hexdigest()[:16] for fold in folds]
    return [
        Fit(
            number,
            fold,
            experiment,
            search.dataset,
            results.folder(name) / "fits" / f"{digest}.json",
            job.threads,
            job.work,
        )
        for fold, digest in zip(folds, names)
    ]


def digest_of(search, data):
    """Digest of all rows that the trainings see, as each trains and validates on them."""
    digest = experiments.data_digest(data)
    if search.objective.folds:
        rows = folds_of(search.dataset, search.objective.folds, search.seed)
        digest += hashlib.sha256(b"".join(part.tobytes() for pair in rows for part in pair)).hexdigest()
    return digest


def folds_of(dataset, count, seed):
    """[(training rows, validation rows)] of each fold, positions among the development rows.

    The dataset's own folds where it has so many, else those of scikit-learn's KFold. Up to a handful of rows are left out
    of the longer parts: folds of one size share one compiled program.
    """
    fold = np.load(Path("data/split", dataset, "development.npz"))["fold"]
    if fold.max() + 1 != count:
        data = experiments.development(dataset)
        stratified = data["card"]["task"] == "classification"
        splitter = (StratifiedKFold if stratified else KFold)(count, shuffle=True, random_state=seed)
        parts = list(splitter.split(np.zeros(len(fold)), data["y"] if stratified else None))
    else:
        parts = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(count)]
    sizes = [min(len(part[side]) for part in parts) for side in (0, 1)]
    return [(training[: sizes[0]], held_out[: sizes[1]]) for training, held_out in parts]


def rows_of(search, fit, data):
    """(training rows, validation rows) of a training."""
    if fit.fold is None:
        training = experiments.training_part(fit.experiment, data)
        return training, slice(training.start)
    training, held_out = folds_of(fit.dataset, search.objective.folds, search.seed)[fit.fold]
    return training[: fit.experiment.training_rows], held_out


# ---------------------------------------------------------------- training, in workers


def train_chunk(search, journal, fits, deadline):
    """In a worker: train one after another and write each result. A trial that was pruned or failed gets no more folds."""
    stopped = set()
    for fit in fits:
        if fit.trial in stopped or time.time() > deadline:
            continue
        if not fit.path.exists():  # it does where Dask repeats the list of a worker that died
            write(fit.path, train(search, journal, fit))
        if json.loads(fit.path.read_text())["status"] != "finished":
            stopped.add(fit.trial)


def train(search, journal, fit):
    """One training. status: finished, pruned, failed (the same next time), or crashed (tried again). Imports TensorFlow."""
    from src.training import fitting

    watch = Watch(search, journal, fit)
    facts = {"trial": fit.trial, "fold": fit.fold, "started": time.time(), "status": "finished", "failure": ""}
    try:
        data = experiments.development(fit.dataset)
        _, training, found = fitting.fit(fit.experiment, data, *rows_of(search, fit, data), watch)
        history = training.history | {
            "epoch": list(range(1, len(training.epoch_ends) + 1)),
            "ended": training.epoch_ends,
        }
        facts |= {key: found[key] for key in ("parameters", "compile_seconds", "learning_rate")}
        facts |= {"kept_epoch": training.kept_epoch, "failure": training.failure}
        facts["status"] = "failed" if training.failure else "finished"
    except optuna.TrialPruned:
        history = watch.history
        facts |= {"status": "pruned", "kept_epoch": history["epoch"][-1], "failure": ""}
    except Exception as error:  # one trial must not stop the search; the reason is kept and shown
        return facts | {
            "status": "crashed",
            "failure": f"{type(error).__name__}: {error}",
            "seconds": 0.0,
            "epochs_run": 0,
        }
    return facts | summary_of(history, facts["kept_epoch"]) | {
        "seconds": time.time() - facts["started"], "reports": watch.reports}  # fmt: skip


class Watch:
    """Called after each block of epochs: tells Optuna the objective so far, and ends what its pruner gives up."""

    def __init__(self, search, journal, fit):
        self.reports, self.history = [], {"epoch": [], "ended": []}
        # A trial with folds is judged by its first.
        self.trial = None
        if search.pruner != "none" and fit.fold in (None, 0):
            self.trial = sampling.trial_of(sampling.load_study(journal, search), fit.trial)
            self.metric = metric_of(search, experiments.development(fit.dataset)["card"])

    def __call__(self, epoch, values):
        if self.trial is None:
            return
        for name, value in (values | {"epoch": epoch, "ended": time.time()}).items():
            self.history.setdefault(name, []).append(value)
        self.reports.append([epoch, values[self.metric]])
        self.trial.report(values[self.metric], epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def summary_of(history, kept):
    """What is kept of the curves: the values at the kept epoch, the best of each, and CURVE_POINTS points.

    history: {name: one value an epoch (or a block, for a pruned training)}, with epoch and ended.
    """
    position = history["epoch"].index(kept)
    names = [name for name in history if name not in ("epoch", "ended")]
    best = {name: (max if "accuracy" in name else min)(history[name]) for name in names}
    step = math.ceil(len(history["epoch"]) / CURVE_POINTS)
    chosen = [*range(step - 1, len(history["epoch"]), step)]
    chosen += [len(history["epoch"]) - 1] if chosen[-1] != len(history["epoch"]) - 1 else []
    return {
        "epochs_run": history["epoch"][-1],
        "last": {name: history[name][position] for name in names},
        "best": best,
        "curves": {name: [rounded(name, history[name][index]) for index in chosen] for name in history},
    }


def rounded(name, value):
    """A value without digits that mean nothing: milliseconds of a time, the seven digits of a float32."""
    return value if name == "epoch" else round(value, 3) if name == "ended" else float(f"{value:.7g}")


def train_round(search, journal, trainings, workers, deadline, progress):
    """Train what is missing; yields each trial's number when its last training has ended. trainings: {trial: its fits}."""
    open_trials, done_before, died = dict(trainings), progress.n, False
    missing = [fit for fits in trainings.values() if not over(fits) for fit in fits if not fit.path.exists()]
    yield from closed(open_trials)
    for threads in sorted({fit.threads for fit in missing}):
        mine = chunks([fit for fit in missing if fit.threads == threads], search, workers.size(threads))
        pending = {}
        while mine or pending:
            pending |= {workers.submit(threads, train_chunk, search, journal, chunk, deadline): chunk for chunk in mine}
            done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            ended = {future: pending.pop(future) for future in done}
            dead = [chunk for future, chunk in ended.items() if backends.died(future)]
            died, mine = died or bool(dead), [rest for chunk in dead if (rest := after_death(chunk))]
            if done:
                yield from closed(open_trials)
            progress.n = done_before + sum(fit.path.exists() for fits in trainings.values() for fit in fits)
            progress.refresh()
    if died:
        raise LaboratoryError(processes.DIED)
    yield from open_trials  # the time budget left them out


def after_death(chunk):
    """What is left of a list of trainings whose process died, without the trial it was at."""
    left = [fit for fit in chunk if not fit.path.exists()]
    return [fit for fit in left if fit.trial != left[0].trial]


def closed(open_trials):
    """Take the trials that need no more training out of {trial: its fits}; returns their numbers."""
    found = [number for number, fits in open_trials.items() if over(fits)]
    for number in found:
        del open_trials[number]
    return found


def over(fits):
    """Whether a trial needs no more training: all its fits are there, or one of them ended it."""
    found = [json.loads(fit.path.read_text())["status"] for fit in fits if fit.path.exists()]
    return len(found) == len(fits) or any(status != "finished" for status in found)


def chunks(fits, search, workers):
    """Lists of trainings, long ones first: those of one list can share a compiled program and are trained by one worker.

    A group of trials that share one is divided where it would keep one worker busy while others wait. Where a pruner
    compares trials, each is a list of its own: it counts for the next as soon as it has ended.
    """
    share, groups = sum(fit.work for fit in fits) / (2 * workers), {}
    for fit in fits:
        groups.setdefault(fit.experiment.compiled_settings(), {}).setdefault(fit.trial, []).append(fit)
    found = []
    for trials in groups.values():
        pieces = math.ceil(sum(fit.work for parts in trials.values() for fit in parts) / share) if workers > 1 else 1
        size = 1 if search.pruner != "none" else math.ceil(len(trials) / pieces)
        members = list(trials.values())
        found += [sum(members[first : first + size], []) for first in range(0, len(members), size)]
    # Fold by fold: the normalisation of a fold may be part of the program.
    ordered = [sorted(chunk, key=lambda fit: (fit.fold or 0, fit.trial)) for chunk in found]
    return sorted(ordered, key=lambda chunk: -sum(fit.work for fit in chunk))


def replay(study, search, trainings):
    """Prepare for the trainings that are there already: what crashed is forgotten, what was reported is reported again."""
    for number, fits in trainings.items():
        for fit in fits:
            result = json.loads(fit.path.read_text()) if fit.path.exists() else {}
            if result.get("status") == "crashed":
                fit.path.unlink()
            elif search.pruner != "none":
                for epoch, value in result.get("reports", []):
                    sampling.trial_of(study, number).report(value, epoch)
                    sampling.trial_of(study, number).should_prune()  # the pruner takes its notes


# ---------------------------------------------------------------- judging


def metric_of(search, card):
    return search.objective.metric or ("val_accuracy" if card["task"] == "classification" else "val_mse")


def direction_of(search, card):
    return "maximize" if metric_of(search, card) == "val_accuracy" else "minimize"


def judged(search, card, number, point, fits):
    """A trial as search.json has it: point, status, value (mean over folds), deviation over folds, cost."""
    metric, epoch = metric_of(search, card), search.objective.epoch
    found = [json.loads(fit.path.read_text()) for fit in fits if fit.path.exists()]
    ended = [result for result in found if result["status"] != "finished"]
    status = ended[0]["status"] if ended else "finished" if len(found) == len(fits) else "not run"
    values = [result[epoch][metric] for result in found if epoch in result]
    finished = status == "finished"
    return {
        "number": number,
        "point": point,
        "status": "failed" if status == "crashed" else status,
        "failure": ended[0]["failure"] if ended else "",
        "value": statistics.fmean(values) if finished else None,
        "deviation": statistics.stdev(values) if finished and len(values) > 1 else None,
        "folds": values if len(fits) > 1 else [],
        "epochs": sum(result["epochs_run"] for result in found),
        "seconds": sum(result["seconds"] for result in found),
        "parameters": found[0].get("parameters") if found else None,
        "configuration": fits[0].experiment.model_dump(mode="json"),
        "fits": [fit.path.name for fit in fits if fit.path.exists()],
    }


def outcome_of(search, card, trials, baseline, seconds):
    """The finished search: its trials, the number of the best one (the first among equals) or None, and the cost."""
    sign = -1 if direction_of(search, card) == "maximize" else 1
    finished = [trial for trial in trials if trial["status"] == "finished"]
    best = min(finished, key=lambda trial: sign * trial["value"], default=None)
    return {
        "search": search.model_dump(mode="json", exclude={"defaults"}),
        "metric": metric_of(search, card),
        "direction": direction_of(search, card),
        "best": best and best["number"],
        "borders": borders(search.space, best["point"]) if best else {},
        "trials": trials,
        "baseline": baseline,
        "cost": {
            "trials": len(trials) + len(baseline),
            "trainings": len({name for trial in trials + baseline for name in trial["fits"]}),
            "epochs": sum(trial["epochs"] for trial in trials + baseline),
            "training_seconds": sum(trial["seconds"] for trial in trials + baseline),
            "run_seconds": seconds,
        },
    }


def borders(space, point):
    """{key: 'lowest' or 'highest'} of the numbers that lie at the edge of their range: better ones may lie beyond."""
    found = {key: space[key].place(value) for key, value in point.items()}
    return {key: place for key, place in found.items() if place}


def write_winner(path, search, best):
    """The best point as an experiment. Its seeds are none of the search's: what luck with a seed gave is not kept."""
    settings = best["configuration"] | {"repeats": search.repeats, "seed": (best["configuration"]["seed"] + 1) % 2**31}
    write(path, settings)


def remove_strangers(folder, trials):
    """Delete trainings that the search no longer has."""
    wanted = {name for trial in trials for name in trial["fits"]}
    for path in (folder / "fits").glob("*"):
        if path.name not in wanted:
            path.unlink()


def write(path, content):
    """JSON written at once or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
