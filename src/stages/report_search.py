"""python -m src.stages.report_search SEARCH: what a search found, what it cost and what its winner is worth."""

import json
import shutil
from pathlib import Path

from src import command_line, params, results
from src.datasets import examples
from src.errors import command
from src.report import overview, search_page
from src.report import search as findings
from src.searching import figures
from src.searching import results as search_results


@command
def main():
    name = command_line.name(__doc__, "search")
    wanted = params.load().search(name)
    card = examples.load_card(Path("data/processed", wanted.dataset))
    write(Path("reports", name), name, wanted, search_results.load(name), results.load(name), card)
    print(f"{name}: report in reports/{name}/index.html")


def write(folder, name, wanted, outcome, rows, card):
    """Everything under reports/SEARCH."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    drawn = figures.write(search_results.folder(name), folder / "figures", name, outcome["metric"])
    text = findings.markdown(name, wanted.title, outcome, rows, card, drawn)
    (folder / "report.md").write_text(text)
    (folder / "index.html").write_text(search_page.html(name, wanted.title, outcome, rows, card, drawn))
    overview.save(name, overview.of_search(wanted.title, card, outcome, rows))
    (folder / "metrics.json").write_text(json.dumps(findings.metrics(outcome, rows), indent=1) + "\n")
    findings.trials_table(outcome).to_csv(folder / "trials.csv", index=False)


if __name__ == "__main__":
    main()
