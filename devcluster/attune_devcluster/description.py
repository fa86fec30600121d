"""What is up and how to reach it: `cluster.json`, and the same as shell variables."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass

from attune_devcluster import files
from attune_devcluster.choose import Kind
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout


@dataclass(frozen=True)
class Store:
    """An S3 server, reachable at one address from this machine and from pods."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Description:
    """A cluster that is up.

    Attributes:
        kind: which of the three ways it came to be.
        context: the kubeconfig's context.
        kubeconfig: path of the kubeconfig; its current context is `context`.
        registry: where this machine pushes images and the cluster pulls them, `host:port` or `host/prefix`.
        store: the S3 server.
    """

    kind: Kind
    context: str
    kubeconfig: str
    registry: str
    store: Store


def save(layout: Layout, description: Description) -> None:
    """Write `cluster.json`."""
    files.write(layout.description, json.dumps(asdict(description), indent=2), mode=0o600)


def load(layout: Layout) -> Description:
    """Read `cluster.json`.

    Raises:
        ClusterError: no cluster is up.
    """
    try:
        values = json.loads(layout.description.read_text())
        return Description(**{**values, "kind": Kind(values["kind"]), "store": Store(**values["store"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ClusterError(
            f"no cluster is up ({layout.description} is not there)", hint="run `make cluster-up`"
        ) from error


def environment(layout: Layout, description: Description, path: str) -> dict[str, str]:
    """Variables for tests and scripts.

    Args:
        layout: folders.
        description: the cluster.
        path: PATH as it is; the cluster's own helm and kubectl are put before it.
    """
    store = description.store
    return {
        "KUBECONFIG": description.kubeconfig,
        "ATTUNE_CLUSTER": description.kind.value,
        "ATTUNE_REGISTRY": description.registry,
        "ATTUNE_S3_ENDPOINT": store.endpoint,
        "ATTUNE_S3_REGION": store.region,
        "ATTUNE_S3_ACCESS_KEY_ID": store.access_key_id,
        "ATTUNE_S3_SECRET_ACCESS_KEY": store.secret_access_key,
        "PATH": layout.path_with_tools({"PATH": path}),
    }


def exports(variables: dict[str, str]) -> str:
    """The variables as lines for `eval`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
