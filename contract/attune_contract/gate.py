"""From checks to a verdict. Pure, and shared: the pod's report and the operator's condition say the same.

A check is one requirement of the gate made a question with a bar: what was found, how sure that is, and two one-sided
p-values. The pod makes the checks, for it has the rows; the verdict needs only what a check carries.

| a check | when (Holm over all checks, each side at half of 1 - confidence) |
| --- | --- |
| passes | it is sure that the truth is better than the bar |
| fails | it is sure that the truth is worse than the bar, or the figure is no number |
| is open | neither is sure: its interval straddles the bar, or clears it too narrowly for so many checks |

Any check that fails makes the verdict Failed; all that pass make it Passed; everything else is Inconclusive.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import NormalDist
from typing import NamedTuple

from pydantic import Field

from attune_contract.base import Reported
from attune_contract.enums import MetricName, Verdict
from attune_contract.spec import Gate, Requirement

TOKEN_KL = "TokenKL"  # noqa: S105 - a figure's name, not a password
"""Name of the check on mean token KL, which is no metric of the evaluation."""
MOST_ROWS = 100
"""How many times the rows may be asked for before it is called hopeless."""
FEW_OPEN = 4
"""So many open checks stay in a list that is shortened."""


class CheckKind(StrEnum):
    """What is compared with the bar."""

    MINIMUM = "Minimum"
    """The tuned model's own figure, with `minimum`."""
    IMPROVEMENT = "Improvement"
    """Its gain over a baseline, with `minImprovement`."""
    REGRESSION = "Regression"
    """The same gain, with `maxRegression` as a negative bar."""
    FORGETTING = "Forgetting"
    """Its perplexity on general text in the base's, with 1 + `maxPerplexityIncrease`; or mean token KL to the base."""


class Check(Reported):
    """One question with a bar, answered from the held-out rows."""

    requirement: int | None = None
    """Index in spec.evaluation.gate.require; None for forgetting."""
    metric: str
    """As in spec.evaluation.metrics; for forgetting Perplexity or TokenKL."""
    kind: CheckKind
    """What is compared with the bar."""
    baseline: str | None = None
    """What the tuned model is compared with; None for a minimum."""
    slice: str | None = None
    """The rows that it is about, as `column=value`; None for all."""
    bar: float
    """In the unit of `estimate`."""
    value: float | None = None
    """The tuned model's figure; None where it is no number."""
    estimate: float | None = None
    """What is compared with the bar. A gain is positive where tuned is better, whichever way the metric counts."""
    low: float | None = None
    """Lower end of the two-sided interval at gate.confidence; None where the rows set no end."""
    high: float | None = None
    """Upper end of it."""
    p_pass: float = Field(ge=0, le=1, default=1.0)
    """How likely rows like these are if the truth is not better than the bar."""
    p_fail: float = Field(ge=0, le=1, default=1.0)
    """How likely rows like these are if the truth is not worse than the bar."""
    rows: int
    """Held-out rows that it rests on."""
    smallest_detectable: float | None = None
    """How far beyond the bar the truth must lie for rows like these to show it with 80 % power; None: never."""
    lower_is_better: bool = False
    """Whether the metric counts downwards. For a minimum and forgetting, the bar is then the largest that will do."""

    @property
    def key(self) -> str:
        """Which condition of the manifest it answers, such as `0:Improvement`."""
        if self.requirement is None:
            return f"{self.kind}:{self.metric}"
        return _key(self.requirement, self.kind) + ("" if self.slice is None else ":slices")


class Finding(StrEnum):
    """What is known of one check."""

    PASSES = "Passes"
    """Surely better than the bar."""
    FAILS = "Fails"
    """Surely worse than the bar, or no number."""
    OPEN = "Open"
    """Neither is sure."""


class Checks(Reported):
    """All checks of an evaluation, as many of them listed as a termination message has room for."""

    confidence: float = Field(gt=0.5, lt=1, default=0.95)
    """Of the intervals: spec.evaluation.gate.confidence."""
    listed: tuple[Check, ...] = ()
    """The checks, in the order of the manifest's requirements."""
    clear: dict[str, int] = {}
    """Checks by key that are not listed, for they pass however many others there are; all are in the report."""
    undecided: dict[str, int] = {}
    """Checks by key that are not listed, though open: there are too many of them."""

    def findings(self, confidence: float) -> tuple[Finding, ...]:
        """What is known of each check in the list, by Holm's procedure over all checks, on each side.

        Those not listed change nothing: the procedure rejects the smallest p-values first and goes on as though they
        had never been there, so those that are clear no longer count among the hypotheses that a pass is looked for in.
        """
        level, clear, undecided = _level(confidence), sum(self.clear.values()), sum(self.undecided.values())
        passes = holm([c.p_pass for c in self.listed], level, others=undecided)
        fails = holm([c.p_fail for c in self.listed], level, others=undecided + clear)
        return tuple(_finding(c, sure, wrong) for c, sure, wrong in zip(self.listed, passes, fails, strict=True))

    def shorter(self) -> "Checks | None":
        """The same verdict with one check less in the list; None where each is needed.

        First go those that pass among all, the surest first; then open ones, the widest from any decision first.
        """
        count = len(self.listed) + sum(self.clear.values()) + sum(self.undecided.values())
        sure = [c for c in self.listed if c.p_pass <= _level(self.confidence) / count and c.estimate is not None]
        if sure:
            gone = min(sure, key=lambda c: c.p_pass)
            return self.model_copy(update={"listed": _without(self.listed, gone), "clear": _one_more(self.clear, gone)})
        found = zip(self.listed, self.findings(self.confidence), strict=True)
        opened = [c for c, finding in found if finding is Finding.OPEN]
        if len(opened) <= FEW_OPEN:
            return None
        gone = max(opened, key=lambda c: min(c.p_pass, c.p_fail))
        update = {"listed": _without(self.listed, gone), "undecided": _one_more(self.undecided, gone)}
        return self.model_copy(update=update)


class Judged(NamedTuple):
    """A check, what is known of it, and what more it would take."""

    check: Check
    finding: Finding
    rows_needed: int | None
    """Held-out rows in all that would settle an open check if its estimate held; None where no number would."""


class Judgement(NamedTuple):
    """The verdict and what it rests on."""

    verdict: Verdict
    judged: tuple[Judged, ...]
    missing: tuple[str, ...]
    """What the manifest asks for and the evaluation does not have."""
    clear: int
    """Further checks that pass."""
    undecided: int
    """Further checks that are open."""
    confidence: float


def holm(p_values: Sequence[float], level: float, others: int = 0) -> list[bool]:
    """Which hypotheses are rejected, with at most `level` as the chance of even one false rejection.

    Args:
        p_values: one per hypothesis, in any order and however dependent.
        level: of the family.
        others: further hypotheses of the family that are not among these and not rejected.

    Returns:
        One answer per p-value. Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    rejected = [False] * len(p_values)
    left = len(p_values) + others
    for p, i in sorted((math.inf if math.isnan(p) else p, i) for i, p in enumerate(p_values)):
        if p > level / left:
            break
        rejected[i] = True
        left -= 1
    return rejected


def rows_to_settle(check: Check, level: float) -> int | None:
    """Rows in all at which an open check is decided, if its estimate holds: p-values fall with the root of the rows.

    Args:
        check: an open check.
        level: that its smaller p-value must come under.
    """
    p = min(check.p_pass, check.p_fail)
    far = _NORMAL.inv_cdf(1 - p) if 0 < p < 1 else 0.0
    if far <= 0 or check.rows == 0:
        return None
    needed = check.rows * (_NORMAL.inv_cdf(1 - level) / far) ** 2
    return math.ceil(max(needed, check.rows + 1)) if needed <= MOST_ROWS * check.rows else None


def decide(gate: Gate, checks: Checks, *, forgetting: bool = False) -> Judgement:
    """The verdict on an evaluation.

    Args:
        gate: what is required, and how sure it must be.
        checks: what the pod found.
        forgetting: whether the manifest asks for a check on forgetting.
    """
    findings = checks.findings(gate.confidence)
    share = _level(gate.confidence) / max(1, findings.count(Finding.OPEN))
    judged = tuple(
        Judged(c, f, rows_to_settle(c, share) if f is Finding.OPEN else None)
        for c, f in zip(checks.listed, findings, strict=True)
    )
    missing = _missing(gate.require, checks, forgetting=forgetting)
    verdict = _verdict(findings, unknown=bool(missing or checks.undecided))
    counts = sum(checks.clear.values()), sum(checks.undecided.values())
    return Judgement(verdict, judged, missing, *counts, gate.confidence)


_NORMAL = NormalDist()


def _level(confidence: float) -> float:
    """One side of a two-sided interval."""
    return round((1 - confidence) / 2, 12)  # 0.05 for 0.9, not a hair less


def _key(requirement: int, kind: CheckKind) -> str:
    return f"{requirement}:{kind}"


def _without(listed: tuple[Check, ...], gone: Check) -> tuple[Check, ...]:
    return tuple(c for c in listed if c is not gone)


def _one_more(counts: Mapping[str, int], gone: Check) -> dict[str, int]:
    return {**counts, gone.key: counts.get(gone.key, 0) + 1}


def _finding(check: Check, passes: bool, fails: bool) -> Finding:
    if check.rows > 0 and (check.value is None or check.estimate is None):
        return Finding.FAILS
    if passes == fails:  # both would be a contradiction: nothing to rest a verdict on
        return Finding.OPEN
    return Finding.PASSES if passes else Finding.FAILS


def _verdict(findings: Sequence[Finding], *, unknown: bool) -> Verdict:
    if Finding.FAILS in findings:
        return Verdict.FAILED
    return Verdict.INCONCLUSIVE if unknown or Finding.OPEN in findings else Verdict.PASSED


def _missing(require: Sequence[Requirement], checks: Checks, *, forgetting: bool) -> tuple[str, ...]:
    answered = {c.key for c in checks.listed} | checks.clear.keys() | checks.undecided.keys()
    asked = {_key(i, kind): name for i, r in enumerate(require) for kind, name in _asked(r).items()}
    if forgetting:
        asked[f"{CheckKind.FORGETTING}:{MetricName.PERPLEXITY}"] = "Perplexity on general text"
    barless = (f"spec.evaluation.gate.require[{i}] sets no bar" for i, r in enumerate(require) if not _asked(r))
    return (*barless, *(f"{name} was not measured" for key, name in asked.items() if key not in answered))


def _asked(requirement: Requirement) -> Mapping[CheckKind, str]:
    named: dict[CheckKind, str] = {}
    if requirement.minimum is not None:
        named[CheckKind.MINIMUM] = f"{requirement.metric}"
    if requirement.min_improvement is not None:
        named[CheckKind.IMPROVEMENT] = f"{requirement.metric} over {requirement.over}"
    if requirement.max_regression is not None:
        named[CheckKind.REGRESSION] = f"{requirement.metric} against {requirement.over}"
    return named
