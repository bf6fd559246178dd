"""python -m src.export STUDY: the chosen network of a study as files that other programs read, in exports/STUDY.

model.keras     Keras: keras.saving.load_model("model.keras")
saved_model/    TensorFlow: tf.saved_model.load("saved_model").serve(x)
model.onnx      ONNX, for onnxruntime and most other runtimes
card.json       what goes in and comes out: shape, range, classes, temperature of the probabilities

All take raw inputs, float32 [examples, ...]; normalisation is inside. MLflow serves the same network: its registry's name is
the study's, its alias `champion`.
"""

import json
import shutil
from pathlib import Path

from tqdm import tqdm

from src import champion, command_line, runtime
from src.errors import command


@command
def main():
    parser = command_line.parser(__doc__, "python -m src.export digits")
    parser.add_argument("study", help="a name under studies: or searches: in params.yaml, e.g. digits")
    name = parser.parse_args().study
    job, manifest = champion.find(name)
    runtime.configure(threads=runtime.workers("auto", 1))
    found = champion.load(job, manifest)
    folder = Path("exports", name)
    write(found, folder)
    print(f"{found.title}: exported to {folder}/: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def write(found, folder):
    """Write all forms of a champion.Champion into `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found.model.save(folder / "model.keras")
    for file, form in tqdm({"saved_model": "tf_saved_model", "model.onnx": "onnx"}.items(), disable=None, leave=False):
        with runtime.silenced_stderr():  # both exporters tell TensorFlow's developers what they do
            found.model.export(folder / file, format=form, verbose=False)
    (folder / "card.json").write_text(json.dumps(card(found), indent=1) + "\n")


def card(found):
    """What somebody needs to know who has the files and nothing else."""
    data, job = found.data["card"], found.job
    return {
        "study": job.study,
        "experiment": job.experiment,
        "repeat": job.repeat,
        "fingerprint": job.fingerprint,
        "dataset": data["title"],
        "input": {"dtype": "float32", "shape": [None, *data["shape"]], "range": [float(found.data["x"].min()),
                                                                                   float(found.data["x"].max())]},
        "classes": data["classes"],
        "temperature": found.temperature,
        "typical_error": found.typical_error,
    }  # fmt: skip


if __name__ == "__main__":
    main()
