"""What keeps a run, or its next stage, from starting. Pure."""

from attune_contract.enums import Stage
from attune_contract.outcome import Outcome
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import Approval
from attune_operator.api.finetunejob import Attempt, FineTuneJobSpec
from attune_operator.api.support import unsupported
from attune_operator.finetunejob.admission import Asked, refusal
from attune_operator.finetunejob.budget import exhausted
from attune_operator.finetunejob.estimate import known
from attune_operator.finetunejob.registering import registering
from attune_operator.finetunejob.snapshot import Snapshot
from attune_operator.finetunejob.waiting import Hold, kueue_missing
from attune_operator.settings import Settings


def bad_spec(seen: Snapshot) -> Hold | None:
    """What is wrong with the spec, all of it at once."""
    if seen.spec_problems and all(p.unknown for p in seen.spec_problems):
        fields = ", ".join(p.path for p in seen.spec_problems)
        message = (
            f"This version of the operator does not know {fields}: the cluster's CustomResourceDefinitions are of a "
            "newer one. Nothing is started or ended meanwhile; upgrade the operator, and the run goes on by itself."
        )
        return Hold(Reason.NOT_SUPPORTED, message)
    if seen.spec_problems:
        return Hold(Reason.INVALID_SPEC, " ".join(f"{p.path}: {p.message}" for p in seen.spec_problems))
    if problems := unsupported(seen.run.spec):
        return Hold(Reason.NOT_SUPPORTED, " ".join(f"{p.path}: {p.message}" for p in problems))
    return None


def suspended_hold() -> Hold:
    """A pause that somebody asked for."""
    return Hold(Reason.SUSPENDED, "Suspended: set spec.suspend to false to go on.", stalled=False)


def not_yet(
    seen: Snapshot, attempts: tuple[Attempt, ...], stage: Stage, settings: Settings, outcome: Outcome | None = None
) -> Hold | None:
    """What keeps a stage from starting: pause, approval, or something that only a person can mend.

    Args:
        seen: the run as it was read.
        attempts: the record, without the attempt that would start.
        stage: the stage.
        settings: sizes of the CPU stages, for the budget.
        outcome: what the attempt that ended just now said.
    """
    spec = seen.run.spec
    if spec.suspend:
        return suspended_hold()
    if stage is Stage.TRAIN and spec.approval is Approval.REQUIRED and not spec.approved:
        expected = known(seen, outcome)
        told = f" Training is estimated at {expected.in_words}." if expected else ""
        message = f"Preflight is done.{told} Set spec.approved to true to train."
        return Hold(Reason.AWAITING_APPROVAL, message, stalled=False)
    if hold := _of_the_runtime(seen) or registering(seen):
        return hold
    if spec.queue is not None and seen.queue is not None and not seen.queue.installed:
        # Said before preflight: a person must act either way, and hours later would be late.
        return kueue_missing(spec.queue.name)
    assert seen.runtime is not None, "else it is what keeps the stage from starting"  # noqa: S101
    return exhausted(seen.run, seen.runtime, attempts, stage, now=seen.now, settings=settings)


def _of_the_runtime(seen: Snapshot) -> Hold | None:
    """What the run's TuningRuntime has against it."""
    asked = Asked(seen.run.spec.runtime, seen.run.metadata.namespace, _uris(seen.run.spec))
    return refusal(asked, seen.runtime, seen.runtime_problems, seen.namespace_labels)


def _uris(spec: FineTuneJobSpec) -> dict[str, str]:
    """What a run reads and writes, by field."""
    used = {"spec.model.source": spec.model.source, "spec.output.uri": spec.output.uri}
    used |= {f"spec.dataset.train[{i}]": uri for i, uri in enumerate(spec.dataset.train)}
    used |= {f"spec.dataset.test[{i}]": uri for i, uri in enumerate(spec.dataset.test)}
    return used | _of_evaluation(spec)


def _of_evaluation(spec: FineTuneJobSpec) -> dict[str, str]:
    """What the evaluation reads beside model and data, by field."""
    asked = spec.evaluation
    named = {f"spec.evaluation.baselines[{i}].source": b.source for i, b in enumerate(asked.baselines)}
    named |= {f"spec.evaluation.metrics[{i}].ratings": m.ratings for i, m in enumerate(asked.metrics or ())}
    general = asked.forgetting.dataset if asked.forgetting else ()
    named |= {f"spec.evaluation.forgetting.dataset[{i}]": uri for i, uri in enumerate(general)}
    return {path: uri for path, uri in named.items() if uri is not None}
