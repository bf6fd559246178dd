"""The report site and the MLflow UI as their readers meet them: in a headless Chromium, without a network."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src import params
from src.report import figures, overview, search_page
from src.report.page import MLFLOW
from src.stages import report, site, vega
from tests.conftest import ROOT, copy_project, small_params
from tests.test_answers import CARD, INSIDES, regression, results, row

MINUTE = 60_000  # milliseconds; a busy machine draws slowly
CLAIM = params.Claim(
    source="lecture", statement="wide is better", measure="val_accuracy", highest_first=["wide", "narrow"]
)


def find_browser():
    """The system's Chromium or Chrome; None: the one that `playwright install chromium` fetched."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = find_browser() or playwright.chromium.executable_path
        if not Path(program).exists():
            missing = "no Chromium: `apt-get install chromium`, or elsewhere `playwright install chromium`"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        sandbox = [] if os.name == "nt" or os.geteuid() else ["--no-sandbox"]  # root has none
        started = playwright.chromium.launch(
            executable_path=program, args=["--disable-gpu", *sandbox], timeout=2 * MINUTE
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """visit(url, **context) opens a page that keeps its console errors and requests; all pages are closed at the end."""
    contexts = []

    def open_page(url, **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | options)
        context.set_default_timeout(2 * MINUTE)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requested = [], []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(url, wait_until="domcontentloaded")
        return page

    yield open_page
    for context in contexts:
        context.close()


# ---------------------------------------------------------------- the site


def failed():
    """A training that failed: its row has no results."""
    measured = ("train_", "val_", "test_", "confusion", "classes")
    found = {
        key: entry for key, entry in row("broken", 1, 0, 0, status="failed").items() if not key.startswith(measured)
    }
    return found | {"training_seconds": None, "epochs_run": None}


def pets():
    """Results of a study with a failed training, mistakes to look at and effects of one setting."""
    found = results([*results().rows, failed()])
    noise = np.random.default_rng(1).integers(0, 255, (1000, 4, 4, 1), dtype=np.uint8)
    found.samples = {part: (noise, labels) for part, (_, labels) in found.samples.items()}
    return figures.Shown("pets", found, CARD, INSIDES)


OUTCOME = {
    "metric": "val_loss", "direction": "minimize", "best": 1, "borders": {}, "baseline": [],
    "cost": {"trials": 3, "trainings": 3, "epochs": 12, "training_seconds": 1.5},
    "search": {"sampler": "grid", "objective": {"folds": 0, "epoch": "last"}, "space": {
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True, "integer": False, "when": {}},
        "optimizer.momentum": {"choices": [0, 0.9], "when": {}}}},
    "trials": [
        {"number": number, "point": {"learning_rate": rate, "optimizer.momentum": 0.9}, "status": "finished",
         "value": value, "deviation": None, "epochs": 4, "seconds": 0.5, "failure": "", "fits": [f"{number}.json"]}
        for number, rate, value in ((0, 0.1, 0.5), (1, 0.01, 0.2), (2, 0.001, 0.9))],
}  # fmt: skip


def write_site():
    """reports/ in the current folder, as the stages write it: a study, a search, a study not yet run, the overview."""
    study = SimpleNamespace(title="Pets <on> trial", questions=["accuracy", "learned"], claims=[CLAIM])
    vega.main()
    report.write(Path("reports/pets"), study, pets(), "3 layers\n")
    winner = [row("winner", 1, 0.9, 0.9, chosen=True)]
    Path("reports/hunt").mkdir()
    Path("reports/hunt/index.html").write_text(search_page.html("hunt", "A hunt", OUTCOME, winner, CARD, []))
    Path("reports/hunt/report.md").write_text("# A hunt\n")
    overview.save("hunt", overview.of_search("A hunt", CARD, OUTCOME, winner))
    raw = small_params()
    raw["studies"] = {"pets": raw["studies"]["digits"], "digits": raw["studies"]["digits"]}
    raw["searches"] = {"hunt": {"title": "A hunt", "dataset": "digits", "defaults": {}, "space": {"dropout": [0, 0.2]},
                                "sampler": "grid"}}  # fmt: skip
    Path("params.yaml").write_text(json.dumps(raw))
    site.main()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The site's folder."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["stage"])
        write_site()
    return folder / "reports"


def test_a_regression_has_a_page_without_confusion_matrices(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = SimpleNamespace(title="A curve", questions=["fit"], claims=[])
    found = regression()
    del found.chosen["confusion"]
    report.write(Path("reports/curve"), study, figures.Shown("curve", found, CARD | {"classes": []}, {}), "")
    page = Path("reports/curve/index.html").read_text()
    assert "Validation MSE" in page and "Confusion matrices" not in page


PAGES = ["index.html", "pets/index.html", "hunt/index.html"]


def column(page, table, name):
    """Texts of one column of the rows that are shown, top down."""
    heads = page.locator(f"#{table} thead th").all_inner_texts()
    index = next(i for i, text in enumerate(heads) if text.startswith(name))
    rows = page.locator(f"#{table} > tbody:not([hidden]) > tr:first-child")
    return rows.locator(f"> :nth-child({index + 1})").all_inner_texts()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_disk_without_network_errors_or_barriers(visit, reports, name):
    from axe_playwright_python.sync_playwright import Axe

    page = visit((reports / name).as_uri())
    if name != "index.html":
        page.wait_for_selector(".chart svg")
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in page.requested)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"


def test_the_tables_of_the_overview_fit_a_laptops_window(visit):
    page = visit((ROOT / "reports/index.html").as_uri(), viewport={"width": 1280, "height": 800})
    assert page.evaluate("[...document.querySelectorAll('.wide')].every(box => box.scrollWidth <= box.clientWidth)")


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_no_page_sideways(visit, reports, name):
    page = visit((reports / name).as_uri(), viewport={"width": 360, "height": 740}, has_touch=True)
    if name == "pets/index.html":
        page.wait_for_selector("#curve-chart svg")
        page.locator("button.more").first.click()
        page.locator("#confusion-matrix button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_table_sorts_by_value_and_says_so(visit, reports):
    page = visit((reports / "pets/index.html").as_uri())
    header = page.locator("#experiments th", has=page.get_by_role("button", name="Validation accuracy"))
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert [text.split()[0] for text in column(page, "experiments", "Exp")] == ["wide", "narrow", "broken"]
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert [text.split()[0] for text in column(page, "experiments", "Exp")][:2] == ["narrow", "wide"]


def test_the_filter_leaves_the_rows_that_hold_every_word(visit, reports):
    page = visit((reports / "pets/index.html").as_uri())
    page.get_by_label("Filter").first.fill("WIDE adam")
    assert [text.split()[0] for text in column(page, "experiments", "Exp")] == ["wide"]
    assert page.locator("output").first.inner_text() == "1 of 3 experiments"


def test_a_row_opens_and_shows_its_seeds_and_the_command_that_repeats_it(visit, reports):
    page = visit((reports / "pets/index.html").as_uri())
    button = page.get_by_role("button", name="Seeds and command of wide")
    assert not page.locator("#more-wide").is_visible()
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    said = page.locator("#more-wide").inner_text()
    assert "rm -rf models/pets/wide && dvc repro report@pets" in said and said.count("Seed 1") == 2
    assert "tags.experiment = 'wide'" in said and "hidden_layers" in said


def test_curves_are_chosen_scaled_and_read_off(visit, reports):
    page = visit((reports / "pets/index.html").as_uri())
    lines = "document.querySelectorAll('#curve-chart .mark-line path').length"
    page.wait_for_function(f"{lines} === 2")  # narrow and wide on the validation rows
    page.get_by_label("training rows (thin)").check()
    page.wait_for_function(f"{lines} === 4")
    page.get_by_role("checkbox", name="narrow").uncheck()
    page.wait_for_function(f"{lines} === 2")
    page.locator("#curve-controls select").select_option("loss")
    ticks = (
        "[...document.querySelectorAll('#curve-chart .role-axis-label text')].map((text) => text.textContent).join()"
    )
    linear = page.evaluate(ticks)
    page.get_by_label("logarithmic scale").check()
    page.wait_for_function(f"{ticks} !== {json.dumps(linear)}")
    page.locator("#curve-chart svg").hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "wide, validation" in page.locator("#vg-tooltip-element").inner_text()
    assert page.complaints == []


def test_the_confusion_matrix_shows_shares_and_the_examples_behind_a_cell(visit, reports):
    page = visit((reports / "pets/index.html").as_uri())
    mistake = page.get_by_role("button", name="cat taken for dog")
    mistake.press("Enter")
    assert mistake.get_attribute("aria-pressed") == "true"
    assert page.locator("#mistakes h3").inner_text() == "cat taken for dog: 20, of them 6 shown"
    assert page.locator("#mistakes [role=img]").count() == 6
    assert page.locator("#mistakes li").first.inner_text() == "test example 0: 90 %"
    page.get_by_label("shares of the true class").check()
    assert page.locator("#confusion-matrix tbody td").all_inner_texts() == ["96.0 %", "4.0 %", "1.0 %", "99.0 %"]
    page.locator("#confusion-controls select").select_option("narrow")
    assert page.locator("#confusion-matrix button").count() == 0


def test_dark_mode_darkens_page_and_chart(visit, reports):
    page = visit((reports / "pets/index.html").as_uri(), color_scheme="dark")
    page.wait_for_selector("#curve-chart svg")
    darkness = "getComputedStyle(document.body)"
    assert page.evaluate(f"{darkness}.backgroundColor") == "rgb(22, 25, 29)"
    label = page.locator("#curve-chart .role-axis-label text").first
    assert label.evaluate("(text) => getComputedStyle(text).fill") == page.evaluate(f"{darkness}.color")


def test_the_keyboard_reaches_content_first(visit, reports):
    page = visit((reports / "pets/index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_a_search_shows_the_effect_of_the_key_that_is_chosen(visit, reports):
    page = visit((reports / "hunt/index.html").as_uri())
    title = page.locator("#key-chart .role-axis-title text")
    page.wait_for_function("document.querySelectorAll('#key-chart .mark-symbol path').length === 3")
    assert "learning_rate" in title.all_inner_texts() or "learning_rate" in title.all_text_contents()
    page.locator("#key").select_option("optimizer.momentum")
    page.get_by_text("optimizer.momentum", exact=True).last.wait_for()
    assert [text.strip() for text in column(page, "trials-table", "trial")] == ["1", "0", "2"]


def test_the_overview_leads_to_every_report_and_says_what_is_missing(visit, reports):
    page = visit((reports / "index.html").as_uri())
    assert column(page, "studies-table", "Claims") == ["1 of 1", ""]
    assert "95.50 ± 0.71 % (" in column(page, "studies-table", "Test")[0].replace("\N{NO-BREAK SPACE}", " ")
    assert column(page, "studies-table", "Dataset")[1] == "not made yet: dvc repro report@digits"
    page.get_by_role("link", name="Pets <on> trial").click()
    page.wait_for_selector("#experiments")
    assert page.locator("h1").inner_text() == "Pets <on> trial"


def test_what_a_page_links_to_on_disk_is_there(reports):
    for name in PAGES[:2]:
        text = (reports / name).read_text()
        links = set(re.findall(r'(?:href|src)="([^"#:]+)"', text))
        missing = [link for link in links if not (reports / name).parent.joinpath(link).exists()]
        assert links and not missing


def test_pages_are_small_and_the_same_bytes_when_written_again(reports, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    write_site()
    for name in [*PAGES, "vega.js"]:
        assert (reports / name).read_bytes() == Path("reports", name).read_bytes()
        assert (reports / name).stat().st_size < (1_000_000 if name == "vega.js" else 400_000)


# ---------------------------------------------------------------- the MLflow UI


@pytest.fixture(scope="module")
def mlflow_ui(tmp_path_factory):
    """Address of the UI of a real store, and {run name: id}: that of a digits study of two experiments."""
    project = copy_project(tmp_path_factory.mktemp("tracked") / "project", small_params())
    project.run("dvc repro evaluate@digits")
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        runs = dict(store.execute("select name, run_uuid from runs").fetchall())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["mlflow", "ui", "--backend-store-uri", "sqlite:///mlflow.db", "--port", str(port), "--workers", "1"],
        cwd=project.folder, env=project.environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address)
        yield address, runs
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def wait_for(address):
    for _ in range(240):
        try:
            return urllib.request.urlopen(address, timeout=5)
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no answer from {address} within two minutes")


@pytest.mark.slow
def test_the_links_of_a_page_lead_to_its_study_and_its_chosen_model_in_mlflow(visit, mlflow_ui, reports):
    address, _ = mlflow_ui
    text = (reports / "pets/index.html").read_text().replace("pets", "digits")
    study, model = re.findall(rf'href="{re.escape(MLFLOW)}([^"]+)"', text)
    page = visit(address + study)
    page.get_by_role("link", name="digits", exact=True).wait_for()
    assert page.get_by_role("row").count() == 2  # the head and the study, without MLflow's own experiment
    page = visit(address + model)
    page.get_by_text("champion").first.wait_for()


@pytest.mark.slow
def test_two_runs_are_compared_with_their_curves_and_confusion_matrices(visit, mlflow_ui):
    address, runs = mlflow_ui
    query = f"attributes.run_id IN ('{runs['narrow-1']}', '{runs['wide-1']}')"
    wanted = urllib.parse.urlencode({"compareRunsMode": "CHART", "searchFilter": query}, quote_via=urllib.parse.quote)
    page = visit(f"{address}/#/experiments/1/runs?{wanted}", viewport={"width": 1300, "height": 2600})
    page.get_by_text("2 matching runs").wait_for()
    for curve in ("loss", "val_loss", "accuracy", "val_accuracy"):
        page.get_by_text(f"wide-1 ({curve})", exact=True).first.wait_for()
    page.wait_for_function("document.querySelectorAll('img[src*=confusion_matrix]').length === 2")
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 100)")
    page = visit(f"{address}/#/compare-runs?runs={quoted(runs['narrow-1'], runs['wide-1'])}&experiments={quoted('1')}")
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()


def quoted(*ids):
    return urllib.parse.quote(json.dumps(ids))
