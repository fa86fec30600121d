"""The words that resources use beside the contract's, each member documented where it is spelled."""

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


class Trigger(StrEnum):
    """What made a schedule start runs."""

    MANUAL = "Manual"
    """Somebody set the annotation attune.dev/trigger."""
    WAVE = "Wave"
    """A ClusterFineTuneSchedule asked for it."""
    TEMPLATE = "Template"
    """spec.jobTemplate is another than the last run was made from."""
    NEW_DATA = "NewData"
    """There are more training rows, or others, than the last run was made from."""
    DRIFT = "Drift"
    """The monitor of the TunedModel says that the world has changed."""
    CRON = "Cron"
    """It was time."""


class ConcurrencyPolicy(StrEnum):
    """What happens when it is time and a run is still active."""

    FORBID = "Forbid"
    """The new start is skipped, and status says so."""
    ALLOW = "Allow"
    """Both go on side by side."""
    REPLACE = "Replace"
    """The active run is deleted, and the new one starts."""


class WaveState(StrEnum):
    """How far one FineTuneSchedule is in a wave."""

    PENDING = "Pending"
    """Its turn has not come."""
    CLAIMED = "Claimed"
    """Its turn has come: it holds one of the wave's places, and is asked to start."""
    RUNNING = "Running"
    """Its runs are active."""
    DONE = "Done"
    """Its runs are over, and none failed."""
    FAILED = "Failed"
    """Its runs are over, and at least one failed."""
    SKIPPED = "Skipped"
    """It did not start; the message says why."""


class WaveOrder(StrEnum):
    """Which schedules of a wave come first."""

    OLDEST_CHAMPION_FIRST = "OldestChampionFirst"
    """Those whose model was promoted longest ago; those without a champion before all others."""
    WORST_DRIFT_FIRST = "WorstDriftFirst"
    """Those whose monitor found the most drift."""
    ROUND_ROBIN = "RoundRobin"
    """One of each namespace, then the next of each."""


class Promotion(StrEnum):
    """Who decides which version is the champion."""

    AUTOMATIC = "Automatic"
    """A version that is better than the champion on the same rows takes its place."""
    MANUAL = "Manual"
    """A version becomes champion when spec.promote names it."""


class VersionState(StrEnum):
    """What became of a version."""

    CANDIDATE = "Candidate"
    """Published; nothing is decided yet."""
    COMPARING = "Comparing"
    """It is compared with the champion on the same rows, since its run was not."""
    CHALLENGER = "Challenger"
    """It gets a part of the traffic, or waits for spec.promote."""
    CHAMPION = "Champion"
    """It is in use."""
    PREVIOUS = "Previous"
    """It was champion once."""
    DECLINED = "Declined"
    """It is no better than the champion."""
    ROLLED_BACK = "RolledBack"
    """It was champion until spec.rollbackTo named another; it is never promoted by itself again."""
    RETIRED = "Retired"
    """Beyond spec.historyLimit: its figures are kept, and it can no longer be promoted."""
