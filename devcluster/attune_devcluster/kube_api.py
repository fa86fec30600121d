"""The few requests that starting the cluster needs, without kubectl."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any

from attune_devcluster import files, pki
from attune_devcluster.addresses import API_SERVER, NODE_NAME
from attune_devcluster.paths import Layout

CONTEXT = "attune-local"


def write_kubeconfig(layout: Layout) -> None:
    """Write the administrator's kubeconfig (JSON is YAML)."""
    cluster = {"server": API_SERVER, "certificate-authority": str(layout.pki / "apiserver.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": pki.token(layout)}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
        "current-context": CONTEXT,
    }
    files.write(layout.kubeconfig, json.dumps(config, indent=2), mode=0o600)


def ready(layout: Layout) -> bool:
    """Whether the API server says that it is ready."""
    try:
        return _get(layout, "/readyz") == "ok"
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


def default_service_account(layout: Layout) -> bool:
    """Whether pods can be made in the default namespace already: the controller manager has made its ServiceAccount."""
    try:
        _get(layout, "/api/v1/namespaces/default/serviceaccounts/default")
    except (OSError, ValueError):
        return False
    return True


def _get(layout: Layout, path: str) -> str:
    context = ssl.create_default_context(cafile=str(layout.pki / "apiserver.crt"))
    # The server's own certificate is the authority here, which the strict rules of RFC 5280 do not allow.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    request = urllib.request.Request(API_SERVER + path, headers={"Authorization": f"Bearer {pki.token(layout)}"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=3) as response:
        text: str = response.read().decode()
        return text
