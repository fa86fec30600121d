"""The parts of Kubernetes objects that every kind shares, as much of them as is used here."""

from typing import Annotated, Literal

from pydantic import Field

from attune_contract.base import Frozen, Reported
from attune_operator.api.conditions import ConditionType
from attune_operator.api.problems import as_mapping

LabelValue = Annotated[str, Field(max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]


class ObjectMeta(Reported):
    """What the API server notes about every object."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    """RFC 3339, UTC."""
    deletion_timestamp: str | None = None
    """RFC 3339, UTC; set once the object is being deleted."""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Condition(Reported):
    """One thing about the run that is True, False or not known yet; the shape is `metav1.Condition`."""

    type: str
    """What it is about, such as Trained or Finished."""
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """True, False or Unknown."""
    reason: str
    """Why, in one word for programs."""
    message: str = ""
    """Why, in a sentence for people."""
    observed_generation: int = 0
    """metadata.generation of the spec that it was judged by."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When `status` last changed."""


def is_finished(status: object) -> bool:
    """Whether a run is over, by its status as it is stored; what has no conditions that can be read is not."""
    conditions = as_mapping(status).get("conditions")
    return isinstance(conditions, list) and any(
        (c := as_mapping(raw)).get("type") == ConditionType.FINISHED and c.get("status") == "True" for raw in conditions
    )


class LabelRequirement(Frozen):
    """One expression about a label."""

    key: LabelKey
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label is compared: In, NotIn (with `values`), Exists, DoesNotExist (without)."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """Values for In and NotIn."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether labels meet it. As in Kubernetes, NotIn is met by labels without the key."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        return (value is not None) is (self.operator == "Exists")


class LabelSelector(Frozen):
    """Labels that must be there; all of it must hold, and an empty selector selects everything."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=64)] = {}
    """Labels with exactly these values."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=64)] = ()
    """Expressions about labels."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether labels meet every part of the selector. Source: Kubernetes, "labels and selectors"."""
        exact = all(labels.get(key) == value for key, value in self.match_labels.items())
        return exact and all(e.matches(labels) for e in self.match_expressions)
