"""Runs a notebook in a kernel of this interpreter, without a network, and keeps only what is worth keeping of its outputs."""

import hashlib
import os
import re
import subprocess

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbformat import v4

# Run in the kernel before the notebook's first cell and not stored: keras.datasets gives the arrays of the current folder
# (data/processed/DATASET) in the official order and shapes, where it would otherwise fetch them.
FROM_DISK = """
def from_disk():
    import keras, numpy, scipy.sparse
    def load_data(**_):
        x, y = {x}, numpy.load("y.npy"){y}
        return (x[:-{test_rows}], y[:-{test_rows}]), (x[-{test_rows}:], y[-{test_rows}:])
    keras.datasets.{name}.load_data = load_data
from_disk()
del from_disk
"""
REVIEWS = "[row.indices for row in scipy.sparse.load_npz('x.npz')]"  # words in order of their numbers, each once
ARRAYS = {
    "mnist": ('numpy.load("x.npy")[..., 0]', ""),
    "fashion_mnist": ('numpy.load("x.npy")[..., 0]', ""),
    "cifar10": ('numpy.load("x.npy")', "[:, None]"),
    "imdb": (REVIEWS, ""),
}
# What TensorFlow's C++ writes to stderr whatever the log level: time stamps with a level letter, and absl's preamble.
NOISE = re.compile(r"^(WARNING: All log messages before absl|[IWE]\d{4} |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] |"
                   r"To enable the following instructions: )")  # fmt: skip
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal; model.summary() writes them
EPOCH = re.compile(r"Epoch \d+/\d+")  # what keras.Model.fit prints
TIMEOUT = 6 * 3600  # seconds a cell; a network of many epochs takes its time
OUTPUT_TIMEOUT = 300  # seconds between a cell's end and its last output; nbclient's 4 lose outputs on a busy machine


def prelude(card, source_format):
    """Source that keeps keras.datasets from the network; '' where the notebook does not use it."""
    name = "imdb" if source_format == "imdb" else card["name"]
    if name not in ARRAYS:
        return ""
    x, y = ARRAYS[name]
    return FROM_DISK.format(name=name, x=x, y=y, test_rows=card["official_test_rows"])


class Client(NotebookClient):
    """Shows the epoch that the running cell prints behind the progress bar `bar`: a training is a single cell."""

    bar = None

    def process_message(self, message, cell, cell_index):
        if message["msg_type"] == "stream" and (epochs := EPOCH.findall(message["content"]["text"])):
            self.bar.set_postfix_str(epochs[-1])
        return super().process_message(message, cell, cell_index)


def execute(notebook, hidden, folder, bar):
    """Run all cells in `folder`; outputs go into the notebook.

    hidden: source run before the first cell; bar: a tqdm, moved on by each code cell. Raises nbclient's
    CellExecutionError where a cell fails.
    """
    # Only ipykernel's own kernel, that of sys.executable: a `python3` installed for the user may be any other.
    manager = KernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = Client(
        notebook, km=manager, timeout=TIMEOUT, iopub_timeout=OUTPUT_TIMEOUT, raise_on_iopub_timeout=True,
        record_timing=False, coalesce_streams=True, resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.reset_execution_trackers()
    client.bar = bar
    bar.reset(total=len(code_cells(notebook)))
    notebook.cells.insert(0, v4.new_code_cell(hidden))  # nbclient runs only what stands in the notebook
    # A cell's own errors come as outputs; what the process itself writes there is TensorFlow's and the kernel's log.
    with client.setup_kernel(env=environment(), stderr=subprocess.DEVNULL):
        client.execute_cell(notebook.cells[0], 0, store_history=False)
        for index, cell in enumerate(notebook.cells[1:], 1):
            if cell.cell_type == "code":
                client.execute_cell(cell, index)
                cell.outputs = [output for output in map(cleaned, cell.outputs) if output]
                bar.update()
    notebook.cells.pop(0)


def environment():
    """The kernel's: figures inline, TensorFlow quiet."""
    inline = "module://matplotlib_inline.backend_inline"
    return os.environ | {"MPLBACKEND": inline, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow",
                         "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # fmt: skip


def cleaned(output):
    """The output without terminal colours and TensorFlow's known messages on stderr; None where nothing is left."""
    if "text/plain" in output.get("data", {}):
        output.data["text/plain"] = COLOURS.sub("", output.data["text/plain"])
    if output.get("name") != "stderr":
        return output
    output.text = "".join(line for line in output.text.splitlines(keepends=True) if not NOISE.match(line))
    return output if output.text.strip() else None


def fingerprint(notebook, files, versions):
    """Identity of what a notebook's outputs follow from: its code, its data, the packages' versions."""
    digest = hashlib.sha256(repr(versions).encode())
    for cell in code_cells(notebook):
        digest.update(cell.source.encode())
    for path in sorted(files):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def ran_the_same(earlier, notebook):
    """Whether an earlier notebook holds the outputs that this one would have: same fingerprint, and nobody edited it since."""
    same = earlier.metadata.get("fingerprint") == notebook.metadata["fingerprint"]
    done, wanted = code_cells(earlier), code_cells(notebook)
    return same and [cell.source for cell in done] == [cell.source for cell in wanted] and all(
        cell.execution_count for cell in done
    )  # fmt: skip


def copy_outputs(earlier, notebook):
    """Give `notebook` the outputs of an earlier one with the same code cells."""
    for old, new in zip(code_cells(earlier), code_cells(notebook), strict=True):
        new.outputs, new.execution_count = old.outputs, old.execution_count


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def score_of(notebook):
    """The number that the last code cell printed: test accuracy or MSE."""
    return float(code_cells(notebook)[-1].outputs[-1].text.split()[-1])
