"""python -m src.stages.split DATASET: choose training order, folds and test rows; row numbers go to data/split/DATASET."""

from pathlib import Path

import numpy as np

from src import command_line, params
from src.datasets import examples, split
from src.errors import LaboratoryError, command


@command
def main():
    name = command_line.name(__doc__, "dataset")
    settings = params.load()
    how = settings.dataset(name).split
    seed = settings.seed if how.seed is None else how.seed
    folder = Path("data/processed", name)
    card, y = examples.load_card(folder), np.load(folder / "y.npy")
    stratified = card["task"] == "classification"
    try:
        rows = split.split(y, card["official_test_rows"], how.test, how.folds, seed, stratified)
    except ValueError as error:
        raise LaboratoryError(f"params.yaml: datasets.{name}.split: {error}") from None
    split.save(Path("data/split", name), *rows)


if __name__ == "__main__":
    main()
