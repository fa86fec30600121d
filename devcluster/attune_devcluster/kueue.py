"""Kueue, which admits Jobs by quota: its controller as a process of this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attune_devcluster import files, kube_api, pki, processes
from attune_devcluster.addresses import STANDING, Endpoints
from attune_devcluster.build import module_folder
from attune_devcluster.components import Component, accepts, answers
from attune_devcluster.components import ensure as ensure_components
from attune_devcluster.control_plane import CLIENT_BURST, CLIENT_QPS
from attune_devcluster.errors import ClusterError
from attune_devcluster.kueue_objects import NAMESPACE, SECRET, SERVICE_ACCOUNT, fit, parse
from attune_devcluster.paths import Layout
from attune_devcluster.shell import output, run
from attune_devcluster.tools import KUEUE

NAME = "kueue"
WEBHOOK_SERVICE = "kueue-webhook-service"
# What Kueue calls the authority of its webhooks; it makes certificates of its own unless these names are in ours.
CERTIFICATE_NAMES = (f"DNS:{WEBHOOK_SERVICE}.{NAMESPACE}.svc", "DNS:kueue-ca", "IP:127.0.0.1")
LABEL = "app.kubernetes.io/managed-by=attune-devcluster"
DELETE_SECONDS = 60
HINT = "the command is in the log; `up --without kueue` takes Kueue away, with its queues"


def installed(layout: Layout) -> bool:
    """Whether Kueue's objects are on the cluster: then its controller has to run, or labelled Jobs are refused."""
    return _applied(layout).exists()


def controller(layout: Layout, binaries: Mapping[str, Path], at: Endpoints = STANDING) -> Component:
    """Kueue's controller, with the rights of its own ServiceAccount."""
    path = layout.config / "kueue.json"
    kubeconfig = layout.config / "kueue.kubeconfig"
    host, _, port = at.kueue_webhooks.partition(":")
    configuration = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "health": {"healthProbeBindAddress": at.kueue_health},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": host, "port": int(port), "certDir": str(_certificates(layout))},
        "internalCertManagement": {
            "enable": True,
            "webhookServiceName": WEBHOOK_SERVICE,
            "webhookSecretName": SECRET,
        },
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"qps": CLIENT_QPS, "burst": CLIENT_BURST},
        "manageJobsWithoutQueueName": False,
        "integrations": {"frameworks": ["batch/job"]},
        "featureGates": {"VisibilityOnDemand": False, "MultiKueue": False},
    }
    impersonated = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
    return Component(
        name=NAME,
        argv=(str(binaries["kueue"]), f"--config={path}", f"--kubeconfig={kubeconfig}", "--zap-log-level=2"),
        ready=lambda: answers(f"http://{at.kueue_health}/readyz") and accepts(at.kueue_webhooks),
        listens=(at.kueue_webhooks, at.kueue_health),
        configuration={
            path: json.dumps(configuration, indent=2),
            kubeconfig: json.dumps(kube_api.kubeconfig(layout, at, impersonated=impersonated), indent=2),
        },
    )


def ensure(layout: Layout, binaries: Mapping[str, Path]) -> list[str]:
    """Put Kueue's objects on the cluster and start its controller; does nothing where it runs.

    Returns:
        Names of the programs that were started.

    Raises:
        ClusterError: the API server refuses an object, or the controller does not come up.
    """
    component = controller(layout, binaries)
    record = processes.load(layout, NAME)
    if record is None or record.fingerprint != component.fingerprint():
        register(layout)
    return ensure_components(layout, [component])


def remove(layout: Layout) -> bool:
    """Stop the controller and take its objects away, with every queue and workload.

    Returns:
        Whether there was something to take away.

    Raises:
        ClusterError: an object does not go away.
    """
    # First the controller, which would put its finalizers back.
    stopped = processes.stop(layout, NAME)
    if not installed(layout):
        return stopped
    path = _applied(layout)
    objects = json.loads(path.read_text())["items"]
    for item in objects:
        if "webhooks" in item:
            _kubectl(layout, "delete", item["kind"], item["metadata"]["name"], "--ignore-not-found")
    for item in objects:
        if item["kind"] == "CustomResourceDefinition":
            _release(layout, item)
    _kubectl(layout, "delete", "-f", path, "--ignore-not-found", "--wait=false")
    _kubectl(layout, "wait", "--for=delete", "-f", path, f"--timeout={DELETE_SECONDS}s")
    path.unlink()
    return True


def register(layout: Layout, at: Endpoints = STANDING) -> None:
    """Put Kueue's objects on the cluster: kinds, rights, webhooks.

    Raises:
        ClusterError: kubectl is missing or too old, or the API server refuses an object.
    """
    pki.server_certificate(layout, _certificates(layout), CERTIFICATE_NAMES)
    upstream = layout.config / "kueue-upstream.yaml"
    text = output(["kubectl", "kustomize", module_folder(KUEUE) / "config" / "default"])
    if text is None:
        raise ClusterError("kueue: `kubectl kustomize` of its module failed", hint="see `kubectl version`; 1.32 works")
    files.write(upstream, text)
    # kubectl is what reads YAML here; the label says who made the objects.
    parsed = output(["kubectl", "label", "--local", "--overwrite", "-f", upstream, LABEL, "-o", "json"])
    if parsed is None:
        raise ClusterError("kueue: its objects could not be read", hint=f"try `kubectl label --local -f {upstream}`")
    folder = _certificates(layout)
    certificate, key = (folder / "tls.crt").read_text(), (folder / "tls.key").read_text()
    items = fit(list(parse(parsed)), address=at.kueue_webhooks, certificate=certificate, key=key)
    # Written before it is applied, so that `remove` finds what an interrupted `up` has made.
    files.write(_applied(layout), json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), mode=0o600)
    _kubectl(layout, "apply", "--server-side", "--force-conflicts", "-f", _applied(layout))


def _release(layout: Layout, definition: dict[str, Any]) -> None:
    """Let the objects of a kind be deleted without the controller: no conversion, no finalizers."""
    name = definition["metadata"]["name"]
    if output([*_command(layout), "get", "crd", name]) is None:
        return
    none = json.dumps({"spec": {"conversion": {"strategy": "None", "webhook": None}}})
    _kubectl(layout, "patch", "crd", name, "--type=merge", "-p", none)
    listed = output([*_command(layout), "get", name, "--all-namespaces", "-o", "json"])
    for item in json.loads(listed)["items"] if listed else []:
        metadata = item["metadata"]
        if metadata.get("finalizers"):
            place = ["-n", metadata["namespace"]] if "namespace" in metadata else []
            bare = json.dumps({"metadata": {"finalizers": None}})
            # One that is gone meanwhile is no reason to stop.
            output([*_command(layout), "patch", name, metadata["name"], *place, "--type=merge", "-p", bare])


def _certificates(layout: Layout) -> Path:
    return layout.pki / "kueue"


def _applied(layout: Layout) -> Path:
    return layout.config / "kueue-objects.json"


def _kubectl(layout: Layout, *arguments: str | Path) -> None:
    run([*_command(layout), *arguments], log=layout.logs / "kueue.log", hint=HINT)


def _command(layout: Layout) -> list[str]:
    return ["kubectl", f"--kubeconfig={layout.kubeconfig}"]
