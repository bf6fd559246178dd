"""One study: experiments on a dataset, the questions they answer and the claims they are held against."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from src.params.common import Frozen, Name, NonNegative
from src.params.experiment import Experiment

Question = Literal["how_long", "accuracy", "confusion", "overfitting", "strategy", "best_result", "learned",
                   "times", "cures", "fit", "examples"]  # fmt: skip
MEASURES = (
    "train_loss", "train_accuracy", "train_mse", "val_loss", "val_accuracy", "val_mse", "test_loss", "test_accuracy",
    "test_mse", "training_seconds", "parameters", "epochs_run", "weight_norm",
    "seconds_per_epoch", "final_loss", "final_val_loss", "early_val_accuracy", "best_epoch", "rise", "gap",
    "setbacks",
)  # fmt: skip
COMPARISONS = ("highest_first", "highest", "lowest", "equal")


class Claim(Frozen):
    """A statement of a document, to be held against the results (src/claims.py).

    Either `of` names an experiment (or `chosen`) and one of quoted, at_least, at_most gives a value; or one of
    highest_first, equal lists experiments; or highest, lowest names one, `among` the others (default: all). What costs
    more than the study may is `not_measured`, and says why.
    """

    source: str
    """the document"""
    statement: str
    """what it says, in short"""
    measure: Literal[MEASURES]
    """what decides it; a mapping under `quoted` gives several"""
    of: Name | None = None
    """the experiment it is about, or `chosen`"""
    quoted: float | None = None
    """the number that the document gives"""
    at_least: float | None = None
    """a bound that the document gives"""
    at_most: float | None = None
    """a bound that the document gives"""
    highest_first: Annotated[list[Name], Field(min_length=2)] | None = None
    """experiments in the order claimed"""
    equal: Annotated[list[Name], Field(min_length=2)] | None = None
    """experiments claimed to do alike"""
    highest: Name | None = None
    """the experiment claimed to have the highest value"""
    lowest: Name | None = None
    """the experiment claimed to have the lowest value"""
    among: list[Name] = []
    """the others; none: all of the study"""
    within: NonNegative | None = None
    """tolerance; `null`: half a percentage point, or a tenth of the quoted number"""
    not_measured: str | None = None
    """why nothing of the study measures it, instead of an experiment: the row then stands in the scorecard, undecided"""

    @model_validator(mode="after")
    def says_one_thing(self):
        kinds = [kind for kind in ("quoted", "at_least", "at_most", *COMPARISONS) if getattr(self, kind) is not None]
        if self.not_measured and self.of is None and set(kinds) <= {"quoted"}:
            return self
        if self.not_measured or len(kinds) != 1 or (self.of is None) != (kinds[0] in COMPARISONS):
            raise ValueError("expected `of` with one of quoted, at_least, at_most; or one of highest_first, equal, "
                             "highest, lowest; or `not_measured` with quoted or alone; received "
                             f"{', '.join(kinds) or 'none of them'}")  # fmt: skip
        return self

    @property
    def kind(self):
        return next(kind for kind in ("quoted", "at_least", "at_most", *COMPARISONS) if getattr(self, kind) is not None)

    @property
    def experiments(self):
        """The experiments it is about, the first one first."""
        if self.not_measured:
            return []
        if self.of:
            return [self.of]
        named = getattr(self, self.kind)
        return named if isinstance(named, list) else [named, *(name for name in self.among if name != named)]


class Study(Frozen):
    """Experiments on one dataset that answer questions, under `studies:`."""

    title: str
    """of the report"""
    dataset: str
    """a name under `datasets:`"""
    questions: list[Question]
    """what the report answers, in this order"""
    claims: list[Claim]
    """statements of documents to be held against the results"""
    notebook: Name
    """the experiment that the notebook trains, or `chosen`"""
    defaults: dict[str, Any]
    """settings that differ from the common defaults"""
    experiments: dict[Name, Experiment] = Field(min_length=1)
    """by name: the settings in which each differs"""
