"""What is wrong with a mapping, in one line."""

from typing import Literal

from pydantic import BaseModel, ValidationError

from src.errors import LaboratoryError, closest
from src.params.dataset import FORMATS, Source


def check(model, raw, place):
    """Validate with pydantic; an error becomes one line that starts with `place`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors()
        unknown = [item for item in found if item["type"] == "extra_forbidden"]  # often why another key is missing
        raise LaboratoryError(explain((unknown or found)[0], place, model)) from None


def explain(error, place, model):
    """One pydantic error in one line: where, what was expected, what was received, the closest valid name."""
    location = [str(part) for part in error["loc"]]
    where = ".".join([place, *shown(location)]) if ": " in place else f"{place}: {'.'.join(shown(location))}"
    received = shortened(error["input"])
    if error["type"] == "extra_forbidden":
        known = known_keys(model, location[:-1])
        return f"{where}: unknown key; expected one of {', '.join(known)}{closest(location[-1], known)}"
    if error["type"] == "missing":
        return f"{where}: missing; expected a value for this key"
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"])
        return f"{where}: {message}" if "received" in message else f"{where}: {message}; received {received}"
    if error["type"] == "union_tag_invalid":
        tag = error["ctx"]["tag"]
        return f"{where}.format: expected one of {', '.join(FORMATS)}, received {tag!r}{closest(tag, FORMATS)}"
    if error["type"] == "union_tag_not_found":
        return f"{where}: expected a mapping with `format`, one of {', '.join(FORMATS)}; received {received}"
    if error["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{where}: expected a mapping, received {received}"
    expected = error["msg"].replace("Input should be", "expected").replace("String should", "expected a name to")
    hint = (
        closest(error["input"], error["ctx"]["expected"].split("'")[1::2]) if error["type"] == "literal_error" else ""
    )
    return f"{where}: {expected}, received {received}{hint}"


def shown(location):
    """A path as the file has it: without the tags that pydantic adds for unions and keys."""
    plain = [part for before, part in zip(["", *location], location) if before != "source" or part not in FORMATS]
    return [part for part in plain if part != "[key]" and "[" not in part and not part.startswith("constrained-")]


def shortened(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def known_keys(model, location):
    """The keys allowed at `location` inside `model`: the last nested model that the path names."""
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        nested = [kind for kind in models_in(field.annotation) if kind] if field else models_named(model, part)
        model = nested[0] if nested else model
    return list(model.model_fields)


def models_in(annotation):
    """Every pydantic model that a type annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in models_in(part)]


def models_named(model, part):
    """Below a mapping or a union pydantic's path holds keys and tags: the model of that tag, if there is one."""
    return [kind for kind in Source.__subclasses__() if kind.model_fields["format"].annotation == Literal[part]]
