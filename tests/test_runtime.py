"""What a process that trains says and does before it trains."""

import subprocess
import sys

from tests.conftest import ROOT

MANY_PROGRAMS = """
from src.training import runtime
runtime.configure(threads=1)
import tensorflow
for number in range(12):
    tensorflow.function(lambda x: x + number, jit_compile=True)(tensorflow.constant(1))
"""


def test_a_study_of_many_networks_makes_tensorflow_say_nothing():
    done = subprocess.run([sys.executable, "-c", MANY_PROGRAMS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
