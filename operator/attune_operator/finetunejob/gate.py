"""From figures to a verdict. Pure.

A FineTuneJob without requirements asks for nothing, so nothing can fail; requirements are refused by this version
(`api/support.py`) rather than waved through.
"""

from attune_contract.enums import Verdict
from attune_contract.outcome import MetricResult
from attune_contract.spec import Gate
from attune_operator.api.conditions import Reason


def judge(gate: Gate | None, results: tuple[MetricResult, ...]) -> tuple[Verdict, Reason, str]:
    """The verdict on an evaluation, its reason, and the sentence for the condition GatePassed."""
    told = "; ".join(sentence(r) for r in results)
    if gate is None or not gate.require:
        return Verdict.PASSED, Reason.NO_GATE, f"spec.evaluation.gate requires nothing. {told}"
    return Verdict.INCONCLUSIVE, Reason.NOT_SUPPORTED, f"This version does not judge requirements. {told}"


def sentence(result: MetricResult) -> str:
    """One metric in words: `Accuracy 0.91, base 0.42 (+0.49 on 96 rows)`."""
    return (
        f"{result.metric} {result.tuned:.4g}, {result.baseline} {result.value:.4g} "
        f"({result.delta:+.4g} on {result.rows} rows)"
    )
