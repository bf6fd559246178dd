"""python -m src.stages.report STUDY: write the comparison table, the answers and the figures into reports/STUDY."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from src import params, results
from src.datasets import examples
from src.errors import command
from src.report import answers, figures, page, tables


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a name under studies: in params.yaml, e.g. digits")
    name = parser.parse_args().study
    study = params.load().study(name)
    rows = results.load(name)
    card = examples.load_card(Path("data/processed", study.dataset))
    x, y = results.test_rows(study.dataset)
    metric = "accuracy" if card["task"] == "classification" else "mse"
    histories = {
        (row["experiment"], row["repeat"]): results.load_history(name, row)
        for row in rows
        if row["status"] == "finished"
    }
    found = answers.Results(rows, histories, metric, len(y))
    predictions = results.load_predictions(name, found.chosen) if found.chosen else None
    write(Path("reports", name), name, study, found, card, predictions, x, y)
    print(f"{name}: report in reports/{name}/index.html")
    failures = [row for row in rows if row["status"] == "failed"]
    if failures:
        sys.exit(f"error: {name}: {len(failures)} of {len(rows)} trainings failed; the report says which and why")


def write(folder, name, study, found, card, predictions, x, y):
    """Everything under reports/STUDY but the notebook."""
    shutil.rmtree(folder / "figures", ignore_errors=True)  # the notebook beside it is another stage's
    folder.mkdir(parents=True, exist_ok=True)
    answered = answers.answer(found, study.questions)
    repeats = max(entry["repeats"] for entry in found.summary)
    text = page.markdown(
        study=name, title=study.title, card=card, metric=found.metric, test_count=found.test_count, answers=answered,
        table=tables.comparison(found.rows, found.metric),
        figures=figures.write(folder / "figures", name, found, card, predictions, x, y),
        failures=[row for row in found.rows if row["status"] == "failed"],
        repeated=f"Mean ± standard deviation over {repeats} seeds." if repeats > 1 else "One seed an experiment.",
    )  # fmt: skip
    (folder / "report.md").write_text(text)
    (folder / "table.txt").write_text(tables.text(tables.comparison(found.rows, found.metric)) + "\n")
    (folder / "index.html").write_text(page.html(study.title, text))
    (folder / "answers.json").write_text(json.dumps(answered, indent=1) + "\n")
    (folder / "metrics.json").write_text(json.dumps(tables.metrics(found.rows, found.metric), indent=1) + "\n")
    tables.experiments(found.rows, found.metric).to_csv(folder / "experiments.csv", index=False)
    figures.curves_table(found).to_csv(folder / "curves.csv", index=False)
    figures.confusion_pairs(found, card, predictions, y).to_csv(folder / "confusion.csv", index=False)


if __name__ == "__main__":
    main()
