"""Types of fields that several sections share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from src.params.vocabulary import LARGEST

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
Positive = Annotated[int, Field(gt=0, lt=2**31, strict=True)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
