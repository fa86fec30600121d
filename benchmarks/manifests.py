"""The objects that the bench creates, as JSON that is ready to send. Pure."""

import json
from typing import Any

JSON = dict[str, Any]
NAME = "attune-bench"
"""Name of the runtime, label of the nodes, and first part of every other name: what carries it is ours to delete."""
API_VERSION = "attune.dev/v1alpha1"
FAKE = "kwok.x-k8s.io/node"


def finetunejob(name: str, runtime: str = NAME) -> bytes:
    """A FineTuneJob like those of a real team, with Secrets and metrics; its pods run on the fake nodes only."""
    spec = {
        "runtime": runtime,
        "model": {"source": "s3://models/base", "credentialsSecret": "model-store"},
        "method": "SFT",
        "tuning": {"type": "LoRA", "rank": 16, "alpha": 32},
        "dataset": {
            "train": ["s3://data/train.jsonl"],
            "test": ["s3://data/test.jsonl"],
            "credentialsSecret": "data-store",
        },
        "training": {"epochs": 3, "batchSize": 16, "sequenceLength": 2048},
        "resources": {"nodes": 1, "gpusPerNode": 0, "cpu": "1", "memory": "1Gi"},
        "evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "Perplexity"}]},
        "output": {"uri": "s3://models/out/", "credentialsSecret": "model-store"},
    }
    return _dump({"apiVersion": API_VERSION, "kind": "FineTuneJob", "metadata": {"name": name}, "spec": spec})


def plain_job(name: str, like: JSON) -> bytes:
    """A Job as `kubectl create job` makes one, with the pod template of a Job of the operator's.

    Args:
        name: of the new Job.
        like: a Job of the operator's as stored. Its labels are left out, so that the operator has no part in the copy.
    """
    kept = ("completionMode", "completions", "parallelism", "backoffLimit", "podReplacementPolicy")
    spec = {key: like["spec"][key] for key in kept}
    template = {
        "metadata": {"annotations": like["spec"]["template"]["metadata"]["annotations"]},
        "spec": like["spec"]["template"]["spec"],
    }
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**spec, "template": template}}
    return _dump(body)


def node(name: str) -> bytes:
    """A node that kwok plays, with room for everything."""
    labels = {"kubernetes.io/hostname": name, NAME: "fake"}
    room = {"cpu": "10k", "memory": "100Ti", "pods": "10k"}
    return _dump(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": {FAKE: "fake"}},
            # Pods of others stay away from a node that only pretends to run them.
            "spec": {"taints": [{"key": FAKE, "value": "fake", "effect": "NoSchedule"}]},
            "status": {"capacity": room, "allocatable": room},
        }
    )


def runtime(name: str = NAME, **more: Any) -> bytes:
    """A runtime that leads to the fake nodes; `more` are fields of its spec."""
    spec = {
        "image": "attune/trainer:bench",
        "nodeSelector": {NAME: "fake"},
        "tolerations": [{"key": FAKE, "operator": "Exists", "effect": "NoSchedule"}],
        **more,
    }
    return _dump({"apiVersion": API_VERSION, "kind": "TuningRuntime", "metadata": {"name": name}, "spec": spec})


def namespace(name: str) -> bytes:
    """A namespace as training namespaces should be."""
    labels = {NAME: "fake", "pod-security.kubernetes.io/enforce": "restricted"}
    return _dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def _dump(body: JSON) -> bytes:
    return json.dumps(body).encode()
