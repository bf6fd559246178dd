"""Every command of the README runs as it stands, in a copy of the project with the small study."""

import re
import socket
import subprocess
import time
import urllib.request

import pytest

from src.errors import LaboratoryError
from src.params import load, validate
from tests.conftest import ROOT, copy_project, small_params

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.strip().split("\n")]
# Not run here: the suite that runs this test, and the environment that it runs in.
ELSEWHERE = ["make test", "source .venv/bin/activate"]


@pytest.mark.slow
def test_the_commands_run_in_the_order_of_the_readme(tmp_path):
    raw = small_params()
    project = copy_project(tmp_path / "project", raw)
    for command in COMMANDS:
        if command in ELSEWHERE:
            continue
        if command == "mlflow ui":
            assert_serves(project, command)
            continue
        if command.startswith("dvc exp run"):
            project.commit()
        # The environment of this test stands in for the .venv that make would build in the copy.
        project.run(command.replace("make ", "make --old-file=.venv/bin/.complete "))
    done = project.run("make --old-file=.venv/bin/.complete quickstart")
    assert "Accuracy" in done.stdout and "reports/digits/index.html" in done.stdout.strip().split("\n")[-1]


def assert_serves(project, command):
    """A server command answers on the address the README gives."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5000)) == 0:
            pytest.fail("port 5000 is taken; the README's `mlflow ui` cannot be tried")
    server = subprocess.Popen(command.split(), cwd=project.folder, env=project.environment, start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        for _ in range(120):
            try:
                answer = urllib.request.urlopen("http://127.0.0.1:5000", timeout=5)
                assert answer.status == 200
                return
            except OSError:
                time.sleep(0.5)
        pytest.fail("no answer within a minute")
    finally:
        subprocess.run(["pkill", "-g", str(server.pid)], check=False)
        server.wait()


def test_the_error_the_readme_shows_is_the_error_people_get(raw_params, tmp_path, monkeypatch):
    import yaml

    raw_params["studies"]["digits"]["experiments"]["mine"] = {"optimizer": "adm"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw_params))
    with pytest.raises(LaboratoryError) as caught:
        load()
    assert f"error: {caught.value}" in README


def test_the_experiment_the_readme_shows_is_valid(raw_params):
    import yaml

    example = re.search(r"```yaml\n(.*?)```", README, re.S)[1]
    raw_params["studies"]["digits"]["experiments"].update(yaml.safe_load(example))
    assert validate(raw_params).studies["digits"].experiments["mine"].per_layer("dropout") == [0.2, 0.4]


def test_the_search_the_readme_shows_is_valid(raw_params):
    import yaml

    raw_params["searches"].update(yaml.safe_load(re.findall(r"```yaml\n(.*?)```", README, re.S)[1]))
    assert "optimizer.momentum" in validate(raw_params).search("mine").space


def test_every_file_the_readme_links_to_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    missing = [link for link in links if not (ROOT / link).exists()]
    assert links and not missing
