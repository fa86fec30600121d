"""Conditions and reasons: every word that `status.conditions` can hold, and what to make of it.

`docs/reference/conditions.md` is generated from the docstrings below, so each is written for whoever reads it at night.
"""

from enum import StrEnum


class ConditionType(StrEnum):
    """What a condition is about. All are on the object from the first write of its status on."""

    VALIDATED = "Validated"
    """Preflight accepted data, tokenizer and stores; False names what is wrong."""
    APPROVED = "Approved"
    """Training may start: spec.approval is Auto, or a person set spec.approved."""
    TRAINED = "Trained"
    """Training is complete and its last checkpoint is stored."""
    EVALUATED = "Evaluated"
    """Tuned and base were compared on the same held-out rows; the figures are in status.evaluation."""
    GATE_PASSED = "GatePassed"
    """The evaluation meets spec.evaluation.gate. False does not fail the run: the model is just not promoted."""
    PUBLISHED = "Published"
    """Model, tokenizer and manifest are complete at status.output.modelURI."""
    SUCCEEDED = "Succeeded"
    """The run is over and its work is done, whether the gate was passed or not."""
    FAILED = "Failed"
    """The run is over and a stage could not be done; the message says which and why."""
    FINISHED = "Finished"
    """The run is over, well or not: `kubectl wait --for=condition=Finished` returns either way."""
    RECONCILING = "Reconciling"
    """The operator is at work on it, or waits for something that comes by itself (kstatus)."""
    STALLED = "Stalled"
    """A person must act before anything moves, and the message says how; also True for a failed run (kstatus)."""
    READY = "Ready"
    """The run succeeded, or a schedule or TunedModel is in order; Argo CD and Flux call the object healthy by it
    (kstatus)."""


class Reason(StrEnum):
    """Why a condition is what it is, in one word for programs; the message beside it is for people."""

    NOT_STARTED = "NotStarted"
    """The stage has not begun; look at the stages before it."""
    WAITING = "Waiting"
    """Kueue holds the Job back until quota is free; the message is Kueue's own, and it goes on by itself."""
    RUNNING = "Running"
    """An attempt at the stage is under way."""
    PROGRESSING = "Progressing"
    """The run is on its way; nothing needs doing."""
    DONE = "Done"
    """What the condition is about has been done."""
    SUCCEEDED = "Succeeded"
    """Every stage of the run is done."""
    FAILED = "Failed"
    """The run failed and no more special reason applies; read the message and the last attempt's log."""
    SUSPENDED = "Suspended"
    """spec.suspend is true; set it to false to go on from the last complete checkpoint."""
    STOPPED = "Stopped"
    """The attempt was asked to stop and did; it is not counted against spec.retryLimit."""
    BUDGET_EXCEEDED = "BudgetExceeded"
    """The run has used up spec.budget and stopped, with a checkpoint where it was training. Raise or remove
    spec.budget, and it goes on from there; or delete the FineTuneJob."""

    NOT_REQUIRED = "NotRequired"
    """spec.approval is Auto, so nobody has to approve."""
    AWAITING_APPROVAL = "AwaitingApproval"
    """Preflight is done; look at status.validation and status.estimate, and set spec.approved to true, or delete the
    FineTuneJob."""

    NO_GATE = "NoGate"
    """spec.evaluation.gate requires nothing, so every evaluation passes."""
    GATE_MET = "GateMet"
    """The evaluation meets every requirement of the gate."""
    GATE_NOT_MET = "GateNotMet"
    """A requirement of the gate is not met; the message gives the figures."""
    GATE_INCONCLUSIVE = "GateInconclusive"
    """The held-out rows are too few to tell whether a requirement is met; the message says how many would be enough."""

    INVALID_SPEC = "InvalidSpec"
    """The stored object breaks a rule that the API server did not check, as when its CRDs are older than the operator;
    create a corrected FineTuneJob."""
    NOT_SUPPORTED = "NotSupported"
    """The spec uses a field that this version does not act on; the message names it and what to use instead."""
    RUNTIME_NOT_FOUND = "RuntimeNotFound"
    """There is no TuningRuntime of the name in spec.runtime; the run goes on by itself when there is."""
    RUNTIME_INVALID = "RuntimeInvalid"
    """The TuningRuntime has a field that cannot be used; its admin must mend it, and the run goes on by itself."""
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    """The TuningRuntime's spec.namespaces does not select this namespace; ask its admin, or name another runtime."""
    URI_NOT_ALLOWED = "URINotAllowed"
    """A URI lies outside the TuningRuntime's spec.allowedURIs; move the data, or ask the runtime's admin."""

    KUEUE_NOT_INSTALLED = "KueueNotInstalled"
    """spec.queue names a queue, and the cluster has no Kueue; install it and the run goes on by itself, or create a new
    FineTuneJob without a queue."""
    QUEUE_REFUSED = "QueueRefused"
    """Kueue will not admit the Job as things are: its queue is missing, stopped or inactive, or an admin deactivated
    the Workload. The message is Kueue's own."""

    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    """A Secret that the spec names is not in the run's namespace, or lacks a key; with it the run goes on by itself."""
    BUCKET_NOT_FOUND = "BucketNotFound"
    """The store has no bucket of that name; create it and the run goes on by itself, or mend the URI in a new one."""
    MODEL_NOT_FOUND = "ModelNotFound"
    """There is no model at spec.model.source; upload it, and the run goes on by itself."""
    ACCESS_DENIED = "AccessDenied"
    """The store refuses the keys; mend the Secret or the bucket's policy, and the run goes on by itself."""
    OBJECT_NOT_FOUND = "ObjectNotFound"
    """A data file is not in its bucket. Final: upload it or mend the URI, and create a new FineTuneJob."""
    BLOCKED = "Blocked"
    """Something that a person must provide is missing; the message says what, and it is looked for again by itself."""
    STORE_UNREACHABLE = "StoreUnreachable"
    """The object store did not answer; tried again up to spec.retryLimit. Check endpoint, network and DNS."""

    SERVICE_ACCOUNT_NOT_FOUND = "ServiceAccountNotFound"
    """Pods cannot be created: the runtime's service account is not in the run's namespace; create it there."""
    JOB_CONFLICT = "JobConflict"
    """An object of the name that the run needs belongs to somebody else; delete or rename that one."""
    JOB_REJECTED = "JobRejected"
    """The API server refuses the Job: quota, admission or validation; the message is the server's own."""
    PODS_REJECTED = "PodsRejected"
    """The Job is there but its pods are refused: quota, admission or a volume; the message is the cluster's own."""
    IMAGE_PULL_FAILED = "ImagePullFailed"
    """The node cannot get the runtime's image; check its name, the registry and the pull secrets."""
    RUNTIME_CHANGED = "RuntimeChanged"
    """The TuningRuntime was changed while no pod of the attempt could start. Another attempt follows with what it says
    now; it is not counted."""
    UNSCHEDULABLE = "Unschedulable"
    """No node has what a pod asks for; the message is the scheduler's, which tries again by itself."""

    INVALID_DATA = "InvalidData"
    """Preflight refused the data: status.validation.errors names file, line and field, the report has all. Final."""
    INVALID_CONFIGURATION = "InvalidConfiguration"
    """The spec or its runtime asks for something impossible that only the pod could see. Final."""
    DOES_NOT_FIT = "DoesNotFit"
    """Training would need more memory than an accelerator (or a pod on CPU) has; the message says what would fit, and
    status.estimate how it was reckoned. Final: create a new FineTuneJob."""
    OVER_BUDGET = "OverBudget"
    """Even at best training would cost or take more than spec.budget; the message says what would fit. Final."""
    DIGEST_MISMATCH = "DigestMismatch"
    """A file below the run is not what an earlier stage left there: something else wrote to the run's prefix. Final."""
    NOT_REPRODUCED = "NotReproduced"
    """The published model, loaded again, does not say what the evaluation recorded of the tuned one; the message names
    rows. There is no manifest, and the checkpoint stays. Final."""
    OUT_OF_MEMORY = "OutOfMemory"
    """Model, batch or sequence do not fit. Final: a smaller batch or sequence, LoRA, or more memory would help."""
    DIVERGED = "Diverged"
    """The loss became NaN or infinite, or exploded and stayed so. Final: lower training.learningRate, or look for
    broken rows."""
    NO_PROGRESS = "NoProgress"
    """Training gave no sign of life for too long (where its processes stood is in reports/attempts/ below the run), or
    another stage ran for more than a day; it was ended, and is tried again up to spec.retryLimit."""
    PROCESS_LOST = "ProcessLost"
    """A process of the trainer ended without a word, as one that was killed does; mostly for want of memory, and then
    more of spec.resources.memory helps. Tried again up to spec.retryLimit."""

    POD_FAILED = "PodFailed"
    """A pod ended with an error that nobody foresaw, or cannot start; the message has its last words."""
    POD_DISRUPTED = "PodDisrupted"
    """The cluster ended a pod, or its node refused it: drain, preemption, eviction, a device plugin that is away.
    Another attempt follows; it is not counted."""
    NODE_LOST = "NodeLost"
    """A pod's node was out of reach for so long that its end was not waited for. Another attempt follows; it is not
    counted."""
    EVICTED_BY_QUEUE = "EvictedByQueue"
    """Kueue took the quota away, for a Job of higher priority or because its queue was stopped. Another attempt waits
    for quota, unless the Workload was deactivated (QueueRefused); it is not counted."""
    TERMINATED = "Terminated"
    """A pod was told to stop from outside; another attempt follows."""
    UNEXPECTED_ERROR = "UnexpectedError"
    """A fault in the trainer that nobody foresaw; read the pod's log, and report it with the message."""
    JOB_LOST = "JobLost"
    """Somebody deleted the Job or the pods of an attempt. Another attempt follows; it is not counted."""
    OUTCOME_LOST = "OutcomeLost"
    """The Job completed but its result could not be read; another attempt reports it again, in seconds. Counted only
    where it happens twice in a row."""
    RETRIES_EXHAUSTED = "RetriesExhausted"
    """A stage failed more often than spec.retryLimit allows; the message gives the last failure."""

    TUNED_MODEL_NOT_FOUND = "TunedModelNotFound"
    """There is no TunedModel of the name in spec.output.register; create it, and the run goes on by itself."""
    NOT_SERVABLE = "NotServable"
    """The server of the TunedModel's spec.serving cannot load what the run would publish; the message says why."""

    SCHEDULED = "Scheduled"
    """Everything is in order; the message says when the next run starts."""
    RUN_ACTIVE = "RunActive"
    """A run is active; with concurrencyPolicy Forbid nothing else starts until it is over."""
    RUN_STALLED = "RunStalled"
    """Every active run waits for a person; its message says what for. With spec.stalledDeadline it is given up after a
    while."""
    COOLING_DOWN = "CoolingDown"
    """The last run began less than spec.cooldown ago."""
    DEADLINE_MISSED = "DeadlineMissed"
    """It was time longer ago than startingDeadline allows, as when the operator was down."""
    MISSED = "Missed"
    """It was time more than once while nobody looked; only the last time is made good."""
    BREAKER_OPEN = "BreakerOpen"
    """As many runs in a row failed as spec.breaker allows; mend spec.jobTemplate, or set the annotation
    attune.dev/trigger=now."""
    BUDGET_REACHED = "BudgetReached"
    """What this calendar month may cost is spent, or would be; it goes on by itself with the next month."""
    STARTING = "Starting"
    """Runs are being created."""
    CREATION_REFUSED = "CreationRefused"
    """The API server refuses the runs; the message is its own."""
    TEMPLATE_CHANGED = "TemplateChanged"
    """spec.jobTemplate became another while runs of a start had not had their turn: those are not started any more."""
    WAVE_PAUSED = "WavePaused"
    """The wave that asked for the runs is held up, as by its window or spec.suspend; they start when it goes on."""
    WAVE_RUNNING = "WaveRunning"
    """A wave is under way; status.wave has its progress."""
    OUTSIDE_WINDOW = "OutsideWindow"
    """No run may start now; it goes on when spec.window opens."""
    NO_MATCH = "NoMatch"
    """No FineTuneSchedule is selected."""

    NO_VERSION = "NoVersion"
    """No run has published a version yet."""
    CHAMPION_SERVING = "ChampionServing"
    """The champion is what shall be in use."""
    ROLLING_OUT = "RollingOut"
    """A challenger gets a growing part of the traffic."""
    COMPARING = "Comparing"
    """A version is being compared with the champion on the same rows."""
    COMPARISON_FAILED = "ComparisonFailed"
    """A version cannot be compared with the champion; it is tried again, the more rarely the longer it fails."""
    AWAITING_PROMOTION = "AwaitingPromotion"
    """A version waits for spec.promote."""
    VERSION_NOT_FOUND = "VersionNotFound"
    """spec.promote or spec.rollbackTo names a version that is not there, or that has been retired."""
    CONFIG_MAP_CONFLICT = "ConfigMapConflict"
    """A ConfigMap of the name that the hand-over needs belongs to somebody else; delete or rename that one."""

    STATUS_UNREADABLE = "StatusUnreadable"
    """The status has something that this version of the operator cannot read, as when a newer one wrote it. Nothing is
    started or ended until it can be read again: upgrade the operator, or mend the field that the message names."""
    INTERNAL_ERROR = "InternalError"
    """The operator failed on this object in a way that nobody foresaw; it goes on trying. Report it, with the
    message."""
    SWEEPING = "Sweeping"
    """The FineTuneJob was deleted with output.deletionPolicy Delete: its files are being removed, then it goes."""
    SWEEP_FAILED = "SweepFailed"
    """The files of a deleted FineTuneJob could not be removed; the message says why, and it is tried again. To keep
    them and let the object go, remove the finalizer attune.dev/sweep from it."""

    @classmethod
    def of(cls, text: str, otherwise: "Reason") -> "Reason":
        """The reason of that spelling, or another where a pod of another version says a word not known here."""
        return cls(text) if text in cls._value2member_map_ else otherwise
