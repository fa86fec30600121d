"""What applications and servers read: a ConfigMap with URIs and digests, and a feature flag that splits traffic. Pure.

The flag is in flagd's format (https://flagd.dev/reference/flag-definitions), read by every OpenFeature SDK with a flagd
provider. Its variants are objects, so that an application has what it loads from what it asks.
"""

import json
from typing import Any

from attune_contract.serving import served_name
from attune_operator import naming
from attune_operator.api.tunedmodel import TunedModel, TunedModelSpec, Version
from attune_operator.tunedmodel.promotion import Standing

JSON = dict[str, Any]
SCHEMA = "https://flagd.dev/schema/v0/flags.json"
FLAGS = "flags.json"


def config_map(model: TunedModel, standing: Standing) -> JSON:
    """The ConfigMap of a TunedModel; it goes when the TunedModel goes."""
    meta = model.metadata
    champion, challenger = standing.version(standing.champion), standing.version(standing.challenger)
    base = (champion or challenger).base if champion or challenger else ""  # type: ignore[union-attr]  # one is there
    data = {
        **({"base.uri": base} if base else {}),
        **_keys("champion", champion, meta.name),
        **_keys("challenger", challenger, meta.name),
        FLAGS: json.dumps(flags(model, standing), indent=2, sort_keys=True) + "\n",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": naming.hand_over_name(meta.name),
            "namespace": meta.namespace,
            "labels": {naming.MANAGED_BY_LABEL: naming.MANAGER},
            "annotations": {naming.TUNED_MODEL_ANNOTATION: meta.name},
            "ownerReferences": [naming.owner_reference(naming.TUNED_MODEL_KIND, meta.name, meta.uid)],
        },
        "data": data,
    }


def flags(model: TunedModel, standing: Standing) -> JSON:
    """The flag, as a whole flagd document."""
    champion, challenger = standing.version(standing.champion), standing.version(standing.challenger)
    name, either = model.metadata.name, champion or challenger
    variants: JSON = {"base": {"name": "base", "uri": either.base} if either else {"name": "base"}}
    variants |= {"champion": _variant("champion", champion, name)} if champion else {}
    variants |= {"challenger": _variant("challenger", challenger, name)} if challenger else {}
    usual = "champion" if champion else "base"
    percent = challenger_percent(model.spec, standing)
    flag: JSON = {"state": "ENABLED", "variants": variants, "defaultVariant": usual}
    if challenger is not None and percent:
        flag["targeting"] = _split(model.spec.rollout.sticky_by, usual, percent)
    return {"$schema": SCHEMA, "flags": {name: flag}}


def challenger_percent(spec: TunedModelSpec, standing: Standing) -> int:
    """The part of the traffic that the challenger gets now; under a rollback nothing but the champion is served."""
    if standing.challenger is None or spec.rollback_to is not None:
        return 0
    if standing.rollout is not None:
        return standing.rollout.challenger_percent
    return spec.rollout.challenger_percent


def _split(property_: str, usual: str, percent: int) -> JSON:
    """Buckets by one property, so that a user keeps the variant; whoever has no such property gets the usual one."""
    by: JSON = {"cat": [{"var": "$flagd.flagKey"}, {"var": property_}]}
    fractional: JSON = {"fractional": [by, [usual, 100 - percent], ["challenger", percent]]}
    return {"if": [{"!!": [{"var": property_}]}, fractional, usual]}


def _variant(name: str, version: Version, model: str) -> JSON:
    made = {"name": name, "version": version.version, "servedName": served_name(model, version.run_id)}
    # An adapter is loaded beside its base: whoever serves it needs both.
    loaded = {"uri": version.model_uri, "digest": version.digest, "format": version.format.value, "base": version.base}
    return {**made, **loaded}


def _keys(name: str, version: Version | None, model: str) -> dict[str, str]:
    if version is None:
        return {}
    told = {
        "version": str(version.version),
        "servedName": served_name(model, version.run_id),
        "uri": version.model_uri,
        "digest": version.digest,
        "manifest": version.manifest_uri,
        "run": version.run,
        "format": version.format.value,
    }
    return {f"{name}.{key}": value for key, value in told.items() if value}
