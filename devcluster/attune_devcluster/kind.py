"""The kind way: Kubernetes in docker, with a registry and an S3 server as containers beside it.

Follows kind's own recipe for a local registry (https://kind.sigs.k8s.io/docs/user/local-registry/). It is small on
purpose: it has been reviewed, but the machines on which this project is developed have no docker, so it never ran.
"""

from __future__ import annotations

from attune_devcluster import files
from attune_devcluster.addresses import S3_ACCESS_KEY_ID, S3_REGION, S3_SECRET_ACCESS_KEY
from attune_devcluster.choose import Kind
from attune_devcluster.console import Step
from attune_devcluster.description import Description, Store
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output, run

CLUSTER = "attune"
REGISTRY_CONTAINER = "attune-registry"
STORE_CONTAINER = "attune-s3"
REGISTRY_PORT = 5001
REGISTRY = f"localhost:{REGISTRY_PORT}"
REGISTRY_IMAGE = "registry:3"
STORE_IMAGE = "versity/versitygw:v1.8.0"
CONFIGURATION = """kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
- |-
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
"""


def up(layout: Layout) -> Description:
    """Make the cluster and its two containers, as far as they are missing.

    Raises:
        ClusterError: kind or docker failed.
    """
    _cluster(layout)
    run(
        ["kind", "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", layout.kubeconfig],
        log=layout.logs / "kind-kubeconfig.log",
        hint=f"`kind delete cluster --name {CLUSTER}` and try again",
    )
    _container(layout, REGISTRY_CONTAINER, ["--publish", f"127.0.0.1:{REGISTRY_PORT}:5000"], [REGISTRY_IMAGE])
    credentials = [f"--env=ROOT_ACCESS_KEY={S3_ACCESS_KEY_ID}", f"--env=ROOT_SECRET_KEY={S3_SECRET_ACCESS_KEY}"]
    storage = [f"--region={S3_REGION}", "posix", "/tmp"]  # noqa: S108  inside the container
    _container(layout, STORE_CONTAINER, credentials, [STORE_IMAGE, *storage])
    _registry_of_nodes(layout)
    return Description(
        kind=Kind.KIND,
        context=f"kind-{CLUSTER}",
        kubeconfig=str(layout.kubeconfig),
        registry=REGISTRY,
        store=Store(f"http://{_address(STORE_CONTAINER)}:7070", S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY),
    )


def down(layout: Layout) -> None:
    """Delete the cluster and the two containers, if `up` made them."""
    marker = layout.state / "kind"
    if not marker.exists():
        return
    log = layout.logs / "kind-delete.log"
    hint = (
        f"`kind delete cluster --name {CLUSTER}` and `docker rm --force {REGISTRY_CONTAINER} {STORE_CONTAINER}` by hand"
    )
    run(["kind", "delete", "cluster", "--name", CLUSTER], log=log, hint=hint)
    run(["docker", "rm", "--force", "--volumes", REGISTRY_CONTAINER, STORE_CONTAINER], log=log, hint=hint)
    marker.unlink()


def _cluster(layout: Layout) -> None:
    if CLUSTER in (output(["kind", "get", "clusters"]) or "").split():
        return
    configuration = layout.config / "kind.yaml"
    files.write(configuration, CONFIGURATION)
    files.write(layout.state / "kind", CLUSTER)
    create = ["kind", "create", "cluster", "--name", CLUSTER, "--config", str(configuration), "--wait", "120s"]
    with Step("creating a cluster with kind"):
        kubeconfig = ["--kubeconfig", str(layout.kubeconfig)]
        run(
            [*create, *kubeconfig],
            log=layout.logs / "kind-create.log",
            hint="is docker allowed enough memory and disk?",
        )


def _container(layout: Layout, name: str, options: list[str], command: list[str]) -> None:
    """Start a container in kind's network, unless it runs."""
    if output(["docker", "inspect", "--format", "{{.State.Running}}", name]) == "true\n":
        return
    output(["docker", "rm", "--force", name])
    start = ["docker", "run", "--detach", "--restart=always", "--network=kind", "--name", name]
    run([*start, *options, *command], log=layout.logs / f"{name}.log", hint=f"`docker logs {name}` says more")


def _registry_of_nodes(layout: Layout) -> None:
    """Tell containerd in each node that `localhost:5001` is the registry's container."""
    folder = f"/etc/containerd/certs.d/{REGISTRY}"
    text = f'[host."http://{REGISTRY_CONTAINER}:5000"]'
    for node in (output(["kind", "get", "nodes", "--name", CLUSTER]) or "").split():
        script = f"mkdir -p {folder} && echo '{text}' > {folder}/hosts.toml"
        run(
            ["docker", "exec", node, "sh", "-c", script],
            log=layout.logs / "kind-registry.log",
            hint="is the node's container up?",
        )


def _address(container: str) -> str:
    address = output(
        ["docker", "inspect", "--format", '{{(index .NetworkSettings.Networks "kind").IPAddress}}', container]
    )
    if not address or not address.strip():
        raise ClusterError(f"docker gives no address for {container}", hint=f"see `docker inspect {container}`")
    return address.strip()
