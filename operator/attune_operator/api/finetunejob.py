"""FineTuneJob: one run, as a user writes it and as the operator reports on it."""

import copy
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from attune_contract.base import Frozen, Reported
from attune_contract.enums import Method
from attune_contract.outcome import Estimate
from attune_contract.spec import Budget, Classification, Dataset, Model, Output, Resources, Training, Tuning
from attune_contract.spec import Evaluation as EvaluationSpec
from attune_operator.api import finetunejob_rules, rules
from attune_operator.api.enums import Approval, AttemptState, Phase
from attune_operator.api.meta import Condition, ObjectMeta
from attune_operator.api.problems import FieldProblem, as_mapping, problems
from attune_operator.api.status import (
    Attempt,
    Cost,
    Evaluation,
    FineTuneJobStatus,
    OutputStatus,
    ProgressStatus,
    Summary,
)

__all__ = [
    "Approval",
    "Attempt",
    "AttemptState",
    "Budget",
    "Condition",
    "Cost",
    "Estimate",
    "Evaluation",
    "FineTuneJob",
    "FineTuneJobSpec",
    "FineTuneJobStatus",
    "OutputStatus",
    "Phase",
    "ProgressStatus",
    "Queue",
    "Summary",
]

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class Queue(Frozen):
    """How the run waits for quota (Kueue)."""

    name: ObjectName
    """Kueue LocalQueue in this namespace."""
    priority_class: ObjectName | None = None
    """Kueue WorkloadPriorityClass."""


class FineTuneJobSpec(Frozen):
    """What a user asks for. Cannot be changed after creation, except suspend, approved, budget and retryLimit."""

    runtime: ObjectName
    """The TuningRuntime that fixes image, accelerator, price and placement; `kubectl get tuningruntimes` lists them."""
    model: Model
    """The base model."""
    method: Method
    """How the model learns."""
    tuning: Tuning = Tuning()
    """Which weights change: adapters (LoRA, QLoRA) or all (Full)."""
    dataset: Dataset
    """The examples to learn from, and those held out."""
    training: Training
    """Length, learning rate, batch and sequence."""
    classification: Classification | None = None
    """How labels are learnt. For method Classification only; left out there: style Token."""
    resources: Resources = Resources()
    """Nodes, accelerators, CPU and memory of the training pods."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How tuned and base are compared, and what counts as good enough."""
    output: Output
    """Where the run's files and the tuned model go."""
    budget: Budget | None = None
    """What the run may take at most. May grow, or be removed, while the run goes on."""
    approval: Approval = Approval.AUTO
    """Whether a person looks at preflight's findings before training starts."""
    approved: bool = False
    """Set to true to let a run with `approval: Required` train."""
    queue: Queue | None = None
    """How the run waits for quota (Kueue)."""
    retry_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """Attempts at a stage after failures. Disruptions (drained or lost nodes, preemption) are not counted."""
    suspend: bool = False
    """True ends the attempt under way; false goes on from the last complete checkpoint."""


class FineTuneJob(Reported):
    """A FineTuneJob as stored."""

    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: FineTuneJobStatus = FineTuneJobStatus()

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "tuple[FineTuneJob, tuple[FieldProblem, ...]]":
        """Reads a FineTuneJob as the API server gives it.

        Args:
            raw: the object; what an API server cannot have stored (no name, a list as spec) is a problem too, no error.

        Returns:
            The object, and everything that is wrong with it. Where anything is wrong, no run must begin by `spec`: a
            bad one has no fields at all, and one with fields of a newer version has only those known here. `metadata`
            can be used, and `status` holds those of its fields that could be read.
        """
        metadata, bad_metadata = _metadata(raw)
        spec, bad_spec = _spec(raw)
        status, bad_status = _status(raw)
        run = cls.model_construct(metadata=metadata, spec=spec, status=status)
        return run, (*bad_metadata, *bad_spec, *bad_status)


_without_fields: Callable[..., FineTuneJobSpec] = FineTuneJobSpec.model_construct


def _metadata(raw: dict[str, Any]) -> tuple[ObjectMeta, tuple[FieldProblem, ...]]:
    try:
        return ObjectMeta.model_validate(raw.get("metadata") or {}), ()
    except ValidationError as error:
        return ObjectMeta(name=""), problems(error, ObjectMeta, "metadata")


def _spec(raw: dict[str, Any]) -> tuple[FineTuneJobSpec, tuple[FieldProblem, ...]]:
    given = raw.get("spec") or {}
    try:
        spec = FineTuneJobSpec.model_validate(given)
    except ValidationError as error:
        found = problems(error, FineTuneJobSpec, "spec")
        return _known_part(given, error), found
    return spec, rules.broken(finetunejob_rules.FINETUNEJOB, spec)


def _known_part(given: dict[str, Any], error: ValidationError) -> FineTuneJobSpec:
    """What this version knows of a spec that a newer one's CRDs gave more fields; else a spec without any."""
    if any(e["type"] != "extra_forbidden" for e in error.errors()):
        return _without_fields()
    known = copy.deepcopy(given)
    try:
        for *where, name in (e["loc"] for e in error.errors()):
            inner: Any = known
            for part in where:
                inner = inner[part]
            del inner[name]
        return FineTuneJobSpec.model_validate(known)
    except (LookupError, TypeError, ValidationError):
        return _without_fields()


def _status(raw: dict[str, Any]) -> tuple[FineTuneJobStatus, tuple[FieldProblem, ...]]:
    stored = raw.get("status")
    given = as_mapping(stored)
    if stored is not None and not isinstance(stored, Mapping):
        said = f"must be a mapping of fields; it is a {type(stored).__name__}."
        return FineTuneJobStatus(), (FieldProblem("status", said),)
    try:
        return FineTuneJobStatus.model_validate(given), ()
    except ValidationError as error:
        unreadable = {e["loc"][0] for e in error.errors()}
        readable = {key: value for key, value in given.items() if key not in unreadable}
        return FineTuneJobStatus.model_validate(readable), problems(error, FineTuneJobStatus, "status")
