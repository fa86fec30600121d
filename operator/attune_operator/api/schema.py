"""From a pydantic model to the structural OpenAPI v3 schema that a CustomResourceDefinition wants.

Source of what is allowed: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", structural schemas.
"""

from enum import Enum
from typing import Any

from pydantic import BaseModel

from attune_contract import enums as contract_enums
from attune_contract import serving
from attune_operator.api import enums as operator_enums
from attune_operator.api.descriptions import STATUS
from attune_operator.api.docstrings import members
from attune_operator.api.rules import Rule, by_path

JSON = dict[str, Any]
LIST_MAP_KEYS = {
    "status.conditions": ["type"],
    "status.attempts": ["stage", "number"],
    "spec.evaluation.baselines": ["name"],
    "spec.jobTemplate.spec.evaluation.baselines": ["name"],
    "status.runs": ["name"],
    "status.wave.members": ["namespace", "name"],
    "status.versions": ["version"],
}
"""Lists whose items have a name: server-side apply merges them by it, and the API server refuses doubles."""
SETS = frozenset(
    f"{root}.{path}"
    for root in ("spec", "spec.jobTemplate.spec")
    for path in ("classification.labels", "dataset.strict")
)
"""Lists of words none of which may be there twice."""
_KEPT = (
    *("type", "format", "enum", "required", "pattern", "minimum", "maximum", "x-kubernetes-int-or-string"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
)
_ENUMS: dict[str, type[Enum]] = {
    name: kind
    for module in (contract_enums, serving, operator_enums)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Enum) and kind.__module__ == module.__name__
}


def structural(model: type[BaseModel], root: str) -> JSON:
    """The structural schema of a model: references resolved, nulls optional, every field described.

    Args:
        model: the model of `spec` or `status`.
        root: `spec` or `status`, for the paths of LIST_MAP_KEYS.

    Raises:
        ValueError: the model has something that a structural schema cannot say, or a field without description.
    """
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(whole.get("$defs", {})).convert(whole, root)


def with_rules(schema: JSON, rules: tuple[Rule, ...]) -> JSON:
    """The same schema with rules put where they belong.

    Args:
        schema: of the whole object, with `spec` among its properties.
        rules: the kind's table; a path that leads nowhere is an error, lest a rule silently goes missing.
    """
    for path, found in by_path(rules).items():
        schema = _placed(schema, path.split(".") if path else [], [_validation(rule) for rule in found])
    return schema


def _placed(schema: JSON, parts: list[str], validations: list[JSON]) -> JSON:
    if not parts:
        return {**schema, "x-kubernetes-validations": [*schema.get("x-kubernetes-validations", []), *validations]}
    name, many = parts[0].removesuffix("[]"), parts[0].endswith("[]")
    child = schema["properties"][name]
    target = _placed(child["items"] if many else child, parts[1:], validations)
    return {**schema, "properties": {**schema["properties"], name: {**child, "items": target} if many else target}}


def _validation(rule: Rule) -> JSON:
    field = {"fieldPath": rule.field} if rule.field else {}
    return {"rule": rule.cel, "message": rule.message, **field}


class _Converter:
    def __init__(self, definitions: JSON) -> None:
        self._definitions = definitions

    def convert(self, node: JSON, path: str) -> JSON:
        node = self._resolved(node)
        out: JSON = {"description": _description(node, path)}
        out |= {key: node[key] for key in _KEPT if key in node}
        out |= _bounds(node)
        if out.pop("x-kubernetes-int-or-string", False):
            out |= {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
        elif "type" not in out:
            raise ValueError(f"{path}: a structural schema needs one type, got {node}")
        out |= self._object(node, path) if node.get("type") == "object" else {}
        if node.get("type") == "array":
            out["items"] = self._unnamed(node["items"], path)
            out |= _list_kind(path)
        if node.get("default") is not None:
            out["default"] = _default(node["default"], node)
        return out

    def _resolved(self, node: JSON) -> JSON:
        """A node with its reference or its only alternative to null merged in; what stands beside them wins."""
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            target = {**self._definitions[name], "x-enum": name if name in _ENUMS else None}
            return self._resolved({**target, **_without(node, "$ref")})
        if "anyOf" in node and "x-kubernetes-int-or-string" not in node:
            choices = [c for c in node["anyOf"] if c.get("type") != "null"]
            if len(choices) != 1:
                raise ValueError(f"a structural schema cannot choose between types: {node}")
            return self._resolved({**choices[0], **_without(node, "anyOf")})
        return node

    def _object(self, node: JSON, path: str) -> JSON:
        extra = node.get("additionalProperties")
        if "properties" in node:
            return {"properties": {k: self.convert(v, f"{path}.{k}") for k, v in node["properties"].items()}}
        if isinstance(extra, dict):
            return {"additionalProperties": self._unnamed(extra, path)}
        return {"x-kubernetes-preserve-unknown-fields": True}

    def _unnamed(self, node: JSON, path: str) -> JSON:
        """An item of a list or a value of a map: described by the field that holds it."""
        return _without(self.convert({**node, "description": "An item."}, f"{path}[]"), "description")


def _without(node: JSON, key: str) -> JSON:
    return {k: v for k, v in node.items() if k != key}


def _bounds(node: JSON) -> JSON:
    """JSON Schema's exclusive bounds in the older spelling of OpenAPI 3.0: the bound, and a flag beside it."""
    return {
        key: value
        for side in ("Minimum", "Maximum")
        if (bound := node.get(f"exclusive{side}")) is not None
        for key, value in ((side.lower(), bound), (f"exclusive{side}", True))
    }


def _description(node: JSON, path: str) -> str:
    text = " ".join(str(node.get("description") or "").split())
    extra = None if path.endswith("[]") else STATUS.get(path.replace("[]", ""))
    if text and extra:
        raise ValueError(f"{path} is described twice: remove it from descriptions.py")
    text = extra or text
    if not text:
        raise ValueError(f"{path} has no description: give the field a docstring")
    if kind := _ENUMS.get(node.get("x-enum") or ""):
        meanings = " ".join(f"{value}: {meaning}" for value, meaning in members(kind).items())
        return f"{text} {meanings}"
    return text


def _list_kind(path: str) -> JSON:
    if path in SETS:
        return {"x-kubernetes-list-type": "set"}
    keys = LIST_MAP_KEYS.get(path)
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys} if keys else {}


def _default(value: Any, node: JSON) -> Any:
    """A default as the API server takes it: of an object nothing, for its fields have their own defaults."""
    if isinstance(value, dict) and "properties" in node:
        return {}
    if isinstance(value, list):
        return [{k: v for k, v in i.items() if v is not None} if isinstance(i, dict) else i for i in value]
    return value
