"""Schedules on a real cluster whose runs need no pods: there is no such runtime, and the test says how each ended."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from clusters import Cluster

JSON = dict[str, Any]
SYSTEM, CLOCK = "attune-system", "attune-test-clock"
API = "attune.dev/v1alpha1"
SPEC: JSON = {
    "runtime": "no-such-runtime",
    "model": {"source": "s3://models/base"},
    "method": "SFT",
    "dataset": {"train": ["s3://data/train.jsonl"]},
    "training": {"epochs": 1},
    "output": {"uri": "s3://models/out/"},
}


class Operators:
    """The operator's Deployment: its clock, how many there are, and their deaths."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def clock(self, hours: float) -> None:
        """Moves the clock of schedules so far from the machine's."""
        data = {"offsetSeconds": str(hours * 3600)}
        meta = {"name": CLOCK, "namespace": SYSTEM}
        self.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        time.sleep(1.5)

    def follow_clock(self, *, follow: bool) -> None:
        """Makes the operator go by that clock, or by the machine's again.

        Without leader election meanwhile: two of them are at work at once, which is the harder case.
        """
        clock = f"ATTUNE_CLOCK_CONFIG_MAP={CLOCK}" if follow else "ATTUNE_CLOCK_CONFIG_MAP-"
        leads = f"ATTUNE_LEADER_ELECTION={'false' if follow else 'true'}"
        self.cluster.kubectl("set", "env", "deployment/attune", "-n", SYSTEM, clock, leads, check=True)
        self._rolled_out()

    def scale(self, replicas: int) -> None:
        """So many operators from now on."""
        self.cluster.kubectl("scale", "deployment/attune", "-n", SYSTEM, f"--replicas={replicas}", check=True)
        self._rolled_out()

    def kill_one(self) -> None:
        """One of them dies without a word; another takes its place."""
        first = self.cluster.get("pods", SYSTEM, selector="app.kubernetes.io/name=attune")["items"][0]
        name = first["metadata"]["name"]
        self.cluster.kubectl("delete", "pod", name, "-n", SYSTEM, "--grace-period=0", "--force", check=True)

    def _rolled_out(self) -> None:
        self.cluster.kubectl("rollout", "status", "deployment/attune", "-n", SYSTEM, "--timeout=90s", check=True)


@dataclass
class Fleet:
    """A namespace with schedules, waves and TunedModels."""

    cluster: Cluster
    namespace: str

    def schedule(self, name: str, namespace: str = "", labels: JSON | None = None, **spec: Any) -> None:
        """Applies a FineTuneSchedule; `register` and `template` are of its jobTemplate."""
        register, template = spec.pop("register", None), spec.pop("template", {})
        run = {**SPEC, **template.pop("spec", {})}
        run["output"] = {**SPEC["output"], **({"register": register} if register else {})}
        meta = {"name": name, "namespace": namespace or self.namespace, "labels": labels or {}}
        full = {"jobTemplate": {"spec": run, **template}, **spec}
        self.cluster.apply({"apiVersion": API, "kind": "FineTuneSchedule", "metadata": meta, "spec": full})
        self.until("fts", name, lambda s: "templateDigest" in s, "it was seen", namespace)

    def model(self, name: str, **spec: Any) -> None:
        """Applies a TunedModel."""
        meta = {"name": name, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": API, "kind": "TunedModel", "metadata": meta, "spec": spec})

    def patch(self, kind: str, name: str, **spec: Any) -> None:
        """Changes fields of a spec."""
        text = json.dumps({"spec": spec})
        self.cluster.kubectl("patch", kind, name, "-n", self.namespace, "--type=merge", "-p", text, check=True)

    def trigger(self, name: str) -> None:
        """Runs a schedule now."""
        self.cluster.kubectl("annotate", "fts", name, "-n", self.namespace, "attune.dev/trigger=now", check=True)

    def status(self, kind: str, name: str, namespace: str = "") -> JSON:
        """The status of an object."""
        found: JSON = self.cluster.get(kind, namespace or self.namespace, name).get("status", {})
        return found

    def until(
        self, kind: str, name: str, holds: Callable[[JSON], Any], what: str, namespace: str = "", timeout: float = 40
    ) -> JSON:
        """Waits until something holds of a status."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status(kind, name, namespace)
            if holds(status):
                return status
            if time.monotonic() > deadline:
                pytest.fail(
                    f"{kind} {name}: not within {timeout:.0f} s: {what}. Status: {json.dumps(status, indent=1)}"
                )
            time.sleep(0.2)

    def runs(self, schedule: str, namespace: str = "") -> list[str]:
        """Names of the runs that a schedule made and that are there, oldest first."""
        items = self.cluster.get("ftj", namespace or self.namespace)["items"]
        mark = "attune.dev/finetuneschedule"
        return sorted(
            i["metadata"]["name"] for i in items if i["metadata"].get("annotations", {}).get(mark) == schedule
        )

    def started(self, schedule: str) -> str:
        """The run that is active, once it is."""
        status = self.until(
            "fts", schedule, lambda s: any(r["created"] for r in s.get("runs", [])), "a run was created"
        )
        name: str = next(r["name"] for r in status["runs"] if r["created"])
        return name

    def end(self, run: str, namespace: str = "", **how: Any) -> None:
        """Says how a run ended, as the operator would; see `ended`."""
        for _ in range(50):
            raw = self.cluster.get("ftj", namespace or self.namespace, run)
            model = raw["spec"]["output"].get("register")
            versions = self.status("tm", model, namespace).get("versions", []) if model and "champion" in how else []
            text = json.dumps({**raw, "status": {**raw.get("status", {}), **ended(raw, versions, **how)}})
            if self.cluster.kubectl("replace", "--subresource=status", "-f", "-", stdin=text).returncode == 0:
                return
            time.sleep(0.1)
        pytest.fail(f"the status of {run} could not be written")

    def run_to_its_end(self, schedule: str, **how: Any) -> str:
        """A run by hand, ended as told, and counted by its schedule."""
        self.trigger(schedule)
        run = self.started(schedule)
        self.end(run, **how)
        self.until("fts", schedule, lambda s: not s["runs"], "the run was counted")
        time.sleep(1.1)  # runs that a person starts are named by the second
        return run


def ended(
    raw: JSON,
    versions: list[JSON],
    *,
    succeeded: bool = True,
    published: bool = True,
    cost: str = "1.00",
    accuracy: float = 0.9,
    champion: tuple[int, float] | None = None,
) -> JSON:
    """A status of a run that is over; `champion` is the version that joined its evaluation, and its accuracy."""
    now, uid = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), raw["metadata"]["uid"]
    holds = {
        "Finished": True,
        "Succeeded": succeeded,
        "Failed": not succeeded,
        "GatePassed": published,
        "Published": succeeded and published,
    }
    meta = {"reason": "Done", "message": "As the test says.", "lastTransitionTime": now}
    result: JSON = {"metric": "Accuracy", "tuned": accuracy, "rows": 96}
    results = [{**result, "baseline": "base", "value": 0.4, "delta": accuracy - 0.4}]
    attempt: JSON = {"stage": "Evaluate", "number": 1, "jobName": "x", "state": "Succeeded", "startTime": now}
    if champion is not None:
        version, value = champion
        results.append({**result, "baseline": "champion", "value": value, "delta": accuracy - value})
        uri = next(v["modelURI"] for v in versions if v["version"] == version)
        attempt["champion"] = {"version": version, "modelURI": uri}
    uri = f"s3://models/out/runs/{uid}"
    output = {"modelURI": f"{uri}/model", "digest": f"sha256:{0:064x}", "manifestURI": f"{uri}/manifest.json"}
    return {
        "observedGeneration": raw["metadata"]["generation"],
        "phase": "Succeeded" if succeeded else "Failed",
        "conditions": [{"type": k, "status": str(v), **meta} for k, v in holds.items()],
        "completionTime": now,
        "cost": {"gpuHours": "1", "amount": cost, "currency": "USD"},
        "attempts": [{**attempt, "endTime": now}],
        "evaluation": {"verdict": "Passed" if published else "Failed", "results": results},
        **({"output": output} if succeeded and published else {}),
    }
