"""Reads an object as the API server gives it, of any kind: everything that is wrong with it at once, and no error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from attune_operator.api import rules
from attune_operator.api.meta import ObjectMeta
from attune_operator.api.problems import FieldProblem, as_mapping, problems

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Parsed(Generic[S, T]):
    """An object, as much of it as could be read."""

    metadata: ObjectMeta
    spec: S
    """Must not be used where there are problems: a bad one has no fields at all."""
    status: T
    """Holds those fields that could be read."""
    problems: tuple[FieldProblem, ...]


def read(raw: dict[str, Any], spec: type[S], status: type[T], table: tuple[rules.Rule, ...]) -> Parsed[S, T]:
    """Reads an object.

    Args:
        raw: what the API server gave.
        spec: model of its spec.
        status: model of its status.
        table: the kind's rules.
    """
    metadata, bad_metadata = _metadata(raw)
    given, bad_spec = _spec(raw, spec, table)
    known, bad_status = _status(raw, status)
    return Parsed(metadata, given, known, (*bad_metadata, *bad_spec, *bad_status))


def _metadata(raw: dict[str, Any]) -> tuple[ObjectMeta, tuple[FieldProblem, ...]]:
    try:
        return ObjectMeta.model_validate(raw.get("metadata") or {}), ()
    except ValidationError as error:
        return ObjectMeta(name=""), problems(error, ObjectMeta, "metadata")


def _spec(raw: dict[str, Any], model: type[S], table: tuple[rules.Rule, ...]) -> tuple[S, tuple[FieldProblem, ...]]:
    without_fields: Callable[..., S] = model.model_construct
    try:
        spec = model.model_validate(raw.get("spec") or {})
    except ValidationError as error:
        return without_fields(), problems(error, model, "spec")
    return spec, rules.broken(table, spec)


def _status(raw: dict[str, Any], model: type[T]) -> tuple[T, tuple[FieldProblem, ...]]:
    given = as_mapping(raw.get("status"))
    try:
        return model.model_validate(given), ()
    except ValidationError as error:
        unreadable = {e["loc"][0] for e in error.errors()}
        readable = {key: value for key, value in given.items() if key not in unreadable}
        return model.model_validate(readable), problems(error, model, "status")
