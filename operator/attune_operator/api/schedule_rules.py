"""Rules of the kinds about retraining, one table per kind; see `rules.py` for what a rule is."""

import re
from dataclasses import replace

from attune_contract import uris
from attune_contract.quantities import seconds
from attune_contract.serving import VLLM_RANKS, Server
from attune_operator.api import finetunejob_rules
from attune_operator.api.rules import Rule

_DATA = "spec.jobTemplate.spec"


def _selector(path: str) -> Rule:
    return Rule(
        f"spec.{path}.matchExpressions[]",
        "self.operator in ['In', 'NotIn'] ? self.values.size() > 0 : self.values.size() == 0",
        "operators In and NotIn need values; Exists and DoesNotExist have none",
        ".values",
        lambda e: bool(e["values"]) is (e["operator"] in ("In", "NotIn")),
    )


def _name(longest: int) -> Rule:
    """On the root of an object whose name begins the names of others."""
    return Rule(
        "",
        f"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{{0,{longest - 2}}}[a-z0-9])?$')",
        f"metadata.name must be at most {longest} lower-case letters, digits and hyphens, and begin and end with a "
        "letter or digit",
    )


FINETUNESCHEDULE_NAME = _name(42)
"""Runs are called `<name>-<date>-<time>`, and with their values after that."""
TUNEDMODEL_NAME = _name(52)
"""The ConfigMap of the hand-over is called `<name>-tunedmodel`."""
SHORTEST_POLL = "5s"

FINETUNESCHEDULE: tuple[Rule, ...] = (
    *(
        replace(rule, path=_DATA + rule.path.removeprefix("spec"))
        for rule in finetunejob_rules.FINETUNEJOB
        if rule.holds is not None  # those about a change are for runs: a template may change
    ),
    Rule(
        "spec.triggers.newData",
        f"duration(self.pollInterval) >= duration('{SHORTEST_POLL}')",
        f"must be {SHORTEST_POLL} at least: every look is a pod",
        ".pollInterval",
        lambda asked: seconds(asked["pollInterval"]) >= seconds(SHORTEST_POLL),
    ),
    Rule(
        "spec.triggers.drift",
        "has(self.metric) == has(self.maxDrop)",
        "metric and maxDrop belong together: give both or neither",
        ".maxDrop",
        lambda drift: ("metric" in drift) is ("maxDrop" in drift),
    ),
    Rule(
        "spec",
        "!has(self.triggers.drift) || has(self.triggers.drift.tunedModel) || "
        "has(self.jobTemplate.spec.output.register)",
        "names no TunedModel, and jobTemplate registers with none: give tunedModel, or output.register",
        ".triggers.drift",
        lambda spec: (
            "drift" not in spec["triggers"]
            or "tunedModel" in spec["triggers"]["drift"]
            or "register" in spec["jobTemplate"]["spec"]["output"]
        ),
    ),
    Rule(
        "spec",
        "!has(self.triggers.drift) || has(self.triggers.drift.tunedModel) || "
        "!has(self.jobTemplate.spec.output.register) || !self.jobTemplate.spec.output.register.contains('{{')",
        "jobTemplate's matrix registers with several TunedModels, and drift is one's: give tunedModel",
        ".triggers.drift",
        lambda spec: (
            "drift" not in spec["triggers"]
            or "tunedModel" in spec["triggers"]["drift"]
            or "{{" not in spec["jobTemplate"]["spec"]["output"].get("register", "")
        ),
    ),
    Rule(
        "spec.jobTemplate.spec",
        "self.approval == 'Auto' || !self.approved",
        "a template cannot approve runs that nobody has seen: leave it out, and approve each run",
        ".approved",
        lambda spec: spec["approval"] == "Auto" or not spec["approved"],
    ),
)
"""Rules of a FineTuneSchedule: those of a FineTuneJob on its template, and its own."""

CLUSTERFINETUNESCHEDULE: tuple[Rule, ...] = (
    _selector("namespaceSelector"),
    _selector("selector"),
    Rule(
        "spec.window",
        "self.start != self.end",
        "start and end must differ; leave window out to start at any time",
        ".end",
        lambda window: window["start"] != window["end"],
    ),
)
"""Rules of a ClusterFineTuneSchedule."""

TUNEDMODEL: tuple[Rule, ...] = (
    Rule(
        "spec",
        "!has(self.promote) || self.promotion == 'Manual'",
        "is for promotion Manual; with Automatic the better version is promoted by itself",
        ".promote",
        lambda spec: "promote" not in spec or spec["promotion"] == "Manual",
    ),
    Rule(
        "spec",
        "self.rollout.steps.size() == 0 || (self.promotion == 'Automatic' && has(self.monitor))",
        "steps need promotion Automatic, and a monitor whose figures decide on each step",
        ".rollout.steps",
        lambda spec: not spec["rollout"]["steps"] or (spec["promotion"] == "Automatic" and "monitor" in spec),
    ),
    Rule(
        "spec.serving",
        f"self.server != '{Server.VLLM}' || !has(self.maxRank) || self.maxRank in {list(VLLM_RANKS)}",
        f"must be one of {', '.join(map(str, VLLM_RANKS))}: vLLM starts with no other --max-lora-rank",
        ".maxRank",
        lambda serving: serving["server"] != Server.VLLM or serving.get("maxRank", VLLM_RANKS[0]) in VLLM_RANKS,
    ),
    Rule(
        "spec.monitor",
        f"self.source.matches('{uris.S3_PATTERN}')",
        "must be s3://bucket/key; other stores and file:// are not for clusters",
        ".source",
        lambda monitor: re.search(uris.S3_PATTERN, monitor["source"]) is not None,
    ),
)
"""Rules of a TunedModel."""
