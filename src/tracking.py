"""Everything MLflow, and only that. Runs are written after the fact, with true timestamps, at most once each.

A run is found again by its identity (experiment, repeat, fingerprint, test results), so evaluating twice logs once, and a
fresh store is filled from what lies on disk. No run id ever enters a DVC output.
"""

import hashlib
import json
import logging
import os
import re
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines and a request for each run

import mlflow
from filelock import FileLock
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.credentials import read_mlflow_creds
from sqlalchemy.exc import SQLAlchemyError

from src.errors import LaboratoryError
from src.wording import value

POINTS = 1000  # of a curve; longer ones are thinned (history.csv, an artifact, keeps every epoch)

KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI then opens on training runs and their metrics

logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.WARNING)


def root():
    """The project's folder; under `dvc exp run --temp` and `--queue` that of the parent, where the store must live."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def store_uri():
    """$MLFLOW_TRACKING_URI, or mlflow.db in the project's folder. A relative SQLite path counts from that folder."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = uri.removeprefix("sqlite:///")
    return f"sqlite:///{root() / path}" if uri.startswith("sqlite:///") and not path.startswith("/") else uri


@contextmanager
def store(study):
    """The tracking store, opened for one study by one process at a time: yields (client, experiment id).

    SQLite files do not survive being created by two processes at once, and a lookup followed by a creation is only
    idempotent when nobody comes between. `mlflow run` announces a run of its own in the environment; ours become its
    children instead of joining it (see `parent_run`).
    """
    uri = store_uri()
    mlflow.set_tracking_uri(uri)
    with explained(uri), FileLock(root() / ".mlflow.lock"):
        create_at_once(uri)
        client = mlflow.MlflowClient()
        experiment_id = experiment(client, owned(study))
        mlflow.set_experiment(experiment_id=experiment_id)  # where Model.log, whatever its run, makes its model
        yield client, experiment_id


@contextmanager
def joined(experiment_id):
    """The store that the parent process has opened, in a process that writes runs for it: yields a client."""
    parent_run()
    mlflow.set_tracking_uri(store_uri())
    with explained(store_uri()):
        mlflow.set_experiment(experiment_id=experiment_id)
        yield mlflow.MlflowClient()


@contextmanager
def explained(uri):
    """Say in one line, and without a password, what went wrong with the store."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        where = re.sub("//[^/@]*@", "//", f"{uri}: {str(error).splitlines()[0][:300]}")
        raise LaboratoryError(f"MLflow store {where}. All results are on disk; once the store can be reached and written, "
                              "run the same command again and what is missing is logged") from error  # fmt: skip


def owned(study):
    """Name of a study's experiment and registered model: on a server with accounts, which permits by experiment, ACCOUNT-STUDY."""
    account = read_mlflow_creds().username if store_uri().startswith("http") else None
    return f"{account}-{study}" if account else study


def experiment(client, name):
    """Id of the experiment of that name, which is made or restored where needed."""
    found = client.get_experiment_by_name(name)
    if found is None:
        artifacts = (root() / "mlartifacts").as_uri() if store_uri().startswith("sqlite:") else None
        with suppress_existing():  # somebody in another folder may be faster
            return client.create_experiment(name, artifacts, tags=KIND)
        found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


@contextmanager
def suppress_existing():
    """Go on where MLflow says that what is to be made is there already."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def create_at_once(uri):
    """Make the SQLite file of a store that does not exist yet under another name first.

    MLflow takes seconds to fill it, and never opens it again when it was killed or found the disk full meanwhile.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or "?" in uri or path.exists():
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{partial}", (root() / "mlartifacts").as_uri()).engine.dispose()
    os.replace(partial, path)


def identity(row):
    """What makes a run the same run: experiment, repeat, fingerprint and its test results."""
    tested = {key: row[key] for key in sorted(row) if key.startswith("test_")}
    text = json.dumps([row["experiment"], row["repeat"], row["fingerprint"], row["failure"], tested])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def known_runs(client, experiment_id, wanted):
    """{identity: run} of the complete runs. Deletes those of `wanted` that a process killed in this folder left half-written,
    and all but one where several folders logged the same result at once: they agree on the one, whoever looks last.
    """
    runs, token = [], None
    while token != "":
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        runs, token = [*runs, *page], page.token or ""
    known = {}
    for run in sorted(runs, key=lambda run: run.info.run_id):
        same, complete = run.data.tags.get("identity"), run.info.status != "RUNNING"
        abandoned = not complete and run.data.tags.get("writer", writer()) == writer()
        if same in wanted and (abandoned or complete and same in known):
            client.delete_run(run.info.run_id)
        elif complete:
            known.setdefault(same, run)
    return known


def writer():
    """This folder of this machine, without naming it: the runs that are half-written elsewhere are none of its business."""
    return hashlib.sha256(f"{socket.gethostname()} {root()}".encode()).hexdigest()[:16]


def context_of(study, command, source, card, digest):
    """What the runs of a study share: its name, the command that made them, card, origin and digest of the data, parent, commit."""
    urls = [url for file in source.files.values() for url in file.urls]
    return {
        "study": study,
        "command": command,
        "card": card,
        "url": next(iter(urls), None),
        "digest": digest,
        "parent": parent_run(),
        "commit": git_commit(),
    }


def log_run(client, experiment_id, row, history, context, attach):
    """Write one run and return its id.

    row: see results.row_of, with test results. history: its curves. context: see `context_of`.
    attach(run_id) adds figures, tables and the model before the run is closed.
    """
    started = int(1000 * history["ended"].iloc[0]) if len(history) else None
    if len(history) > 1:  # an epoch before the first one ended
        started -= int(1000 * (history["ended"].iloc[1] - history["ended"].iloc[0]))
    run = client.create_run(experiment_id, started, tags(row, context), f"{row['experiment']}-{row['repeat']}")
    run_id = run.info.run_id
    settings = [Param(key, text) for key, text in parameters(row).items()]
    client.log_batch(run_id, metrics=[*curve_points(history), *summary(row, history)], params=settings)
    log_dataset(client, run_id, context)
    attach(run_id)
    status = RunStatus.FINISHED if row["status"] == "finished" else RunStatus.FAILED
    ended = int(1000 * history["ended"].iloc[-1]) if len(history) else None
    client.set_terminated(run_id, RunStatus.to_string(status), ended)
    return run_id


def tags(row, context):
    """Tags for grouping and finding. The DVC experiment and the parent run are named where there are any."""
    found = {
        "study": context["study"],
        "dataset": context["card"]["name"],
        "experiment": row["experiment"],
        "repeat": str(row["repeat"]),
        "fingerprint": row["fingerprint"],
        "identity": identity(row),
        "writer": writer(),
        "failure": row["failure"],
        "dvc.experiment": os.environ.get("DVC_EXP_NAME"),
        "mlflow.source.name": context["command"],
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": context["commit"],
        "mlflow.parentRunId": context["parent"],
    }
    return {key: text for key, text in found.items() if text}


def parent_run():
    """The run that `mlflow run` opened for the whole command, taken out of the environment so that no call joins it."""
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    return os.environ.pop("MLFLOW_RUN_ID", None)


def git_commit():
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def parameters(row):
    """The experiment's settings as flat text, with the values that its nulls stood for."""
    settings = {key: value(setting) for key, setting in row["configuration"].items() if key != "repeats"}
    settings["hidden_layers"] = row["hidden_layers"]
    settings |= {key: str(row[key]) for key in ("loss", "learning_rate", "parameters") if row[key] is not None}
    return {key: text[:6000] for key, text in settings.items()}


def curve_points(history):
    """Each curve as metrics with steps and the time each epoch ended."""
    step = -(-len(history) // POINTS) or 1
    thinned = history[(history["epoch"] % step == 0) | (history["epoch"] == len(history))]
    names = [name for name in history.columns if name not in ("epoch", "ended")]
    return [
        Metric(name, float(point[name]), int(1000 * point["ended"]), int(point["epoch"]))
        for point in thinned.to_dict("records")
        for name in names
    ]


def summary(row, history):
    """One value a run: test results, the values at the kept epoch, time and size."""
    ended = int(1000 * history["ended"].iloc[-1]) if len(history) else 0
    names = [key for key in row if key.startswith(("test_", "val_"))] + ["training_seconds", "epochs_run", "parameters"]
    found = {key.replace("val_", "final_val_"): row[key] for key in names if isinstance(row.get(key), int | float)}
    return [Metric(key, float(figure), ended, 0) for key, figure in found.items()]


def log_dataset(client, run_id, context):
    """Name, digest and origin of the training data."""
    source = HTTPDatasetSource(context["url"]) if context["url"] else CodeDatasetSource({})
    dataset = MetaDataset(source, name=context["card"]["name"], digest=context["digest"][:16])
    inputs = [mlflow.entities.DatasetInput(
        dataset._to_mlflow_entity(), [mlflow.entities.InputTag("mlflow.data.context", "training")])]  # fmt: skip
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        client.log_inputs(run_id, inputs)  # another client made this dataset at the same moment: now it is found


def log_model(client, run_id, model, x, predictions):
    """Keep the model with the run: raw inputs float32 in, probabilities or targets out. Its URI becomes a tag."""
    from importlib.metadata import version

    signature = mlflow.models.infer_signature(x.astype("float32"), predictions)
    requirements = [f"{name}=={version(name)}" for name in ("keras", "tensorflow")]  # without this MLflow takes 9 s
    # mlflow.keras.log_model wants the run made active, and would then mark it FINISHED before it is.
    info = mlflow.models.Model.log(
        None, mlflow.keras, name="model", run_id=run_id, model=model, signature=signature, pip_requirements=requirements
    )
    client.set_tag(run_id, "model_uri", info.model_uri)


def crown(client, study, runs, champion):
    """Mark the run that validation chose, and give its model the alias `champion` in the registry.

    runs: the study's current runs; champion: one of them. Does nothing that is done already.
    """
    for run in runs:
        chosen = "true" if run is champion else "false"
        if run.data.tags.get("chosen") != chosen:
            client.set_tag(run.info.run_id, "chosen", chosen)
    name, run_id, model_uri = owned(study), champion.info.run_id, champion.data.tags["model_uri"]
    with suppress_existing():
        client.create_registered_model(name)
    same = [version for version in client.search_model_versions(f"name='{name}'") if version.run_id == run_id]
    version = (
        same[0]
        if same
        else client.create_model_version(name, model_uri, run_id, model_id=model_uri.removeprefix("models:/"))
    )
    client.set_registered_model_alias(name, "champion", version.version)
