"""Outcome: what a pod says when it ends, as JSON in its termination message (4 KiB at most).

It needs no network and no token, and it survives an operator that was down.
"""

from typing import Literal

from attune_contract import VERSION
from attune_contract.base import Reported
from attune_contract.enums import MetricName, OutcomeState, Stage

MAX_BYTES = 4096
"""Kubernetes cuts a container's termination message there, and cut JSON is no JSON."""
MAX_MESSAGE = 1024
MIN_MESSAGE = 128


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
    error_count: int = 0
    """All problems found; `errors` holds the first ones."""
    errors: tuple[RowError, ...] = ()
    report_uri: str | None = None


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
    training: TrainingFigures | None = None
    evaluation: tuple[MetricResult, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    """What this stage left below the run."""
    report_uri: str | None = None
    model_uri: str | None = None
    manifest_uri: str | None = None
    digest: str | None = None
    """Of the published model."""

    def dumps(self, limit: int = MAX_BYTES) -> str:
        """JSON of at most `limit` bytes: a long message is cut, then errors are left out, then it is cut more.

        What is left out is never lost: counts stay, and the full list is in the report.

        Raises:
            ValueError: it does not fit even so (more artifacts or results than a stage has).
        """
        short = self.model_copy(update={"message": _cut(self.message, MAX_MESSAGE)})
        while len(text := _json(short).encode()) > limit:
            if short.validation and short.validation.errors:
                validation = short.validation.model_copy(update={"errors": short.validation.errors[:-1]})
                short = short.model_copy(update={"validation": validation})
            elif len(short.message) > MIN_MESSAGE:  # characters may have four bytes each
                short = short.model_copy(update={"message": _cut(short.message, len(short.message) // 2)})
            else:
                raise ValueError(f"outcome of {len(text)} bytes is over the limit of {limit}")
        return text.decode()

    @classmethod
    def loads(cls, text: str) -> "Outcome | None":
        """Reads a termination message; None where it is none of ours (a crash, an older version, a cut text)."""
        try:
            return cls.model_validate_json(text)
        except ValueError:
            return None


def _json(outcome: Outcome) -> str:
    return outcome.model_dump_json(exclude_none=True, exclude_defaults=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
