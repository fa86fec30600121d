"""The CustomResourceDefinitions, made from the models and rules of this folder."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from attune_operator import naming
from attune_operator.api import finetunejob_rules, tuningruntime_rules
from attune_operator.api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from attune_operator.api.rules import Rule
from attune_operator.api.schema import structural, with_rules
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
KINDS = (FINETUNEJOB, TUNINGRUNTIME)


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
