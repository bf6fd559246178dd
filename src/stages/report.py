"""python -m src.stages.report STUDY: write table, answers, scorecard of claims and figures into reports/STUDY."""

import json
import shutil
import sys
from pathlib import Path

from src import claims, command_line, params, results
from src.errors import command
from src.report import answers, figures, overview, page, study_page, tables
from src.report.gather import gather


@command
def main():
    name = command_line.name(__doc__, "study")
    study = params.load().study(name)
    found, card = gather(name, study.dataset)
    insides, summary = results.load_insides(name)
    write(Path("reports", name), study, figures.Shown(name, found, card, insides), summary)
    print(f"{name}: report in reports/{name}/index.html")
    failures = [row for row in found.rows if row["status"] == "failed"]
    if failures:
        sys.exit(f"error: {name}: {len(failures)} of {len(found.rows)} trainings failed; the report says which and why")


def write(folder, study, shown, summary):
    """The report's files under reports/STUDY."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "figures", ignore_errors=True)
    found = shown.results
    answered = answers.answer(found, study.questions)
    scorecard = claims.scorecard(study.claims, found)
    seeds = tables.seeds(found.summary)
    repeated = "One seed an experiment." if seeds == "1 seed" else f"Mean ± standard deviation over {seeds}."
    drawn = figures.write(folder / "figures", shown)
    text = page.markdown(
        study=shown.study, title=study.title, card=shown.card, metric=found.metric, test_count=found.test_count,
        answers=answered, table=tables.comparison(found.rows, found.metric), summary=summary,
        scorecard=tables.scorecard(scorecard), verdicts=tables.verdicts(scorecard),
        figures=drawn, failures=[row for row in found.rows if row["status"] == "failed"], repeated=repeated,
    )  # fmt: skip
    (folder / "report.md").write_text(text)
    (folder / "table.txt").write_text(tables.text(tables.comparison(found.rows, found.metric)) + "\n")
    html = study_page.html(shown, study.title, answered, scorecard, drawn, summary, repeated)
    (folder / "index.html").write_text(html)
    overview.save(shown.study, overview.of_study(study.title, shown.card, found, scorecard))
    (folder / "answers.json").write_text(json.dumps(answered, indent=1) + "\n")
    (folder / "metrics.json").write_text(json.dumps(tables.metrics(found.rows, found.metric), indent=1) + "\n")
    tables.claims(scorecard).to_csv(folder / "claims.csv", index=False)
    tables.experiments(found.rows, found.metric).to_csv(folder / "experiments.csv", index=False)
    figures.curves_table(found).to_csv(folder / "curves.csv", index=False)
    figures.confusion_pairs(found, shown.card).to_csv(folder / "confusion.csv", index=False)


if __name__ == "__main__":
    main()
