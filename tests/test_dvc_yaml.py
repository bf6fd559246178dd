"""dvc.yaml lists every module and every params key that each stage really uses, and nothing it does not."""

import ast
import copy
import importlib
import subprocess

import pytest
import yaml

from src import params
from src.training import experiments
from tests.conftest import ROOT, small_params

STAGES = {
    name: stage if "do" in stage else {"do": stage}  # a stage of its own, not one for each dataset, study or search
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}


def imports_of(path):
    """Files of this project that a module imports, anywhere in it, at once or through others."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for node in ast.walk(ast.parse(current.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "src":
                base = ROOT.joinpath(*node.module.split("."))
                named = [base, *(base / alias.name for alias in node.names)]
                files = [file for path in named for file in (path.with_suffix(".py"), path / "__init__.py")]
                # An empty __init__.py decides nothing.
                waiting += [file for file in files if file.is_file() and file.stat().st_size]
    return found


def module_of(stage):
    """The file that a stage's command runs."""
    return ROOT.joinpath(*STAGES[stage]["do"]["cmd"].split()[2].split(".")).with_suffix(".py")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_modules_it_imports(name):
    used = imports_of(module_of(name))
    data = {ROOT / "src/params/vocabulary.json"} if ROOT / "src/params/vocabulary.py" in used else set()
    listed = [ROOT / dep for dep in STAGES[name]["do"]["deps"] if dep.startswith("src/")]
    folders = [path for path in listed if path.is_dir()]
    missing = [path for path in used | data if path not in listed and not any(f in path.parents for f in folders)]
    idle = [path for path in listed if path not in used | data and not any(path in used_.parents for used_ in used)]
    assert not missing, f"{name} imports {missing} but does not depend on it"
    assert not idle, f"{name} depends on {idle} but does not import it"


# For each part of params.yaml, a change of it that stays valid.
CHANGES = {
    "seed": lambda raw: raw.update(seed=raw["seed"] + 1),
    "jobs": lambda raw: raw.update(jobs=3),
    "defaults": lambda raw: raw["defaults"].update(kernel_initializer="HeNormal"),
    "datasets.digits.title": lambda raw: raw["datasets"]["digits"].update(title="another"),
    "datasets.digits.source": lambda raw: raw["datasets"]["digits"]["source"].update(name="wine"),
    "datasets.digits.split": lambda raw: raw["datasets"]["digits"]["split"].update(test=0.4),
    "studies.digits.title": lambda raw: raw["studies"]["digits"].update(title="another"),
    "studies.digits.questions": lambda raw: raw["studies"]["digits"].update(questions=["accuracy"]),
    "studies.digits.defaults": lambda raw: raw["studies"]["digits"]["defaults"].update(epochs=9),
    "studies.digits.experiments": lambda raw: raw["studies"]["digits"]["experiments"]["wide"].update(epochs=8),
}


def listed(stage, key):
    """Whether the stage depends on the params key or on something that holds it."""
    names = [
        name.replace("${key}", "digits").replace("${item.dataset}", "digits") for name in STAGES[stage]["do"]["params"]
    ]
    return any(key == name or key.startswith(f"{name}.") for name in names)


def outcome(stage, raw, folder, monkeypatch):
    """What a stage makes of params.yaml: its output files, or for train and evaluate what they would train and score."""
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    if stage in ("train", "evaluate"):
        experiments.development.cache_clear()
        jobs = experiments.plan("digits", params.load().study("digits"))
        return [(job.experiment, job.repeat, job.fingerprint) for job in jobs]
    monkeypatch.setattr("sys.argv", [stage, "digits"])
    importlib.import_module(f"src.stages.{stage}").main()
    files = [path for out in STAGES[stage]["do"]["outs"] for path in sorted(folder.glob(f"{out_path(out)}*/**/*"))]
    files += [path for out in STAGES[stage]["do"]["outs"] for path in folder.glob(out_path(out))]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def out_path(out):
    return (next(iter(out)) if isinstance(out, dict) else out).replace("${key}", "digits")


@pytest.mark.parametrize("stage", ["download", "preprocess", "split", "train", "evaluate"])
def test_only_the_params_a_stage_lists_change_what_it_does(stage, tmp_path, monkeypatch):
    raw = small_params()
    for earlier in ("download", "preprocess", "split"):
        outcome(earlier, raw, tmp_path, monkeypatch)
    before = outcome(stage, raw, tmp_path, monkeypatch)
    assert before
    for key, change in CHANGES.items():
        changed = copy.deepcopy(raw)
        change(changed)
        if not listed(stage, key):
            assert outcome(stage, changed, tmp_path, monkeypatch) == before, f"{stage} does not list {key}"
        elif key not in ("datasets.digits.title", "datasets.digits.split", "datasets.digits.source"):
            assert outcome(stage, changed, tmp_path, monkeypatch) != before, f"{stage} lists {key} for nothing"


READS = {"report": {"title", "questions", "claims"}, "notebook": {"title", "questions", "notebook"}}


@pytest.mark.parametrize("stage", READS)
def test_the_report_and_the_notebook_read_of_a_study_what_they_list(stage):
    tree = ast.parse((ROOT / f"src/stages/{stage}.py").read_text())
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            and node.value.id == "study"}  # fmt: skip
    assert read - {"dataset"} == READS[stage]  # the dataset stands in its deps
    assert all(listed(stage, f"studies.digits.{key}") for key in READS[stage])


def test_training_never_depends_on_the_test_rows():
    upstream = [dep for stage in ("split", "train") for dep in STAGES[stage]["do"]["deps"]]
    assert not any("test" in dep for dep in upstream)
    used = imports_of(ROOT / "src/stages/train.py")
    assert not any(
        "test.npz" in path.read_text().replace("test.npz: apart", "") for path in used if path.name != "split.py"
    )


def test_outputs_are_ignored_by_git_or_kept_in_git():
    ignored = tuple(line for line in (ROOT / ".gitignore").read_text().split("\n") if line.startswith("/"))
    for stage in STAGES.values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage["do"].get(kind, []):
                path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
                folder = "/" + path.split("${")[0]
                assert folder.startswith(ignored) != (options.get("cache") is False), path


def test_what_python_compiles_is_no_input_of_a_stage():
    found = subprocess.run(
        ["dvc", "check-ignore", "src/params/__pycache__/file.pyc"], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


def test_evaluation_is_never_skipped_by_the_run_cache():
    """An output with `persist` keeps DVC from restoring results without logging them to MLflow."""
    assert STAGES["evaluate"]["do"]["outs"][0]["data/evaluated/${key}"]["persist"] is True


def test_a_search_never_depends_on_the_test_rows_and_its_winner_on_nothing_else_of_the_search():
    for stage in ("search", "train_winner"):
        assert not any("test" in dep for dep in STAGES[stage]["do"]["deps"])
    winner = [dep for dep in STAGES["train_winner"]["do"]["deps"] if dep.startswith("models/")]
    assert winner == ["models/searches/${key}/winner.json"] and "params" not in STAGES["train_winner"]["do"]


def test_a_search_is_never_restored_without_logging_it_to_mlflow():
    for stage in ("search", "train_winner", "evaluate_winner"):
        assert next(iter(STAGES[stage]["do"]["outs"][0].values()))["persist"] is True


def test_the_overview_comes_after_every_report_and_no_report_waits_for_it():
    """Studies and searches stand in no list: the stage depends on the folder into which all of them write."""
    (folder,) = [dep for dep in STAGES["site"]["do"]["deps"] if dep.startswith("reports/")]
    for stage in ("report", "report_search"):
        outs = [next(iter(out)) for out in STAGES[stage]["do"]["outs"]]
        assert f"{folder}/${{key}}.json" in outs and "reports/index.html" not in STAGES[stage]["do"]["deps"]
