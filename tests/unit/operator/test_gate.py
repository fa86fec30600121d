"""The gate as a table: what was found, and the verdict and the sentence that follow."""

import pytest

from attune_contract.enums import MetricName, Verdict
from attune_contract.gate import TOKEN_KL, Check, CheckKind, Checks, Finding, decide, holm, rows_to_settle
from attune_contract.gate_words import tell
from attune_contract.outcome import MetricResult
from attune_contract.spec import Evaluation, Forgetting, Gate, Requirement
from attune_operator.api.conditions import Reason
from attune_operator.finetunejob.gate import judge

GAIN = Requirement(metric=MetricName.ACCURACY, min_improvement=0.05)
ACCURACY = MetricResult(metric=MetricName.ACCURACY, tuned=0.91, baseline="base", value=0.42, delta=0.49, rows=96)


def check(**fields: object) -> Check:
    """Accuracy, far over its bar."""
    usual = {
        "requirement": 0,
        "metric": "Accuracy",
        "kind": CheckKind.IMPROVEMENT,
        "baseline": "base",
        "bar": 0.05,
        "value": 0.91,
        "estimate": 0.49,
        "low": 0.38,
        "high": 0.59,
        "p_pass": 1e-6,
        "p_fail": 1.0,
        "rows": 96,
    }
    return Check.model_validate({**usual, **fields})


WORSE = {"value": 0.44, "estimate": 0.02, "low": -0.01, "high": 0.04, "p_pass": 1.0, "p_fail": 0.001}
OPEN = {"value": 0.50, "estimate": 0.08, "low": -0.01, "high": 0.17, "p_pass": 0.25, "p_fail": 0.76}


def verdict(*found: Check, require: tuple[Requirement, ...] = (GAIN,)) -> tuple[Verdict, Reason, str]:
    return judge(Evaluation(gate=Gate(require=require)), (ACCURACY,), Checks(listed=found))


@pytest.mark.parametrize(
    ("found", "expected", "sentence"),
    [
        pytest.param(
            {},
            Verdict.PASSED,
            "Accuracy 0.91 is 0.49 over base (95 % interval 0.38 to 0.59, bar 0.05).",
            id="passes",
        ),
        pytest.param(
            WORSE,
            Verdict.FAILED,
            "Accuracy 0.44 is 0.02 over base (95 % interval -0.01 to 0.04, bar 0.05): not met.",
            id="fails",
        ),
        pytest.param(
            OPEN,
            Verdict.INCONCLUSIVE,
            "Accuracy 0.5 is 0.08 over base (95 % interval -0.01 to 0.17, bar 0.05); the interval straddles the bar: "
            "about 720 more rows would settle it.",
            id="straddles",
        ),
        pytest.param(
            OPEN | {"estimate": 0.05, "p_pass": 0.499, "p_fail": 0.501},
            Verdict.INCONCLUSIVE,
            "Accuracy 0.5 is 0.05 over base (95 % interval -0.01 to 0.17, bar 0.05); the interval straddles the bar, "
            "and even 100 times the rows might not settle it.",
            id="on-the-bar",
        ),
        pytest.param(
            {"estimate": 0.0, "low": None, "high": None, "p_pass": 1.0, "p_fail": 1.0, "rows": 1},
            Verdict.INCONCLUSIVE,
            "Accuracy 0.91 equals base (too few rows for an interval, bar 0.05); the interval straddles the bar, and "
            "even 100 times the rows might not settle it.",
            id="one-row",
        ),
        pytest.param(
            {"value": None, "estimate": None, "low": None, "high": None, "p_pass": 1.0},
            Verdict.FAILED,
            "Accuracy is not a number, so it cannot meet bar 0.05.",
            id="no-number",
        ),
        pytest.param(
            {"value": None, "estimate": None, "low": None, "high": None, "p_pass": 1.0, "rows": 0},
            Verdict.INCONCLUSIVE,
            "Accuracy was taken on no rows.",
            id="no-rows",
        ),
        pytest.param(
            {"estimate": -0.02, "value": 0.4, "low": -0.06, "high": 0.03, "p_pass": 1.0, "p_fail": 0.001},
            Verdict.FAILED,
            "Accuracy 0.4 is 0.02 under base (95 % interval -0.06 to 0.03, bar 0.05): not met.",
            id="under-base",
        ),
        pytest.param(
            WORSE | {"baseline": "prompted"},
            Verdict.FAILED,
            "Accuracy 0.44 is 0.02 over prompted (95 % interval -0.01 to 0.04, bar 0.05): not met, prompting the base "
            "does nearly as well.",
            id="prompting-would-do",
        ),
        pytest.param({"p_pass": 1e-6, "p_fail": 1e-6}, Verdict.INCONCLUSIVE, "Accuracy", id="contradiction"),
    ],
)
def test_one_requirement(found: dict[str, object], expected: Verdict, sentence: str) -> None:
    reached, _, message = verdict(check(**found))
    assert reached is expected
    assert message.startswith(sentence)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        pytest.param(
            {"metric": "Perplexity", "lower_is_better": True, "value": 6.12, "estimate": 1.9, "low": 1.2, "high": 2.6},
            "Perplexity 6.12 is 1.9 under base, lower being better (95 % interval 1.2 to 2.6, bar 0.05)",
            id="lower-is-better",
        ),
        pytest.param(
            {"metric": "Perplexity", "lower_is_better": True, "value": 9.0, "estimate": -1.0, "low": -2, "high": 3},
            "Perplexity 9 is 1 over base, lower being better (95 % interval -2 to 3, bar 0.05)",
            id="lower-is-better-and-it-is-higher",
        ),
        pytest.param(
            {"kind": CheckKind.MINIMUM, "baseline": None, "bar": 0.85, "estimate": 0.91, "low": 0.84, "high": 0.95},
            "Accuracy 0.91 (95 % interval 0.84 to 0.95, minimum 0.85)",
            id="minimum",
        ),
        pytest.param(
            {"kind": CheckKind.MINIMUM, "metric": "Perplexity", "lower_is_better": True, "bar": 8, "value": 6.1},
            "Perplexity 6.1 (95 % interval 0.38 to 0.59, at most 8)",
            id="most",
        ),
        pytest.param(
            {"kind": CheckKind.REGRESSION, "slice": "language=de", "bar": -0.02, "estimate": -0.004, "low": -0.01},
            "Accuracy where language=de 0.91 is 0.004 under base (95 % interval -0.01 to 0.59, bar -0.02)",
            id="slice",
        ),
        pytest.param(
            {"kind": CheckKind.FORGETTING, "requirement": None, "metric": "Perplexity", "lower_is_better": True}
            | {"value": 12.3, "estimate": 1.34, "low": 1.2, "high": 1.5, "bar": 1.1},
            "Perplexity on general text 12.3 is 1.34 times that of base (95 % interval 1.2 to 1.5, limit 1.1)",
            id="forgetting",
        ),
        pytest.param(
            {"kind": CheckKind.FORGETTING, "requirement": None, "metric": TOKEN_KL, "value": 0.12, "bar": 0.3}
            | {"estimate": 0.12, "low": None, "high": 0.2},
            "Token KL to base on general text 0.12 (95 % interval up to 0.2, limit 0.3)",
            id="token-kl",
        ),
        pytest.param({"value": 12345.6, "estimate": 4321.0}, "Accuracy 12346 is 4321 over base", id="large-figures"),
    ],
)
def test_a_check_in_words(found: dict[str, object], sentence: str) -> None:
    assert tell(decide(Gate(), Checks(listed=(check(**found),)))).startswith(sentence)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([{}, {}, {}], Verdict.PASSED, id="all-pass"),
        pytest.param([{}, OPEN, {}], Verdict.INCONCLUSIVE, id="one-open"),
        pytest.param([{}, OPEN, WORSE], Verdict.FAILED, id="one-fails"),
        # Each would pass alone at 2.5 %; of three, the surest has to be under 2.5 % / 3.
        pytest.param([{"p_pass": 0.02}] * 3, Verdict.INCONCLUSIVE, id="not-sure-enough-for-three"),
        pytest.param([{"p_pass": p} for p in (0.008, 0.012, 0.025)], Verdict.PASSED, id="step-by-step"),
        pytest.param([{}, {}, OPEN | {"p_fail": 0.02}], Verdict.INCONCLUSIVE, id="not-surely-failed-among-three"),
    ],
)
def test_several_requirements(found: list[dict[str, object]], expected: Verdict) -> None:
    listed = tuple(check(requirement=i, **fields) for i, fields in enumerate(found))
    assert verdict(*listed, require=(GAIN,) * len(found))[0] is expected


def test_the_worst_comes_first_and_a_narrow_pass_says_why_it_is_none() -> None:
    narrow = {"requirement": 1, "low": 0.06, "p_pass": 0.02}
    _, _, message = verdict(check(**narrow), check(requirement=2, **WORSE), check(), require=(GAIN,) * 3)
    failed, opened, why, passed = message.split("; ")
    assert failed.endswith("not met")
    assert opened.endswith("(95 % interval 0.06 to 0.59, bar 0.05)")
    assert why.startswith("the interval clears the bar, but not by enough for all checks: about")
    assert passed.endswith("bar 0.05).")


@pytest.mark.parametrize(
    ("requirement", "found", "missing"),
    [
        pytest.param(GAIN, (), "Accuracy over base was not measured", id="no-checks"),
        pytest.param(
            Requirement(metric=MetricName.ACCURACY, min_improvement=0.05, minimum=0.8),
            (check(),),
            "Accuracy was not measured",
            id="minimum-missing",
        ),
        pytest.param(
            Requirement(metric=MetricName.BLEU, max_regression=1.0, over="champion"),
            (check(),),
            "BLEU against champion was not measured",
            id="other-baseline",
        ),
        pytest.param(
            Requirement(metric=MetricName.ACCURACY, max_regression=0.1),
            (check(kind=CheckKind.REGRESSION, slice="language=de"),),
            "Accuracy against base was not measured",
            id="only-a-slice",
        ),
        pytest.param(
            Requirement(metric=MetricName.ACCURACY), (), "spec.evaluation.gate.require[0] sets no bar", id="no-bar"
        ),
    ],
)
def test_what_was_not_measured_is_not_passed(requirement: Requirement, found: tuple[Check, ...], missing: str) -> None:
    reached, _, message = verdict(*found, require=(requirement,))
    assert reached is Verdict.INCONCLUSIVE
    assert message.startswith(missing)


def test_an_evaluation_of_before_checks_is_not_passed() -> None:
    assert judge(Evaluation(gate=Gate(require=(GAIN,))), (ACCURACY,), None)[0] is Verdict.INCONCLUSIVE


def test_where_nothing_is_required_every_evaluation_passes() -> None:
    said = "spec.evaluation.gate requires nothing. Accuracy 0.91, base 0.42 (+0.49 on 96 rows)"
    part = ACCURACY.model_copy(update={"slice": "language=de", "tuned": 0.2})
    assert judge(Evaluation(), (ACCURACY, part), None) == (Verdict.PASSED, Reason.NO_GATE, said)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param((), Verdict.INCONCLUSIVE, id="not-measured"),
        pytest.param((TOKEN_KL,), Verdict.INCONCLUSIVE, id="only-token-kl"),
        pytest.param(("Perplexity",), Verdict.PASSED, id="measured"),
    ],
)
def test_forgetting_is_judged_without_any_requirement(found: tuple[str, ...], expected: Verdict) -> None:
    asked = Forgetting(dataset=("s3://b/general.jsonl",))
    listed = tuple(check(requirement=None, kind=CheckKind.FORGETTING, metric=m) for m in found)
    assert judge(Evaluation(forgetting=asked), (ACCURACY,), Checks(listed=listed))[0] is expected


@pytest.mark.parametrize(
    ("p_values", "others", "rejected"),
    [
        # Holm at 5 %: 0.005 < 0.05/4 and 0.01 < 0.05/3, but 0.03 > 0.05/2, so that 0.04 is not even looked at.
        pytest.param([0.01, 0.04, 0.03, 0.005], 0, [True, False, False, True], id="four"),
        pytest.param([0.01, 0.005], 2, [True, True], id="two-of-four"),
        pytest.param([0.01, 0.02], 4, [False, False], id="two-of-six"),
        pytest.param([0.05], 0, [True], id="at-the-level"),
        pytest.param([float("nan"), 0.01], 0, [False, True], id="no-number"),
        pytest.param([], 3, [], id="none"),
    ],
)
def test_holm(p_values: list[float], others: int, rejected: list[bool]) -> None:
    assert holm(p_values, 0.05, others) == rejected


@pytest.mark.parametrize(
    ("p_pass", "expected"),
    [
        # 1.96 / 0.98 is 2, so four times the rows.
        pytest.param(0.16354, 384, id="half-way"),
        pytest.param(0.5, None, id="on-the-bar"),
        pytest.param(1.0, None, id="nothing-known"),
        pytest.param(0.45, None, id="hopeless"),
    ],
)
def test_rows_that_would_settle_it(p_pass: float, expected: int | None) -> None:
    assert rows_to_settle(check(p_pass=p_pass, p_fail=1.0), 0.025) == expected


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([{}] * 32, id="all-pass"),
        pytest.param([{}] * 22 + [OPEN] * 10, id="ten-open"),
        pytest.param([{}] * 22 + [OPEN] * 9 + [WORSE | {"p_fail": 1e-5}], id="one-fails"),
        pytest.param([{"p_pass": 0.02}] * 3 + [{}] * 5, id="narrow"),
        pytest.param([{"p_pass": 0.02, "p_fail": 0.9}, *[{"p_pass": 10.0**-k} for k in range(3, 12)]], id="ladder"),
    ],
)
def test_a_shorter_list_has_the_same_verdict(found: list[dict[str, object]]) -> None:
    gate = Gate(require=(GAIN,) * len(found))
    checks = Checks(listed=tuple(check(requirement=i, **fields) for i, fields in enumerate(found)))
    first = decide(gate, checks)
    known = {j.check.requirement: j.finding for j in first.judged}
    while (shorter := checks.shorter()) is not None:
        assert len(shorter.listed) == len(checks.listed) - 1
        checks = shorter
        now = decide(gate, checks)
        assert now.verdict is first.verdict
        assert {j.check.requirement: j.finding for j in now.judged}.items() <= known.items()
    assert len(checks.listed) <= max(5, len([f for f in known.values() if f is not Finding.PASSES]))
    assert len(checks.model_dump_json(exclude_none=True)) < 3_000


def test_checks_survive_the_wire() -> None:
    checks = Checks(listed=(check(), check(**OPEN)), clear={"1:Improvement": 2})
    assert Checks.model_validate_json(checks.model_dump_json(exclude_none=True)) == checks
