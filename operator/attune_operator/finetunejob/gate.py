"""From figures to a verdict. Pure.

A FineTuneJob that requires nothing cannot fail. What is required is judged by the contract's rule, over the checks that
the evaluation reported; what it did not report is not waved through.
"""

from attune_contract.enums import Verdict
from attune_contract.gate import Checks, decide
from attune_contract.gate_words import tell
from attune_contract.outcome import MetricResult
from attune_contract.spec import Evaluation, Gate
from attune_operator.api.conditions import Reason

_REASONS = {
    Verdict.PASSED: Reason.GATE_MET,
    Verdict.FAILED: Reason.GATE_NOT_MET,
    Verdict.INCONCLUSIVE: Reason.GATE_INCONCLUSIVE,
}


def judge(asked: Evaluation, results: tuple[MetricResult, ...], checks: Checks | None) -> tuple[Verdict, Reason, str]:
    """The verdict on an evaluation, its reason, and the sentence for the condition GatePassed.

    Args:
        asked: spec.evaluation, whose gate and forgetting are what is required.
        results: the metrics, for the sentence where nothing is required.
        checks: what the evaluation found on each requirement; None where it reported none.
    """
    gate, forgetting = asked.gate or Gate(), asked.forgetting is not None
    if not gate.require and not forgetting:
        told = "; ".join(sentence(r) for r in results if r.slice is None)
        return Verdict.PASSED, Reason.NO_GATE, f"spec.evaluation.gate requires nothing. {told}"
    found = decide(gate, checks or Checks(), forgetting=forgetting)
    return found.verdict, _REASONS[found.verdict], f"{tell(found)}."


def sentence(result: MetricResult) -> str:
    """One metric in words: `Accuracy 0.91, base 0.42 (+0.49 on 96 rows)`."""
    return (
        f"{result.metric} {result.tuned:.4g}, {result.baseline} {result.value:.4g} "
        f"({result.delta:+.4g} on {result.rows} rows)"
    )
