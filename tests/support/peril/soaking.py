"""Submits many runs to the real cluster, does to each what is planned, and looks at what is left in the end."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from clusters import Team
from peril import node
from peril.door import Door, Mode
from peril.soak import Harm, Planned
from peril.witness import is_over

JSON = dict[str, Any]
BUSY_SECONDS = 10.0
PAUSE_SECONDS = 8.0
SAMPLE_SECONDS = 10.0
GONE_SECONDS = 180.0
OPERATOR = "app.kubernetes.io/name=attune"
_RESIDENT = re.compile(r"^process_resident_memory_bytes (\S+)", re.MULTILINE)


@dataclass
class Soak:
    """The runs of one soak.

    Args:
        team: their namespace.
        door: to its store.
        runtime: that they use; Jobs and pods of finished runs go at once by it.
        good: data that can be used.
        bad: data that cannot.
        at_once: so many runs are under way at most.
    """

    team: Team
    door: Door
    runtime: str
    good: str
    bad: str
    at_once: int
    began: float = field(default_factory=time.monotonic)
    uids: dict[str, str] = field(default_factory=dict)
    over: dict[str, JSON | None] = field(default_factory=dict)
    """Runs that are over as they ended; None where the FineTuneJob is gone."""
    memory: list[float] = field(default_factory=list)
    """Bytes that the operator has, at even distances."""
    operators: set[tuple[str, int]] = field(default_factory=set)
    """The operator's pods that were seen, each with how often its container had been started again."""
    _trains_since: dict[str, float] = field(default_factory=dict)
    _struck: set[str] = field(default_factory=set)
    _due: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _sampled: float = float("-inf")

    def go(self, planned: Sequence[Planned], patience: float) -> None:
        """Until all runs are over, or patience is: seconds."""
        deadline = self.began + patience
        while len(self.over) < len(planned):
            left = [p.name for p in planned if p.name not in self.over]
            assert time.monotonic() < deadline, f"{len(left)} runs are not over after {patience:.0f} s: {left[:10]}"
            self._submit(planned)
            jobs = {j["metadata"]["name"]: j for j in self.team.cluster.get("ftj", self.team.namespace)["items"]}
            for run in planned:
                if run.name in self.uids and run.name not in self.over:
                    self._look(run, jobs.get(run.name))
            self._do_what_is_due()
            self._sample()
            time.sleep(0.5)

    def keys(self, name: str) -> list[str]:
        """A run's objects, relative to its prefix."""
        prefix = f"{self.team.namespace}/out/runs/{self.uids[name]}/"
        return [key.removeprefix(prefix) for key in self._below(prefix)]

    def leaked(self) -> list[str]:
        """What is left that belongs to nobody, after some time to go."""
        deadline = time.monotonic() + GONE_SECONDS
        while found := self._left():
            if time.monotonic() > deadline:
                return found
            time.sleep(2)
        return []

    def _left(self) -> list[str]:
        owned = [*self.team.jobs(), *self.team.pods()]
        left = [f"{o['kind']} {o['metadata']['name']}" for o in owned]
        runs = f"{self.team.namespace}/out/runs/"
        known = {uid for name, uid in self.uids.items() if self.over.get(name)}
        found = {key.removeprefix(runs).split("/")[0] for key in self._below(f"{self.team.namespace}/out/")}
        return [*left, *(f"files of run {uid}" for uid in sorted(found - known))]

    def _below(self, prefix: str) -> list[str]:
        pages = self.team.cluster.s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.team.bucket, Prefix=prefix)
        return [o["Key"] for page in found for o in page.get("Contents", [])]

    def _submit(self, planned: Sequence[Planned]) -> None:
        """The next run, where there is room for it and its time has come."""
        run = next((p for p in planned if p.name not in self.uids), None)
        if run is None or len(self.uids) - len(self.over) >= self.at_once or time.monotonic() - self.began < run.at:
            return
        self.team.submit(
            run.name,
            runtime=self.runtime,
            dataset={"train": [self.bad if run.harm is Harm.DATA else self.good]},
            training={"maxSteps": 120, "batchSize": 16, "checkpoint": {"interval": "2s", "keep": 1}},
            evaluation={"metrics": [{"name": "Perplexity"}]},
            output={"deletionPolicy": "Delete" if run.harm is Harm.REMOVE else "Retain"},
        )
        self.uids[run.name] = self.team.read(run.name)["metadata"]["uid"]

    def _look(self, run: Planned, job: JSON | None) -> None:
        if job is None:
            self.over[run.name] = None
            return
        if is_over(job) and run.harm is not Harm.REMOVE:
            self.over[run.name] = job
        elif run.name not in self._struck and (is_over(job) or self._trained_for(run.name, job) > run.after):
            self._struck.add(run.name)
            self._strike(run)

    def _trained_for(self, name: str, job: JSON) -> float:
        """Seconds since its training was seen to run; negative where it does not run."""
        attempts = job.get("status", {}).get("attempts", [])
        if not attempts or (attempts[-1]["stage"], attempts[-1]["state"]) != ("Train", "Running"):
            return -1.0
        return time.monotonic() - self._trains_since.setdefault(name, time.monotonic())

    def _strike(self, run: Planned) -> None:
        """Does the harm; one that comes too late, as training is over already, does nothing."""
        at = ("-n", self.team.namespace)
        of = ("-l", f"attune.dev/run={self.uids[run.name]},attune.dev/stage=train")
        deeds: dict[Harm, Callable[[], object]] = {
            Harm.KILL: lambda: self._kill(run.name),
            Harm.EVICT: lambda: self._evict(run.name),
            Harm.DELETE: lambda: self.team.cluster.kubectl("delete", "pod", *at, *of, "--wait=false"),
            Harm.LOSE: lambda: self.team.cluster.kubectl("delete", "job", *at, *of, "--wait=false"),
            Harm.PAUSE: lambda: self._pause(run.name),
            Harm.BUSY: self._busy,
            Harm.REMOVE: lambda: self.team.cluster.kubectl("delete", "ftj", run.name, *at, "--wait=false"),
        }
        deeds.get(run.harm, lambda: None)()

    def _pods(self, name: str) -> list[JSON]:
        return [p for p in self.team.pods("train") if p["metadata"]["labels"]["attune.dev/run"] == self.uids[name]]

    def _kill(self, name: str) -> None:
        for pod in self._pods(name):
            for pid in node.processes(pod, node.TRAINS):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _evict(self, name: str) -> None:
        for pod in self._pods(name):
            evict(self.team, pod["metadata"]["name"], check=False)

    def _pause(self, name: str) -> None:
        suspend(self.team, name, suspend=True)
        self._due.append((time.monotonic() + PAUSE_SECONDS, lambda: suspend(self.team, name, suspend=False)))

    def _busy(self) -> None:
        self.door.become(Mode.BUSY)
        self._due.append((time.monotonic() + BUSY_SECONDS, lambda: self.door.become(Mode.OPEN)))

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        due, self._due = [d for at, d in self._due if at <= now], [(at, d) for at, d in self._due if at > now]
        for deed in due:
            deed()

    def _sample(self) -> None:
        if time.monotonic() - self._sampled < SAMPLE_SECONDS:
            return
        self._sampled = time.monotonic()
        for pod in self.team.cluster.get("pods", "attune-system", selector=OPERATOR)["items"]:
            restarts = sum(c["restartCount"] for c in pod["status"].get("containerStatuses", []))
            self.operators.add((pod["metadata"]["name"], restarts))
            path = f"/api/v1/namespaces/attune-system/pods/{pod['metadata']['name']}:8080/proxy/metrics"
            found = _RESIDENT.search(self.team.cluster.kubectl("get", "--raw", path).stdout)
            if found:
                self.memory.append(float(found[1]))


def evict(team: Team, pod: str, *, check: bool = True) -> None:
    """Through the Eviction API, as `kubectl drain` and autoscalers do."""
    meta = {"name": pod, "namespace": team.namespace}
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta})
    path = f"/api/v1/namespaces/{team.namespace}/pods/{pod}/eviction"
    team.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body, check=check)


def suspend(team: Team, name: str, *, suspend: bool) -> None:
    """Sets or takes back `spec.suspend`."""
    change = json.dumps({"spec": {"suspend": suspend}})
    arguments = ("patch", "ftj", name, "-n", team.namespace, "--type=merge", "-p", change)
    team.cluster.kubectl(*arguments)
