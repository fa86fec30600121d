"""What a FineTuneJob's status says. The operator alone writes it, and reads it back as the run's memory.

Times are RFC 3339 text in UTC, as the API server stores them: what is read and
written again stays the same to the byte.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from attune_contract.base import Reported
from attune_contract.enums import Stage, Verdict
from attune_contract.gate import Checks
from attune_contract.outcome import Artifact, Estimate, MetricResult, Validation
from attune_operator.api.enums import AttemptState, Phase
from attune_operator.api.meta import Condition


def _time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("time", "Input should be a time such as 2026-01-02T03:04:05Z") from None
    return text


Time = Annotated[str, AfterValidator(_time), Field(json_schema_extra={"format": "date-time"})]


class ProgressStatus(Reported):
    """Where training is, as its pod last said."""

    step: int = 0
    """Optimizer steps done."""
    total_steps: int = 0
    """Optimizer steps in all; 0 while it is not known."""
    percent: int = 0
    """Whole percent of the stage that runs now."""
    epoch: float | None = None
    """Passes over the training rows."""
    loss: float | None = None
    """Training loss, in nats per token."""
    learning_rate: float | None = None
    """Learning rate of the last step."""
    tokens_per_second: float | None = None
    """Tokens that go through the model in a second, over all pods."""
    eta_seconds: int | None = None
    """Seconds that are left, as the pod reckons."""
    checkpoint_step: int | None = None
    """Step of the last complete checkpoint, from which another attempt goes on."""
    checkpoint_seconds: float | None = None
    """How long a checkpoint takes, in seconds; the pods' grace period goes by it."""
    updated_at: Time
    """When the pod said so."""


class Champion(Reported):
    """The version of a TunedModel that a run is compared with."""

    version: int
    """Its number."""
    model_uri: str
    """Where it is."""


class Attempt(Reported):
    """One try at a stage: one Job."""

    stage: Stage
    """The stage."""
    number: Annotated[int, Field(ge=1)]
    """From 1, for each stage."""
    job_name: str
    """The Job, in this namespace."""
    state: AttemptState
    """How far it is."""
    reason: str = ""
    """Why it ended, in one word for programs."""
    message: str = ""
    """Why it ended, in a sentence for people."""
    exit_code: int | None = None
    """Exit code of the pod that explains the end."""
    resumed_from_step: int | None = None
    """Step of the checkpoint that it went on from; left out where it began afresh."""
    warnings: tuple[str, ...] | None = None
    """What went wrong without ending it, a sentence each, such as a checkpoint that could not be used."""
    image: str | None = None
    """Image that its pods ran, by digest, as the node reports it."""
    champion: Champion | None = None
    """Evaluate: the TunedModel's champion, which joined as the baseline `champion`."""
    start_time: Time
    """When it was recorded, just before its Job was created."""
    held_since: Time | None = None
    """When the first of its pods was on a node: from then on it costs. Left out while it waits."""
    end_time: Time | None = None
    """When it ended."""


class Evaluation(Reported):
    """How the tuned model compares with the base."""

    verdict: Verdict
    """What the gate says."""
    results: tuple[MetricResult, ...] = ()
    """One entry per metric and baseline, in the order of spec.evaluation.metrics; then per slice."""
    checks: Checks | None = None
    """What was found on each requirement of the gate, and on forgetting; the verdict rests on nothing else."""
    report_uri: str | None = None
    """The whole report in the object store."""


class Cost(Reported):
    """What the run has cost so far: hours held times the runtime's prices, failed attempts included."""

    gpu_hours: str
    """Accelerator hours held, as a decimal number."""
    amount: str
    """Money, as a decimal number."""
    currency: str
    """Currency of the runtime's prices, such as USD."""


class OutputStatus(Reported):
    """What the run published."""

    model_uri: str
    """The tuned model and its tokenizer."""
    digest: str | None = None
    """`sha256:…` over the files of the model."""
    manifest_uri: str | None = None
    """The lineage: model commit, data digests, image digest, configuration, versions, seeds."""


class Summary(Reported):
    """The figures as text, for the columns of `kubectl get`, which can show a field but not compute one."""

    progress: str | None = None
    """Such as `57%`."""
    eta: str | None = None
    """Such as `4 minutes`."""
    loss: str | None = None
    """Such as `0.81`."""
    score: str | None = None
    """The first metric of base and tuned, such as `0.42→0.91`."""
    cost: str | None = None
    """Such as `0.44 USD`."""


class FineTuneJobStatus(Reported):
    """Where a run is and what came of it."""

    observed_generation: int | None = None
    """metadata.generation of the spec that this status is about."""
    phase: Phase | None = None
    """Where the run is, in one word for people; programs should wait for conditions."""
    message: str = ""
    """What goes on or why nothing does, in a sentence."""
    run_id: str | None = None
    """Name of the run's folder below spec.output.uri; the FineTuneJob's metadata.uid."""
    conditions: tuple[Condition, ...] = ()
    """Validated, Approved, Trained, Evaluated, GatePassed, Published; Succeeded, Failed, Finished; Reconciling,
    Stalled, Ready. All are there from the first write on."""
    validation: Validation | None = None
    """What preflight found in the data."""
    estimate: Estimate | None = None
    """What the run is expected to take and cost."""
    progress: ProgressStatus | None = None
    """Where training is."""
    attempts: tuple[Attempt, ...] = ()
    """Every attempt at every stage, oldest first: the run's memory."""
    evaluation: Evaluation | None = None
    """How tuned and base compare, and the gate's verdict."""
    cost: Cost | None = None
    """What the run has cost so far."""
    output: OutputStatus | None = None
    """What the run published."""
    artifacts: tuple[Artifact, ...] = ()
    """What the stages left below the run, with digests that later stages verify before they use it."""
    summary: Summary | None = None
    """The figures as text, for the columns of `kubectl get`."""
    start_time: Time | None = None
    """When the operator first took the run up."""
    completion_time: Time | None = None
    """When the run was over."""

    def dump(self) -> dict[str, Any]:
        """The status as JSON for the API server; what has no value is left out."""
        return self.model_dump(mode="json", exclude_none=True)
