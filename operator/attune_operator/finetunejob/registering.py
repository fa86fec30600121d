"""What a TunedModel means for a run that registers with it: its champion is compared, its server must cope. Pure."""

from attune_contract.enums import ClassificationStyle, OutputFormat, Stage
from attune_contract.serving import refusals
from attune_contract.spec import Baseline, Workload
from attune_operator.api.conditions import Reason
from attune_operator.api.finetunejob import Attempt, FineTuneJobSpec
from attune_operator.api.status import Champion
from attune_operator.api.tunedmodel import Version
from attune_operator.finetunejob.snapshot import Snapshot
from attune_operator.finetunejob.waiting import Hold

CHAMPION = "champion"
MOST_BASELINES = 8
"""As many as a manifest may have; with these there is no room, and the version is compared afterwards."""


def registering(seen: Snapshot) -> Hold | None:
    """What keeps a run from being registered; asked before anything expensive starts."""
    name = seen.run.spec.output.register_
    if name is None:
        return None
    if seen.tuned_model is None:
        message = (
            f"spec.output.register: there is no TunedModel {name!r} in namespace {seen.run.metadata.namespace!r}, or "
            "its spec cannot be used; create or mend it, and the run goes on by itself."
        )
        return Hold(Reason.TUNED_MODEL_NOT_FOUND, message)
    serving = seen.tuned_model.spec.serving
    if serving is None:
        return None
    found = refusals(serving.server, serving.max_rank, workload(seen.run.spec))
    told = " ".join(str(refusal) for refusal in found)
    return Hold(Reason.NOT_SERVABLE, f"{told} TunedModel {name!r} is served so (spec.serving).") if told else None


def workload(spec: FineTuneJobSpec) -> Workload:
    """The blocks of a spec that pods act on."""
    return Workload(**{name: getattr(spec, name) for name in Workload.model_fields})


def champion_for(seen: Snapshot, stage: Stage) -> Champion | None:
    """The champion that joins an evaluation, as it is when the attempt is recorded."""
    model, spec = seen.tuned_model, seen.run.spec
    if stage is not Stage.EVALUATE or model is None or spec.output.register_ is None:
        return None
    champion = model.status.version(model.status.champion.version) if model.status.champion else None
    if champion is None or not _can_join(spec, champion):
        return None
    return Champion(version=champion.version, model_uri=champion.model_uri)


def _can_join(spec: FineTuneJobSpec, champion: Version) -> bool:
    """Whether a champion can be evaluated in the run's own pod. Where not, the version is compared afterwards.

    An adapter needs its own base; a head its own labels, which must be listed; and the pod the keys to read it.
    """
    asked = spec.evaluation
    taken = any(b.name == CHAMPION for b in asked.baselines) or len(asked.baselines) >= MOST_BASELINES
    fits = champion.format is not OutputFormat.ADAPTER or champion.base == spec.model.source
    head = spec.classification is not None and spec.classification.style is ClassificationStyle.HEAD
    told = not head or bool(spec.classification and spec.classification.labels)
    near = champion.model_uri.startswith(spec.output.uri.rstrip("/") + "/")
    same_keys = champion.secrets.get("output") == spec.model.credentials_secret
    return champion.method is spec.method and not taken and fits and told and (near or same_keys)


def with_champion(work: Workload, attempt: Attempt) -> Workload:
    """The workload of an attempt, with the champion among the baselines of its evaluation.

    Where there is no champion, the base takes its place in the gate, for the base is what is in use then.
    """
    asked = work.evaluation
    if attempt.stage is not Stage.EVALUATE:
        return work
    if attempt.champion is not None:
        joined = Baseline(name=CHAMPION, source=attempt.champion.model_uri)
        return work.model_copy(
            update={"evaluation": asked.model_copy(update={"baselines": (*asked.baselines, joined)})}
        )
    known = any(b.name == CHAMPION for b in asked.baselines)
    if asked.gate is None or known or not any(r.over == CHAMPION for r in asked.gate.require):
        return work
    require = tuple(r.model_copy(update={"over": "base"}) if r.over == CHAMPION else r for r in asked.gate.require)
    gate = asked.gate.model_copy(update={"require": require})
    return work.model_copy(update={"evaluation": asked.model_copy(update={"gate": gate})})
