"""docs/backpropagation.md is run as it stands: every number on the page is recomputed."""

import doctest
import re

import numpy as np

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "backpropagation.md"


def test_every_number_of_the_worked_example_is_what_the_code_gives():
    with np.printoptions():  # the page sets its own
        found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.failed == 0, "the differences are printed above"
    assert found.attempted > 50


def test_every_number_in_the_text_is_one_that_the_code_printed():
    page = PAGE.read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    prose = re.sub(r"```python\n.*?```", "", page, flags=re.DOTALL)
    mentioned = set(re.findall(r"\d\.\d{3,4}", prose)) - {"0.6931"}  # log 2
    assert len(mentioned) >= 7
    assert {number for number in mentioned if number not in code} == set()
