"""etcd and the Kubernetes control plane."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from attune_devcluster import kube_api
from attune_devcluster.addresses import SERVICE_CIDR, STANDING, Endpoints
from attune_devcluster.components import Component, answers
from attune_devcluster.paths import Layout

# The defaults (controller manager 20 requests/s, scheduler 50) are meant for shared clusters. Here they, and not the
# operator, would be what a benchmark of 1,000 runs measures.
CLIENT_QPS = 300
CLIENT_BURST = 600
CONCURRENT_JOB_SYNCS = 20


def etcd(layout: Layout, binaries: Mapping[str, Path], at: Endpoints = STANDING) -> Component:
    """The store of the API server. Without fsync: a machine that loses power loses this cluster, and nothing else."""
    client, peer = f"http://{at.etcd}", f"http://{at.etcd_peer}"
    return Component(
        name="etcd",
        argv=(
            str(binaries["etcd"]),
            f"--data-dir={layout.state / 'etcd'}",
            "--unsafe-no-fsync",
            "--quota-backend-bytes=4294967296",
            "--auto-compaction-retention=10m",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ),
        ready=lambda: answers(f"{client}/health"),
        listens=(at.etcd, at.etcd_peer),
    )


def api_server(layout: Layout, binaries: Mapping[str, Path], at: Endpoints = STANDING) -> Component:
    """The API server, with RBAC and the default admission plugins (pod security among them)."""
    pki = layout.pki
    address, _, port = at.api_server.rpartition(":")
    return Component(
        name="kube-apiserver",
        argv=(
            str(binaries["kube-apiserver"]),
            f"--etcd-servers=http://{at.etcd}",
            f"--cert-dir={pki}",
            f"--bind-address={address}",
            f"--advertise-address={address}",
            f"--secure-port={port}",
            f"--token-auth-file={pki / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki / 'service-accounts.key'}",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
            # By address, so that the node's name need not be in /etc/hosts.
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki / 'front-proxy.crt'}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ),
        ready=lambda: kube_api.ready(layout, at),
        listens=(at.api_server,),
    )


def controller_manager(layout: Layout, binaries: Mapping[str, Path], at: Endpoints = STANDING) -> Component:
    """The controllers of Kubernetes itself."""
    address, _, port = at.controller_manager.rpartition(":")
    return Component(
        name="kube-controller-manager",
        argv=(
            str(binaries["kube-controller-manager"]),
            f"--kubeconfig={layout.kubeconfig}",
            f"--service-account-private-key-file={layout.pki / 'service-accounts.key'}",
            f"--root-ca-file={layout.pki / 'apiserver.crt'}",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            "--leader-elect=false",
            f"--bind-address={address}",
            f"--secure-port={port}",
            f"--kube-api-qps={CLIENT_QPS}",
            f"--kube-api-burst={CLIENT_BURST}",
            f"--concurrent-job-syncs={CONCURRENT_JOB_SYNCS}",
        ),
        ready=lambda: answers(f"https://{at.controller_manager}/healthz"),
        listens=(at.controller_manager,),
    )


def scheduler(layout: Layout, binaries: Mapping[str, Path], at: Endpoints = STANDING) -> Component:
    """The scheduler."""
    path = layout.config / "scheduler.json"
    address, _, port = at.scheduler.rpartition(":")
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig), "qps": CLIENT_QPS, "burst": CLIENT_BURST},
        "leaderElection": {"leaderElect": False},
    }
    return Component(
        name="kube-scheduler",
        argv=(
            str(binaries["kube-scheduler"]),
            f"--config={path}",
            f"--bind-address={address}",
            f"--secure-port={port}",
        ),
        ready=lambda: answers(f"https://{at.scheduler}/healthz"),
        listens=(at.scheduler,),
        configuration={path: json.dumps(configuration, indent=2)},
    )
