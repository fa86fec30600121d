"""An Outcome must fit a termination message, whatever it has to say: the least needed is left out first."""

import json
import random
import string
import zlib
from base64 import b85encode
from typing import Any

import pytest

from attune_contract.enums import DataWarning, OutcomeState, Stage
from attune_contract.outcome import (
    FEW_ERRORS,
    MAX_BYTES,
    MIN_MESSAGE,
    Artifact,
    CostRange,
    DurationRange,
    Estimate,
    Outcome,
    RowError,
    Validation,
    WarningCount,
)


def outcome(**fields: Any) -> Outcome:
    return Outcome(run_id="3f1c", stage=Stage.PREFLIGHT, attempt=1, state=OutcomeState.SUCCEEDED, **fields)


def validation(**fields: Any) -> Validation:
    return Validation(rows=861, error_count=999, report_uri="s3://models/out/reports/validation.json", **fields)


def noise(size: int, seed: object) -> str:
    """Text that cannot be packed to less than half."""
    draw = random.Random(str(seed))  # noqa: S311 - text for a test
    return "".join(draw.choice(string.ascii_letters + string.digits) for _ in range(size))


def errors(count: int, size: int = 60) -> tuple[RowError, ...]:
    said = (noise(size, n) for n in range(count))
    return tuple(RowError(code="missing_column", file="f", line=n, message=text) for n, text in enumerate(said))


def warnings(size: int) -> tuple[WarningCount, ...]:
    return tuple(WarningCount(code=code, count=7, message=noise(size, code)) for code in DataWarning)


def estimate(sentences: int, size: int = 150) -> Estimate:
    assumed = tuple(noise(size, f"a{n}") for n in range(sentences))
    return Estimate(
        steps=540,
        duration=DurationRange(low="6m", high="11m"),
        cost=CostRange(low="0.40", high="0.72", currency="USD"),
        assumptions=assumed,
    )


def shortened(given: Outcome) -> Outcome:
    text = given.dumps()
    assert len(text.encode()) <= MAX_BYTES
    again = Outcome.loads(text)
    assert again is not None
    return again


def found(of: Outcome) -> tuple[int, int, int, int]:
    """How much is there still: errors, warnings with a text, assumptions, labels."""
    assert of.validation is not None
    assert of.estimate is not None
    said = sum(1 for w in of.validation.warnings if w.message)
    return len(of.validation.errors), said, len(of.estimate.assumptions), len(of.validation.labels)


LABELS = {f"label-{n}": 9 for n in range(20)}


@pytest.mark.parametrize(
    ("errors_", "warning", "assumed", "left"),
    [
        pytest.param(5, 20, 3, (5, 10, 3, 20), id="all of it fits"),
        pytest.param(20, 60, 3, (20, 10, 3, 20), id="all of it fits once it is packed"),
        pytest.param(20, 90, 12, (10, 10, 12, 20), id="errors go first"),
        pytest.param(20, 90, 20, (FEW_ERRORS, 1, 20, 20), id="then texts of warnings"),
        pytest.param(20, 90, 30, (FEW_ERRORS, 0, 20, 20), id="then assumptions"),
    ],
)
def test_the_least_needed_goes_first(errors_: int, warning: int, assumed: int, left: tuple[int, ...]) -> None:
    given = outcome(
        validation=validation(errors=errors(errors_), warnings=warnings(warning), labels=LABELS),
        estimate=estimate(assumed),
    )
    again = shortened(given)
    assert found(again) == left
    assert again.validation is not None
    assert len(again.validation.warnings) == len(DataWarning), "counts stay"
    assert again.validation.error_count == 999


def test_labels_and_the_last_errors_go_only_after_all_assumptions() -> None:
    labels = {noise(200, f"l{n}"): 9 for n in range(20)}
    again = shortened(
        outcome(
            validation=validation(errors=errors(9, 300), warnings=warnings(50), labels=labels), estimate=estimate(9)
        )
    )
    left = found(again)
    assert left[1:3] == (0, 0)
    assert 0 < left[3] < 20
    assert left[0] == FEW_ERRORS
    assert again.estimate is not None
    assert again.estimate.cost is not None


def test_a_long_message_is_cut_only_when_nothing_else_is_left() -> None:
    artifacts = tuple(
        Artifact(path=noise(300, f"p{n}"), digest=noise(80, f"d{n}"), size_bytes=1, stage=Stage.PREFLIGHT)
        for n in range(9)
    )
    again = shortened(
        outcome(message="m" * 2000, artifacts=artifacts, validation=validation(errors=errors(9)), estimate=estimate(9))
    )
    assert found(again) == (0, 0, 0, 0)
    assert MIN_MESSAGE / 2 <= len(again.message) < 1024
    assert len(again.artifacts) == 9


def test_characters_of_four_bytes_fit_too() -> None:
    again = shortened(outcome(message="🙂" * 2000, validation=validation(errors=errors(20))))
    assert again.message


def test_more_artifacts_than_fit_are_an_error_and_not_cut() -> None:
    artifacts = tuple(
        Artifact(path=noise(900, f"p{n}"), digest=noise(80, f"d{n}"), size_bytes=1, stage=Stage.TRAIN) for n in range(9)
    )
    with pytest.raises(ValueError, match="over the limit"):
        outcome(artifacts=artifacts).dumps()


def test_an_outcome_that_fits_is_not_touched() -> None:
    given = outcome(message="done", validation=validation(errors=errors(2), labels={"a": 1}), estimate=estimate(3))
    assert shortened(given) == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Estimate(steps=1), "1 step"),
        (Estimate(steps=540, memory_per_gpu="9Gi"), "540 steps, 9Gi of memory each"),
        (estimate(0), "540 steps, 6m to 11m, 0.40 to 0.72 USD"),
    ],
    ids=["steps alone", "no time", "time and cost"],
)
def test_an_estimate_says_in_words_what_it_knows(given: Estimate, words: str) -> None:
    assert given.in_words == words


def test_twenty_errors_as_people_make_them_fit_beside_everything_else() -> None:
    uri = "s3://data-of-the-support-team/2026/exports/conversations-of-november/train-part-0001.jsonl"
    found = tuple(
        RowError(
            code="missing_column", file=uri, line=17 * n, field="completion", message=f"there is no 'completion' ({n})"
        )
        for n in range(20)
    )
    given = outcome(
        message="m" * 500,
        validation=validation(errors=found, labels=LABELS, counts={"missing_column": 999}),
        estimate=estimate(6),
    )
    text = given.dumps()
    assert shortened(given) == given
    assert json.loads(text)["message"] == given.message, "a person who looks at the pod can read it"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[]", id="no object"),
        pytest.param('{"packed": "not base85 \u00fc"}', id="not packed"),
        pytest.param(json.dumps({"packed": b85encode(b"x").decode()}), id="not deflated"),
        pytest.param(json.dumps({"packed": b85encode(zlib.compress(b"[" * 10**7)).decode()}), id="a bomb"),
        pytest.param(json.dumps({"packed": b85encode(zlib.compress(b"[]")).decode()}), id="a list"),
    ],
)
def test_what_is_no_outcome_is_none(text: str) -> None:
    assert Outcome.loads(text) is None
