"""The network that validation chose, used: on files, exported, and served. Through the commands, on a trained small study."""

import json
import re
import socket
import subprocess
import time

import numpy as np
import pandas
import pytest
import requests
import yaml
from PIL import Image

from src.params.vocabulary import VOCABULARY
from tests.conftest import ROOT, copy_project, small_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with two small studies evaluated: one of images, one of numbers."""
    raw, whole = small_params(), yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["studies"]["digits"]["defaults"]["epochs"] = 12
    raw["datasets"]["gaps"] = whole["datasets"]["gaps"]
    raw["studies"]["gaps"] = {
        "title": "Curve", "dataset": "gaps", "questions": ["fit"], "claims": [], "notebook": "chosen",
        "defaults": {"epochs": 3000, "learning_rate": 0.01}, "experiments": {"mlp": {"hidden_layers": [16, 16]}}}  # fmt: skip
    project = copy_project(tmp_path_factory.mktemp("use") / "project", raw)
    project.run("dvc repro evaluate@digits")
    project.run("dvc repro evaluate@gaps")
    return project


@pytest.fixture(scope="module")
def test_part(trained):
    """Test rows of the digits: images uint8 0 to 16, labels, and the outputs that `evaluate` computed for the champion."""
    folder = trained.folder / "data"
    rows = np.load(folder / "split/digits/test.npz")["rows"]
    chosen = next(row for row in json.loads((folder / "evaluated/digits/evaluation.json").read_text()) if row["chosen"])
    outputs = np.load(folder / f"evaluated/digits/{chosen['experiment']}-{chosen['repeat']}.npy")
    x, y = (np.load(folder / f"processed/digits/{name}.npy")[rows] for name in "xy")
    return x, y, outputs


def test_a_folder_of_images_gets_the_classes_that_evaluation_gave_them(trained, test_part, tmp_path):
    x, _, outputs = test_part
    for number, pixels in enumerate(x):
        bright = np.round(pixels[..., 0] * (255 / 16)).astype(np.uint8)
        Image.fromarray(bright if number % 2 else 255 - bright).save(tmp_path / f"{number:04}.png")
    found = json.loads(trained.run(f"python -m src.predict digits --json --top 10 {tmp_path}").stdout)
    said = [int(one["top"][0]["class"]) for one in found["answers"]]
    assert np.mean(np.array(said) == outputs.argmax(1)) > 0.98  # some bright digits touch the border on all sides
    inverted = [any("inverted" in note for note in one["notes"]) for one in found["answers"]]
    assert np.mean(inverted[::2]) > 0.95 and np.mean(inverted[1::2]) < 0.05
    assert all(abs(sum(one["probability"] for one in answer["top"]) - 1) < 1e-4 for answer in found["answers"])
    assert found["study"] == "digits" and found["temperature"] > 0


def test_calibrated_probabilities_have_a_lower_log_loss_on_the_test_rows(trained, test_part):
    from src import calibration

    x, y, outputs = test_part
    found = json.loads(
        trained.run("python -m src.export digits && cat exports/digits/card.json").stdout.split("\n", 1)[1]
    )
    logits = np.log(np.maximum(outputs, 1e-30))
    assert calibration.log_loss(logits, y, found["temperature"]) <= calibration.log_loss(logits, y, 1.0) + 1e-3


def test_a_table_names_the_class_the_certainty_and_what_was_guessed(trained, test_part, tmp_path):
    Image.fromarray(255 - test_part[0][0, ..., 0] * 15).resize((200, 200)).save(tmp_path / "digit.png")
    done = trained.run(f"python -m src.predict digits {tmp_path / 'digit.png'} --show")
    assert (
        re.search(r"digit\.png +\d +\d+\.\d %", done.stdout) and "note: " in done.stdout and "inverted" in done.stdout
    )
    with Image.open(trained.folder / "predictions.png") as picture:
        assert picture.width > 300 and len(picture.convert("L").getcolors()) > 10
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr


def test_rows_of_a_table_get_a_number_with_its_typical_error(trained, tmp_path):
    (tmp_path / "points.csv").write_text("input\n0.5\n4\n90\n")
    found = json.loads(trained.run(f"python -m src.predict gaps --json {tmp_path / 'points.csv'}").stdout)["answers"]
    assert [len(one["prediction"]) for one in found] == [1, 1, 1] and 0.1 < found[0]["typical_error"][0] < 2
    from src.datasets import gaps

    assert abs(found[0]["prediction"][0] - gaps.curve(0.5)) < 1
    assert [bool(one["notes"]) for one in found] == [False, False, True]
    assert " ± " in trained.run(f"python -m src.predict gaps {tmp_path / 'points.csv'} --show").stdout


@pytest.mark.parametrize("arguments, message", [
    ("digitz x.png", "did you mean 'digits'"),
    ("digits missing.png", "missing.png: there is no such file or folder; check the spelling"),
])  # fmt: skip
def test_a_mistake_is_one_line_that_says_what_to_do(trained, arguments, message):
    done = trained.run(f"python -m src.predict {arguments}", check=False)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.strip().split("\n")) == 1


def test_a_study_that_was_not_run_says_what_to_run(trained, tmp_path):
    project = copy_project(tmp_path / "project", small_params())
    done = project.run("python -m src.predict digits params.yaml", check=False)
    assert done.stderr.strip() == "error: digits: nothing is evaluated yet; run `dvc repro report@digits` first"


# ---------------------------------------------------------------- exported

ACTIVATIONS = [name for name in VOCABULARY["activation"] if name != "softmax"]  # which the first network ends in
NETWORKS = {
    "images through a convolutional network": ((12, 12, 1), 10, {"convolutions": [
        {"filters": 4, "batch_normalization": True, "pool_size": 2, "dropout": 0.2}], "normalisation": "standardise"}),
    "words, one unit for two classes": ((50,), 2, {"hidden_layers": [8], "loss": "binary_crossentropy", "dropout": 0.3}),
    "numbers, through every activation": ((3,), 0, {"hidden_layers": [8] * len(ACTIVATIONS), "activation": ACTIVATIONS,
                                                    "batch_normalization": True}),
}  # fmt: skip


def outputs_of_exports(folder, tensorflow, x):
    """{form: outputs} of what `python -m src.export` wrote."""
    import keras
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    loaded = tensorflow.saved_model.load(str(folder / "saved_model"))
    return {
        "keras": np.asarray(keras.saving.load_model(folder / "model.keras")(x)),
        "saved_model": loaded.serve(x).numpy(),
        "onnx": session.run(None, {session.get_inputs()[0].name: x})[0],
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_all_exported_forms_agree_with_the_network(name, tensorflow, tmp_path, raw_params):
    from src import champion, export, params
    from src.training import experiments, models

    shape, classes, settings = NETWORKS[name]
    raw_params["studies"]["digits"]["experiments"] = {"exported": settings}
    configuration = params.validate(raw_params).studies["digits"].experiments["exported"]
    x = np.random.default_rng(0).uniform(0, 16, (40, *shape)).astype(np.float32)
    task = "classification" if classes else "regression"
    scale = models.normalisation(configuration.normalisation, x)
    model = models.build_model(configuration, task, shape, classes or 1, scale)
    card = {"title": "made up", "shape": shape, "classes": list(map(str, range(classes)))}
    job = experiments.Job("digits", "exported", 1, configuration, "digits", "f" * 16, 1, 0.0)
    export.write(champion.Champion(job, model, {"x": x, "card": card}, 1.0, None), tmp_path / "exports")
    expected = model(x, training=False).numpy()
    for form, outputs in outputs_of_exports(tmp_path / "exports", tensorflow, x).items():
        np.testing.assert_allclose(outputs, expected, atol=1e-5, err_msg=form)


def test_the_exported_champion_gives_what_evaluation_measured(trained, test_part, tensorflow):
    trained.run("python -m src.export digits")
    x, _, outputs = test_part
    for form, found in outputs_of_exports(trained.folder / "exports/digits", tensorflow, x.astype(np.float32)).items():
        np.testing.assert_allclose(found, outputs, atol=1e-5, err_msg=form)


# ---------------------------------------------------------------- served


def test_mlflow_serves_the_registered_champion_over_http(trained, test_part):
    x, _, outputs = test_part
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = f"mlflow models serve --model-uri models:/digits@champion --env-manager=local --port {port}"
    environment = trained.environment | {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    log = trained.folder.parent / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(command.split(), cwd=trained.folder, env=environment, start_new_session=True,
                                  stdout=output, stderr=output)  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, log)
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": x[:20].tolist()}, timeout=60)
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(pandas.DataFrame(answer.json()["predictions"]), outputs[:20], atol=1e-5)
        wrong = requests.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": [[1, 2]]}, timeout=60)
        assert wrong.status_code == 400
    finally:
        subprocess.run(["pkill", "-g", str(server.pid)], check=False)
        server.wait()


def wait_for(url, server, log):
    for _ in range(240):
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            assert server.poll() is None, log.read_text()[-2000:]
        time.sleep(0.5)
    pytest.fail(f"no answer within two minutes: {log.read_text()[-2000:]}")
