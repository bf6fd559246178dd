"""An experiment as a scikit-learn estimator, on top of the same trainer: for GridSearchCV, cross_val_score, pipelines.

    GridSearchCV(KerasClassifier(epochs=5), {"hidden_layers": [[100], [250]], "learning_rate": [0.01, 0.001]})

Every key of an experiment is a parameter, `random_state` in place of `seed`. Fits that differ in numbers only (learning rate,
weight decay, seed, rows of equal count) compile once a process.
"""

import hashlib
import sys

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from src import params
from src.datasets import split
from src.training import runtime

# What an experiment has and an estimator has not: these are decided by its class and by scikit-learn.
NOT_PARAMETERS = {"engine", "repeats", "seed", "threads", "training_rows"}


class KerasNetwork(BaseEstimator):
    """What classifier and regressor share. Without early stopping all rows train; with it, `validation_split` of them watch."""

    task = None

    def __init__(self, hidden_layers=(100,), activation="relu", output_activation=None, kernel_initializer="GlorotUniform",
                 normalisation="standardise", input_noise=0, gaussian_noise=0, dropout=0, batch_normalization=False,
                 kernel_regularizer=None, kernel_constraint=None, augmentation=None, convolutions=(), loss=None,
                 optimizer="adam", learning_rate=None, weight_decay=0, batch_size=32, epochs=50, validation_split=0.1,
                 early_stopping=None, random_state=None):  # fmt: skip
        # scikit-learn clones an estimator from its signature: each parameter is stored as it came.
        settings = dict(locals())
        for name in self._get_param_names():
            setattr(self, name, settings[name])

    @classmethod
    def from_experiment(cls, experiment):
        """The estimator that trains as this params.Experiment does."""
        settings = {
            key: value for key, value in experiment.model_dump(mode="json").items() if key not in NOT_PARAMETERS
        }
        return cls(**settings, random_state=experiment.seed)

    def experiment(self):
        """The parameters as a validated params.Experiment. Raises LaboratoryError naming the parameter."""
        settings = {
            name: as_list(value) for name, value in self.get_params(deep=False).items() if name != "random_state"
        }
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        settings |= {"engine": "keras", "repeats": 1, "training_rows": None, "seed": int(seed)}
        return params.check(params.Experiment, settings, f"{type(self).__name__}: parameters")

    def train(self, x, y, classes):
        """Train on x and encoded targets y; sets model_ and history_ (one value an epoch)."""
        experiment = self.experiment()
        if "tensorflow" not in sys.modules:
            runtime.configure(threads=1)
        import keras

        from src.training import fitting

        x = x if x.ndim == 4 else x.astype(np.float32)
        # The name tells the trainer whether these rows are in memory already.
        digest = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
        card = {"name": digest, "task": self.task, "classes": classes, "shape": x.shape[1:]}
        training, validation = self.rows(y, experiment)
        model, trained, _ = fitting.fit(experiment, {"x": x, "y": y, "card": card}, training, validation)
        if trained.failure:
            raise ValueError(f"{type(self).__name__}: {trained.failure}; a lower learning_rate may help")
        self.model_ = keras.models.clone_model(model)  # the trainer uses its own for the next fit
        self.model_.set_weights(model.get_weights())
        self.history_ = trained.history
        return self

    def rows(self, y, experiment):
        """(training rows, validation rows). The trainer always scores some; without early stopping they decide nothing."""
        if experiment.early_stopping is None:
            return slice(None), slice(0, min(len(y), 100))
        order = split.ordered(np.arange(len(y)), y, experiment.seed, self.task == "classification")
        held_out = split.validation_rows(len(y), experiment.validation_split)
        return order[held_out:], order[:held_out]

    def outputs(self, X):
        """Outputs of the network, float64 [rows, units]."""
        check_is_fitted(self, "model_")
        x = validate_data(self, X, reset=False, allow_nd=True, ensure_min_samples=1)
        from src.training.trainer import VALIDATION_BATCH

        batches = [x[first : first + VALIDATION_BATCH] for first in range(0, len(x), VALIDATION_BATCH)]
        return np.concatenate(
            [self.model_(batch.astype(np.float32), training=False).numpy() for batch in batches]
        ).astype(float)


def as_list(value):
    """Tuples, which scikit-learn likes as defaults, and NumPy's numbers as params.yaml would have them."""
    if isinstance(value, np.generic):
        return value.item()
    return [as_list(item) for item in value] if isinstance(value, tuple | list) else value


class KerasClassifier(ClassifierMixin, KerasNetwork):
    """A classifier; parameters as in an experiment of params.yaml."""

    task = "classification"

    def fit(self, X, y):
        x, y = validate_data(self, X, y, allow_nd=True)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        return self.train(x, labels.astype(np.int32), [str(name) for name in self.classes_])

    def predict_proba(self, X):
        """Probabilities [rows, classes]."""
        outputs = self.outputs(X)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] < len(self.classes_) else outputs

    def predict(self, X):
        chosen = self.predict_proba(X).argmax(1)
        return self.classes_[chosen]


class KerasRegressor(RegressorMixin, KerasNetwork):
    """A regressor of one target or several; parameters as in an experiment of params.yaml."""

    task = "regression"

    def fit(self, X, y):
        x, y = validate_data(self, X, y, allow_nd=True, multi_output=True, y_numeric=True)
        self.single_ = y.ndim == 1
        return self.train(x, y.reshape(len(y), -1).astype(np.float32), [])

    def predict(self, X):
        """Targets as `fit` received them: [rows], or [rows, targets]."""
        outputs = self.outputs(X)
        return outputs[:, 0] if self.single_ else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
