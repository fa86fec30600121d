"""What a rule is that no single field's type, bounds or pattern can say; each kind has a table of them beside this.

Each is written twice, side by side: as CEL, for the API server to refuse a manifest at `kubectl apply`, and as Python,
for the operator to find what an older CRD let in. `tests/unit/api/test_parse.py` and `tests/cluster/test_admission.py`
hold both to the same cases. Rules about a change (`oldSelf`) are the API server's alone.

A path ends in `[]` where the rule is about every item of a list. CEL's cost is reckoned by the API server before it
accepts a CRD, from the bounds of lists, maps and strings: a field without a bound can make a cheap rule unacceptable.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from attune_operator.api.problems import FieldProblem

JSON = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One rule."""

    path: str
    """Of the value that the rule is about (`self` in CEL), from the object's root: `spec.training`."""
    cel: str
    """True where the rule is kept."""
    message: str
    """What is wrong and how to mend it; goes on after a field's path."""
    field: str = ""
    """The field below `path` to which the message belongs, such as `.dataset.format`."""
    holds: Callable[[Any], bool] | None = None
    """The same as `cel`, on the value as JSON with defaults; None where the rule is about a change."""


def broken(table: tuple[Rule, ...], spec: BaseModel) -> tuple[FieldProblem, ...]:
    """Every rule that a spec breaks.

    Args:
        table: the rules of the spec's kind.
        spec: valid by its types.
    """
    root = {"spec": spec.model_dump(mode="json", exclude_none=True)}
    return tuple(
        FieldProblem(where + rule.field, rule.message)
        for rule in table
        if rule.holds is not None
        for where, value in _at(root, rule.path)
        if not rule.holds(value)
    )


def _at(root: JSON, path: str) -> Iterator[tuple[str, Any]]:
    """Values at a path with their own paths; none where an optional field on the way is left out."""
    found: list[tuple[str, Any]] = [("", root)]
    for part in path.split("."):
        name, many = part.removesuffix("[]"), part.endswith("[]")
        found = [(f"{where}.{name}" if where else name, value[name]) for where, value in found if name in value]
        if many:
            found = [(f"{where}[{i}]", item) for where, items in found for i, item in enumerate(items)]
    yield from found


def matches(pattern: str) -> Callable[[Any], bool]:
    """Whether a text has what the pattern asks for, as `matches` of CEL tells."""
    return lambda text: re.search(pattern, text) is not None


def quoted(pattern: str) -> str:
    """A pattern as CEL writes it."""
    return "'" + pattern.replace("\\", "\\\\") + "'"


def by_path(table: tuple[Rule, ...]) -> Mapping[str, list[Rule]]:
    """The rules of a table by the path that they sit on, for the generator."""
    found: dict[str, list[Rule]] = {}
    for rule in table:
        found.setdefault(rule.path, []).append(rule)
    return found
