"""Shared parts of the tests: copies of the project, small parameters, the real data where they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import servers

ROOT = Path(__file__).resolve().parent.parent
MIRROR = ROOT.parent / "shared" / "datasets"
BIN = Path(sys.executable).parent

# The train and evaluate stages fix TensorFlow's threads in processes of their own; here it is done once for all tests.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def tensorflow():
    """TensorFlow with the settings that training uses."""
    from src.training import runtime

    if "tensorflow" not in sys.modules:
        runtime.configure(threads=1)
    import tensorflow

    return tensorflow


@pytest.fixture
def raw_params():
    """params.yaml as it is, a fresh copy for the test to change."""
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def small_params():
    """params.yaml with the digits study alone, and that cut down to two experiments of three epochs."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["datasets"] = {"digits": raw["datasets"]["digits"]}
    study = raw["studies"]["digits"]
    study["defaults"] = {"hidden_layers": [8], "epochs": 3, "batch_size": 64}
    study["experiments"] = {"narrow": {}, "wide": {"hidden_layers": [16]}}
    raw["studies"], raw["searches"] = {"digits": study}, {}
    raw["jobs"] = 1
    return raw


class Project:
    """A copy of the project in a folder of its own, used as its user would: through commands."""

    def __init__(self, folder, environment=None):
        self.folder = Path(folder)
        self.environment = {
            **{
                key: text
                for key, text in os.environ.items()
                if not key.startswith(("MLFLOW_", "DVC_", "DATASETS_", "MAKE", "MFLAGS"))
            },
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "1",
            **(environment or {}),
        }

    def run(self, command, check=True, **environment):
        """Run a shell command; returns the completed process with its output as text."""
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=500,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def params(self):
        return yaml.safe_load((self.folder / "params.yaml").read_text())

    def write_params(self, raw):
        (self.folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))

    def commit(self, message="change"):
        self.run(f"git add -A && git -c user.name=t -c user.email=t@example.org commit -qm '{message}' --allow-empty")


def copy_project(folder, raw=None):
    """A copy of the tracked files in a git repository of its own, without results."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    project = Project(folder)
    if raw:
        project.write_params(raw)
    project.run("git init -q -b main")
    project.commit("start")
    return project


@pytest.fixture
def project(tmp_path):
    """A fresh copy of the project with the small digits study."""
    return copy_project(tmp_path / "project", small_params())


@pytest.fixture
def mirror():
    """The folder with the real datasets; the test says so and stops where it is not there."""
    if not MIRROR.is_dir():
        pytest.skip(f"the real datasets are not at {MIRROR.name}/ beside the project")
    return MIRROR


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL cluster on loopback: the variables that lead its programs and MLflow there."""
    if servers.postgresql_program("initdb") is None:
        missing = "no PostgreSQL: `make postgresql` installs Debian's"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with servers.postgresql() as variables:
        yield variables
