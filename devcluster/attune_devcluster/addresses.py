"""Addresses and names of the local cluster, in one place.

Everything listens on loopback or on the pod bridge, so nothing outside this machine can reach it.
"""

from __future__ import annotations

BRIDGE = "attune0"
NODE_NAME = "local-0"
# The node's address is the pod bridge's own: some kernels have no dummy device, and pods reach it without a route.
NODE_IP = "10.78.0.1"
POD_CIDR = "10.78.0.0/16"
SERVICE_CIDR = "10.79.0.0/16"
CLUSTER_DOMAIN = "cluster.local"

API_SERVER = f"https://{NODE_IP}:6443"
ETCD = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"
REGISTRY = f"{NODE_IP}:5000"

S3_ENDPOINT = f"http://{NODE_IP}:7070"
S3_REGION = "us-east-1"
# Fixed: the store holds nothing but what demo and tests put there, and only this machine reaches it.
S3_ACCESS_KEY_ID = "attune"
S3_SECRET_ACCESS_KEY = "attune-secret"  # noqa: S105

# Outside the state folder, because a socket's path may have 107 characters at most.
CONTAINERD_STATE = "/run/attune-containerd"
CONTAINERD_SOCKET = f"{CONTAINERD_STATE}/containerd.sock"
