"""What docs/security.md promises and no other test holds."""

import ast
import re
import tomllib

import pytest

from tests.conftest import ROOT

SOURCES = [path for folder in ("src", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(path):
    """Every call in a file: (what is called as text, {keyword: value as text})."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_nothing_in_the_code_executes_what_it_reads():
    dangerous = re.compile(r"^(eval|exec|os\.system|pickle\.loads?|joblib\.load|yaml\.(load|unsafe_load|full_load)|dill\..*|marshal\..*|"
                           r".*enable_unsafe_deserialization|.*\.extractall|.*\.extract)$")  # fmt: skip
    unsafe = {"allow_pickle": "True", "safe_mode": "False", "shell": "True", "verify": "False"}
    found = [f"{path.name}: {name}" for path in SOURCES for name, words in calls(path)
             if dangerous.match(name) or any(words.get(key) == value for key, value in unsafe.items())]  # fmt: skip
    # Dask and Ray, which pickle all they send, bring there what this project's own client packed.
    assert set(found) == {"clusters.py: pickle.loads"}


def test_the_mlflow_server_listens_on_loopback_unless_it_is_told_otherwise():
    from mlflow.cli import server

    assert next(option for option in server.params if option.name == "host").default == "127.0.0.1"
    for name in ("Makefile", "MLproject", "README.md", "dvc.yaml"):
        assert not re.search(r"0\.0\.0\.0|--host (?!127\.0\.0\.1)", (ROOT / name).read_text()), name


@pytest.mark.slow
def test_a_model_that_would_execute_code_is_refused_by_the_loader_we_document(tensorflow, tmp_path, monkeypatch):
    import keras
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.chdir(tmp_path)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: 2 * x)])
    mlflow.keras.save_model(network, str(tmp_path / "model"), pip_requirements=["keras"])
    with pytest.raises(ValueError, match="(?i)lambda.*unsafe|unsafe.*lambda|arbitrary code"):
        mlflow.keras.load_model(str(tmp_path / "model"))


def test_every_package_is_locked_with_hashes_and_installed_by_them():
    locked = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;]+)(.*?)(?=^\S|\Z)",
        (ROOT / "requirements.txt").read_text(),
        re.S | re.M,
    )
    assert len(locked) > 100 and all("--hash=sha256:" in rest for _, _, rest in locked)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {normalised(name) for name, _, _ in locked}
    assert {normalised(re.match(r"[A-Za-z0-9_.-]+", entry)[0]) for entry in wanted} <= names
    assert "--require-hashes -r requirements.txt" in (ROOT / "Makefile").read_text()


def normalised(name):
    """A package's name as the Python package index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()
