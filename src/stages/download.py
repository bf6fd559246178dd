"""python -m src.stages.download DATASET: bring the dataset's files into data/raw/DATASET, checked."""

import json
import os
from pathlib import Path

from src import command_line, params
from src.datasets import download
from src.errors import command


@command
def main():
    name = command_line.name(__doc__, "dataset")
    dataset = params.load().dataset(name)
    raw = Path("data/raw", name)
    source, note = download.fetch(name, dataset, raw, Path("data/own", name), mirror())
    (raw / "source.json").write_text(json.dumps({"source": source, "note": note}, indent=1) + "\n")
    if note:
        print(f"{name}: the mirror's stand-in is used: {note}")


def mirror():
    """$DATASETS_MIRROR; a relative folder counts from the project, also when DVC runs a copy of it elsewhere."""
    place = os.environ.get(download.VARIABLE)
    if not place or download.is_url(place):
        return place and place.rstrip("/")
    return Path(os.environ.get("DVC_ROOT", "."), place)


if __name__ == "__main__":
    main()
