"""python -m src.predict STUDY FILE...: what the chosen network of a study says about your own files.

FILE is an image, a text (IMDB) or a CSV table, as the study's dataset needs, or a folder of them. Probabilities are
calibrated: temperature scaling, fitted on the validation rows (src/calibration.py).
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src import calibration, champion, command_line, inputs, plots
from src.errors import command
from src.report import tables
from src.training import experiments, runtime
from src.wording import number, percent

PICTURE = Path("predictions.png")
SHOWN = 24  # examples that fit on the picture
NOTES = 10  # different notes that fit below the table


@command
def main():
    arguments = parse()
    job, manifest = champion.find(arguments.study)
    reader = inputs.reader_of(job.dataset, experiments.development(job.dataset)["x"])
    paths = inputs.expand(arguments.files, reader)  # a misspelt name is told before TensorFlow is imported
    runtime.configure(threads=runtime.workers("auto", 1))
    found = champion.load(job, manifest)
    given, answers = predict(found, reader, paths, arguments.top)
    print(as_json(found, answers) if arguments.json else as_table(found, answers))
    if arguments.show:
        x = reader.stack([one.value for one in given[:SHOWN]])
        plots.save(plots.predictions(x if x.ndim == 4 else None, answers[:SHOWN], found.title), PICTURE)
        print(f"drawn in {PICTURE}", file=sys.stderr)


def parse():
    parser = command_line.parser(
        __doc__,
        "python -m src.predict digits seven.png",
        "python -m src.predict mnist_cnn --json --top 1 folder_of_images > answers.json",
        "python -m src.predict imdb_overfitting --show review.txt",
        "python -m src.predict regression_gaps points.csv",
    )
    parser.add_argument("study", help="a name under studies: or searches: in params.yaml, e.g. digits")
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, or folders of them")
    parser.add_argument(
        "--top", type=int, default=3, metavar="N", help="so many classes an answer, the likeliest first (3)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--show", action="store_true", help=f"draw the first {SHOWN} answers in {PICTURE}")
    return parser.parse_args()


def predict(found, reader, paths, top):
    """(examples as inputs.Given, answers) for all files, in batches. Answers: see `answer`."""
    given, answers = [], []
    with ThreadPoolExecutor() as pool, tqdm(total=len(paths), desc="files", disable=None, leave=False) as progress:
        for start in range(0, len(paths), champion.BATCH):
            batch = [one for several in pool.map(reader.read, paths[start : start + champion.BATCH]) for one in several]
            answers += answer(found, batch, reader.stack([one.value for one in batch]), top)
            given += batch
            progress.update(len(paths[start : start + champion.BATCH]))
    return given, answers


def answer(found, batch, x, top):
    """One dict an example: file, notes, and `top` ([{class, probability}]) or, of a regression, prediction and typical_error."""
    said = [{"file": one.name, "notes": list(one.notes)} for one in batch]
    if found.temperature is None:
        outputs = champion.outputs(found.model, x).tolist()
        return [
            one | {"prediction": output, "typical_error": found.typical_error} for one, output in zip(said, outputs)
        ]
    classes = found.data["card"]["classes"]
    probabilities = calibration.probabilities(champion.logits(found.model, x), found.temperature)
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, : max(1, top)]
    return [one | {"top": [{"class": classes[label], "probability": round(float(row[label]), 6)} for label in labels]}
            for one, row, labels in zip(said, probabilities, likeliest)]  # fmt: skip


def as_json(found, answers):
    job = found.job
    facts = {"study": job.study, "experiment": job.experiment, "repeat": job.repeat, "fingerprint": job.fingerprint}
    return json.dumps(facts | {"temperature": found.temperature, "answers": answers}, indent=1)


def as_table(found, answers):
    """A title, one line an example, and what was guessed."""
    basis = f"probabilities at temperature {found.temperature:.2f}" if found.temperature else "± typical error"
    lines = [f"{found.title}; {basis}, from validation rows", "", tables.text([cells(one) for one in answers])]
    files = {}
    for one in answers:
        for note in one["notes"]:
            files.setdefault(note, []).append(one["file"])
    for note, (first, *others) in islice(files.items(), NOTES):
        also = f" and {len(others):,} other{'s' if len(others) > 1 else ''}" if others else ""
        lines.append(f"note: {first}{also}: {note}")
    if len(files) > NOTES:
        lines.append(f"note: {len(files) - NOTES:,} other notes; --json prints them all")
    return "\n".join(lines)


def cells(one):
    if "prediction" in one:
        texts = [
            f"{number(value, 4)} ± {number(error, 2)}" for value, error in zip(one["prediction"], one["typical_error"])
        ]
        return {"File": one["file"], "Prediction": ", ".join(texts)}
    first, *others = one["top"]
    after = ", ".join(f"{other['class']} {percent(other['probability'], 1)}" for other in others)
    return {
        "File": one["file"],
        "Class": first["class"],
        "Probability": percent(first["probability"], 1),
        "Then": after,
    }


if __name__ == "__main__":
    main()
