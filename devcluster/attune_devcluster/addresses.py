"""Addresses and names of the local cluster, in one place.

Everything listens on loopback or on the pod bridge, so nothing outside this machine can reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

BRIDGE = "attune0"
NODE_NAME = "local-0"
# The node's address is the pod bridge's own: some kernels have no dummy device, and pods reach it without a route.
NODE_IP = "10.78.0.1"
POD_CIDR = "10.78.0.0/16"
SERVICE_CIDR = "10.79.0.0/16"
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Endpoints:
    """Where the programs of one control plane listen, as `ip:port`."""

    api_server: str = f"{NODE_IP}:6443"
    etcd: str = "127.0.0.1:2379"
    etcd_peer: str = "127.0.0.1:2380"
    controller_manager: str = "127.0.0.1:10257"
    scheduler: str = "127.0.0.1:10259"
    kwok: str = "127.0.0.1:10247"
    kueue_webhooks: str = "127.0.0.1:10246"
    kueue_health: str = "127.0.0.1:10245"


STANDING = Endpoints()
"""Those of the cluster that `make cluster-up` brings up; a test's own control plane takes ports that are free."""

REGISTRY = f"{NODE_IP}:5000"

S3_ENDPOINT = f"http://{NODE_IP}:7070"
S3_REGION = "us-east-1"
# Fixed: the store holds nothing but what demo and tests put there, and only this machine reaches it.
S3_ACCESS_KEY_ID = "attune"
S3_SECRET_ACCESS_KEY = "attune-secret"  # noqa: S105

# Outside the state folder, because a socket's path may have 107 characters at most.
CONTAINERD_STATE = "/run/attune-containerd"
CONTAINERD_SOCKET = f"{CONTAINERD_STATE}/containerd.sock"
