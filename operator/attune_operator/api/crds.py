"""The CustomResourceDefinitions, made from the models and rules of this folder."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from attune_operator import naming
from attune_operator.api import finetunejob_rules, schedule_rules, tuningruntime_rules
from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleSpec, ClusterFineTuneScheduleStatus
from attune_operator.api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from attune_operator.api.finetuneschedule import FineTuneScheduleSpec, FineTuneScheduleStatus
from attune_operator.api.rules import Rule
from attune_operator.api.schema import structural, with_rules
from attune_operator.api.tunedmodel import TunedModelSpec, TunedModelStatus
from attune_operator.api.tuningruntime import TuningRuntimeSpec

JSON = dict[str, Any]
CATEGORY = "attune"
_STANDARD = {
    "apiVersion": {"description": "Version of this representation of the object.", "type": "string"},
    "kind": {"description": "Kind of the object.", "type": "string"},
}


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`. It shows what is at a path; it cannot compute."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """Above 0: only with `-o wide`."""


@dataclass(frozen=True)
class Kind:
    """What is special about one kind."""

    kind: str
    plural: str
    short: str
    scope: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel] | None
    rules: tuple[Rule, ...]
    columns: tuple[Column, ...]


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_READY = '.status.conditions[?(@.type=="Ready")].status'

FINETUNEJOB = Kind(
    kind=naming.KIND,
    plural="finetunejobs",
    short="ftj",
    scope="Namespaced",
    description="One fine-tuning run: data checked, model trained, compared with its base, published.",
    spec=FineTuneJobSpec,
    status=FineTuneJobStatus,
    rules=(finetunejob_rules.NAME_RULE, *finetunejob_rules.FINETUNEJOB),
    columns=(
        Column("Phase", ".status.phase"),
        Column("Method", ".spec.method"),
        Column("Model", ".spec.model.source"),
        Column("Progress", ".status.summary.progress"),
        Column("ETA", ".status.summary.eta"),
        Column("Loss", ".status.summary.loss"),
        Column("Score", ".status.summary.score"),
        Column("Verdict", ".status.evaluation.verdict"),
        Column("Cost", ".status.summary.cost"),
        _AGE,
        Column("Message", ".status.message", priority=1),
    ),
)
TUNINGRUNTIME = Kind(
    kind="TuningRuntime",
    plural="tuningruntimes",
    short="ftr",
    scope="Cluster",
    description="Where and as what fine-tuning pods run: image, accelerator, price, placement, identity. "
    "Owned by platform admins; users name one.",
    spec=TuningRuntimeSpec,
    status=None,
    rules=tuningruntime_rules.TUNINGRUNTIME,
    columns=(
        Column("Image", ".spec.image"),
        Column("Accelerator", ".spec.accelerator.resource"),
        Column("Price", ".spec.price.perGPUHour"),
        Column("Currency", ".spec.price.currency", priority=1),
        _AGE,
    ),
)
FINETUNESCHEDULE = Kind(
    kind=naming.SCHEDULE_KIND,
    plural=naming.SCHEDULES,
    short="fts",
    scope="Namespaced",
    description="Retraining: makes FineTuneJobs from a template, on a cron, on new data, on drift.",
    spec=FineTuneScheduleSpec,
    status=FineTuneScheduleStatus,
    rules=(schedule_rules.FINETUNESCHEDULE_NAME, *schedule_rules.FINETUNESCHEDULE),
    columns=(
        Column("Cron", ".spec.triggers.cron.schedule"),
        Column("Suspend", ".spec.suspend", "boolean"),
        Column("Active", ".status.summary.active", "integer"),
        Column("Last", ".status.lastRunTime", "date"),
        Column("Trigger", ".status.lastTrigger.trigger"),
        # Not of type date: that shows how long ago, and this lies ahead.
        Column("Next", ".status.nextRunTime"),
        Column("Spent", ".status.summary.spent"),
        Column("Ready", _READY),
        _AGE,
        Column("Message", ".status.message", priority=1),
    ),
)
CLUSTERFINETUNESCHEDULE = Kind(
    kind=naming.CLUSTER_SCHEDULE_KIND,
    plural=naming.CLUSTER_SCHEDULES,
    short="cfts",
    scope="Cluster",
    description="Waves of FineTuneSchedules over namespaces, with limits on how many run at once.",
    spec=ClusterFineTuneScheduleSpec,
    status=ClusterFineTuneScheduleStatus,
    rules=schedule_rules.CLUSTERFINETUNESCHEDULE,
    columns=(
        Column("Cron", ".spec.cron.schedule"),
        Column("Suspend", ".spec.suspend", "boolean"),
        Column("Total", ".status.wave.total", "integer"),
        Column("Done", ".status.wave.done", "integer"),
        Column("Running", ".status.wave.running", "integer"),
        Column("Failed", ".status.wave.failed", "integer"),
        Column("Skipped", ".status.wave.skipped", "integer"),
        Column("Next", ".status.nextWaveTime"),
        _AGE,
        Column("Message", ".status.message", priority=1),
    ),
)
TUNEDMODEL = Kind(
    kind=naming.TUNED_MODEL_KIND,
    plural=naming.TUNED_MODELS,
    short="tm",
    scope="Namespaced",
    description="Versions of one model: which is champion, which challenger, promotion and rollback.",
    spec=TunedModelSpec,
    status=TunedModelStatus,
    rules=(schedule_rules.TUNEDMODEL_NAME, *schedule_rules.TUNEDMODEL),
    columns=(
        Column("Champion", ".status.summary.champion"),
        Column("Score", ".status.summary.score"),
        Column("Challenger", ".status.summary.challenger"),
        Column("Promotion", ".spec.promotion"),
        Column("Drift", ".status.summary.drift"),
        Column("Ready", _READY),
        _AGE,
        Column("Message", ".status.message", priority=1),
        Column("URI", ".status.champion.modelURI", priority=1),
    ),
)
KINDS = (FINETUNEJOB, TUNINGRUNTIME, FINETUNESCHEDULE, CLUSTERFINETUNESCHEDULE, TUNEDMODEL)


def crd(kind: Kind) -> JSON:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{naming.GROUP}"},
        "spec": {
            "group": naming.GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "scope": kind.scope,
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> JSON:
    return {
        "name": naming.VERSION,
        "served": True,
        "storage": True,
        **({"subresources": {"status": {}}} if kind.status else {}),
        "additionalPrinterColumns": [_column(c) for c in kind.columns],
        "schema": {"openAPIV3Schema": openapi(kind)},
    }


def openapi(kind: Kind) -> JSON:
    """The schema of the whole object, rules included."""
    properties: JSON = {**_STANDARD, "metadata": {"type": "object"}, "spec": structural(kind.spec, "spec")}
    if kind.status is not None:
        properties["status"] = structural(kind.status, "status")
    schema: JSON = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": properties,
    }
    return with_rules(schema, kind.rules)


def _column(column: Column) -> JSON:
    wide = {"priority": column.priority} if column.priority else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, **wide}
