"""The few requests that starting the cluster needs, without kubectl."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any

from attune_devcluster import files, pki
from attune_devcluster.addresses import NODE_NAME, STANDING, Endpoints
from attune_devcluster.paths import Layout

CONTEXT = "attune-local"


def write_kubeconfig(layout: Layout, at: Endpoints = STANDING) -> None:
    """Write the administrator's kubeconfig (JSON is YAML)."""
    files.write(layout.kubeconfig, json.dumps(kubeconfig(layout, at), indent=2), mode=0o600)


def kubeconfig(layout: Layout, at: Endpoints = STANDING, *, impersonated: str | None = None) -> dict[str, Any]:
    """Access to the cluster as the administrator; or as somebody else, with their rights only.

    Args:
        layout: folders.
        at: where the API server listens.
        impersonated: a user name, of a ServiceAccount for example.
    """
    user = {"token": pki.token(layout), **({"as": impersonated} if impersonated else {})}
    cluster = {"server": f"https://{at.api_server}", "certificate-authority": str(layout.pki / "apiserver.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }


def ready(layout: Layout, at: Endpoints = STANDING) -> bool:
    """Whether the API server says that it is ready."""
    try:
        return _get(layout, "/readyz", at) == "ok"
    except (OSError, ValueError):
        return False


def node_ready(layout: Layout) -> bool:
    """Whether the node takes pods."""
    try:
        node: dict[str, Any] = json.loads(_get(layout, f"/api/v1/nodes/{NODE_NAME}"))
    except (OSError, ValueError):
        return False
    conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def default_service_account(layout: Layout, at: Endpoints = STANDING) -> bool:
    """Whether pods can be made in the default namespace already: the controller manager has made its ServiceAccount."""
    try:
        _get(layout, "/api/v1/namespaces/default/serviceaccounts/default", at)
    except (OSError, ValueError):
        return False
    return True


def _get(layout: Layout, path: str, at: Endpoints = STANDING) -> str:
    context = ssl.create_default_context(cafile=str(layout.pki / "apiserver.crt"))
    # The server's own certificate is the authority here, which the strict rules of RFC 5280 do not allow.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    url, headers = f"https://{at.api_server}{path}", {"Authorization": f"Bearer {pki.token(layout)}"}
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=3) as response:
        text: str = response.read().decode()
        return text
