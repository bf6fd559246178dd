"""python -m src.stages.preprocess DATASET: decode data/raw/DATASET into checked arrays in data/processed/DATASET."""

import json
from pathlib import Path

from pydantic import TypeAdapter

from src import command_line, params
from src.datasets import examples, registry
from src.errors import command


@command
def main():
    name = command_line.name(__doc__, "dataset")
    dataset = params.load().dataset(name)
    fetched = json.loads(Path("data/raw", name, "source.json").read_text())
    source = TypeAdapter(params.AnySource).validate_python(fetched["source"])
    decoded = registry.decode(name, dataset, source, Path("data/raw", name))
    card = {"name": name, "title": dataset.title, "task": dataset.task, "note": fetched["note"]}
    examples.save(Path("data/processed", name), decoded, card)
    print(f"{name}: {len(decoded.y):,} examples of shape {decoded.x.shape[1:]}, {len(decoded.classes) or 'no'} classes")


if __name__ == "__main__":
    main()
