"""Outcome: what a pod says when it ends, as JSON in its termination message (4 KiB at most).

It needs no network and no token, and it survives an operator that was down.
"""

from collections.abc import Callable
from typing import Literal

from attune_contract import VERSION
from attune_contract.base import Reported
from attune_contract.datafacts import DataFacts
from attune_contract.enums import DataWarning, MetricName, OutcomeState, Stage, StopReason
from attune_contract.gate import Checks
from attune_contract.monitoring import Monitoring
from attune_contract.packed import packed, unpacked

MAX_BYTES = 4096
"""Kubernetes cuts a container's termination message there, and cut JSON is no JSON."""
MAX_MESSAGE = 1024
MIN_MESSAGE = 128
LOG_LINES = 20
"""So many of the last lines of its log does an attempt that failed bring along, at most."""
MAX_LOG_LINE = 300
HEAD = ("version", "runID", "stage", "attempt", "state", "reason", "message")
"""Fields that stay readable for whoever looks at a pod, however much else there is."""
FEW_ERRORS = 5
"""So many errors are worth more than what warnings say and the estimate assumes."""


class Artifact(Reported):
    """An object, or a folder of objects, that a stage left below the run."""

    path: str
    """Relative to the run's prefix; a folder ends in `/`."""
    digest: str
    """`sha256:…` of the object; of a folder, the sha256 over its sorted lines `<sha256>  <relative path>\\n`
    (its marker COMPLETE apart)."""
    size_bytes: int
    stage: Stage


class RowError(Reported):
    """One problem in the data, where it is and what it is."""

    code: str
    """A word for programs, such as `missing_column`."""
    file: str
    """URI or name of the file."""
    line: int | None = None
    """From 1; None where the problem is the file's."""
    field: str | None = None
    message: str


class WarningCount(Reported):
    """One thing that preflight warns of, and how often it is there."""

    code: DataWarning
    count: int
    """Rows that it is about."""
    message: str = ""
    """What it means and how to mend it, with an example of where it is; never the text of a row."""


class TokenFigures(Reported):
    """Tokens per training example after the template and before truncation."""

    total: int = 0
    p50: int = 0
    p95: int = 0
    max: int = 0


class Validation(Reported):
    """What preflight found."""

    format: str = ""
    """The format of the rows; for Auto with the reason."""
    rows: int = 0
    """Rows read, good and bad, train and test together."""
    train_rows: int = 0
    """Rows accepted for training."""
    test_rows: int = 0
    """Rows accepted for evaluation."""
    invalid_rows: int = 0
    duplicate_rows: int = 0
    """Rows of train that repeat an earlier one exactly."""
    leaked_rows: int = 0
    """Rows of test that are also in train, exactly."""
    truncated_rows: int = 0
    """Rows of train longer than training.sequenceLength."""
    tokens: TokenFigures = TokenFigures()
    labels: dict[str, int] = {}
    """Rows of train by label (Classification, KTO), most frequent first; at most 20."""
    packed_sequences: int | None = None
    """Sequences that packing would make of the rows of train; None where the method does not pack."""
    warnings: tuple[WarningCount, ...] = ()
    """What does not end the run but should be looked at."""
    error_count: int = 0
    """All problems found; `errors` holds the first ones."""
    counts: dict[str, int] = {}
    """All problems found, by code, most frequent first."""
    errors: tuple[RowError, ...] = ()
    report_uri: str | None = None


class DurationRange(Reported):
    """How long training is expected to take."""

    low: str
    """At best, such as `6m`."""
    high: str
    """At worst, such as `11m`."""


class CostRange(Reported):
    """What training is expected to cost."""

    low: str
    """At best, as a decimal number."""
    high: str
    """At worst, as a decimal number."""
    currency: str
    """Currency of the runtime's prices, such as USD."""


class ActualFigures(Reported):
    """What training came to, beside the estimate."""

    steps: int
    """Optimizer steps done."""
    duration: str
    """Time from the first step to the last, such as `8m`."""
    memory_per_gpu: str | None = None
    """Most memory that a process had: of its accelerator or, on CPU, resident."""
    cost: str | None = None
    """Money that the training attempts cost, as a decimal number."""


class Estimate(Reported):
    """What training is expected to take: from the model's shape and the data's tokens, before anything expensive."""

    steps: int
    """Optimizer steps."""
    tokens: int = 0
    """Tokens that go through the model, over all epochs."""
    memory_per_gpu: str | None = None
    """Memory that training needs on each accelerator or, on CPU, in each pod, such as `9Gi`."""
    duration: DurationRange | None = None
    """Time of training."""
    cost: CostRange | None = None
    """Money, by the runtime's prices."""
    assumptions: tuple[str, ...] = ()
    """What the figures rest on, one sentence each."""
    measured_steps: int | None = None
    """Steps whose measured speed duration and cost now rest on; left out while they rest on assumptions."""
    actual: ActualFigures | None = None
    """What it came to, once training is done."""

    @property
    def in_words(self) -> str:
        """The figures for a sentence: `540 steps, 6m to 11m, 0.40 to 0.72 USD, 9Gi of memory each`."""
        said = [f"{self.steps} {'step' if self.steps == 1 else 'steps'}"]
        if self.duration:
            said.append(f"{self.duration.low} to {self.duration.high}")
        if self.cost:
            said.append(f"{self.cost.low} to {self.cost.high} {self.cost.currency}")
        if self.memory_per_gpu:
            said.append(f"{self.memory_per_gpu} of memory each")
        return ", ".join(said)


class TrainingFigures(Reported):
    """What training came to."""

    steps: int
    epochs: float
    tokens: int
    """Tokens that went through the model, padding not counted."""
    train_loss: float
    """Mean loss over the last tenth of the steps, in nats per token."""
    validation_loss: float | None = None
    seconds: float
    parameters: int
    trainable_parameters: int
    seconds_per_step: float | None = None
    """Mean over the first measured steps (the very first one apart), which the estimate is refined by."""
    measured_steps: int | None = None
    """How many steps that mean is over."""
    peak_memory_bytes: int | None = None
    """Most memory that a process had: of its accelerator or, on CPU, resident."""


class MetricResult(Reported):
    """One metric, tuned against one baseline, on the same rows."""

    metric: MetricName
    tuned: float
    baseline: str
    value: float
    """The baseline's figure."""
    delta: float
    """tuned less value, in the metric's own unit; for Perplexity a negative delta is the better one."""
    low: float | None = None
    """Lower end of the interval for delta."""
    high: float | None = None
    p_value: float | None = None
    rows: int
    """Held-out rows that it was taken on."""
    slice: str | None = None
    """The rows that it is about, as `column=value`; None for all."""
    smallest_detectable: float | None = None
    """The smallest difference that rows like these show in four of five cases; None: none."""


class Outcome(Reported):
    """How one attempt at a stage ended."""

    version: Literal["v1alpha1"] = VERSION  # type: ignore[assignment]  # the constant is the literal
    run_id: str
    stage: Stage
    attempt: int
    state: OutcomeState
    reason: str = ""
    """CamelCase word for programs, such as `InvalidData` or `SecretNotFound`."""
    message: str = ""
    """A sentence for people: what, where, how to mend."""
    validation: Validation | None = None
    estimate: Estimate | None = None
    training: TrainingFigures | None = None
    evaluation: tuple[MetricResult, ...] = ()
    """One entry per metric and baseline, over all rows first, then per slice."""
    checks: Checks | None = None
    """What the evaluation found on each requirement of the gate, and on forgetting."""
    monitoring: Monitoring | None = None
    """What a look at published versions came to."""
    data: DataFacts | None = None
    """What a look at training data came to."""
    artifacts: tuple[Artifact, ...] = ()
    """What this stage left below the run."""
    stop_reason: StopReason | None = None
    """Why training stopped before its end (state Stopped with a checkpoint)."""
    resumed_from_step: int | None = None
    """Training: the step of the checkpoint that this attempt went on from; 0: it began at the beginning."""
    checkpoint: Artifact | None = None
    """Training that did not get to its end: the last complete checkpoint, from which another attempt goes on."""
    log_tail: tuple[str, ...] = ()
    """The last lines of the log of an attempt that failed, secrets masked; all of it is in the attempt's log."""
    warnings: tuple[str, ...] = ()
    """What went wrong without ending the stage, a sentence each, such as a checkpoint that could not be used."""
    report_uri: str | None = None
    model_uri: str | None = None
    manifest_uri: str | None = None
    digest: str | None = None
    """Of the published model."""

    def dumps(self, limit: int = MAX_BYTES) -> str:
        """JSON of at most `limit` bytes.

        Where that is not enough, all but its head is packed (`packed`): twenty errors fit that are much alike, as
        errors mostly are. What is too much even so is left out, the least needed first: errors beyond the first few,
        the oldest lines of the log, what warnings say, what the estimate assumes, labels, the last errors, figures of
        slices, checks that decide nothing; then the message is cut, and the last figures go. Nothing is lost by that:
        counts stay, and the stage's report has all of it.

        Raises:
            ValueError: it does not fit even so (more artifacts or results than a stage has).
        """
        short = self.model_copy(update={"message": _cut(self.message, MAX_MESSAGE)})
        text = _json(short).encode()
        while len(text) > limit and len(text := packed(_json(short), HEAD).encode()) > limit:
            shorter = next((s for reduce in _REDUCTIONS if (s := reduce(short)) is not None), None)
            if shorter is None:
                raise ValueError(f"outcome of {len(text)} bytes is over the limit of {limit}")
            short = shorter
        return text.decode()

    @classmethod
    def loads(cls, text: str) -> "Outcome | None":
        """Reads a termination message; None where it is none of ours (a crash, an older version, a cut text)."""
        try:
            return cls.model_validate(unpacked(text))
        except ValueError:
            return None


def _fewer_errors(outcome: Outcome, kept: int) -> Outcome | None:
    found = outcome.validation
    if found is None or len(found.errors) <= kept:
        return None
    return _with_validation(outcome, errors=found.errors[:-1])


def _fewer_log_lines(outcome: Outcome) -> Outcome | None:
    """The oldest line goes: what ended the attempt is said at the end."""
    return outcome.model_copy(update={"log_tail": outcome.log_tail[1:]}) if outcome.log_tail else None


def _silent_warning(outcome: Outcome) -> Outcome | None:
    """The longest text of a warning goes; its code and count stay."""
    warnings = outcome.validation.warnings if outcome.validation else ()
    longest = max(warnings, key=lambda w: len(w.message), default=None)
    if longest is None or not longest.message:
        return None
    said = tuple(w.model_copy(update={"message": ""}) if w is longest else w for w in warnings)
    return _with_validation(outcome, warnings=said)


def _fewer_assumptions(outcome: Outcome) -> Outcome | None:
    if outcome.estimate is None or not outcome.estimate.assumptions:
        return None
    kept = outcome.estimate.model_copy(update={"assumptions": outcome.estimate.assumptions[:-1]})
    return outcome.model_copy(update={"estimate": kept})


def _fewer_labels(outcome: Outcome) -> Outcome | None:
    if outcome.validation is None or not outcome.validation.labels:
        return None
    return _with_validation(outcome, labels=dict(list(outcome.validation.labels.items())[:-1]))


def _fewer_slices(outcome: Outcome) -> Outcome | None:
    """The last figure of a slice goes; those over all rows stay."""
    last = next((r for r in reversed(outcome.evaluation) if r.slice is not None), None)
    if last is None:
        return None
    return outcome.model_copy(update={"evaluation": tuple(r for r in outcome.evaluation if r is not last)})


def _fewer_checks(outcome: Outcome) -> Outcome | None:
    """A check whose absence changes no verdict goes; it is counted still."""
    shorter = outcome.checks.shorter() if outcome.checks else None
    return None if shorter is None else outcome.model_copy(update={"checks": shorter})


def _shorter_monitoring(outcome: Outcome) -> Outcome | None:
    shorter = outcome.monitoring.shorter() if outcome.monitoring else None
    return None if shorter is None else outcome.model_copy(update={"monitoring": shorter})


def _fewer_results(outcome: Outcome) -> Outcome | None:
    """The last figure goes; the first, which is the run's score, stays."""
    return outcome.model_copy(update={"evaluation": outcome.evaluation[:-1]}) if len(outcome.evaluation) > 1 else None


def _fewer_warnings(outcome: Outcome) -> Outcome | None:
    return outcome.model_copy(update={"warnings": outcome.warnings[:-1]}) if outcome.warnings else None


def _shorter_message(outcome: Outcome) -> Outcome | None:
    if len(outcome.message) <= MIN_MESSAGE:  # characters may have four bytes each
        return None
    return outcome.model_copy(update={"message": _cut(outcome.message, len(outcome.message) // 2)})


def _with_validation(outcome: Outcome, **fields: object) -> Outcome:
    assert outcome.validation is not None, "asked for only where there is one"  # noqa: S101
    return outcome.model_copy(update={"validation": outcome.validation.model_copy(update=fields)})


_REDUCTIONS: tuple[Callable[[Outcome], Outcome | None], ...] = (
    lambda outcome: _fewer_errors(outcome, FEW_ERRORS),
    _fewer_log_lines,
    _silent_warning,
    _fewer_assumptions,
    _fewer_labels,
    lambda outcome: _fewer_errors(outcome, 0),
    _fewer_slices,
    _fewer_checks,
    _shorter_monitoring,
    _shorter_message,
    _fewer_warnings,
    _fewer_results,
)
"""How an Outcome that is too long gets shorter, one piece at a time; None where there is no more of it to leave out."""


def _json(outcome: Outcome) -> str:
    return outcome.model_dump_json(exclude_none=True, exclude_defaults=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
