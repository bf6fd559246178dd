"""What lies on disk of a study -> answers.Results, for the report and the notebook."""

from pathlib import Path

from src import results
from src.datasets import examples
from src.report.answers import Results


def gather(name, dataset):
    """(Results of an evaluated study, card of its dataset)."""
    rows, card = results.load(name), examples.load_card(Path("data/processed", dataset))
    finished = [row for row in rows if row["status"] == "finished"]
    chosen = next((row for row in rows if row["chosen"]), None)
    samples = {"training": results.development_rows(dataset), "test": results.test_rows(dataset)}
    found = Results(
        rows=rows,
        histories={(row["experiment"], row["repeat"]): results.load_history(name, row) for row in finished},
        metric="accuracy" if card["task"] == "classification" else "mse",
        test_count=len(samples["test"][1]),
        samples=samples,
        predictions=results.load_predictions(name, chosen) if chosen else None,
    )
    return found, card
