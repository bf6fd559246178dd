"""What must be settled before TensorFlow is imported: threads, log level. No TensorFlow import here."""

import gc
import importlib
import os
import sys
from contextlib import contextmanager

# Above this many multiply-adds a training step, two threads share a matrix product with profit; below it,
# one thread is as fast, and two experiments side by side are faster. A fixed rule: the bits of a result depend
# on the number of threads, so it may follow from the experiment only, never from the machine or from what else runs.
WIDE_STEP = 200e6


def threads_for(multiply_adds, batch_size):
    """Intra-op threads for an experiment: 1, or 2 for wide networks. multiply_adds: of one example, forward."""
    return 2 if multiply_adds * batch_size > WIDE_STEP else 1


def configure(threads):
    """Fix TensorFlow's thread counts and import it without its start-up messages. Call before anything imports it."""
    if "tensorflow" in sys.modules:
        raise RuntimeError("runtime.configure must run before TensorFlow is imported")
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow writes about absent GPU drivers before any log level counts.
    with silenced_stderr(), without_garbage_collection():
        tensorflow = importlib.import_module("tensorflow")
    tensorflow.get_logger().setLevel("ERROR")  # it warns of many compilations: here a new network is a new program


@contextmanager
def silenced_stderr():
    """Send everything written to file descriptor 2, by C++ too, to nowhere."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def without_garbage_collection():
    """An import makes a million objects that stay: to look for garbage among them takes a quarter of TensorFlow's import."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor are they looked through later
        gc.enable()


def workers(jobs, threads):
    """How many processes of `threads` threads run side by side; jobs: a number, or 'auto' for one thread a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores if jobs == "auto" else jobs) // threads)
