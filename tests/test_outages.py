"""When the tracking store or the disk fails: results stay, one line says what happened and what to do, and the next run logs
what is missing, once."""

import itertools
import json
import os
import subprocess
import sys
import threading

import pytest

from src import errors
from src.errors import LaboratoryError
from tests.test_answers import row
from tests.test_pipeline import mlflow_runs, trained
from tests.test_tracking import here, importable, log, runs  # noqa: F401 (fixtures)

ROWS = [row("wide", 1, 0.95, 0.96), row("wide", 2, 0.95, 0.96)]


def one_line(text):
    """The error that people see, which must be one line and not a traceback."""
    assert "Traceback" not in text, text
    return next(line for line in text.split("\n") if line.startswith("error: "))


class Cut:
    """A WSGI application that stops answering after so many requests; None: never."""

    def __init__(self, application):
        self.application, self.left = application, None

    def __call__(self, environ, start_response):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
                return [b"out of order"]
        return self.application(environ, start_response)


@pytest.fixture
def server(here, monkeypatch):  # noqa: F811
    """MLflow's own server on loopback, with a store in a file, that can be cut off."""
    from werkzeug.serving import make_server

    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{here / 'server.db'}")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(here / "artifacts"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    from mlflow.server import app, handlers

    monkeypatch.setattr(handlers, "_tracking_store", None)
    cut = Cut(app)
    running = make_server("127.0.0.1", 0, cut, threaded=True)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    # The server writes the address of its own store into the environment, which it shares with the client here.
    cut.log = lambda rows: (
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{running.server_port}") or log(rows)
    )
    yield cut
    running.shutdown()


@pytest.mark.slow
def test_a_server_that_fails_half_way_leaves_one_whole_run_each_in_the_end(server):
    assert server.log(ROWS) == 2
    for left in itertools.count():
        again, server.left = [{**item, "fingerprint": f"cut after {left}"} for item in ROWS], left
        try:
            server.log(again)
            break  # it needed no more requests
        except LaboratoryError as error:
            assert "All results are on disk" in str(error) and "run the same command again" in str(error)
        server.left = None
        server.log(again)
    server.left = None
    client, found = runs()
    kept = [run.data.tags["identity"] for run in found]
    print(f"a server cut off after each of {left} requests: {len(found)} runs, {len(set(kept))} of them different")
    assert left > 5 and len(kept) == len(set(kept)) == 2 * (left + 2)
    assert {run.info.status for run in found} == {"FINISHED"}


# A full disk keeps Python from compiling to files; the limit that stands for one would have it write halves of them.
UNCOMPILED = {"PYTHONDONTWRITEBYTECODE": "1"}


def limited(code, blocks, folder):
    """Run Python code that may write no file of more than `blocks` KiB, which is what a full disk looks like."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({blocks << 10}, {blocks << 10})); "
    environment = os.environ | UNCOMPILED
    return subprocess.run(
        [sys.executable, "-c", limit + code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 100, 300, 600])
def test_a_disk_that_fills_while_the_store_is_made_does_not_spoil_it(here, blocks):  # noqa: F811
    done = limited("from tests.test_outages import *; log(ROWS)", blocks, here)
    assert (
        done.returncode
        and "LaboratoryError: MLflow store" in done.stderr
        and "run the same command again" in done.stderr
    )
    assert log(ROWS) == 2
    assert [run.info.status for run in runs()[1]] == ["FINISHED"] * 2


def test_a_store_killed_while_it_was_made_is_made_anew(here):  # noqa: F811
    (here / "mlflow.db.partial").write_bytes(b"half a database")
    assert log(ROWS) == 2 and not (here / "mlflow.db.partial").exists()


def test_a_folder_that_cannot_be_written_is_one_line(here, monkeypatch):  # noqa: F811
    monkeypatch.setenv("DVC_ROOT", "/sys")  # nobody may write there, root neither
    with pytest.raises(LaboratoryError, match="MLflow store sqlite:////sys/mlflow.db: .* All results are on disk"):
        log(ROWS)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "x.npy"), PermissionError(13, "Permission denied", "models"),
                                   OSError("57600 requested and 8192 written")], ids=str)  # fmt: skip
def test_what_a_disk_can_do_is_one_line_of_a_stage(error, monkeypatch):
    @errors.command
    def main():
        raise error

    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        main()
    assert str(error) in caught.value.code and "run the same command again" in caught.value.code


@pytest.mark.slow
def test_training_results_survive_an_unreachable_store_and_are_logged_later(project):
    done = project.run(
        "dvc repro", check=False, MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"
    )
    assert (
        done.returncode
        and "http://127.0.0.1:9" in one_line(done.stderr)
        and "All results are on disk" in one_line(done.stderr)
    )
    assert len(list(project.folder.glob("models/digits/*/1/manifest.json"))) == 2
    assert len(json.loads((project.folder / "data/evaluated/digits/evaluation.json").read_text())) == 2
    done = project.run("dvc repro report@digits")
    assert trained(done) == 0 and "2 new in MLflow" in done.stdout
    assert sorted(name for name, *_ in mlflow_runs(project)) == ["narrow-1", "wide-1"]


@pytest.mark.slow
def test_a_full_disk_stops_a_stage_with_one_line_and_what_is_missing_is_done_later(project):
    project.run("dvc repro -q split@digits")
    done = project.run("bash -c 'ulimit -f 4; python -m src.stages.train digits'", check=False, **UNCOMPILED)
    assert done.returncode and "Finished experiments are kept" in one_line(done.stderr)
    assert not list(project.folder.glob("models/digits/*/1/manifest.json"))
    assert trained(project.run("dvc repro train@digits")) == 2
    done = project.run("bash -c 'ulimit -f 300; python -m src.stages.evaluate digits'", check=False, **UNCOMPILED)
    assert done.returncode and "All results are on disk" in one_line(done.stderr)
    done = project.run("dvc repro report@digits")
    assert trained(done) == 0 and {status for _, status, _ in mlflow_runs(project)} == {"FINISHED"}
