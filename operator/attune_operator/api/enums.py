"""The words that a FineTuneJob uses beside the contract's, each member documented where it is spelled."""

from enum import StrEnum


class Approval(StrEnum):
    """Whether a person looks at preflight's findings before anything expensive starts."""

    AUTO = "Auto"
    """Training starts as soon as preflight is done."""
    REQUIRED = "Required"
    """Training waits after preflight until spec.approved is true."""


class Phase(StrEnum):
    """Where a run is, in one word for people; programs should wait for conditions."""

    PENDING = "Pending"
    """Nothing runs: the run is about to begin, or something keeps it; status.message says what."""
    VALIDATING = "Validating"
    """Preflight reads the data."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """Preflight is done; training waits for spec.approved."""
    QUEUED = "Queued"
    """Kueue holds the Job until quota is free; status.message is Kueue's own reason."""
    TRAINING = "Training"
    """The model is being trained."""
    EVALUATING = "Evaluating"
    """Tuned and base are compared on the held-out rows."""
    PUBLISHING = "Publishing"
    """Model, tokenizer and manifest are being written."""
    SUCCEEDED = "Succeeded"
    """The run is over and did its work; whether the gate passed is another question (GatePassed)."""
    FAILED = "Failed"
    """The run is over without a result; status.message says why."""
    SUSPENDED = "Suspended"
    """Stopped by spec.suspend, or at the end of spec.budget; it goes on from the last complete checkpoint."""


class AttemptState(StrEnum):
    """How far an attempt is."""

    PENDING = "Pending"
    """Recorded; its Job is being created, or its pods do not run yet."""
    RUNNING = "Running"
    """At least one of its pods runs."""
    SUCCEEDED = "Succeeded"
    """The stage is complete."""
    FAILED = "Failed"
    """It ended without completing the stage."""
    BLOCKED = "Blocked"
    """Something that a person must provide is missing; it is looked for again at intervals."""
    STOPPED = "Stopped"
    """It was asked to stop; it is not counted against spec.retryLimit."""
