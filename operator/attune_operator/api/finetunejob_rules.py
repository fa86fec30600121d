"""Rules of a FineTuneJob; see `rules.py` for what a rule is."""

from collections.abc import Callable, Iterable
from typing import Any

from attune_contract import uris
from attune_contract.abilities import PACKS, metrics_of
from attune_contract.enums import Method, MetricName
from attune_operator.api.rules import Rule, matches, quoted

JSON = dict[str, Any]
_UP = r"(^|/)\.\.(/|$)"
_S3 = Rule(
    path="",
    cel=f"self.matches({quoted(uris.S3_PATTERN)})",
    message="must be s3://bucket/key; other stores and file:// are not for clusters",
    holds=matches(uris.S3_PATTERN),
)


def _s3(path: str) -> Rule:
    return Rule(path, _S3.cel, _S3.message, holds=_S3.holds)


def _immutable(field: str) -> Rule:
    """For a field that always has a value, given or defaulted; the rule sits on the field, so its path is named."""
    message = f"spec.{field} cannot be changed after creation; create a new FineTuneJob"
    return Rule(f"spec.{field}", "self == oldSelf", message)


def _format(methods: tuple[str, ...], formats: tuple[str, ...]) -> Rule:
    """Methods that read rows of certain formats only."""
    return Rule(
        path="spec",
        cel=f"!(self.method in {_list(methods)}) || self.dataset.format in {_list(formats)}",
        message=f"must be {', '.join(formats)} where method is {' or '.join(methods)}",
        field=".dataset.format",
        holds=lambda spec: spec["method"] not in methods or spec["dataset"]["format"] in formats,
    )


def _list(words: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{w}'" for w in words) + "]"


def _only_for(methods: Iterable[Method], given: str, field: str, what: str, holds: Callable[[Any], bool]) -> Rule:
    """For a field that means something to some methods alone.

    Args:
        methods: those that it means something to.
        given: CEL that is true where the field is left out.
        field: below `spec`, for the message.
        what: the field in words.
        holds: the same as `given`, on the spec as JSON.
    """
    names = tuple(m.value for m in Method if m in methods)
    return Rule(
        path="spec",
        cel=f"{given} || self.method in {_list(names)}",
        message=f"{what} is for method {' or '.join(names)} only; leave it out",
        field=field,
        holds=lambda spec: holds(spec) or spec["method"] in names,
    )


def _default_metrics() -> str:
    """The metrics that each method is measured by where a manifest names none, as a map of CEL."""
    return "{" + ", ".join(f"'{m}': {_list(metrics_of(m).default)}" for m in Method) + "}"


def _metrics_measured(spec: JSON) -> bool:
    evaluation = spec["evaluation"]
    named = {m["name"] for m in evaluation.get("metrics", ())} or set(metrics_of(Method(spec["method"])).default)
    return all(r["metric"] in named for r in evaluation.get("gate", {}).get("require", ()))


def _bars_of_shares(requirement: JSON) -> bool:
    bars = (requirement.get(bar, 0) for bar in ("minimum", "minImprovement", "maxRegression"))
    return requirement["metric"] not in SHARES or all(bar < 1 for bar in bars)


def _baselines_known(spec: JSON) -> bool:
    evaluation = spec["evaluation"]
    names = {"base"} | {b["name"] for b in evaluation["baselines"]}
    names |= {"champion"} if "register" in spec["output"] else set()
    return all(r["over"] in names for r in evaluation.get("gate", {}).get("require", ()))


def _source(path: str) -> Rule:
    return Rule(
        path,
        f"self.matches({quoted(uris.S3_PATTERN)}) || self.matches({quoted(uris.HF_PATTERN)}) || "
        f"(self.matches({quoted(uris.PVC_PATTERN)}) && !self.matches({quoted(_UP)}))",
        "must be s3://bucket/prefix, hf://org/name@revision or pvc://claim/path (without ..)",
        holds=lambda text: (
            any(matches(p)(text) for p in (uris.S3_PATTERN, uris.HF_PATTERN))
            or (matches(uris.PVC_PATTERN)(text) and not matches(_UP)(text))
        ),
    )


def _is_another(baseline: JSON) -> bool:
    extra = any(field in baseline for field in ("source", "systemPrompt")) or baseline.get("fewShot", 0) > 0
    return extra is (baseline["name"] != "base")


def _prompts(spec: JSON) -> bool:
    return any("systemPrompt" in b or b.get("fewShot", 0) > 0 for b in spec["evaluation"]["baselines"])


def _unique(field: str, what: str) -> Rule:
    """Names in a list of the evaluation."""
    return Rule(
        "spec.evaluation",
        f"!has(self.{field}) || self.{field}.all(x, self.{field}.exists_one(y, y.name == x.name))",
        f"{what} may be there once only",
        f".{field}",
        lambda evaluation: len({x["name"] for x in evaluation.get(field, ())}) == len(evaluation.get(field, ())),
    )


def _setting(metric: str, field: str) -> Rule:
    """What one metric needs, and no other one takes."""
    return Rule(
        "spec.evaluation.metrics[]",
        f"(self.name == '{metric}') == has(self.{field})",
        f"{field} belongs to {metric}, which needs it",
        f".{field}",
        lambda asked: (asked["name"] == metric) is (field in asked),
    )


IMMUTABLE = (
    *("runtime", "model", "method", "tuning", "dataset", "training", "resources", "evaluation", "output", "approval"),
)
"""Fields of a FineTuneJob's spec that always have a value and never change."""
COLUMNS = (
    *("messages", "tools", "conversations", "system", "prompt", "completion", "chosen", "rejected", "label", "text"),
    *("instruction", "input", "output", "preferred_output", "non_preferred_output"),
)
"""Fields of all formats: the keys that dataset.columns can have."""
SHARES = tuple(
    m.value
    for m in (
        MetricName.ACCURACY,
        MetricName.MACRO_F1,
        MetricName.EXACT_MATCH,
        MetricName.TOKEN_F1,
        MetricName.ROUGE_L,
        MetricName.JSON_VALID,
        MetricName.REGEX_MATCH,
    )
)
"""Metrics from 0 to 1, for which a percentage is easily written by mistake."""
_SAME_QUEUE = "has(self.queue) == has(oldSelf.queue) && (!has(self.queue) || self.queue == oldSelf.queue)"
_COST_GROWS = "!has(self.maxCost) || (has(oldSelf.maxCost) && double(self.maxCost) >= double(oldSelf.maxCost))"
_DURATION_GROWS = (
    "!has(self.maxDuration) || "
    "(has(oldSelf.maxDuration) && duration(self.maxDuration) >= duration(oldSelf.maxDuration))"
)

FINETUNEJOB: tuple[Rule, ...] = (
    *(_immutable(field) for field in IMMUTABLE),
    Rule("spec", _SAME_QUEUE, "spec.queue cannot be changed after creation; create a new FineTuneJob"),
    Rule(
        "spec",
        "!has(self.budget) || has(oldSelf.budget)",
        "spec.budget cannot be added after creation; create a new FineTuneJob",
        ".budget",
    ),
    Rule("spec.budget", _COST_GROWS, "may grow or be removed after creation, but not shrink or be added", ".maxCost"),
    Rule(
        "spec.budget",
        _DURATION_GROWS,
        "may grow or be removed after creation, but not shrink or be added",
        ".maxDuration",
    ),
    _source("spec.model.source"),
    _source("spec.evaluation.baselines[].source"),
    _s3("spec.dataset.train[]"),
    _s3("spec.dataset.test[]"),
    _s3("spec.evaluation.forgetting.dataset[]"),
    _s3("spec.evaluation.metrics[].ratings"),
    _s3("spec.output.uri"),
    Rule(
        "spec.dataset.columns",
        f"self.all(key, key in {_list(COLUMNS)})",
        f"has a key that is no field of any format; keys are {', '.join(COLUMNS)}, values are the files' own names",
        holds=lambda columns: all(key in COLUMNS for key in columns),
    ),
    Rule(
        "spec.training",
        "has(self.epochs) != has(self.maxSteps)",
        "give exactly one of epochs and maxSteps",
        holds=lambda training: ("epochs" in training) != ("maxSteps" in training),
    ),
    Rule(
        "spec",
        "self.tuning.type != 'QLoRA' || self.resources.gpusPerNode >= 1",
        "tuning.type QLoRA needs a GPU: set resources.gpusPerNode to at least 1, or use LoRA",
        ".resources.gpusPerNode",
        lambda spec: spec["tuning"]["type"] != "QLoRA" or spec["resources"]["gpusPerNode"] >= 1,
    ),
    _format(("DPO", "ORPO"), ("Auto", "Preference")),
    _format(("KTO",), ("Auto", "Rated")),
    _format(("ContinuedPretraining",), ("Auto", "Text")),
    _format(("Classification",), ("Auto", "Labeled")),
    _format(("SFT",), ("Auto", "Chat", "PromptCompletion")),
    _only_for(
        PACKS,
        "!self.training.packing",
        ".training.packing",
        "packing",
        lambda spec: not spec["training"]["packing"],
    ),
    _only_for(
        (Method.CONTINUED_PRETRAINING,),
        "!has(self.training.stride)",
        ".training.stride",
        "stride",
        lambda spec: "stride" not in spec["training"],
    ),
    Rule(
        "spec.training",
        "!has(self.stride) || self.stride <= self.sequenceLength",
        "must be at most sequenceLength: a longer one would leave out what lies between two windows",
        ".stride",
        lambda training: training.get("stride", 1) <= training["sequenceLength"],
    ),
    _only_for(
        (Method.KTO,),
        "!has(self.dataset.rating)",
        ".dataset.rating",
        "rating",
        lambda spec: "rating" not in spec["dataset"],
    ),
    _only_for(
        (Method.CLASSIFICATION,),
        "!has(self.classification)",
        ".classification",
        "this block",
        lambda spec: "classification" not in spec,
    ),
    Rule(
        "spec",
        "!has(self.output.format) || self.output.format == 'Merged' || self.tuning.type != 'Full'",
        "tuning.type Full has no adapter to publish: use Merged, or leave it out",
        ".output.format",
        lambda spec: spec["output"].get("format", "Merged") == "Merged" or spec["tuning"]["type"] != "Full",
    ),
    Rule(
        "spec",
        "!has(self.evaluation.gate) || self.evaluation.gate.require.all(r, has(self.evaluation.metrics) ? "
        "self.evaluation.metrics.exists(m, m.name == r.metric) : "
        f"r.metric in {_default_metrics()}[self.method])",
        "every gate.require[].metric must be among metrics (left out: those that fit the method)",
        ".evaluation.gate",
        _metrics_measured,
    ),
    Rule(
        "spec",
        "!has(self.evaluation.gate) || self.evaluation.gate.require.all(r, r.over == 'base' || "
        "(r.over == 'champion' && has(self.output.register)) || "
        "self.evaluation.baselines.exists(b, b.name == r.over))",
        "every gate.require[].over must be base or the name of one of baselines (champion only with output.register)",
        ".evaluation.gate",
        _baselines_known,
    ),
    Rule(
        "spec.evaluation.gate.require[]",
        "has(self.minimum) || has(self.minImprovement) || has(self.maxRegression)",
        "sets no bar: give minimum, minImprovement or maxRegression",
        holds=lambda r: any(bar in r for bar in ("minimum", "minImprovement", "maxRegression")),
    ),
    Rule(
        "spec.evaluation.gate.require[]",
        f"!(self.metric in {_list(SHARES)}) || ((!has(self.minimum) || self.minimum < 1.0) && "
        "(!has(self.minImprovement) || self.minImprovement < 1.0) && "
        "(!has(self.maxRegression) || self.maxRegression < 1.0))",
        "its metric goes from 0 to 1, so bars must be under 1: write 0.85 for 85 %; more than 1 cannot be, and that it "
        "is exactly 1 no number of rows could show",
        holds=_bars_of_shares,
    ),
    _unique("metrics", "every metric"),
    _unique("baselines", "every name"),
    Rule(
        "spec.evaluation.baselines[]",
        "(has(self.source) || has(self.systemPrompt) || (has(self.fewShot) && self.fewShot > 0)) == "
        "(self.name != 'base')",
        "must be base, which is the model as it is, or have another name and a source, a systemPrompt or a fewShot "
        "above 0",
        holds=_is_another,
    ),
    Rule(
        "spec.evaluation.baselines[]",
        "self.name != 'tuned'",
        "must not be tuned: that is the model that it is compared with",
        ".name",
        lambda baseline: baseline["name"] != "tuned",
    ),
    Rule(
        "spec.evaluation.metrics[]",
        "self.name == 'JSONValid' || !has(self.schema)",
        "belongs to JSONValid; leave it out",
        ".schema",
        lambda asked: asked["name"] == "JSONValid" or "schema" not in asked,
    ),
    _setting("RegexMatch", "pattern"),
    _setting("HumanPreference", "ratings"),
    Rule(
        "spec",
        "self.method != 'ContinuedPretraining' || self.evaluation.baselines.all(b, !has(b.systemPrompt) && "
        "(!has(b.fewShot) || b.fewShot == 0))",
        "method ContinuedPretraining has no prompts that a systemPrompt or examples could go before; leave them out",
        ".evaluation.baselines",
        lambda spec: spec["method"] != "ContinuedPretraining" or not _prompts(spec),
    ),
    Rule(
        "spec",
        "!has(self.classification) || self.classification.style != 'Head' || (!has(self.evaluation.forgetting) && "
        "self.evaluation.baselines.all(b, b.name == 'base'))",
        "classification.style Head says labels and nothing else: it can neither be prompted nor forget general text, "
        "and another model would lack the head; leave forgetting and baselines other than base out",
        ".evaluation",
        lambda spec: (
            spec.get("classification", {}).get("style") != "Head"
            or (
                "forgetting" not in spec["evaluation"]
                and {b["name"] for b in spec["evaluation"]["baselines"]} <= {"base"}
            )
        ),
    ),
    Rule(
        "spec.training",
        "!has(self.earlyStopping) || self.keepBest",
        "needs keepBest: true",
        ".earlyStopping",
        lambda training: "earlyStopping" not in training or training["keepBest"],
    ),
    Rule(
        "spec",
        "!self.training.keepBest || !has(self.dataset.split.validationFraction) || "
        "self.dataset.split.validationFraction > 0.0",
        "must be above 0 where training.keepBest is true: it is what the best is judged by",
        ".dataset.split.validationFraction",
        lambda spec: not spec["training"]["keepBest"] or spec["dataset"]["split"].get("validationFraction", 1) > 0,
    ),
)
"""Rules of a FineTuneJob."""

NAME_RULE = Rule(
    "",
    "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
    "metadata.name must be at most 63 lower-case letters, digits and hyphens, and begin and end with a letter or digit",
)
"""On the root of a FineTuneJob: its children's names begin with its own."""
