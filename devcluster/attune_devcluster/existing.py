"""A cluster that exists already, named by ATTUNE_CONTEXT: nothing is installed in it, and nothing of it is stopped."""

from __future__ import annotations

from collections.abc import Mapping

from attune_devcluster import files
from attune_devcluster.choose import Kind
from attune_devcluster.description import Description, Store
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output

NEEDED = {
    "ATTUNE_REGISTRY": "where this machine pushes images and the cluster pulls them, as registry.example.com/team",
    "ATTUNE_S3_ENDPOINT": "an S3 server that this machine and the cluster's pods reach at the same address, as http://10.0.0.7:9000",
    "ATTUNE_S3_ACCESS_KEY_ID": "a key of that server that may make buckets",
    "ATTUNE_S3_SECRET_ACCESS_KEY": "its secret",
}


def must_be_described(environment: Mapping[str, str]) -> None:
    """Check that all is said that cannot be found out.

    Raises:
        ClusterError: names every variable that is missing.
    """
    context = environment["ATTUNE_CONTEXT"]
    absent = [f"{name} ({meaning})" for name, meaning in NEEDED.items() if not environment.get(name)]
    if absent:
        raise ClusterError(
            f"ATTUNE_CONTEXT={context} names a cluster of yours, and it is not said where its images and data lie: "
            + "; ".join(absent),
            hint="set these variables, or unset ATTUNE_CONTEXT to get a local cluster that has both",
        )


def up(layout: Layout, environment: Mapping[str, str]) -> Description:
    """Write a kubeconfig of our own for the context, so that no later command can reach another cluster by mistake.

    Raises:
        ClusterError: the context does not exist, or does not answer.
    """
    context = environment["ATTUNE_CONTEXT"]
    kubeconfig = output(["kubectl", "config", "view", "--minify", "--flatten", "--raw", f"--context={context}"])
    if kubeconfig is None:
        raise ClusterError(f"kubectl knows no context {context}", hint="see `kubectl config get-contexts`")
    files.write(layout.kubeconfig, kubeconfig, mode=0o600)
    if output(["kubectl", "--kubeconfig", layout.kubeconfig, "get", "--raw", "/readyz"]) is None:
        raise ClusterError(
            f"the cluster of context {context} does not answer", hint=f"try `kubectl --context {context} get nodes`"
        )
    return Description(
        kind=Kind.CONTEXT,
        context=context,
        kubeconfig=str(layout.kubeconfig),
        registry=environment["ATTUNE_REGISTRY"],
        store=Store(
            environment["ATTUNE_S3_ENDPOINT"],
            environment.get("ATTUNE_S3_REGION", "us-east-1"),
            environment["ATTUNE_S3_ACCESS_KEY_ID"],
            environment["ATTUNE_S3_SECRET_ACCESS_KEY"],
        ),
    )
