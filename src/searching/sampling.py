"""Optuna: from a space to points, and the study that keeps what became of them. Knows nothing of training."""

import importlib.util
import math
import warnings

import optuna
from optuna.samplers import BruteForceSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from src.errors import LaboratoryError
from src.params.search import ADAPTIVE, Choices, label

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

STATES = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "not run": TrialState.FAIL,
}


def suggest(trial, space):
    """Let an Optuna trial draw a point {key: value}; keys whose condition does not hold are left out."""
    point = {}
    for key, dimension in space.items():
        if all(other in point and point[other] == wanted for other, wanted in dimension.when.items()):
            point[key] = draw(trial, key, dimension)
    return point


def draw(trial, key, dimension):
    if isinstance(dimension, Choices):
        labels = dimension.labels
        return dimension.choices[labels.index(trial.suggest_categorical(key, labels))]
    low, high = dimension.extremes()
    return (trial.suggest_int if dimension.integer else trial.suggest_float)(key, low, high, log=dimension.log)


def distributions(space):
    """The whole space, conditional keys too, as Optuna's distributions."""
    kinds = optuna.distributions
    return {
        key: kinds.CategoricalDistribution(dimension.labels) if isinstance(dimension, Choices)
        else (kinds.IntDistribution if dimension.integer else kinds.FloatDistribution)(*dimension.extremes(), log=dimension.log)
        for key, dimension in space.items()
    }  # fmt: skip


class QuasiRandomSampler(QMCSampler):
    """Scrambled Halton points. Optuna learns the space from its first trial, which chance draws; here it is known."""

    def __init__(self, space, seed):
        super().__init__(qmc_type="halton", scramble=True, seed=seed)
        self.space = distributions(space)

    def infer_relative_search_space(self, study, trial):
        return self.space


def sampler_of(search):
    """The Optuna sampler. A finite space is drawn from without repetition, as scikit-learn's RandomizedSearchCV does."""
    finite = all(isinstance(dimension, Choices) for dimension in search.space.values())
    if search.sampler == "grid" or (search.sampler == "random" and finite):
        return BruteForceSampler(search.seed)
    if search.sampler == "gp":
        if importlib.util.find_spec("torch") is None:
            raise LaboratoryError("params.yaml: sampler gp needs PyTorch, which is not installed: `pip install torch`, or "
                                  "choose sampler tpe")  # fmt: skip
        return GPSampler(seed=search.seed)
    if search.sampler == "quasi_random":
        return QuasiRandomSampler(search.space, search.seed)
    return {"random": RandomSampler, "tpe": TPESampler}[search.sampler](seed=search.seed)


def pruner_of(search):
    """The Optuna pruner; its resource is the epoch. Halving keeps the best third at each rung."""
    epochs = search.defaults["epochs"]
    if search.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=math.ceil(epochs / 9), reduction_factor=3)
    if search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(math.ceil(epochs / 9), epochs, reduction_factor=3)
    return optuna.pruners.MedianPruner() if search.pruner == "median" else optuna.pruners.NopPruner()


def points(search):
    """All points of a grid, a random or a quasi-random search: they depend on no result. A grid in the order of its lists."""
    found = []
    study = optuna.create_study(sampler=sampler_of(search))
    study.optimize(lambda trial: found.append(suggest(trial, search.space)) or 0.0, n_trials=search.trials)
    return sorted(found, key=lambda point: positions(search.space, point)) if search.sampler == "grid" else found


def positions(space, point):
    return [space[key].choices.index(point[key]) if key in point else -1 for key in space]


def open_study(path, search, direction):
    """A new Optuna study in the journal file `path`, whose name it takes and which worker processes may open too (see `trial_of`)."""
    adaptive = search.sampler in ADAPTIVE
    study = optuna.create_study(
        storage=storage(path),
        study_name=path.stem,
        sampler=sampler_of(search) if adaptive else RandomSampler(search.seed),
        pruner=pruner_of(search),
        direction=direction,
    )
    for point in () if adaptive else points(search):
        study.enqueue_trial({key: label(value) for key, value in point.items()})
    return study


def storage(path):
    return JournalStorage(JournalFileBackend(str(path)))


def load_study(path, search=None):
    """The study that `open_study` made; with its pruner where the search is given."""
    return optuna.load_study(study_name=path.stem, storage=storage(path), pruner=pruner_of(search) if search else None)


def trial_of(study, number):
    """The running trial of this number, to report to and to ask whether it should be pruned."""
    return Trial(study, study.trials[number]._trial_id)


def ask(study, search):
    """(number, point) of the next trial."""
    trial = study.ask()
    return trial.number, suggest(trial, search.space)


def tell(study, number, status, value):
    study.tell(number, value if status == "finished" else None, STATES[status])


def how_many(study, search):
    """How many trials the search will have."""
    return search.trials if search.sampler in ADAPTIVE else len(study.get_trials(deepcopy=False))
