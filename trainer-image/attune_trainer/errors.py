"""Every way a stage can end other than well, in one tree: each knows its exit code, state and reason.

StageError                      what ended the stage, for people and for the operator
├── BlockedError                20, Blocked: a person must provide something; looked for again at intervals
│   ├── SecretNotFoundError
│   ├── BucketNotFoundError
│   ├── ModelNotFoundError
│   └── AccessDeniedError
├── ObjectNotFoundError         10: an object is not there (a bucket's or model's absence is Blocked)
├── StoreUnreachableError       20, Failed: time-outs and 5xx, after a minute of retries
├── InvalidDataError            10: rows cannot be used
├── DigestMismatchError         10: an input is not what an earlier stage left
├── NotReproducedError          10: the published model is not the one that was evaluated
├── GateNotMetError             11: the evaluation's verdict is not Passed, so nothing is published
├── InvalidConfigurationError   11: the FineTuneJob or its runtime asks for something impossible
│   └── EstimateRefusedError        what preflight worked out does not go; carries figures and report
│       ├── DoesNotFitError         training needs more memory than there is
│       └── OverBudgetError         even the low estimate is over spec.budget
├── OutOfMemoryError            12
├── DivergedError               13: the loss is NaN, infinite or exploded
└── StoppedError                30, Stopped: asked to stop or out of budget, with a checkpoint saved
"""

from typing import ClassVar

from attune_contract.enums import ExitCode, OutcomeState, StopReason
from attune_contract.outcome import Artifact, Estimate, Validation


class StageError(Exception):
    """What ended a stage. `str()` is the sentence for people: what, where, how to mend."""

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED
    state: ClassVar[OutcomeState] = OutcomeState.FAILED
    reason: ClassVar[str] = "UnexpectedError"


class BlockedError(StageError):
    """Something that a person must provide is missing; the operator looks again at intervals."""

    exit_code = ExitCode.STORE_UNREACHABLE
    state = OutcomeState.BLOCKED
    reason = "Blocked"


class SecretNotFoundError(BlockedError):
    """The Secret that a field names does not exist, or lacks a key."""

    reason = "SecretNotFound"


class BucketNotFoundError(BlockedError):
    """The store has no bucket of that name."""

    reason = "BucketNotFound"


class ModelNotFoundError(BlockedError):
    """There is no model where `spec.model.source` says."""

    reason = "ModelNotFound"


class AccessDeniedError(BlockedError):
    """The store knows the keys but refuses, or does not know them."""

    reason = "AccessDenied"


class ObjectNotFoundError(StageError):
    """An object is not there, in a bucket that is."""

    exit_code = ExitCode.BAD_INPUT
    reason = "ObjectNotFound"


class StoreUnreachableError(StageError):
    """The store does not answer, or answers with 5xx, and went on so while it was asked again."""

    exit_code = ExitCode.STORE_UNREACHABLE
    reason = "StoreUnreachable"


class InvalidDataError(StageError):
    """The data cannot be used as it is.

    Args:
        message: how many rows, the first problem, and where all of them are listed.
        validation: the figures and the first problems, for the resource's status.
        artifacts: the report that was written nevertheless.
    """

    exit_code = ExitCode.BAD_INPUT
    reason = "InvalidData"

    def __init__(
        self, message: str, validation: Validation | None = None, artifacts: tuple[Artifact, ...] = ()
    ) -> None:
        super().__init__(message)
        self.validation = validation
        self.artifacts = artifacts


class DigestMismatchError(StageError):
    """An object below the run is not the one that an earlier stage left there."""

    exit_code = ExitCode.BAD_INPUT
    reason = "DigestMismatch"


class NotReproducedError(StageError):
    """The published model, loaded again, does not say what the evaluation recorded."""

    exit_code = ExitCode.BAD_INPUT
    reason = "NotReproduced"


class GateNotMetError(StageError):
    """The evaluation's verdict is not Passed. The operator does not ask then; this holds where a person does."""

    exit_code = ExitCode.BAD_CONFIGURATION
    reason = "GateNotMet"


class InvalidConfigurationError(StageError):
    """The RunConfig asks for something impossible; no further attempt can help."""

    exit_code = ExitCode.BAD_CONFIGURATION
    reason = "InvalidConfiguration"


class EstimateRefusedError(InvalidConfigurationError):
    """The data is good, and the estimate says that the run cannot go as it is asked for.

    Args:
        message: what is too much, and what would fit.
        validation: the figures of the data, for the resource's status.
        estimate: what training would take.
        artifacts: the report that was written nevertheless.
    """

    def __init__(
        self,
        message: str,
        validation: Validation | None = None,
        estimate: Estimate | None = None,
        artifacts: tuple[Artifact, ...] = (),
    ) -> None:
        super().__init__(message)
        self.validation = validation
        self.estimate = estimate
        self.artifacts = artifacts


class DoesNotFitError(EstimateRefusedError):
    """Training needs more memory than an accelerator, or a pod on CPU, has."""

    reason = "DoesNotFit"


class OverBudgetError(EstimateRefusedError):
    """Even at best training takes longer or costs more than `spec.budget` allows."""

    reason = "OverBudget"


class OutOfMemoryError(StageError):
    """Model, batch or sequence do not fit into memory."""

    exit_code = ExitCode.OUT_OF_MEMORY
    reason = "OutOfMemory"


class DivergedError(StageError):
    """The loss became NaN or infinite, or exploded."""

    exit_code = ExitCode.DIVERGED
    reason = "Diverged"


class StoppedError(StageError):
    """Training stopped before its end, and another attempt goes on from where it did.

    Args:
        why: whether it was asked to, or is out of budget.
        checkpoint: where another attempt goes on from.
    """

    exit_code = ExitCode.STOPPED_WITH_CHECKPOINT
    state = OutcomeState.STOPPED
    reason = "Stopped"

    def __init__(self, why: StopReason, checkpoint: Artifact) -> None:
        step = checkpoint.path.strip("/").rsplit("/", 1)[-1]
        because = {
            StopReason.SIGNAL: "as it was asked to; another attempt goes on from there",
            StopReason.BUDGET: "as spec.budget is used up; raise it, and another attempt goes on from there",
        }
        super().__init__(f"Training stopped after step {step} with a checkpoint, {because[why]}.")
        self.why = why
        self.checkpoint = checkpoint


def blocked(problems: list[BlockedError]) -> BlockedError:
    """One error that names everything that is missing, with the reason of the first.

    Args:
        problems: at least one.
    """
    first = problems[0]
    return type(first)("; ".join(dict.fromkeys(str(p) for p in problems)))
