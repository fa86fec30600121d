"""What is wrong with an object, field by field, all at once and in words."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


@dataclass(frozen=True, order=True)
class FieldProblem:
    """One thing that is wrong."""

    path: str
    """Where, as one would write it with kubectl: `spec.dataset.train[0]`."""
    message: str
    """What, and how to mend it; a sentence that goes on after the path."""
    unknown: bool = False
    """Whether it is only that this version knows no such field: one that is stored is of a newer version's CRDs."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def problems(error: ValidationError, model: type[BaseModel], root: str) -> tuple[FieldProblem, ...]:
    """A validation error as field problems, in the order of the fields.

    Args:
        error: what pydantic found.
        model: the model that was validated, for the names of its fields.
        root: path of the model in the object, such as `spec`.
    """
    found = error.errors(include_url=False)
    return tuple(
        FieldProblem(path(root, e["loc"]), _message(e, model), e["type"] == "extra_forbidden")
        for e in found
        if not _follows(e, found)
    )


def _follows(error: ErrorDetails, all_errors: list[ErrorDetails]) -> bool:
    """Whether a list is called too short only because a bad item of it was not counted."""
    deeper = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(e["loc"]) > deeper and e["loc"][:deeper] == error["loc"] for e in all_errors
    )


def path(root: str, location: Sequence[int | str]) -> str:
    """A path in kubectl's spelling from pydantic's location: `("train", 0)` below `spec.dataset` is `….train[0]`."""
    text = root
    for part in location:
        if part != "[key]":  # pydantic's mark for a bad key of a map; the key itself comes before it
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _message(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "is required."
    if kind == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), model, error["loc"][:-1])
    if kind in ("enum", "literal_error"):
        allowed = context["expected"].replace(" or ", ", ").replace("'", "")
        return f"must be one of {allowed}; it is {_shown(given)}."
    if kind in ("model_type", "dict_type"):
        return f"must be a mapping of fields; it is {_shown(given)}."
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}; it is {_shown(given)}."
    return f"{_said(error['msg'])}; it is {_shown(given)}."


def _said(message: str) -> str:
    """Pydantic's `Input should be greater than 0` as the end of a sentence about a field: `must be greater than 0`."""
    subject, should, rest = message.partition(" should ")
    return f"must {rest}" if should and " " not in subject else message


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - one line of a terminal


def _unknown(name: str, model: type[BaseModel], location: Sequence[int | str]) -> str:
    known = _names_at(model, location)
    near = difflib.get_close_matches(name, known, n=1)
    return "there is no such field" + (f"; did you mean {near[0]}?" if near else f". There are: {', '.join(known)}.")


def _names_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    current = model
    for part in location:
        field = next((f for name, f in current.model_fields.items() if part in (f.alias, name)), None)
        current = (_model_in(field.annotation) if field else None) or current
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in get_args(annotation) if (m := _model_in(arg)) is not None), None)


def as_mapping(value: object) -> Mapping[str, Any]:
    """A JSON object as it is; anything else as an empty one, for what is written with null or a wrong shape."""
    return value if isinstance(value, Mapping) else {}
