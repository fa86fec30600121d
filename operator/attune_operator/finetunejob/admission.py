"""Whether a TuningRuntime takes pods of a namespace, and what they may read and write. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attune_contract.uris import is_allowed
from attune_operator.api.conditions import Reason
from attune_operator.api.problems import FieldProblem
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.waiting import Hold


@dataclass(frozen=True)
class Asked:
    """Pods that somebody wants on a runtime."""

    runtime: str
    """Its name."""
    namespace: str
    uris: Mapping[str, str] = field(default_factory=dict)
    """What they would read and write, by field."""
    path: str = "spec.runtime"
    """Field that names the runtime."""


def refusal(
    asked: Asked,
    runtime: TuningRuntime | None,
    problems: tuple[FieldProblem, ...],
    namespace_labels: dict[str, str],
) -> Hold | None:
    """What a runtime has against pods, or None where it takes them.

    Args:
        asked: the pods.
        runtime: the runtime, if it is there and can be used.
        problems: what is wrong with it.
        namespace_labels: of the pods' namespace; read only where the runtime selects namespaces.
    """
    name, path = asked.runtime, asked.path
    if problems:
        return Hold(Reason.RUNTIME_INVALID, " ".join(f"{p.path}: {p.message}" for p in problems))
    if runtime is None:
        message = f"{path}: there is no TuningRuntime named {name!r}; `kubectl get tuningruntimes` lists them."
        return Hold(Reason.RUNTIME_NOT_FOUND, message)
    if not runtime.selects(namespace_labels):
        message = (
            f"{path}: TuningRuntime {name!r} does not admit namespace {asked.namespace!r}: its spec.namespaces does "
            "not match the namespace's labels."
        )
        return Hold(Reason.NAMESPACE_NOT_ALLOWED, message)
    allowed = tuple(runtime.spec.allowed_uris)
    outside = [f"{where}: {uri}" for where, uri in asked.uris.items() if not is_allowed(uri, allowed)]
    if not outside:
        return None
    message = f"TuningRuntime {name!r} allows only {', '.join(allowed)}. Not below these: {'; '.join(outside)}"
    return Hold(Reason.URI_NOT_ALLOWED, message)
