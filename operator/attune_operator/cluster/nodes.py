"""Whether the node of a pod that does not end can still be reached."""

from typing import Any

from attune_operator.cluster.client import Kube, path_to
from attune_operator.errors import NotFoundError
from attune_operator.finetunejob.snapshot import PodView

JSON = dict[str, Any]


async def lost(client: Kube, pods: tuple[PodView, ...]) -> dict[str, str]:
    """Those of these pods whose node is gone or out of reach, by name, with what is known of the node."""
    found: dict[str, str] = {}
    for pod in pods:
        if why := await _why_lost(client, pod.node):
            found[pod.name] = why
    return found


async def _why_lost(client: Kube, name: str) -> str:
    if not name:
        return ""
    try:
        node = await client.get(path_to("v1", "nodes", name=name))
    except NotFoundError:
        return f"its node {name} is no longer in the cluster."
    ready: JSON = next((c for c in node.get("status", {}).get("conditions", []) if c["type"] == "Ready"), {})
    # Unknown is what the node controller writes when a node has gone silent; False is a kubelet that speaks, and that
    # will say when the pod has ended.
    if ready.get("status") != "Unknown":
        return ""
    return f"node {name} has been out of reach since {ready.get('lastTransitionTime', 'an unknown time')}."
