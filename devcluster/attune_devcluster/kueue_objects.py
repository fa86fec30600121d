"""Kueue's own objects, fitted to a controller that is a process of this machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

NAMESPACE = "kueue-system"
SERVICE_ACCOUNT = "kueue-controller-manager"
SECRET = "kueue-webhook-server-cert"  # noqa: S105  a name
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# Its Deployment and Services are replaced by the process; its visibility API is switched off.
WANTED = frozenset(
    {
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Secret",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
)
# Of the kinds of work that Kueue can queue, only Jobs are switched on.
QUEUED_GROUP = "batch"
WATCHED_GROUPS = frozenset({QUEUED_GROUP, "kueue.x-k8s.io"})
JSON = dict[str, Any]


def parse(text: str) -> Iterator[JSON]:
    """Objects that stand one behind the other in JSON text, as kubectl prints them."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        found, at = decoder.raw_decode(text, at)
        yield found
        while at < len(text) and text[at].isspace():
            at += 1


def fit(upstream: list[JSON], *, address: str, certificate: str, key: str) -> list[JSON]:
    """Kueue's objects for a controller that listens at `address`.

    Webhooks are called there; those for kinds of work that are not switched on are left out; and Jobs without a queue
    never wait for Kueue, so that it can be down without harm to them.

    Args:
        upstream: what `kubectl kustomize config/default` of Kueue's module makes.
        address: where the controller's webhooks listen, `ip:port`.
        certificate: PEM of their certificate, which is its own authority.
        key: PEM of its key.
    """
    bundle = base64.b64encode(certificate.encode()).decode()
    secret = {"ca.crt": certificate, "ca.key": key, "tls.crt": certificate, "tls.key": key}
    fitted = []
    for item in upstream:
        changed = dict(item)
        if item["kind"] not in WANTED:
            continue
        if item["kind"] == "Secret":
            changed["data"] = {name: base64.b64encode(text.encode()).decode() for name, text in secret.items()}
        if "webhooks" in item:
            changed["webhooks"] = [_webhook(hook, address, bundle) for hook in item["webhooks"] if _watched(hook)]
        if item["kind"] == "CustomResourceDefinition" and "conversion" in item["spec"]:
            changed["spec"] = {**item["spec"], "conversion": _conversion(item["spec"]["conversion"], address, bundle)}
        fitted.append(changed)
    return fitted


def _watched(hook: JSON) -> bool:
    return all(WATCHED_GROUPS.issuperset(rule["apiGroups"]) for rule in hook["rules"])


def _webhook(hook: JSON, address: str, bundle: str) -> JSON:
    changed = {**hook, "clientConfig": _client(hook["clientConfig"], address, bundle)}
    if any(QUEUED_GROUP in rule["apiGroups"] for rule in hook["rules"]):
        changed["objectSelector"] = {"matchExpressions": [{"key": QUEUE_LABEL, "operator": "Exists"}]}
    return changed


def _conversion(conversion: JSON, address: str, bundle: str) -> JSON:
    if conversion["strategy"] != "Webhook":
        return conversion
    webhook = conversion["webhook"]
    client = _client(webhook["clientConfig"], address, bundle)
    return {**conversion, "webhook": {**webhook, "clientConfig": client}}


def _client(client: JSON, address: str, bundle: str) -> JSON:
    return {"url": f"https://{address}{client['service']['path']}", "caBundle": bundle}
