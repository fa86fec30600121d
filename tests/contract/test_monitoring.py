"""What a look says fits a termination message, and every figure is still there."""

from contextlib import nullcontext

import pytest
from pydantic import ValidationError

from attune_contract.enums import MetricName, OutcomeState, Stage
from attune_contract.monitoring import (
    Comparison,
    InputDrift,
    LabelShift,
    Look,
    MetricDrop,
    Monitoring,
    MovedLabel,
    Variant,
    VariantFigures,
)
from attune_contract.outcome import MAX_BYTES, Outcome

AT = "2026-11-22T03:00:00Z"
FIGURE = 0.123457


def look(metrics: int, words: int) -> Monitoring:
    names = list(MetricName)[:metrics]
    said = tuple(f"{chr(97 + i % 26)}{i * 7919 % 100003}w" * 3 for i in range(words))
    return Monitoring(
        at=AT,
        rows=2000,
        labelled_rows=1500,
        drifted=True,
        sentence="x" * 900,
        inputs=InputDrift(score=0.61, threshold=0.56, p_value=0.0005, rows=2000, drifted=True, more=said, less=said),
        labels=LabelShift(
            psi=0.4,
            threshold=0.1,
            p_value=0.0005,
            rows=1500,
            drifted=True,
            moved=tuple(MovedLabel(label=word, before=0.1, now=0.2) for word in said),
        ),
        metrics=tuple(
            MetricDrop(
                metric=n, before=FIGURE, before_rows=500, now=FIGURE, rows=300, drop=0.1, p_value=0.01, dropped=True
            )
            for n in names
        ),
        variants=tuple(
            VariantFigures(variant=v, version="v1", rows=300, metrics=dict.fromkeys(names, FIGURE), answered=10)
            for v in Variant
        ),
        comparisons=tuple(
            Comparison(about=n, delta=FIGURE, low=FIGURE, high=FIGURE, p_value=FIGURE, rows=300) for n in names
        ),
    )


@pytest.mark.parametrize("metrics", [1, 5, len(MetricName)])
@pytest.mark.parametrize("words", [0, 8, 200])
def test_a_look_fits_and_keeps_its_figures(metrics: int, words: int) -> None:
    given = look(metrics, words)
    outcome = Outcome(run_id="u", stage=Stage.MONITOR, attempt=1, state=OutcomeState.SUCCEEDED, monitoring=given)
    text = outcome.dumps()
    assert len(text.encode()) <= MAX_BYTES
    read = Outcome.loads(text)
    assert read is not None
    assert read.monitoring is not None
    for name in ("at", "rows", "drifted", "metrics", "variants", "comparisons"):
        assert getattr(read.monitoring, name) == getattr(given, name)
    assert read.monitoring.inputs is not None
    assert read.monitoring.inputs.p_value == 0.0005


@pytest.mark.parametrize(("rate", "possible"), [(0.0, False), (1e-6, False), (0.001, True), (0.2, True), (0.3, False)])
def test_the_rate_of_false_alarms_is_one_that_permutations_can_show(rate: float, *, possible: bool) -> None:
    given = {
        "at": AT,
        "source": "s3://data/fresh/",
        "falseAlarms": rate,
        "variants": [
            {"variant": "champion", "version": "v1", "runURI": "s3://models/run", "digest": f"sha256:{0:064x}"}
        ],
    }
    with nullcontext() if possible else pytest.raises(ValidationError, match="falseAlarms"):
        Look.model_validate(given)


def test_what_only_people_read_goes_first() -> None:
    shorter = look(1, 1).shorter()
    assert shorter is not None
    assert shorter.inputs is not None
    assert (shorter.inputs.more, shorter.sentence) == ((), "x" * 900)
    bare = Monitoring(at=AT)
    assert bare.shorter() is None
