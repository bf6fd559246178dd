"""The network of a study that validation chose, ready to be used: found, loaded, and its certainty calibrated.

It is what `evaluate` marked as chosen, as it was trained then: later edits of params.yaml do not matter until they are run.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src import calibration, params, results
from src.datasets.examples import dense
from src.errors import LaboratoryError
from src.training import experiments

# Validation rows that calibrate: enough to know one number well, and a second of work for a convolutional network.
CALIBRATION_ROWS = 5000
BATCH = 1000


@dataclass(frozen=True, eq=False)
class Champion:
    job: experiments.Job
    model: object  # keras.Model: raw inputs float32 -> probabilities or targets
    data: dict  # the development rows, see experiments.development
    temperature: float | None  # of a classifier's logits, see src/calibration.py
    typical_error: list[float] | None  # of a regression: root of the mean squared error, a target

    @property
    def title(self):
        return f"{self.job.study}: {self.job.experiment}, repeat {self.job.repeat}"


def load(job, manifest):
    """The champion that `find` found, its certainty measured on validation rows. Imports TensorFlow."""
    data, model = experiments.development(job.dataset), experiments.load_model(job, manifest)
    held_out = experiments.training_part(job.configuration, data).start
    x, y = data["x"][: min(held_out, CALIBRATION_ROWS)], data["y"][: min(held_out, CALIBRATION_ROWS)]
    if data["card"]["task"] == "regression":
        errors = np.sqrt(np.square(outputs(model, x) - y).mean(0))
        return Champion(job, model, data, None, errors.tolist())
    return Champion(job, model, data, calibration.temperature(logits(model, x), y), None)


def find(name):
    """(job, manifest) of the training that `evaluate` marked as chosen in a study, or in the study of a search's winner.

    Raises LaboratoryError where there is none.
    """
    params.load().study(name)
    if not (results.folder(name) / "evaluation.json").exists():
        raise LaboratoryError(f"{name}: nothing is evaluated yet; run `dvc repro report@{name}` first")
    row = next((row for row in results.load(name) if row["chosen"]), None)
    if row is None:
        raise LaboratoryError(
            f"{name}: every training failed, so no network was chosen; reports/{name}/report.md says why"
        )
    folder = Path("models", name, row["experiment"], str(row["repeat"]))
    manifest = experiments.read_manifest(folder)
    if manifest is None or manifest["fingerprint"] != row["fingerprint"]:
        raise LaboratoryError(f"{folder}: not the training that was evaluated; run `dvc repro report@{name}` first")
    configuration = params.check(params.Experiment, manifest["configuration"], str(folder / "manifest.json"))
    return experiments.Job(
        study=name, experiment=row["experiment"], repeat=row["repeat"], configuration=configuration,
        dataset=manifest["dataset"], fingerprint=row["fingerprint"], threads=manifest["threads"], work=0.0,
    ), manifest  # fmt: skip


def outputs(model, x):
    """Outputs of a Keras model float32 [rows, units], computed in batches. x: array or CSR [rows, ...]."""
    starts = tqdm(range(0, x.shape[0], BATCH), "batches", disable=None, leave=False, delay=2)
    batches = (dense(x[start : start + BATCH]).astype(np.float32) for start in starts)
    return np.concatenate([model(batch, training=False).numpy() for batch in batches])


def logits(model, x):
    """What the output layer computes before its activation, one column a class: its softmax has the same largest class.

    One unit z decides between two classes: it becomes [0, z], whose softmax is [1 - sigmoid(z), sigmoid(z)].
    """
    import keras

    found = outputs(keras.Model(model.inputs[0], model.get_layer("output").output), x)
    return np.hstack([np.zeros_like(found), found]) if found.shape[1] == 1 else found
