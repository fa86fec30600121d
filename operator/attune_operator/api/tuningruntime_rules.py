"""Rules of a TuningRuntime; see `rules.py` for what a rule is."""

from attune_operator.api.rules import Rule, matches, quoted

_RESERVED = r"^(AWS_|ATTUNE_|HF_TOKEN)"
_EXPRESSION = "self.operator in ['In', 'NotIn'] ? self.values.size() > 0 : self.values.size() == 0"

TUNINGRUNTIME: tuple[Rule, ...] = (
    Rule(
        "spec.env[]",
        f"!self.name.matches({quoted(_RESERVED)})",
        "must not begin with AWS_, ATTUNE_ or HF_TOKEN: credentials belong in Secrets named by the FineTuneJob, "
        "and ATTUNE_ is the trainer's own",
        ".name",
        lambda env: not matches(_RESERVED)(env["name"]),
    ),
    Rule(
        "spec.allowedURIs[]",
        "self.matches('^(s3|hf|pvc)://.')",
        "must be a prefix that begins with s3://, hf:// or pvc://",
        holds=matches("^(s3|hf|pvc)://."),
    ),
    Rule(
        "spec.namespaces.matchExpressions[]",
        _EXPRESSION,
        "operators In and NotIn need values; Exists and DoesNotExist have none",
        ".values",
        lambda e: bool(e["values"]) is (e["operator"] in ("In", "NotIn")),
    ),
    Rule(
        "spec.tolerations[]",
        "self.operator == 'Exists' ? !has(self.value) : has(self.key)",
        "operator Exists takes no value, and Equal needs a key",
        holds=lambda t: "value" not in t if t["operator"] == "Exists" else "key" in t,
    ),
    Rule(
        "spec.tolerations[]",
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        "tolerationSeconds needs effect NoExecute",
        holds=lambda t: "tolerationSeconds" not in t or t.get("effect") == "NoExecute",
    ),
)
"""Rules of a TuningRuntime."""
