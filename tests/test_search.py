"""Searches: what is drawn, what is refused, that no result depends on the number of workers or on being killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pandas
import pytest
import yaml

from src import params
from src.dispatch import backends
from src.errors import LaboratoryError
from src.searching import results, sampling, trials
from src.training import experiments
from tests.conftest import ROOT, copy_project, small_params
from tests.test_pipeline import mlflow_runs

# One network for most tests: workers then compile it once.
DEFAULTS = {"hidden_layers": [4], "epochs": 4, "batch_size": 256}
RATES = {"learning_rate": [0.001, 0.01, 0.1]}
LOGARITHMIC = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
SPACE = {"hidden_layers": [[4], [8, 4]], "learning_rate": [0.001, 0.01, 0.1]}


def searching(**changes):
    """Params with one search, `hunt`, over the digits."""
    raw = small_params()
    hunt = {"title": "A hunt", "dataset": "digits", "defaults": DEFAULTS, "space": SPACE,
            "sampler": "grid", "repeats": 2}  # fmt: skip
    raw["searches"] = {"hunt": {key: value for key, value in (hunt | changes).items() if value is not None}}
    return raw


def hunt(**changes):
    return params.validate(searching(**changes)).search("hunt")


def drawn(**changes):
    return sampling.points(hunt(**changes))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("changes, said", [
    ({"space": {"learning_rat": [0.1]}}, ["searches.hunt.space.learning_rat: 0.1", "did you mean 'learning_rate'"]),
    ({"space": {"learning_rate": [0.1, -0.2]}}, ["space.learning_rate: -0.2", "above 0"]),
    ({"space": {"optimizer": ["sgd", "adm"]}}, ["space.optimizer: 'adm'", "did you mean 'Adam'"]),
    ({"space": {"optimizer.momentm": [0.9]}}, ["space.optimizer.momentm: 0.9", "momentm"]),
    ({"space": {"dropout": {"low": 0.5, "high": 1.0}}, "sampler": "random", "trials": 3}, ["space.dropout: 1.0", "below 1"]),
    ({"space": {"dropout": {"low": 0.5, "high": 0.2}}, "sampler": "random", "trials": 3}, ["space.dropout", "0.5 and 0.2"]),
    ({"space": {"dropout": {"low": 0.0, "high": 0.2, "log": True}}, "sampler": "random", "trials": 3}, ["space.dropout", "above 0"]),
    ({"space": {"dropout": {"low": 0.0, "high": 0.2}}}, ["space.dropout", "a grid"]),
    ({"space": {"dropout": 0.3}}, ["space.dropout", "received 0.3"]),
    ({"space": {"dropout": [0.1, 0.1]}}, ["space.dropout", "0.1 twice"]),
    ({"space": {"hidden_layers": [[100], [100, 0]]}}, ["space.hidden_layers: [100, 0]", "greater than 0"]),
    ({"space": {"seed": [1, 2]}}, ["space.seed"]),
    ({"space": {}}, ["searches.hunt", "space"]),
    ({"space": {"dropout": {"choices": [0.1], "when": {"optimizer": "SGD"}}}}, ["space.dropout.when.optimizer"]),
    ({"space": {"optimizer": ["SGD"], "dropout": {"choices": [0.1], "when": {"optimizer": "adam"}}}}, ["when.optimizer", "'adam'"]),
    ({"sampler": "anneal"}, ["searches.hunt.sampler", "'anneal'"]),
    ({"sampler": "random"}, ["searches.hunt", "trials"]),
    ({"trials": 3}, ["searches.hunt", "trials"]),
    ({"objective": "val_mse"}, ["searches.hunt.objective", "val_mse"]),
    ({"objective": {"folds": 1}}, ["searches.hunt.objective.folds", "1"]),
    ({"dataset": "mnits"}, ["searches.hunt.dataset", "mnits"]),
    ({"pruner": "gardener"}, ["searches.hunt.pruner", "'gardener'"]),
])  # fmt: skip
def test_a_bad_search_is_refused_with_its_key_and_value(changes, said):
    with pytest.raises(LaboratoryError) as caught:
        hunt(**changes)
    assert "\n" not in str(caught.value)
    for words in said:
        assert words in str(caught.value)


def test_a_search_may_not_take_the_name_of_a_study():
    raw = searching()
    raw["searches"]["digits"] = raw["searches"].pop("hunt")
    with pytest.raises(LaboratoryError, match="searches.digits: expected a name that no study has"):
        params.validate(raw)


def test_the_gaussian_process_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(sampling.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LaboratoryError, match="PyTorch"):
        sampling.sampler_of(hunt(sampler="gp", trials=3))


# ---------------------------------------------------------------- what is drawn


def test_a_grid_is_exactly_the_product_in_order():
    wanted = [
        {"hidden_layers": layers, "learning_rate": rate} for layers in ([4], [8, 4]) for rate in (0.001, 0.01, 0.1)
    ]
    assert drawn() == wanted


def test_conditional_keys_appear_where_their_condition_holds():
    space = {"optimizer": ["SGD", "adam"], "optimizer.momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "SGD"}}}
    assert drawn(space=space) == [
        {"optimizer": "SGD", "optimizer.momentum": 0.5},
        {"optimizer": "SGD", "optimizer.momentum": 0.9},
        {"optimizer": "adam"},
    ]
    found = trials.experiment_of("hunt", hunt(space=space), {"optimizer": "SGD", "optimizer.momentum": 0.9}, CARD)
    assert found.optimizer == {"name": "SGD", "momentum": 0.9}


CARD = {"name": "digits", "shape": [8, 8, 1], "classes": list("0123456789"), "task": "classification"}


def test_random_draws_from_a_finite_space_do_not_repeat():
    found = drawn(sampler="random", trials=5)
    assert len(found) == 5 and all(found.count(point) == 1 for point in found)
    assert len(drawn(sampler="random", trials=50)) == 6, "there are no more"
    assert drawn(sampler="random", trials=5, seed=1) != drawn(sampler="random", trials=5, seed=2)


@pytest.mark.parametrize("sampler", ["random", "quasi_random"])
def test_ranges_are_kept_and_the_seed_decides(sampler):
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "epochs": {"low": 2, "high": 9, "integer": True},
             "dropout": {"low": 0.1, "high": 0.4}, "activation": ["relu", "tanh"]}  # fmt: skip
    found = drawn(space=space, sampler=sampler, trials=40)
    assert found == drawn(space=space, sampler=sampler, trials=40)
    assert all(1e-4 <= point["learning_rate"] <= 1e-1 and 0.1 <= point["dropout"] <= 0.4 for point in found)
    assert {type(point["epochs"]) for point in found} == {int} and {point["epochs"] for point in found} == set(
        range(2, 10)
    )
    assert 10 <= sum(point["learning_rate"] < 10**-2.5 for point in found) <= 30, "uniform in the logarithm"


def test_quasi_random_points_fill_the_space_from_the_first_on():
    space = {"dropout": {"low": 0.0, "high": 0.8}}
    found = [point["dropout"] for point in drawn(space=space, sampler="quasi_random", trials=8)]
    assert sorted(int(value * 10) for value in found) == list(range(8)), "one in each eighth"


# ---------------------------------------------------------------- what is trained


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with the digits, split; the tests of this module work in it."""
    folder, before = tmp_path_factory.mktemp("search"), os.getcwd()
    os.chdir(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(searching()))
    for stage in ("download", "preprocess", "split"):
        subprocess.run([sys.executable, "-m", f"src.stages.{stage}", "digits"], check=True, capture_output=True,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    experiments.development.cache_clear()
    yield folder
    os.chdir(before)
    experiments.development.cache_clear()


@pytest.fixture(scope="module")
def pools(here):
    """{1: one worker, 2: two workers}; each imports TensorFlow once for all tests."""
    with backends.Local(1) as one, backends.Local(2) as two:
        yield {1: one, 2: two}


def found(name, pools, **changes):
    """The outcome of a search without what the clock writes."""
    outcome = trials.run(name, hunt(**changes), pools)
    for trial in outcome["trials"] + outcome["baseline"]:
        del trial["seconds"]
    del outcome["cost"]["training_seconds"], outcome["cost"]["run_seconds"]
    return outcome


@pytest.mark.parametrize("changes", [
    {"sampler": "grid"},
    {"sampler": "random", "trials": 4, "space": LOGARITHMIC},
    {"sampler": "quasi_random", "trials": 4, "space": LOGARITHMIC, "objective": "val_loss"},
    {"sampler": "tpe", "trials": 6, "space": LOGARITHMIC},
], ids=lambda changes: changes["sampler"])  # fmt: skip
def test_one_worker_and_two_find_the_same_bits(changes, pools):
    outcomes = [json.dumps(found(f"bits_{jobs}", pools[jobs], **changes)) for jobs in (1, 2)]
    trials = json.loads(outcomes[0])["trials"]
    assert outcomes[0] == outcomes[1]
    assert len({trial["value"] for trial in trials}) > 2, "the trials differ"
    assert {trial["status"] for trial in trials} == {"finished"}


def test_folds_are_averaged_and_the_best_trial_wins(pools, here):
    outcome = found("folds", pools[2], objective={"folds": 3}, space=RATES)
    for trial in outcome["trials"]:
        assert len(trial["folds"]) == 3 and trial["value"] == pytest.approx(sum(trial["folds"]) / 3, rel=1e-12)
        assert trial["deviation"] > 0 and trial["epochs"] == 12
    best = max(outcome["trials"], key=lambda trial: trial["value"])
    assert outcome["best"] == best["number"]
    winner = json.loads((here / "models/searches/folds/winner.json").read_text())
    assert winner["learning_rate"] == best["point"]["learning_rate"] and winner["repeats"] == 2
    assert winner["seed"] != best["configuration"]["seed"], "the winner gets no seed that it was chosen under"


def test_folds_hold_out_every_row_and_share_one_size(here):
    for count in (3, 5):
        parts = trials.folds_of("digits", count, 0)
        held_out = [row for _, rows in parts for row in rows]
        assert len(set(held_out)) == len(held_out) > 0.99 * 1437
        assert all(not set(training) & set(rows) for training, rows in parts)
        assert len({(len(training), len(rows)) for training, rows in parts}) == 1


def test_the_best_epoch_may_be_compared_instead_of_the_last(pools):
    space = {"learning_rate": [1.0]}  # far too high: the last epoch is not the best
    values = [
        found("epochs", pools[1], space=space, defaults=DEFAULTS | {"epochs": 30}, objective={"metric": "val_loss", "epoch": epoch})["trials"][0]["value"]
        for epoch in ("last", "best")
    ]  # fmt: skip
    assert values[1] < values[0]


def test_an_edited_search_trains_its_new_points_only(pools, here):
    found("edited", pools[1], space=RATES)
    before = {path.name: path.stat().st_mtime_ns for path in (here / "models/searches/edited/fits").iterdir()}
    found("edited", pools[1], space={"learning_rate": [0.001, 0.02, 0.1]})
    after = {path.name: path.stat().st_mtime_ns for path in (here / "models/searches/edited/fits").iterdir()}
    assert len(before) == len(after) == 3 and len(set(before.items()) & set(after.items())) == 2


def test_what_falls_behind_is_pruned(pools):
    space = {"learning_rate": [0.01, 0.011, 0.012, 0.013, 0.014, 1e-7, 1e-6]}
    changes = {"space": space, "defaults": DEFAULTS | {"epochs": 200, "batch_size": 64}}
    outcome = found("pruned", pools[1], pruner="median", **changes)
    status = {trial["point"]["learning_rate"]: trial["status"] for trial in outcome["trials"]}
    assert status[1e-7] == status[1e-6] == "pruned" and status[0.01] == "finished"
    assert all((trial["epochs"] < 200) == (trial["status"] == "pruned") for trial in outcome["trials"])
    assert found("pruned", pools[1], pruner="median", **changes) == outcome, "what was pruned stays pruned"


def test_a_failed_trial_is_kept_with_its_reason_and_the_others_go_on(pools):
    outcome = found("failing", pools[1], space={"learning_rate": [1e30, 0.01]}, defaults=DEFAULTS | {
        "optimizer": "SGD", "loss": "MeanSquaredError", "output_activation": "linear"})  # fmt: skip
    assert [trial["status"] for trial in outcome["trials"]] == ["failed", "finished"]
    assert "epoch" in outcome["trials"][0]["failure"] and outcome["best"] == 1


def test_nothing_starts_after_the_time_budget_and_the_next_run_goes_on(pools):
    slow = {"space": RATES, "defaults": DEFAULTS | {"epochs": 300, "batch_size": 8}}
    with pytest.raises(LaboratoryError, match="time budget"):
        found("brief", pools[1], time_budget=0.001, **slow)
    outcome = found("brief", pools[1], time_budget=0.5, **slow)
    status = [trial["status"] for trial in outcome["trials"]]
    assert status.count("not run") >= 1 and status.count("finished") >= 1
    assert {trial["status"] for trial in found("brief", pools[1], **slow)["trials"]} == {"finished"}


def test_the_baseline_draws_twice_as_many_points(pools):
    outcome = found("rival", pools[2], sampler="tpe", trials=3, space=LOGARITHMIC, baseline=True)
    assert len(outcome["trials"]) == 3 and len(outcome["baseline"]) == 6


def test_borders_are_seen():
    space = hunt(sampler="random", trials=1, space={
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "dropout": {"low": 0.0, "high": 0.5},
        "batch_size": [16, 32, 64], "hidden_layers": [[4], [8], [16]], "epochs": [1, 2]}).space  # fmt: skip
    at = {"learning_rate": 1.2e-4, "dropout": 0.25, "batch_size": 64, "hidden_layers": [4], "epochs": 1}
    assert trials.borders(space, at) == {"learning_rate": "lowest", "batch_size": "highest"}
    assert trials.borders(space, at | {"learning_rate": 1e-3, "batch_size": 32}) == {}


def test_a_killed_search_goes_on_without_losing_or_repeating_a_training(here):
    raw = searching(space={"learning_rate": [0.001, 0.002, 0.003, 0.004]}, defaults={"epochs": 400, "batch_size": 16})
    raw["jobs"] = 2
    (here / "params.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "src.stages.search", "hunt"]
    environment, fits = os.environ | {"PYTHONPATH": str(ROOT)}, here / "models/searches/hunt/fits"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    wait_for(lambda: list(fits.glob("*.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1)  # its workers end with it
    before = {path.name: path.stat().st_mtime_ns for path in fits.glob("*.json")}
    assert 1 <= len(before) < 4
    journal = fits.parent / results.JOURNALS[0]
    if not os.path.lexists(f"{journal}.lock"):  # as a process leaves it that is killed while it writes
        os.symlink(journal, f"{journal}.lock")
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = {path.name: path.stat().st_mtime_ns for path in fits.iterdir()}
    assert len(after) == 4 and before.items() <= after.items()
    outcome = json.loads((here / "models/searches/hunt/search.json").read_text())
    assert [trial["status"] for trial in outcome["trials"]] == ["finished"] * 4


@pytest.mark.slow
def test_a_search_is_reproduced_tracked_reported_and_its_winner_tested_once(tmp_path):
    raw = searching(objective={"folds": 3}, space=RATES)
    raw["jobs"] = 1
    project = copy_project(tmp_path / "project", raw)
    project.run("dvc repro report_search@hunt")
    outcome = json.loads((project.folder / "models/searches/hunt/search.json").read_text())
    manifests = sorted(project.folder.glob("models/hunt/winner/*/manifest.json"))
    assert len(manifests) == 2, "the winner is trained under `repeats` seeds"
    best = outcome["trials"][outcome["best"]]
    assert {json.loads(path.read_text())["configuration"]["learning_rate"] for path in manifests} == {
        best["point"]["learning_rate"]
    }
    report = (project.folder / "reports/hunt/report.md").read_text()
    assert "other seeds" in report and "standard deviation over the 3 folds" in report and "on the border" in report
    trials = pandas.read_csv(project.folder / "reports/hunt/trials.csv")
    assert trials["trial"].tolist()[0] == outcome["best"] and len(trials) == 3
    assert {"history.png", "parallel_coordinates.png"} <= {
        p.name for p in project.folder.glob("reports/hunt/figures/*")
    }

    runs = mlflow_runs(project)
    (parent,) = [run for run, name, *_ in live_runs(project) if name == "search"]
    children = [tags for name, _, tags in runs if name.startswith("trial_")]
    assert len(children) == 3 and {tags["mlflow.parentRunId"] for tags in children} == {parent}
    assert sorted(name for name, *_ in runs if name.startswith("winner")) == ["winner-1", "winner-2"]
    assert {status for _, status, _ in runs} == {"FINISHED"}
    assert {tags["mlflow.source.name"] for *_, tags in runs} == {"dvc repro report_search@hunt"}
    assert len(list(project.folder.glob(f"mlartifacts/{parent}/artifacts/figures/*.png"))) >= 2
    assert "up to date" in project.run("dvc repro report_search@hunt").stdout
    project.run("dvc repro --force --single-item search@hunt")
    assert len(mlflow_runs(project)) == len(runs), "logged once, however often it is run"
    assert "Running stage 'train_winner" not in project.run("dvc repro report_search@hunt").stdout


def live_runs(project):
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        return store.execute("select run_uuid, name from runs where lifecycle_stage = 'active'").fetchall()


def wait_for(condition, seconds=400):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end
        time.sleep(0.01)


EQUALS = """
import optuna
from optuna.distributions import CategoricalDistribution
from src.searching import figures
study, coin = optuna.create_study(), CategoricalDistribution([0, 1])
for number in range(32):
    params = {key: number >> place & 1 for place, key in enumerate("abcde")}
    study.add_trial(optuna.create_trial(params=params, distributions=dict.fromkeys(params, coin), value=sum(params.values())))
drawn = {name: draw for name, draw, _ in figures.drawings([study], "val_loss")}
print([label.get_text() for label in drawn["importance"]().get_yticklabels()])
"""


def test_equally_important_keys_stand_in_the_same_order_in_every_process():
    printed = {
        subprocess.run([sys.executable, "-c", EQUALS], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout
        for seed in "123"
    }  # fmt: skip
    assert printed == {"['a', 'b', 'c', 'd', 'e']\n"}
