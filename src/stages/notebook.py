"""python -m src.stages.notebook STUDY: build the notebook to hand in, run it, and write reports/STUDY/notebook.ipynb.

Running it needs no network: before its first cell keras.datasets is given the arrays of data/processed (this is not
stored: the notebook itself stays plain). A notebook whose code and data are those of the last run keeps its outputs; only
its words are written anew. Delete the file to run it again.
"""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
import numpy as np
from tqdm import tqdm

from src import command_line, evaluation, params
from src.errors import command
from src.report import answers, execution, notebook, tables
from src.report.gather import gather


@command
def main():
    name = command_line.name(__doc__, "study")
    material = gathered(name, params.load())
    built, path = notebook.build(material), Path("reports", name, "notebook.ipynb")
    path.parent.mkdir(parents=True, exist_ok=True)
    if material.chosen:
        run(built, path, material)
    path.write_text(notebook.text_of(built))
    if material.chosen is None:
        sys.exit(f"error: {name}: no experiment finished, so the notebook trains nothing; the report says why")
    there, here = material.summary[f"test_{material.metric}"], execution.score_of(built)
    print(f"{name}: {path}: test {material.metric} {here:.4g}, the laboratory's {there:.4g}")


def gathered(name, settings):
    """The study's results and data as notebook.Material."""
    study = settings.study(name)
    dataset, folder = settings.dataset(study.dataset), Path("data/processed", study.dataset)
    found, card = gather(name, study.dataset)
    row = found.chosen if study.notebook == "chosen" else best_repeat(found, study.notebook)
    return notebook.Material(
        name=name, title=study.title, chosen=row, best=found.chosen and found.chosen["experiment"],
        summary=row and next(entry for entry in found.summary if entry["experiment"] == row["experiment"]),
        card=card, dataset=dataset, seed=settings.seed if dataset.split.seed is None else dataset.split.seed,
        x=np.load(folder / "x.npy", mmap_mode="r") if (folder / "x.npy").exists() else None, y=np.load(folder / "y.npy"),
        table=tables.comparison(found.rows, found.metric), answers=answers.answer(found, study.questions),
    )  # fmt: skip


def best_repeat(found, experiment):
    """The finished repeat of an experiment that validation prefers; None where none finished."""
    return evaluation.choose([row for row in found.finished if row["experiment"] == experiment], found.metric)


def run(built, path, material):
    """Execute the notebook in the dataset's folder, or take over the outputs of an earlier run of the same code."""
    name, folder = material.name, Path("data/processed", material.card["name"])
    versions = {package: version(package) for package in ("keras", "numpy", "tensorflow")}
    built.metadata["fingerprint"] = execution.fingerprint(built, folder.glob("[xy].np?"), versions)
    earlier = nbformat.read(path, as_version=4) if path.exists() else None
    if earlier and execution.ran_the_same(earlier, built):
        execution.copy_outputs(earlier, built)
        return print(f"{name}: code and data of the notebook are unchanged, its outputs are kept")
    started, chosen = time.time(), material.chosen
    print(
        f"{name}: running the notebook: {chosen['experiment']}, {chosen['configuration']['epochs']} epochs", flush=True
    )
    hidden = execution.prelude(material.card, material.dataset.source.format)
    with tqdm(desc=f"{name}: cells", total=0, disable=None, leave=False) as bar:
        execution.execute(built, hidden, folder, bar)
    print(f"{name}: the notebook ran for {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
