"""From a template to the runs of one start: one for each combination of values, named by time and values. Pure."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attune_operator.api.enums import Trigger
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import JobTemplate

JSON = dict[str, Any]
MOST_RUNS = 256
MOST_LOOKED_AT = 100
"""URIs that a FineTuneJob's dataset.train may have, and so a look at a schedule's data."""
LONGEST_NAME = 63
_PLACEHOLDER = re.compile(r"\{\{ ?([a-z][A-Za-z0-9]*) ?\}\}")
_FIELDS = (
    *(("model", "source"), ("dataset", "train"), ("dataset", "test"), ("evaluation", "forgetting", "dataset")),
    *(("output", "uri"), ("output", "register")),
)
"""Fields of the spec in which `{{name}}` stands for a value. Not in chat templates and prompts: those have braces of
their own."""


def combinations(template: JobTemplate) -> list[dict[str, str]]:
    """Every combination of the matrix's values, in the order of its names; one without values where there is none."""
    names = sorted(template.matrix)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(template.matrix[n] for n in names))]


def problems(template: JobTemplate, path: str) -> tuple[FieldProblem, ...]:
    """What is wrong with a matrix that no rule can say: too many runs, no values, names alike, runs that are invalid.

    Args:
        template: valid by its types.
        path: where it is, such as `spec.jobTemplate`.
    """
    count = 1
    for values in template.matrix.values():
        count *= len(values)
    if count > MOST_RUNS:
        return (FieldProblem(f"{path}.matrix", f"makes {count} runs; {MOST_RUNS} at most."),)
    found = (*_repeated(template, path), *_unknown(template, path), *_shared_output(template, path, count))
    return found or _refused(template, path)


def _repeated(template: JobTemplate, path: str) -> tuple[FieldProblem, ...]:
    doubled = [name for name, values in sorted(template.matrix.items()) if len(set(values)) < len(values)]
    return tuple(FieldProblem(f"{path}.matrix.{name}", "every value may be there once only.") for name in doubled)


def _unknown(template: JobTemplate, path: str) -> tuple[FieldProblem, ...]:
    found: dict[str, FieldProblem] = {}

    def look(text: str, where: str) -> str:
        for name in _PLACEHOLDER.findall(text):
            if name not in template.matrix:
                message = f"{{{{{name}}}}} has no values in jobTemplate.matrix."
                found[where] = FieldProblem(f"{path}.spec.{where}", message)
        return text

    _placed(template.dump()["spec"], look)
    return tuple(found.values())


def _shared_output(template: JobTemplate, path: str, count: int) -> tuple[FieldProblem, ...]:
    """Runs of different values may share a folder (each writes below its own run ID), but never a TunedModel."""
    register = template.spec.output.register_
    if register is None or count == 1:
        return ()
    named = set(_PLACEHOLDER.findall(register))
    varying = {name for name, values in template.matrix.items() if len(values) > 1}
    if varying <= named:
        return ()
    missing = ", ".join(f"{{{{{name}}}}}" for name in sorted(varying - named))
    message = f"must hold {missing}: models of different values cannot be versions of one TunedModel."
    return (FieldProblem(f"{path}.spec.output.register", message),)


def _refused(template: JobTemplate, path: str) -> tuple[FieldProblem, ...]:
    """What is wrong with runs once values are in the place of placeholders; of each field the first."""
    found: dict[str, FieldProblem] = {}
    for values in _each_value(template):
        _, bad = FineTuneJob.parse({"metadata": {"name": "run"}, "spec": expanded(template, values)})
        for problem in bad:
            found.setdefault(problem.path, FieldProblem(f"{path}.{problem.path}", problem.message))
    return tuple(found.values())


def _each_value(template: JobTemplate) -> list[dict[str, str]]:
    """Combinations in which every value is there, and the one with the longest: no pattern and no length needs more."""
    lists = template.matrix
    rows = range(max(map(len, lists.values()), default=1))
    rounds = [{name: values[i % len(values)] for name, values in lists.items()} for i in rows]
    return [*rounds, {name: max(values, key=len) for name, values in lists.items()}] if lists else rounds


def train(template: JobTemplate) -> tuple[str, ...]:
    """Training data of all combinations, each URI once."""
    specs = (expanded(template, values) for values in combinations(template))
    return tuple(dict.fromkeys(uri for spec in specs for uri in spec["dataset"]["train"]))


def expanded(template: JobTemplate, values: Mapping[str, str]) -> JSON:
    """The spec of one run: the template's, with values in the place of placeholders."""

    def put(text: str, _: str) -> str:
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)

    return _placed(template.dump()["spec"], put)


def run_name(schedule: str, trigger: Trigger, time: datetime, values: Mapping[str, str]) -> str:
    """Name of a run: it follows from the schedule, the time and the values, so that two operators make one run.

    A cron's times are told to the minute, all others to the second, lest a person and a cron in one minute meet. A
    digest goes on after values that could be read as others: `a-b` and `c` as `a` and `b-c`.
    """
    exact = trigger is not Trigger.CRON or time.second != 0
    name = f"{schedule}-{time.astimezone(UTC):{'%Y%m%d-%H%M%S' if exact else '%Y%m%d-%H%M'}}"
    if not values:
        return name
    given = [values[key] for key in sorted(values)]
    told = "-".join(re.sub(r"[^a-z0-9]+", "-", v.lower()) for v in given)
    whole = f"{name}-{told}"
    several = len(given) > 1 and any("-" in value for value in given)
    if told == "-".join(given) and not several and len(whole) <= LONGEST_NAME:
        return whole
    digest = hashlib.sha256(json.dumps(given).encode()).hexdigest()[:6]
    return f"{whole[: LONGEST_NAME - 7].rstrip('-')}-{digest}"


def template_digest(template: JobTemplate) -> str:
    """Digest of what runs are made from; defaults are left out, so that a new version of the operator changes none."""
    told = template.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude={"max_parallel"})
    return "sha256:" + hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _placed(spec: JSON, put: Callable[[str, str], str]) -> JSON:
    """A spec with a function applied to every text that may have placeholders."""
    for field in _FIELDS:
        spec = _at(spec, field, put, "")
    return spec


def _at(node: JSON, field: tuple[str, ...], put: Callable[[str, str], str], path: str) -> JSON:
    name, rest = field[0], field[1:]
    where = f"{path}.{name}".lstrip(".")
    value = node.get(name)
    if value is None:
        return node
    if rest:
        return {**node, name: _at(value, rest, put, where)}
    if isinstance(value, list):
        return {**node, name: [put(text, f"{where}[{i}]") for i, text in enumerate(value)]}
    return {**node, name: put(value, where)}
