"""params.yaml is read, and every key checked, once and before any work."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src.errors import LaboratoryError, closest
from src.params.checking import check, shortened
from src.params.experiment import EXECUTION, Experiment
from src.params.file import Params
from src.params.search import Search, applied, read_dimension, single_changes


def load(path="params.yaml"):
    """Read and check params.yaml.

    Returns Params. Raises LaboratoryError naming file, study, experiment and key, what was expected and received.
    """
    try:
        raw = YAML(typ="safe").load(Path(path))  # the parser DVC uses: 1e-3 is a number, a key given twice an error
    except FileNotFoundError:
        raise LaboratoryError(f"{path}: not found; run the command in the project's top folder") from None
    except (YAMLError, ValueError, RecursionError) as error:  # of bytes, dates and depths that are none
        raise LaboratoryError(
            f"{path}: not valid YAML: {' '.join(str(error).split())}; correct it and run the same command again"
        ) from None
    try:
        return validate(raw, str(path))
    except LaboratoryError as error:
        raise LaboratoryError(f"{error}; correct it and run the same command again") from None


def validate(raw, file="params.yaml"):
    """Check a params mapping as it is read from YAML; see `load`."""
    if not isinstance(raw, dict):
        raise LaboratoryError(f"{file}: expected a mapping with {', '.join(Params.model_fields)}")
    raw = dict(raw)
    for key in ("defaults", "studies", "datasets"):
        if not isinstance(raw.get(key), dict):
            raise LaboratoryError(f"{file}: {key}: expected a mapping, received {shortened(raw.get(key))}")
    base = {"seed": raw.get("seed"), **raw["defaults"]}
    check(Experiment, base, f"{file}: defaults")
    raw["studies"] = {name: resolve_study(file, name, study, base) for name, study in raw["studies"].items()}
    searches = raw.get("searches") or {}
    if not isinstance(searches, dict):
        raise LaboratoryError(f"{file}: searches: expected a mapping, received {shortened(searches)}")
    raw["searches"] = {name: resolve_search(file, name, search, base) for name, search in searches.items()}
    params = check(Params, raw, file)
    for name, search in params.searches.items():
        check_search(f"{file}: searches.{name}", name, search, params)
    for name, study in params.studies.items():
        check_study(f"{file}: studies.{name}", study, params)
    return params


def resolve_study(file, name, study, base):
    """Lay each experiment's overrides over the study's defaults and the common ones; check every layer."""
    place = f"{file}: studies.{name}"
    if not isinstance(study, dict) or not isinstance(study.get("experiments"), dict):
        raise LaboratoryError(f"{place}: expected a mapping with experiments, received {shortened(study)}")
    defaults = study.get("defaults")
    if not isinstance(defaults, dict):
        raise LaboratoryError(
            f"{place}.defaults: expected a mapping ({{}} when there are none), received {shortened(defaults)}"
        )
    check(Experiment, base | defaults, f"{place}.defaults")
    experiments = {}
    for key, overrides in study["experiments"].items():
        if not isinstance(overrides, dict):
            raise LaboratoryError(
                f"{place}.experiments.{key}: expected a mapping of overrides, received {shortened(overrides)}"
            )
        experiments[key] = check(Experiment, base | defaults | overrides, f"{place}.experiments.{key}")
    if isinstance(study.get("claims"), list):
        study = study | {
            "claims": [single for claim in study["claims"] for single in resolve_claim(claim, experiments)]
        }
    return study | {"experiments": experiments}


def resolve_search(file, name, search, base):
    """Lay a search's defaults over the common ones and check its space; see src/params/search.py."""
    place = f"{file}: searches.{name}"
    if not isinstance(search, dict) or not isinstance(search.get("space"), dict) or not search["space"]:
        raise LaboratoryError(f"{place}: expected a mapping with a space, received {shortened(search)}")
    defaults = search.get("defaults", {})
    if not isinstance(defaults, dict):
        raise LaboratoryError(f"{place}.defaults: expected a mapping, received {shortened(defaults)}")
    check(Experiment, base | defaults, f"{place}.defaults")
    space = {key: check_dimension(f"{place}.space.{key}", key, raw) for key, raw in search["space"].items()}
    return check(Search, {"seed": base["seed"]} | search | {
        "space": space, "defaults": base | defaults}, place)  # fmt: skip


def check_dimension(place, key, raw):
    try:
        kind, mapping = read_dimension(raw)
    except ValueError as error:
        raise LaboratoryError(f"{place}: {error}; received {shortened(raw)}") from None
    if key in EXECUTION:
        raise LaboratoryError(f"{place}: expected a setting of the network or its training; trials share one seed")
    return check(kind, mapping, place)


def check_search(place, name, search, params):
    """Every choice must make a valid experiment for the dataset, and no name may stand for two things."""
    if name in params.studies or name == "searches":
        raise LaboratoryError(f"{place}: expected a name that no study has (models/{name} belongs to it)")
    task = task_of(place, search.dataset, params)
    for key, value, point in single_changes(search):
        where = f"{place}.space.{key}: {shortened(value)}"
        experiment = check(Experiment, applied(search.defaults, point), where)
        if task == "regression":
            refuse_classification(where, experiment)
    if search.objective.metric == {"classification": "val_mse", "regression": "val_accuracy"}[task]:
        raise LaboratoryError(f"{place}.objective: expected a metric of the dataset's task, which is {task}, received "
                              f"{search.objective.metric}")  # fmt: skip


def resolve_claim(claim, experiments):
    """A claim with several quoted values becomes one a measure; that one is highest or lowest, one about all others."""
    if not isinstance(claim, dict):
        return [claim]
    if isinstance(claim.get("quoted"), dict):
        return [claim | {"measure": measure, "quoted": value} for measure, value in claim["quoted"].items()]
    alone = ("highest" in claim or "lowest" in claim) and not claim.get("among")
    return [claim | {"among": list(experiments)} if alone else claim]


def check_study(place, study, params):
    """What can only be known when dataset and experiments are seen together."""
    task = task_of(place, study.dataset, params)
    if study.notebook not in ("chosen", *study.experiments):
        raise LaboratoryError(f"{place}.notebook: expected `chosen` or an experiment of the study, received "
                              f"'{study.notebook}'{closest(study.notebook, study.experiments)}")  # fmt: skip
    for index, claim in enumerate(study.claims):
        for name in claim.experiments:
            if name not in study.experiments and not (claim.of and name == "chosen"):
                raise LaboratoryError(f"{place}.claims.{index}: expected an experiment of the study, received "
                                      f"'{name}'{closest(name, study.experiments)} ({claim.statement})")  # fmt: skip
    for name, experiment in study.experiments.items():
        if task == "regression":
            refuse_classification(f"{place}.experiments.{name}", experiment)
        elif experiment.early_stopping and "mse" in experiment.early_stopping.monitor:
            raise LaboratoryError(f"{place}.experiments.{name}.early_stopping.monitor: expected loss, val_loss, accuracy or "
                                  "val_accuracy (the dataset's task is classification), received "
                                  f"{experiment.early_stopping.monitor}")  # fmt: skip
    unanswerable = {"classification": ("fit",), "regression": ("confusion", "examples")}[task]
    for question in study.questions:
        if question in unanswerable:
            raise LaboratoryError(f"{place}.questions: '{question}' has no answer where the dataset's task is {task}")


def task_of(place, dataset, params):
    if dataset not in params.datasets:
        raise LaboratoryError(f"{place}.dataset: expected one of {', '.join(params.datasets)}, received "
                              f"'{dataset}'{closest(dataset, params.datasets)}")  # fmt: skip
    return params.datasets[dataset].task


def refuse_classification(place, experiment):
    if experiment.loss and "ategorical" in experiment.loss["name"]:
        raise LaboratoryError(f"{place}.loss: expected a regression loss such as MeanSquaredError (the dataset's task "
                              f"is regression), received {experiment.loss['name']}")  # fmt: skip
    monitor = experiment.early_stopping and experiment.early_stopping.monitor
    if monitor and "accuracy" in monitor:
        raise LaboratoryError(f"{place}.early_stopping.monitor: expected loss, val_loss, mse or val_mse (the dataset's "
                              f"task is regression), received {monitor}")  # fmt: skip
    if experiment.augmentation:
        raise LaboratoryError(f"{place}.augmentation: expected null (the dataset's task is regression)")
