"""One search: a space of experiments, how its points are drawn and what is compared.

src/params/loading.py checks every choice as the experiment it makes, before the first trial.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from src.params.common import Frozen, Positive, Seed

ADAPTIVE = ("tpe", "gp")  # each draw looks at the results before it


class Choices(Frozen):
    """A setting taken from a list; the list alone will do where it has no condition."""

    choices: list[Any] = Field(min_length=1)
    """the values"""
    when: dict[str, Any] = {}
    """the condition for it to be drawn: {other key of the space: its value}"""

    @model_validator(mode="after")
    def choices_differ(self):
        repeated = [label for label in self.labels if self.labels.count(label) > 1]
        if repeated:
            raise ValueError(f"expected choices that differ, received {repeated[0]} twice")
        return self

    @property
    def labels(self):
        """The choices as Optuna stores them: scalars as they are, lists and mappings as text."""
        return [label(choice) for choice in self.choices]

    def extremes(self):
        return self.choices

    def place(self, value):
        """Where `value` lies: 'lowest' or 'highest' of three numbers or more, else None."""
        numeric = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in self.choices)
        if not numeric or len(self.choices) < 3:
            return None
        return {min(self.choices): "lowest", max(self.choices): "highest"}.get(value)


class Range(Frozen):
    """A number between low and high, both included; log: uniform in its logarithm."""

    low: float
    """the smallest value"""
    high: float
    """the largest value"""
    log: bool = False
    """uniform in the logarithm"""
    integer: bool = False
    """whole numbers only"""
    when: dict[str, Any] = {}
    """the condition for it to be drawn: {other key of the space: its value}"""

    @model_validator(mode="after")
    def is_a_range(self):
        if not self.low < self.high:
            raise ValueError(f"expected low below high, received {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected low above 0 for a logarithmic range, received {self.low:g}")
        if self.integer and (self.low % 1 or self.high % 1):
            raise ValueError(f"expected whole numbers, received {self.low:g} and {self.high:g}")
        return self

    def extremes(self):
        return [int(end) if self.integer else end for end in (self.low, self.high)]

    def place(self, value, margin=0.05):
        """'lowest' or 'highest' where `value` lies in the outermost twentieth of the range, else None."""
        from math import log

        scale = log if self.log else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return "lowest" if share <= margin else "highest" if share >= 1 - margin else None


def label(choice):
    """A choice as text or scalar: [100, 50] -> '[100, 50]', {name: SGD, momentum: 0.9} -> 'SGD, momentum=0.9'."""
    if isinstance(choice, dict):
        return ", ".join(str(value) if key == "name" else f"{key}={value}" for key, value in choice.items())
    return str(choice) if isinstance(choice, list) else choice


class Objective(Frozen):
    """What is compared: a validation metric at the last (or kept) epoch or its best, alone or as the mean over k folds."""

    metric: Literal["val_accuracy", "val_loss", "val_mse"] | None = None
    """`null`: `val_accuracy`, or `val_mse` of a regression"""
    folds: Annotated[int, Field(ge=2, strict=True)] | None = None
    """so many trainings a point, each on the others' rows; `null`: one, on the study's validation rows"""
    epoch: Literal["last", "best"] = "last"
    """which epoch's value counts; `last`: the one whose weights are kept"""


def as_objective(value):
    return {"metric": value} if isinstance(value, str) else value


class Search(Frozen):
    """A space of experiments and how its points are drawn, under `searches:`."""

    title: str
    """of the report"""
    dataset: str
    """a name under `datasets:`"""
    defaults: dict[str, Any]
    """settings that differ from the common defaults, for the keys that the space leaves alone"""
    space: dict[str, Choices | Range]
    """by setting of an experiment, also `optimizer.momentum`"""
    sampler: Literal["grid", "random", "quasi_random", "tpe", "gp"]
    """how points are drawn"""
    objective: Annotated[Objective, BeforeValidator(as_objective)] = Objective()
    """what is compared; the name of a metric will do"""
    trials: Positive | None = None
    """points to draw; `null`: all points of a grid"""
    seed: Seed
    """of points and trainings; none: the top-level seed"""
    pruner: Literal["none", "median", "halving", "hyperband"] = "none"
    """which trainings are stopped early"""
    time_budget: Annotated[float, Field(gt=0)] | None = None
    """seconds of one run of the search; no training starts after"""
    baseline: bool = False
    """also draw twice as many points at random, to compare"""
    repeats: Positive = 3
    """the winner is trained again under so many seeds of its own"""

    @model_validator(mode="after")
    def conditions_can_hold(self):
        before = {}
        for key, dimension in self.space.items():
            for other, wanted in dimension.when.items():
                known = before.get(other)
                if not isinstance(known, Choices):
                    raise ValueError(f"space.{key}.when.{other}: expected a key with choices that stands before {key} in "
                                     f"the space, received '{other}'")  # fmt: skip
                if wanted not in known.choices:
                    raise ValueError(f"space.{key}.when.{other}: expected one of {known.choices}, received {wanted!r}")
            before[key] = dimension
        return self

    @model_validator(mode="after")
    def sampler_and_trials_fit(self):
        ranges = [key for key, dimension in self.space.items() if isinstance(dimension, Range)]
        if self.sampler == "grid" and ranges:
            raise ValueError(f"space.{ranges[0]}: expected a list of choices, because a grid has no end otherwise; "
                             "received a range (sampler random, quasi_random, tpe and gp take ranges)")  # fmt: skip
        if (self.sampler == "grid") != (self.trials is None):
            wanted = (
                "none, because a grid tries all its points" if self.trials else f"a number for sampler {self.sampler}"
            )
            raise ValueError(f"trials: expected {wanted}, received {self.trials}")
        return self


def read_dimension(raw):
    """(kind, mapping) of one entry of a space as params.yaml has it: a list of choices, or a mapping."""
    if isinstance(raw, list):
        return Choices, {"choices": raw}
    if isinstance(raw, dict) and "choices" in raw:
        return Choices, raw
    if isinstance(raw, dict):
        return Range, raw
    raise ValueError("expected a list of choices, {choices: [...], when: {...}} or {low: ..., high: ..., log: ...}")


def applied(settings, point):
    """Settings of an experiment with the point's values in place; `optimizer.momentum` reaches into a mapping."""
    settings = dict(settings)
    for key, value in sorted(point.items(), key=lambda item: "." in item[0]):
        outer, *inner = key.split(".")
        settings[outer] = nested(settings.get(outer), inner, value) if inner else value
    return settings


def nested(mapping, path, value):
    """A copy of `mapping` with the value at `path`; a name alone becomes {'name': name}."""
    mapping = {"name": mapping} if isinstance(mapping, str) else dict(mapping or {})
    mapping[path[0]] = nested(mapping.get(path[0]), path[1:], value) if path[1:] else value
    return mapping


def single_changes(search):
    """(key, value, point) for each choice and each end of a range, under the conditions it needs."""
    for key, dimension in search.space.items():
        for value in dimension.extremes():
            yield key, value, conditions(search.space, key) | {key: value}


def conditions(space, key):
    """All that must have been chosen for `key` to be drawn."""
    found = {}
    for other, wanted in space[key].when.items():
        found |= conditions(space, other) | {other: wanted}
    return found
