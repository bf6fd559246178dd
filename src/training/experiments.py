"""From a study to trained experiments on disk: what is to be trained, its identity, and one training written down.

A trained experiment is a folder models/STUDY/EXPERIMENT/REPEAT with model.weights.h5, history.csv and manifest.json.
The manifest is written last: a folder without one is unfinished, and one whose fingerprint differs is out of date.
"""

import hashlib
import json
import math
import os
import shutil
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas
import scipy.sparse

from src.datasets import examples, split
from src.errors import LaboratoryError
from src.params import Experiment
from src.training import runtime

# Code in src that decides what a training computes: editing any of it makes every trained experiment of its engine out of date.
TRAINING_CODE = {
    "keras": (
        "training/augmentation.py",
        "training/fitting.py",
        "training/models.py",
        "training/operations.py",
        "training/trainer.py",
    ),
    "numpy": ("numpy_network/*.py", "training/fitting.py", "training/models.py"),
}
CONVOLUTION_CODE = ("training/graph_operations.py",)  # and that of networks with convolutions alone
# With its gradient and the two moments of Adam, such a network takes 8 GB.
LARGEST_NETWORK = 500_000_000


@dataclass(frozen=True, eq=False)
class Job:
    """One training: an experiment under one seed."""

    study: str
    experiment: str
    repeat: int  # from 1; repeat r has the experiment's seed + r - 1
    configuration: Experiment
    dataset: str
    fingerprint: str
    threads: int
    work: float  # multiply-adds of the whole training, for ordering and for the time left

    @property
    def folder(self):
        return Path("models", self.study, self.experiment, str(self.repeat))

    @cached_property
    def program(self):
        """Jobs with equal texts can share a compiled program, see src/training/fitting.py."""
        return self.configuration.compiled_settings()


def plan(name, study):
    """Every training the study asks for, as jobs. Reads the development data for its digest and shape."""
    data = development(study.dataset)
    digest = data_digest(data)
    for experiment, configuration in study.experiments.items():
        check_fits(f"studies.{name}.experiments.{experiment}", configuration, data["card"])
    return [
        job_of(name, study.dataset, experiment, repeat, configuration, data, digest)
        for experiment, configuration in study.experiments.items()
        for repeat in range(1, configuration.repeats + 1)
    ]


def job_of(study, dataset, experiment, repeat, configuration, data, digest):
    seeded = configuration.model_copy(update={"seed": configuration.seed + repeat - 1})
    rows = len(data["y"][training_part(seeded, data)])
    weights = multiply_adds(data["card"], seeded)
    batch = rows if seeded.batch_size == "full" else min(seeded.batch_size, rows)
    threads = threads_of(seeded, weights, batch)
    return Job(
        study=study,
        experiment=experiment,
        repeat=repeat,
        configuration=seeded,
        dataset=dataset,
        fingerprint=fingerprint(seeded, digest, threads),
        threads=threads,
        # The second term stands for what a step costs however small the network is.
        work=seeded.epochs * (3.0 * rows * weights + 1e5 * math.ceil(rows / batch)),
    )


def threads_of(experiment, multiply_adds, batch):
    """The experiment's own number of threads, or the one that pays for steps of this size."""
    return runtime.threads_for(multiply_adds, batch) if experiment.threads == "auto" else experiment.threads


def training_part(experiment, data):
    """The development rows that train, as a slice; those before it validate."""
    held_out = split.validation_rows(len(data["y"]), experiment.validation_split)
    return slice(held_out, experiment.training_rows and held_out + experiment.training_rows)


def layer_costs(card, experiment):
    """(weights, multiplications and additions of one example on its way forward) of each layer, without building the network."""
    shape = list(card["shape"])
    for convolution in experiment.convolutions:
        height, width = convolution.model_copy(update={"pool_size": None}).size(*shape[:2])
        inputs = convolution.kernel_size**2 * shape[2]
        yield convolution.filters * (inputs + 1), convolution.filters * inputs * height * width
        shape = [*convolution.size(*shape[:2]), convolution.filters]
    widths = [math.prod(shape), *experiment.hidden_layers, max(1, len(card["classes"]))]
    for inputs, units in zip(widths, widths[1:]):
        yield (inputs + 1) * units, (inputs + 1) * units


def multiply_adds(card, experiment):
    return sum(operations for _, operations in layer_costs(card, experiment))


def weights(card, experiment):
    """Those of batch normalisation aside."""
    return sum(count for count, _ in layer_costs(card, experiment))


def check_fits(place, experiment, card):
    """Refuse what cannot be trained on examples of this shape, before anything is."""
    if experiment.engine == "numpy":
        from src.numpy_network import engine

        reason = engine.refuse(experiment, card["task"])
        if reason:
            raise LaboratoryError(f"params.yaml: {place}: engine numpy: {reason}")
    for key in ("convolutions", "augmentation"):
        if getattr(experiment, key) and len(card["shape"]) != 3:
            raise LaboratoryError(f"params.yaml: {place}.{key}: expected none, because the dataset {card['name']} holds no "
                                  f"images but examples of shape {tuple(card['shape'])}")  # fmt: skip
    sides = tuple(card["shape"][:2])
    for index, convolution in enumerate(experiment.convolutions):
        sides = convolution.size(*sides)
        if min(sides) < 1:
            raise LaboratoryError(f"params.yaml: {place}.convolutions.{index}: nothing is left of an image of "
                                  f"{tuple(card['shape'][:2])} pixels; choose padding: same or a smaller pool_size")  # fmt: skip
    if weights(card, experiment) > LARGEST_NETWORK:
        raise LaboratoryError(f"params.yaml: {place}.hidden_layers: expected a network of at most {LARGEST_NETWORK:,} weights, "
                              f"received one of {weights(card, experiment):,}")  # fmt: skip


def fingerprint(experiment, digest, threads):
    """The identity of a trained result: digest of configuration, development data, threads and training code."""
    configuration = experiment.model_dump(mode="json", exclude={"repeats", "threads"})
    code = TRAINING_CODE[experiment.engine] + (CONVOLUTION_CODE if experiment.convolutions else ())
    identity = [configuration, digest, threads, code_digests(code)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


@lru_cache
def code_digests(names):
    files = [path for name in names for path in sorted(Path(__file__).parent.parent.glob(name))]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@lru_cache(maxsize=1)
def development(dataset):
    """{'x', 'y', 'card'} of the development rows (training and validation), in the split's order. Never the test rows."""
    rows = np.load(Path("data/split", dataset, "development.npz"))["rows"]
    x, y = examples.load_rows(Path("data/processed", dataset), rows)
    return {"x": x, "y": y, "card": examples.load_card(Path("data/processed", dataset))}


def data_digest(data):
    digest = hashlib.sha256(json.dumps([data["card"]["task"], len(data["card"]["classes"])]).encode())
    x = data["x"]
    arrays = (x.data, x.indices, x.indptr) if scipy.sparse.issparse(x) else (x,)
    for array in (*arrays, data["y"]):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def read_manifest(folder):
    """The manifest of a trained experiment, or None where there is none."""
    path = Path(folder, "manifest.json")
    return json.loads(path.read_text()) if path.exists() else None


def is_done(job):
    manifest = read_manifest(job.folder)
    return manifest is not None and manifest["fingerprint"] == job.fingerprint


def require_manifest(job):
    """The manifest of a job that was trained as it is configured now. Raises LaboratoryError where there is none."""
    manifest = read_manifest(job.folder)
    if manifest is None or manifest["fingerprint"] not in (job.fingerprint, ""):
        stage = "train_winner" if Path("models/searches", job.study).exists() else "train"
        state = (
            "not trained yet" if manifest is None else "trained from another configuration, other data or other code"
        )
        raise LaboratoryError(f"study {job.study}, experiment {job.experiment}, repeat {job.repeat}: {state}; "
                              f"run `dvc repro {stage}@{job.study}` first")  # fmt: skip
    return manifest


def remove_strangers(study, jobs):
    """Delete what models/STUDY holds of experiments and repeats that the study no longer has. Returns their names."""
    wanted = {job.folder for job in jobs}
    strangers = [folder for folder in sorted(Path("models", study).glob("*/*")) if folder not in wanted]
    for folder in strangers:
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    return [f"{folder.parent.name}/{folder.name}" for folder in strangers]


def run(job, on_block=None):
    """Train one job and write its folder; returns its manifest. Imports TensorFlow.

    A training that fails leaves a manifest that says so: with the fingerprint where it would fail again (the loss is
    no longer a number), without it where another try may help (out of memory, say).
    """
    from src.training import fitting

    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    try:
        data = development(job.dataset)
        training_rows = training_part(job.configuration, data)
        validation_rows = slice(training_rows.start)
        model, training, facts = fitting.fit(job.configuration, data, training_rows, validation_rows, on_block)
    except Exception as error:  # whatever one experiment does, the others go on; nothing is hidden: it is recorded
        return write_manifest(
            job, {"status": "failed", "failure": f"{type(error).__name__}: {error}", "fingerprint": ""}
        )
    require_room(job.folder / "model.weights.h5", 4 * model.count_params() + 100_000)
    model.save_weights(job.folder / "model.weights.h5")
    history = pandas.DataFrame(training.history)
    history.insert(0, "epoch", range(1, len(history) + 1))
    history["ended"] = training.epoch_ends
    history.to_csv(job.folder / "history.csv", index=False)
    kept = history.iloc[training.kept_epoch - 1].drop(["epoch", "ended"])
    return write_manifest(job, facts | {
        "status": "failed" if training.failure else "finished",
        "failure": training.failure,
        "fingerprint": job.fingerprint,
        "started": training.started,
        "training_seconds": training.seconds,
        "epochs_run": len(history),
        "kept_epoch": training.kept_epoch,
        "stopped_early": training.stopped_early,
        "compiled_with": training.compiled_with,
        **{name: float(value) for name, value in kept.items()},
    })  # fmt: skip


def require_room(path, size):
    """Write and remove a file of `size` bytes: a full disk raises an OSError here, where HDF5 would end the process."""
    try:
        path.write_bytes(bytes(size))
    finally:
        path.unlink(missing_ok=True)


def load_model(job, manifest):
    """The trained network of a job, rebuilt from its configuration and weights. Imports TensorFlow."""
    from src.training import models

    data = development(job.dataset)
    card, targets = data["card"], len(data["card"]["classes"]) or data["y"].shape[1]
    model = models.build_model(job.configuration, card["task"], tuple(card["shape"]), targets, manifest["scale"])
    model.load_weights(job.folder / "model.weights.h5")
    return model


def apply(model, job, x, y):
    """Outputs of a job's trained network on x, float32 [rows, units], and its loss there (penalties included, as in Keras)."""
    from src.training import models, trainer

    task = development(job.dataset)["card"]["task"]
    loss_name = models.loss_name(job.configuration, task)
    targets = trainer.encode_targets(y, loss_name, model.output_shape[-1])
    return trainer.outputs_and_loss(model, models.build_loss(job.configuration, task), x, targets)


def write_manifest(job, facts):
    """Write manifest.json at once or not at all, and return it."""
    manifest = {
        "study": job.study,
        "experiment": job.experiment,
        "repeat": job.repeat,
        "dataset": job.dataset,
        "configuration": job.configuration.model_dump(mode="json"),
        "threads": job.threads,
        "versions": {name: version(name) for name in ("keras", "tensorflow", "numpy")},
        **facts,
    }
    partial = job.folder / "manifest.json.partial"
    partial.write_text(json.dumps(manifest, indent=1, allow_nan=True) + "\n")
    os.replace(partial, job.folder / "manifest.json")
    return manifest
