"""The one node: containerd, kubelet and kube-proxy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from attune_devcluster.addresses import (
    BRIDGE,
    CLUSTER_DOMAIN,
    CONTAINERD_SOCKET,
    CONTAINERD_STATE,
    NODE_IP,
    NODE_NAME,
    POD_CIDR,
    REGISTRY,
)
from attune_devcluster.components import Component, answers
from attune_devcluster.packages import CNI_PLUGINS, SYSTEM_PATH
from attune_devcluster.paths import Layout
from attune_devcluster.pause import PAUSE_IMAGE
from attune_devcluster.shell import output

NETWORK_NAME = "attune-pods"
MAX_PODS = 200


def containerd(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """The container runtime, which pulls from the local registry over plain HTTP."""
    settings = layout.config / "containerd.toml"
    cni = layout.config / "cni" / "10-pods.conflist"
    hosts = layout.config / "registries" / REGISTRY / "hosts.toml"
    return Component(
        name="containerd",
        argv=(str(binaries["containerd"]), "--config", str(settings)),
        ready=lambda: output([binaries["ctr"], "--address", CONTAINERD_SOCKET, "version"]) is not None,
        # By PATH containerd finds the shims of running pods again. Not this shell's, which differs from call to call.
        env={"PATH": f"{binaries['containerd-shim-runc-v2'].parent}:{SYSTEM_PATH}"},
        configuration={
            settings: containerd_settings(layout, binaries["containerd-shim-runc-v2"]),
            cni: json.dumps(pod_network(layout), indent=2),
            hosts: f'[host."http://{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n',
        },
    )


def containerd_settings(layout: Layout, shim: Path) -> str:
    """The configuration of containerd, version 3.

    restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower the score, and every pod would die with "EOF".
    netns_mounts_under_state_dir: network namespaces lie below our folder, so that `down` finds them.
    """
    return f"""version = 3
root = "{layout.state}/containerd"
state = "{CONTAINERD_STATE}"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "{layout.config}/registries"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "{shim}"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  Root = "{CONTAINERD_STATE}/runc"
[plugins.'io.containerd.internal.v1.opt']
  path = "{layout.state}/containerd/opt"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{CNI_PLUGINS}"]
  conf_dir = "{layout.config}/cni"
"""


def pod_network(layout: Layout) -> dict[str, object]:
    """CNI configuration. ipMasq is off: pods reach each other, Services and this machine, and nothing beyond it."""
    addresses = {
        "type": "host-local",
        "dataDir": str(layout.state / "pod-addresses"),
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": NETWORK_NAME, "plugins": [bridge, ports]}


def kubelet(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """The kubelet."""
    path = layout.config / "kubelet.json"
    return Component(
        name="kubelet",
        argv=(
            str(binaries["kubelet"]),
            f"--config={path}",
            f"--kubeconfig={layout.kubeconfig}",
            f"--root-dir={layout.state / 'kubelet'}",
            f"--cert-dir={layout.state / 'kubelet' / 'pki'}",
            f"--node-ip={NODE_IP}",
            f"--hostname-override={NODE_NAME}",
        ),
        ready=lambda: answers("http://127.0.0.1:10248/healthz"),
        listens=(f"{NODE_IP}:10250", "127.0.0.1:10248"),
        configuration={path: json.dumps(kubelet_configuration(layout), indent=2)},
    )


def kubelet_configuration(layout: Layout) -> dict[str, object]:
    """The kubelet's configuration, where it differs from the defaults."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,  # from 1.35 on the kubelet refuses hosts with cgroup v1 otherwise
        "failSwapOn": False,
        "oomScoreAdj": 0,  # lowering it needs CAP_SYS_RESOURCE
        "cgroupDriver": "cgroupfs",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(layout.pki / "kubelet-client.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},  # of whoever has the API server's certificate
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "address": NODE_IP,
        "clusterDNS": [NODE_IP],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "",  # pods know cluster names only: nothing else is reachable
        "podLogsDir": str(layout.state / "pod-logs"),
        "volumePluginDir": str(layout.state / "kubelet" / "volume-plugins"),
        "maxPods": MAX_PODS,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "serializeImagePulls": False,
        "maxParallelImagePulls": 3,
        "makeIPTablesUtilChains": False,
        # A developer's disk is often fuller than a node's; images that we no longer need are removed by `image prune`.
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "imageGCHighThresholdPercent": 97,
        "imageGCLowThresholdPercent": 95,
        "localStorageCapacityIsolation": False,
    }


def proxy(layout: Layout, binaries: Mapping[str, Path]) -> Component:
    """kube-proxy.

    masquerade-all: pods share one bridge, and an answer that takes the short way over it would not be translated back.
    The kernel's connection tracking limits are left alone.
    """
    return Component(
        name="kube-proxy",
        argv=(
            str(binaries["kube-proxy"]),
            f"--kubeconfig={layout.kubeconfig}",
            f"--hostname-override={NODE_NAME}",
            "--proxy-mode=iptables",
            "--masquerade-all",
            "--iptables-localhost-nodeports=false",
            f"--cluster-cidr={POD_CIDR}",
            f"--bind-address={NODE_IP}",
            f"--nodeport-addresses={NODE_IP}/32",
            "--healthz-bind-address=127.0.0.1:10256",
            "--metrics-bind-address=127.0.0.1:10249",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ),
        ready=lambda: answers("http://127.0.0.1:10256/livez"),
        listens=("127.0.0.1:10256", "127.0.0.1:10249"),
    )
