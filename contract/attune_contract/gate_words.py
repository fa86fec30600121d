"""A verdict in words: what the condition GatePassed says, and the report above everything else."""

from attune_contract.gate import MOST_ROWS, TOKEN_KL, Check, CheckKind, Finding, Judged, Judgement

PROMPTED = "prompted"
"""The usual name of the baseline that asks whether a prompt would have done."""
_WORST_FIRST = (Finding.FAILS, Finding.OPEN, Finding.PASSES)


def tell(judgement: Judgement) -> str:
    """What the verdict rests on, the worst first."""
    judged, confidence = judgement.judged, judgement.confidence
    told = [sentence(j, confidence) for finding in _WORST_FIRST for j in judged if j.finding is finding]
    clear, undecided = judgement.clear, judgement.undecided
    also = [f"{clear} more pass"] * (clear > 0) + [f"{undecided} more are open"] * (undecided > 0)
    return "; ".join((*judgement.missing, *told, *also))


def sentence(judged: Judged, confidence: float) -> str:
    """One check in words: `Accuracy 0.91 is 0.49 over base (95 % interval 0.38 to 0.59, bar 0.05)`."""
    check = judged.check
    if check.rows == 0:
        return f"{_subject(check)} was taken on no rows"
    if check.value is None or check.estimate is None:
        return f"{_subject(check)} is not a number, so it cannot meet {_bar(check)}"
    return f"{_fact(check)} ({_interval(check, confidence)}{_bar(check)}){_rest(judged)}"


def _subject(check: Check) -> str:
    if check.kind is CheckKind.FORGETTING:
        return "Token KL to base on general text" if check.metric == TOKEN_KL else f"{check.metric} on general text"
    return check.metric if check.slice is None else f"{check.metric} where {check.slice}"


def _fact(check: Check) -> str:
    assert check.value is not None, "asked for only where there is one"  # noqa: S101
    assert check.estimate is not None, "asked for only where there is one"  # noqa: S101
    said = f"{_subject(check)} {_number(check.value)}"
    if check.kind is CheckKind.FORGETTING and check.metric != TOKEN_KL:
        return f"{said} is {_number(check.estimate)} times that of {check.baseline}"
    if check.kind in {CheckKind.MINIMUM, CheckKind.FORGETTING}:
        return said
    if check.estimate == 0:
        return f"{said} equals {check.baseline}"
    where = "over" if (check.estimate > 0) is not check.lower_is_better else "under"
    which = ", lower being better" if check.lower_is_better else ""
    return f"{said} is {_number(abs(check.estimate))} {where} {check.baseline}{which}"


def _interval(check: Check, confidence: float) -> str:
    percent = f"{100 * confidence:.4g} %"
    match check.low, check.high:
        case None, None:
            return "too few rows for an interval, "
        case None, high:
            return f"{percent} interval up to {_number(high)}, "
        case low, None:
            return f"{percent} interval from {_number(low)}, "
        case low, high:
            return f"{percent} interval {_number(low)} to {_number(high)}, "


def _bar(check: Check) -> str:
    if check.kind is CheckKind.MINIMUM:
        return f"{'at most' if check.lower_is_better else 'minimum'} {_number(check.bar)}"
    return f"{'limit' if check.kind is CheckKind.FORGETTING else 'bar'} {_number(check.bar)}"


def _rest(judged: Judged) -> str:
    check = judged.check
    if judged.finding is Finding.PASSES:
        return ""
    if judged.finding is Finding.FAILS:
        return f": not met{_without_tuning(check)}"
    inside = (check.low is None or check.low <= check.bar) and (check.high is None or check.bar <= check.high)
    why = (
        "the interval straddles the bar" if inside else "the interval clears the bar, but not by enough for all checks"
    )
    if judged.rows_needed is None:
        return f"; {why}, and even {MOST_ROWS} times the rows might not settle it"
    return f"; {why}: about {_round_up(judged.rows_needed - check.rows)} more rows would settle it"


def _without_tuning(check: Check) -> str:
    """Whether a prompt would have done, which is what a requirement over `prompted` asks."""
    if check.kind is not CheckKind.IMPROVEMENT or check.baseline != PROMPTED or check.estimate is None:
        return ""
    gain = -check.estimate if check.lower_is_better else check.estimate
    return f", prompting the base does {'as well' if gain <= 0 else 'nearly as well'}"


def _number(x: float | None) -> str:
    if x is None:
        return "?"
    return f"{x:.0f}" if abs(x) >= 1000 else f"{x:.3g}"  # noqa: PLR2004 - beyond that %g turns to powers of ten


def _round_up(rows: int) -> int:
    """To two digits: more would pretend."""
    unit: int = 10 ** max(0, len(str(rows)) - 2)
    return -(-rows // unit) * unit
