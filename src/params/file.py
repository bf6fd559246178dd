"""The whole of params.yaml."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from src.errors import LaboratoryError, closest
from src.params.checking import check
from src.params.common import Frozen, Name, Positive, Seed
from src.params.dataset import Dataset
from src.params.experiment import Experiment
from src.params.search import Search
from src.params.study import Study


class Workers(Frozen):
    """Where trainings run, see src/dispatch/backends.py. Never changes a result."""

    backend: Literal["local", "dask", "ray"] = "local"
    """processes of this machine, or workers of a Dask scheduler or of a Ray cluster"""
    address: str | None = None
    """of the scheduler, e.g. tcp://10.0.0.1:8786, or of Ray's head, e.g. 10.0.0.1:6379"""

    @model_validator(mode="after")
    def _a_scheduler_is_somewhere(self):
        if self.backend != "local" and not self.address:
            raise ValueError(
                "expected the address of Dask's scheduler, e.g. tcp://10.0.0.1:8786, or of Ray's head, e.g. 10.0.0.1:6379"
            )
        return self


class Params(Frozen):
    """The whole file."""

    seed: Seed
    """every random choice follows from it"""
    jobs: Positive | Literal["auto"]
    """experiments trained side by side; `auto`: one a core"""
    workers: Workers = Workers()
    """where they are trained"""
    datasets: dict[Name, Dataset]
    """by name"""
    defaults: dict[str, Any]
    """every setting of an experiment, with the value it has where nobody says otherwise"""
    studies: dict[Name, Study]
    """by name"""
    searches: dict[Name, Search] = {}
    """by name"""

    def study(self, name):
        """A study by name; the name of a search stands for the study of its winner."""
        return self.winner(name) if name in self.searches else self._find(self.studies, "study", name)

    def search(self, name):
        return self._find(self.searches, "search", name)

    def winner(self, name):
        """The study of one experiment, `winner`, that a finished search left in models/searches/NAME/winner.json."""
        path, search = Path("models/searches", name, "winner.json"), self.searches[name]
        if not path.exists():
            raise LaboratoryError(f"{path}: not found; run `dvc repro search@{name}` first")
        winner = check(Experiment, json.loads(path.read_text()), str(path))
        return Study(
            title=search.title,
            dataset=search.dataset,
            questions=[],
            claims=[],
            notebook="winner",
            defaults={},
            experiments={"winner": winner},
        )

    def dataset(self, name):
        return self._find(self.datasets, "dataset", name)

    @staticmethod
    def _find(known, kind, name):
        if name not in known:
            raise LaboratoryError(
                f"params.yaml: no {kind} '{name}'; there are {', '.join(known)}{closest(name, known)}"
            )
        return known[name]
