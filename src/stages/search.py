"""python -m src.stages.search SEARCH: train the points of a search that are not trained yet, into models/searches/SEARCH."""

import tempfile
from pathlib import Path

from src import command_line, params, tracking
from src.dispatch import backends
from src.errors import command
from src.searching import figures, results, trials
from src.searching import tracking as search_tracking
from src.training import experiments
from src.wording import number


@command
def main():
    name = command_line.name(__doc__, "search")
    settings = params.load()
    with backends.chosen(settings) as workers:
        outcome = trials.run(name, settings.search(name), workers)
    new = log(name, outcome, settings.dataset(settings.search(name).dataset))
    best, cost = outcome["trials"][outcome["best"]], outcome["cost"]
    print(f"{name}: {cost['trials']} trials, {cost['epochs']:,} epochs; best {outcome['metric']} {number(best['value'], 4)} at "
          f"{trials.described(best['point'])}; {cost['run_seconds']:.1f} s; {new} new in MLflow")  # fmt: skip


def log(name, outcome, dataset):
    """Write the search to MLflow with its figures; returns how many runs are new."""
    data = experiments.development(outcome["search"]["dataset"])
    digest = experiments.data_digest(data)
    context = tracking.context_of(name, f"dvc repro report_search@{name}", dataset.source, data["card"], digest)
    with tempfile.TemporaryDirectory() as folder:
        figures.write(results.folder(name), Path(folder), name, outcome["metric"])
        return search_tracking.log(name, outcome, context, folder)


if __name__ == "__main__":
    main()
