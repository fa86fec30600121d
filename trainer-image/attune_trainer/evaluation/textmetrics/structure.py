"""Metrics that ask of an answer's form alone: is it JSON of a schema, does it match a pattern."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NoReturn

import regex  # it can stop a match that takes too long, which `re` cannot

from attune_contract.enums import MetricName
from attune_contract.spec import Metric as Asked
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.evaluation.textmetrics.answers import SHARE_SCALE
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Shape, library, mean, numbers
from attune_trainer.evaluation.textmetrics.schemas import validator_of

MOST_CHARACTERS = 100_000
"""A longer answer is wrong without a look at it."""
MOST_SECONDS = 1.0
"""A pattern that needs longer for one answer backtracks without end; microseconds are usual."""


@dataclass(frozen=True)
class JsonValid:
    """The share of answers that are JSON and, where there is a schema, match it.

    Args:
        schema: a JSON Schema, draft 2020-12; None for any JSON.
        where: the field of the manifest that it comes from, for errors.

    Raises:
        InvalidConfigurationError: the schema is none, or refers to what it does not have.
    """

    schema: Mapping[str, Any] | bool | None = None
    where: str = "schema"
    name: ClassVar = MetricName.JSON_VALID
    shape: ClassVar = Shape.SHARE
    width: ClassVar = 2

    def __post_init__(self) -> None:
        _ = self._validator  # now, not at the first row

    @cached_property
    def _validator(self) -> Any:
        return None if self.schema is None else validator_of(self.schema, self.where)

    def row(self, answer: str, _expected: object = None) -> Floats:
        """Valid or not, and 1."""
        return numbers(self._valid(answer), 1)

    def values(self, totals: Floats) -> Floats:
        """Shares."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        asked = "" if self.schema is None else " and matches the JSON Schema of the manifest (draft 2020-12)"
        return Description(
            definition=f"Share of rows whose whole answer is JSON{asked}. NaN and Infinity are no JSON; `format` is "
            f"not checked; an answer of more than {MOST_CHARACTERS:,} characters is wrong.",
            computed_by="json of Python" if self.schema is None else library("jsonschema"),
            normalization="none: white space around the JSON is allowed, a code fence is not",
            scale=SHARE_SCALE,
            source="RFC 8259; JSON Schema 2020-12",
        )

    def _valid(self, answer: str) -> bool:
        if len(answer) > MOST_CHARACTERS:
            return False
        try:
            found = json.loads(answer, parse_constant=_refuse)
            return self._validator is None or bool(self._validator.is_valid(found))
        except (ValueError, RecursionError):
            return False


@dataclass(frozen=True)
class RegexMatch:
    """The share of answers that a pattern matches from end to end.

    Args:
        pattern: a regular expression.
        where: the field of the manifest that it comes from, for errors.
        most_seconds: after so long with one answer it counts as no match.

    Raises:
        InvalidConfigurationError: the pattern cannot be compiled.
    """

    pattern: str
    where: str = "pattern"
    most_seconds: float = MOST_SECONDS
    name: ClassVar = MetricName.REGEX_MATCH
    shape: ClassVar = Shape.SHARE
    width: ClassVar = 3

    def __post_init__(self) -> None:
        try:
            _ = self._compiled  # now, not at the first row
        except regex.error as error:
            raise InvalidConfigurationError(
                f"{self.where}: {self.pattern!r} is no regular expression: {error}. Correct the pattern."
            ) from error

    @cached_property
    def _compiled(self) -> Any:
        return regex.compile(self.pattern)

    def row(self, answer: str, _expected: object = None) -> Floats:
        """Matched or not, 1, and whether the look at it was given up."""
        if len(answer) > MOST_CHARACTERS:
            return numbers(0, 1, 1)
        try:
            return numbers(self._compiled.fullmatch(answer, timeout=self.most_seconds) is not None, 1, 0)
        except TimeoutError:
            return numbers(0, 1, 1)

    def values(self, totals: Floats) -> Floats:
        """Shares."""
        return mean(totals)

    @staticmethod
    def given_up(totals: Floats) -> int:
        """How many answers were too long, or took too long; the report says so where there are any."""
        return int(totals[2])

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition=f"Share of rows whose whole answer matches {self.pattern!r}. An answer of more than "
            f"{MOST_CHARACTERS:,} characters, or one that takes longer than {self.most_seconds:g} s, counts as no "
            "match.",
            computed_by=library("regex"),
            normalization="none",
            scale=SHARE_SCALE,
            source="the manifest's pattern, in the syntax of Python's re",
        )


def check(asked: Iterable[Asked]) -> None:
    """Checks schemas and patterns of a manifest before anything expensive starts.

    Args:
        asked: spec.evaluation.metrics.

    Raises:
        InvalidConfigurationError: one of them cannot be used.
    """
    for i, metric in enumerate(asked):
        where = f"spec.evaluation.metrics[{i}]"
        if metric.name is MetricName.JSON_VALID:
            JsonValid(metric.schema_, f"{where}.schema")
        if metric.name is MetricName.REGEX_MATCH and metric.pattern is not None:
            RegexMatch(metric.pattern, f"{where}.pattern")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
