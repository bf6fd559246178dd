"""What docs/ tells people to type works as it stands: commands run in order, settings are valid, recipes do what they say."""

import json
import re
import subprocess
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pandas
import pytest
import requests
import yaml

from src import evaluation, params, tracking
from src.params import Study
from src.report import answers
from tests.conftest import ROOT, copy_project, small_params
from tests.test_answers import row
from tests.test_readme import COMMANDS as COMMANDS_OF_README

# Not run: the environment that the test runs in.
ENVIRONMENT = ["make environment", "source .venv/bin/activate"]
AUTHOR = {f"GIT_{role}_{key}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


def blocks(page, *languages):
    """[(language, text)] of a page's code blocks in these languages, in order."""
    found = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    return [(language, text) for language, text in found if language in languages]


def apply(raw, text):
    """Put a block of YAML where the page says: sections of the file, keys of the digits study, or experiments of it."""
    study = raw["studies"]["digits"]
    for key, value in yaml.safe_load(text).items():
        place = raw if key in raw else study if key in Study.model_fields else study["experiments"]
        place[key] = place[key] | value if key in raw else value
    return raw


@contextmanager
def running(project, command, url):
    """A server that was started with a command of the page, once it answers."""
    variables = dict(re.findall(r"([A-Z_]+)=(\S+) ", command))
    words = [word for word in command.split() if "=" not in word or word.startswith("-")]
    server = subprocess.Popen(words, cwd=project.folder, env=project.environment | variables, start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        for _ in range(240):
            try:
                if requests.get(url, timeout=5).status_code == 200:
                    break
            except requests.ConnectionError:
                assert server.poll() is None, f"{command} ended"
            time.sleep(0.5)
        else:
            pytest.fail(f"{command}: no answer within two minutes")
        yield
    finally:
        subprocess.run(["pkill", "-g", str(server.pid)], check=False)
        server.wait()


SERVERS = {"mlflow ui": "http://127.0.0.1:5000", "mlflow server": "http://127.0.0.1:5000/health",
           "mlflow models serve": "http://127.0.0.1:5001/ping"}  # fmt: skip


def follow(project, page, skip):
    """Do what a page says, block by block; returns the output of its commands. Servers run until its end."""
    output = []
    with ExitStack() as servers:
        for language, text in blocks(page, "bash", "yaml"):
            if language == "yaml":
                project.write_params(apply(project.params(), text))
                continue
            for command in filter(lambda line: line not in skip, text.strip().split("\n")):
                url = next((url for name, url in SERVERS.items() if name in command), None)
                if command == "mlflow ui":
                    with running(project, command, url):
                        continue
                if url:
                    servers.enter_context(running(project, command, url))
                else:
                    output.append(project.run(command).stdout)
    return "\n".join(output)


@pytest.fixture
def project(tmp_path):
    raw = small_params()
    raw["studies"]["digits"]["defaults"]["epochs"] = 20
    project = copy_project(tmp_path / "project", raw)
    project.environment |= AUTHOR
    return project


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tutorial_leads_from_nothing_to_a_notebook_with_the_readers_network(project):
    output = follow(project, "tutorial.md", skip=ENVIRONMENT)
    assert "trained 1 of 3" in output, "only the reader's experiment is trained"
    assert re.search(r"seven\.png +\d +\d+\.\d %", output) and (project.folder / "predictions.png").exists()
    notebook = json.loads((project.folder / "digits_handed_in.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert any("48" in "".join(cell["source"]) and "tanh" in "".join(cell["source"]) for cell in code)
    assert all(cell["execution_count"] for cell in code) and any(cell["outputs"] for cell in code)
    assert project.run("git status --porcelain").stdout == "", "handed in and committed"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_commands_of_the_how_tos_run(project):
    project.run("dvc repro report@digits")
    project.commit()
    output = follow(project, "how-to.md", skip=COMMANDS_OF_README)
    assert "wine: report in" in output and "rates: 4 trials" in output
    assert re.search(r"digits: \d+ evaluated, [1-9]\d* new in MLflow", output), "logged anew to the server"


@pytest.mark.parametrize("page", ["tutorial.md", "how-to.md"])
def test_the_settings_that_a_page_shows_are_valid(page, raw_params):
    for _, text in blocks(page, "yaml"):
        apply(raw_params, text)
    params.validate(raw_params)


def test_the_metric_of_the_how_to_reaches_mlflow():
    line = next(text for _, text in blocks("how-to.md", "python") if "balanced" in text)
    source = (ROOT / "src/evaluation.py").read_text().replace('        "test_accuracy": accuracy,\n', f"{line}")
    changed = {}
    exec(compile(source, "evaluation", "exec"), changed)
    y, outputs = np.array([0, 0, 0, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    found = changed["classification"](y, outputs, ["cat", "dog"])
    assert found["test_balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert "test_balanced_accuracy" not in evaluation.classification(y, outputs, ["cat", "dog"])
    history = pandas.DataFrame({"epoch": [], "ended": []})
    logged = tracking.summary(found | {"training_seconds": 1.0}, history)
    assert "test_balanced_accuracy" in {metric.key for metric in logged}


def test_the_question_of_the_how_to_is_answered(monkeypatch):
    source = next(text for _, text in blocks("how-to.md", "python") if "def smallest" in text)
    known = {}
    exec(source, known)
    monkeypatch.setitem(answers.QUESTIONS, "smallest", ("Which network is the smallest?", known["smallest"]))
    rows = [
        row("wide", 1, 0.95, 0.96) | {"chosen": True},
        row("narrow", 1, 0.9, 0.9) | {"parameters": 7, "chosen": False},
    ]
    (found,) = answers.answer(answers.Results(rows, {}, "accuracy", 100), ["smallest"])
    assert "narrow, with 7 parameters" in found["answer"] and found["values"]["parameters"] == 7


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_link_of_a_page_leads_somewhere(page):
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", (ROOT / "docs" / page).read_text()):
        if link.startswith("http"):
            continue
        target = (ROOT / "docs" / (link or page)).resolve()
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M) if anchor else []
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], f"{link}#{anchor}"
