"""python -m src.export STUDY: the chosen network of a study as files that other programs read, in exports/STUDY.

model.keras     Keras: keras.saving.load_model("model.keras")
saved_model/    TensorFlow: loaded = tf.saved_model.load("saved_model"); loaded.serve(x)
model.onnx      ONNX, for onnxruntime and most other runtimes
card.json       what goes in and comes out: shape, range, classes, temperature of the probabilities

All take raw inputs, float32 [examples, ...]; normalisation is inside. MLflow serves the same network: its registry's name is
the study's, its alias `champion`.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src import champion, command_line
from src.errors import LaboratoryError, command
from src.training import runtime


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
    """Write all forms of a champion.Champion into `folder`, which is emptied first. Raises LaboratoryError where ONNX cannot."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps(card(found), indent=1) + "\n")
    forms = {"model.keras": write_keras, "saved_model": write_saved_model, "model.onnx": write_onnx}
    for file, write_form in tqdm(forms.items(), "forms", disable=None, leave=False):
        with runtime.silenced_stderr():  # the exporters tell TensorFlow's developers what they do
            write_form(found.model, folder / file)


def write_keras(model, path):
    model.save(path)


def write_saved_model(model, path):
    model.export(path, format="tf_saved_model", verbose=False)


def write_onnx(model, path):
    import onnx

    scale = model.get_layer("normalisation")  # its numbers are tensors, which tf2onnx would make inputs of the graph
    scale.mean, scale.variance = np.asarray(scale.mean), np.asarray(scale.variance)
    teach_tf2onnx()
    model.export(path, format="onnx", verbose=False)
    try:
        onnx.checker.check_model(path)  # tf2onnx writes what it cannot translate as it is
    except onnx.checker.ValidationError as error:
        path.unlink()
        raise LaboratoryError(f"{path}: ONNX cannot express this network ({str(error).splitlines()[0]}); "
                              "use model.keras or saved_model beside it") from None  # fmt: skip


def teach_tf2onnx():
    """Tell tf2onnx two operations that Keras's gelu and celu are made of: Erfc(x) = 1 - Erf(x), Expm1(x) = Exp(x) - 1."""
    from tf2onnx import utils
    from tf2onnx.handler import tf_op

    @tf_op(["Erfc", "Expm1"])
    class Difference:
        @classmethod
        def version_9(cls, graph, node, **_):
            number = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
            one = graph.make_const(utils.make_name("one"), np.array(1, number)).output[0]
            function = graph.make_node({"Erfc": "Erf", "Expm1": "Exp"}[node.type], node.input).output[0]
            difference = [one, function] if node.type == "Erfc" else [function, one]
            graph.remove_node(node.name)
            graph.make_node("Sub", difference, name=node.name, outputs=node.output)


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
