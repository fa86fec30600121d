"""A real cluster, a real object store, a base model made here, and FineTuneJobs that are valid by default."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

STORE = "store"
JSON = dict[str, Any]


@dataclass
class Cluster:
    """The cluster that is up, through kubectl and an S3 client."""

    env: dict[str, str]

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; output and errors as text."""
        env = {**os.environ, **self.env}
        done = subprocess.run(["kubectl", *args], input=stdin, env=env, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr}")
        return done

    def stream(self, *args: str) -> subprocess.Popen[str]:
        """Starts kubectl; its output can be read as it comes. Whoever starts it ends it."""
        env = {**os.environ, **self.env}
        return subprocess.Popen(
            ["kubectl", *args], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def get(self, kind: str, namespace: str | None = None, name: str | None = None, **options: str) -> JSON:
        """One object, or a list."""
        args = ["get", kind, *([name] if name else []), *(["-n", namespace] if namespace else []), "-o", "json"]
        args += [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        parsed: JSON = json.loads(self.kubectl(*args, check=True).stdout)
        return parsed

    def apply(self, *objects: JSON) -> None:
        """Applies objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "-f", "-", stdin=text, check=True)

    @property
    def s3(self) -> Any:
        """A client of the cluster's store."""
        return boto3.client(
            "s3",
            endpoint_url=self.env["ATTUNE_S3_ENDPOINT"],
            region_name=self.env["ATTUNE_S3_REGION"],
            aws_access_key_id=self.env["ATTUNE_S3_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["ATTUNE_S3_SECRET_ACCESS_KEY"],
        )

    def secret(self, namespace: str, name: str = STORE) -> JSON:
        """A Secret with the store's keys."""
        keys = {
            "AWS_ACCESS_KEY_ID": self.env["ATTUNE_S3_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": self.env["ATTUNE_S3_SECRET_ACCESS_KEY"],
            "AWS_REGION": self.env["ATTUNE_S3_REGION"],
            "AWS_ENDPOINT_URL": self.env["ATTUNE_S3_ENDPOINT"],
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": keys,
        }


def rows(count: int, seed: int = 0) -> list[JSON]:
    """Questions with one of two answers that a tiny model can learn: the answer follows from one word."""
    words = ("red", "apple", "boat", "cloud", "tree", "river", "stone", "bird")
    made = []
    for i in range(count):
        word = words[(i * 7 + seed) % len(words)]
        kind = "warm" if words.index(word) % 2 == 0 else "cold"
        made.append({"prompt": f"case {i} {word} ->", "completion": f" {kind}"})
    return made


@dataclass
class Team:
    """A namespace of its own, restricted, with a Secret for the store."""

    cluster: Cluster
    namespace: str
    bucket: str
    base: str
    made: list[str] = field(default_factory=list)

    def upload(self, key: str, content: str | list[JSON]) -> str:
        """Puts text or rows into the bucket; returns the URI."""
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        self.cluster.s3.put_object(Bucket=self.bucket, Key=f"{self.namespace}/{key}", Body=text.encode())
        return f"s3://{self.bucket}/{self.namespace}/{key}"

    def manifest(self, name: str = "job", **spec: Any) -> JSON:
        """A FineTuneJob that succeeds in under a minute; `spec` says what differs, one level deep."""
        data = spec.pop("data", None) or self.upload(f"{name}/train.jsonl", rows(64))
        full: JSON = {
            "runtime": "default",
            "model": {"source": self.base, "credentialsSecret": STORE},
            "method": "SFT",
            "tuning": {"type": "LoRA", "rank": 4, "alpha": 8, "dropout": 0.0},
            "dataset": {"train": [data], "split": {"testFraction": 0.25, "seed": 3}, "credentialsSecret": STORE},
            "training": {"maxSteps": 4, "batchSize": 8, "sequenceLength": 64, "learningRate": 0.01, "seed": 5},
            "resources": {"nodes": 1, "gpusPerNode": 0, "cpu": "100m", "memory": "2Gi"},
            "evaluation": {"metrics": [{"name": "Accuracy"}, {"name": "ExactMatch"}, {"name": "Perplexity"}]},
            "output": {"uri": f"s3://{self.bucket}/{self.namespace}/out/", "credentialsSecret": STORE},
        }
        for key, value in spec.items():
            full[key] = {**full[key], **value} if isinstance(value, dict) and key in full else value
        return {
            "apiVersion": "attune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": full,
        }

    def submit(self, name: str = "job", **spec: Any) -> str:
        """Applies a FineTuneJob; returns its name."""
        self.cluster.apply(self.manifest(name, **spec))
        return name

    def read(self, name: str = "job") -> JSON:
        """The FineTuneJob as it is now; its status is empty before the operator saw it for the first time."""
        return {"status": {}, **self.cluster.get("finetunejob", self.namespace, name)}

    def wait(
        self, name: str, condition: str, status: str = "True", timeout: float = 180, reason: str | None = None
    ) -> JSON:
        """Waits for a condition; returns the FineTuneJob. Fails with its status if the run ends another way."""

        def holds(job: JSON) -> bool:
            found = conditions(job).get(condition)
            return found is not None and found["status"] == status and (reason is None or found["reason"] == reason)

        return self.until(name, holds, timeout, f"{condition}={status}" + (f" for {reason}" if reason else ""))

    def until(self, name: str, holds: Callable[[JSON], bool], timeout: float, what: str) -> JSON:
        """Waits until something holds of a FineTuneJob."""
        deadline = time.monotonic() + timeout
        while True:
            job = self.read(name)
            if holds(job):
                return job
            over = conditions(job).get("Finished", {}).get("status") == "True"
            if over or time.monotonic() > deadline:
                why = "the run ended first" if over else f"not within {timeout:.0f} s"
                pytest.fail(f"{what}: {why}. Status: {json.dumps(job.get('status', {}), indent=1)}")
            time.sleep(0.3)

    def pods(self, stage: str | None = None) -> list[JSON]:
        """Pods of this namespace, of one stage or all."""
        selector = f"attune.dev/stage={stage}" if stage else "attune.dev/run"
        return list(self.cluster.get("pods", self.namespace, selector=selector)["items"])

    def jobs(self) -> list[JSON]:
        """Jobs of this namespace."""
        return list(self.cluster.get("jobs", self.namespace)["items"])

    def events(self, name: str) -> list[JSON]:
        """Events about a FineTuneJob, oldest first."""
        selector = f"involvedObject.name={name},involvedObject.kind=FineTuneJob"
        found = self.cluster.get("events", self.namespace, field_selector=selector)["items"]
        return sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))


def conditions(job: JSON) -> dict[str, JSON]:
    """Conditions by type."""
    return {c["type"]: c for c in job.get("status", {}).get("conditions", [])}
