"""TuningRuntime: the admin's description of where pods run. Users name one, and cannot override what it fixes."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from attune_contract.base import Frozen, Reported
from attune_contract.quantities import Duration, Money, Quantity
from attune_operator.api import rules, tuningruntime_rules
from attune_operator.api.meta import LabelKey, LabelSelector, LabelValue, ObjectMeta
from attune_operator.api.problems import FieldProblem, problems

_DOMAIN = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
DEFAULT_RETENTION = "24h"
ResourceName = Annotated[str, Field(pattern=f"^({_DOMAIN}/)?{_NAME}$", min_length=1, max_length=317)]
DNSName = Annotated[str, Field(pattern=f"^{_DOMAIN}$", max_length=253)]


class Accelerator(Frozen):
    """The accelerators of this runtime's nodes."""

    resource: ResourceName = "nvidia.com/gpu"
    """The extended resource that a pod asks for, once per accelerator."""
    memory: Quantity | None = None
    """Memory of one accelerator, such as `80Gi`; for the estimate."""
    tflops: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Peak bfloat16 TFLOP/s of one accelerator, without sparsity; for the estimate."""


class Price(Frozen):
    """What an hour costs, for estimates, status.cost and budgets."""

    per_gpu_hour: Money = "0"
    """Price of one accelerator for an hour, as text: `"4.00"`."""
    per_cpu_hour: Money = "0"
    """Price of one CPU core for an hour, as text: `"0.05"`."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3)] = "USD"
    """Currency of both prices (ISO 4217)."""


class Toleration(Frozen):
    """A taint that pods of this runtime put up with, as in a pod's spec."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Key of the taint; left out with `operator: Exists`: every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists: any value; Equal: the value below."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; left out: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """With NoExecute: seconds for which the taint is put up with."""


class EnvVar(Frozen):
    """An environment variable of the training containers. Credentials belong in Secrets, never here."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] = ""
    """Its value."""


class TuningRuntimeSpec(Frozen):
    """Where and as what pods run. Owned by platform admins."""

    image: Annotated[str, Field(min_length=1, max_length=512)]
    """Image of every stage; best pinned by digest: `registry/attune-trainer@sha256:…`."""
    accelerator: Accelerator = Accelerator()
    """The accelerators of this runtime's nodes."""
    price: Price = Price()
    """What an hour costs. Left out: runs cost nothing."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=64)] = {}
    """Labels of the nodes that pods may run on."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = ()
    """Taints that pods put up with."""
    topology_key: Annotated[str, Field(min_length=1, max_length=317)] | None = None
    """Node label, such as `topology.kubernetes.io/zone` or one of a rack, of which the pods of a gang share one value
    where there is room for them. Within it, and where this is left out, each goes to a node of its own, again where
    there is room; `kubernetes.io/hostname` packs them onto one node instead. A gang never waits for its place: it would
    hold the GPUs of the pods that are there already."""
    service_account_name: DNSName | None = None
    """Service account of the pods in the run's namespace, such as one with an IAM role. No API token is mounted."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = ()
    """Environment variables of the training containers, such as NCCL settings."""
    cache: DNSName | None = None
    """PersistentVolumeClaim in the run's namespace where downloaded models are kept between runs."""
    namespaces: LabelSelector | None = None
    """Namespaces whose FineTuneJobs may use this runtime. Left out: all."""
    allowed_uris: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...], Field(max_length=64)] = ()
    """Prefixes that model, data and output must lie below, such as `s3://team-a/`. Left out: no limit."""
    retention: Duration = DEFAULT_RETENTION
    """How long Jobs and pods of a run stay, for their logs, after it has ended, such as `24h`; `0s` removes them at
    once. The FineTuneJob itself stays until you delete it, and the logs of failed attempts are in the run's reports."""
    stall_timeout: Duration = "2m"
    """How long a training process may show no progress, such as `2m`, before it counts as hung; ten times its median
    step where that is longer. The attempt is then ended with the stacks of all its processes, and made again."""
    trust_remote_code: bool = False
    """Lets a model's own Python code run in the pods. Leave it false unless you have read that code."""


_NOT_IN_PODS = {"price", "namespaces", "allowed_uris", "retention"}


class TuningRuntime(Reported):
    """A TuningRuntime as stored."""

    metadata: ObjectMeta
    spec: TuningRuntimeSpec

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "tuple[TuningRuntime | None, tuple[FieldProblem, ...]]":
        """Reads a TuningRuntime as the API server gives it.

        Returns:
            The runtime, or None where anything is wrong with it, and everything that is wrong.
        """
        try:
            runtime = cls.model_validate(raw)
        except ValidationError as error:
            return None, problems(error, cls, "")
        found = rules.broken(tuningruntime_rules.TUNINGRUNTIME, runtime.spec)
        return (None if found else runtime), found

    @property
    def digest(self) -> str:
        """A short digest of what pods are made from: tells a Job that was made before a change from one made since."""
        said = self.spec.model_dump_json(exclude_defaults=True, exclude=_NOT_IN_PODS)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def selects(self, namespace_labels: dict[str, str]) -> bool:
        """Whether FineTuneJobs of a namespace with these labels may use this runtime."""
        return self.spec.namespaces is None or self.spec.namespaces.matches(namespace_labels)
