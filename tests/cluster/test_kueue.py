"""Queues with quota, by Kueue's own controller: what a run says while it waits, borrowing, preemption and coming back.

Each namespace here has two queues, `a` and `b`, in one cohort. Each may use as much CPU as one stage of a run asks for,
and as much again when the other does not use its own. Neighbours take quota with Jobs whose pods never find a node, so
that they cost nothing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clusters import Cluster, Team, conditions
from fleets import Fleet
from peril.trial import WHOLE

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
API = "kueue.x-k8s.io/v1beta1"
SHARE = "100m"
"""CPU that each queue has for itself; every stage of a run here asks for exactly this."""
TWO_SHARES = "200m"
PLENTY = "64Gi"
LONG = {"maxSteps": 2500, "batchSize": 16}
"""Half a minute of training: what a run does meanwhile is looked at every ten seconds."""


def devcluster(*options: str) -> None:
    """Brings the cluster up again, with or without Kueue."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "devcluster")}
    command = [sys.executable, "-m", "attune_devcluster", "up", *options]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def kueue(cluster: Cluster) -> Iterator[None]:
    """Kueue, for these tests only: everything else is tested where there is none."""
    try:
        devcluster("--with", "kueue")
        yield
    finally:
        devcluster("--without", "kueue")


@pytest.fixture(autouse=True)
def devcluster_only(cluster: Cluster) -> None:
    if cluster.env["ATTUNE_CLUSTER"] != "devcluster":
        pytest.skip("these tests install Kueue and take it away again, which they do on the devcluster only")


@dataclass
class Queues:
    """The queues of a team's namespace, and the neighbours in them."""

    team: Team

    @property
    def urgent(self) -> str:
        """A WorkloadPriorityClass above all others."""
        return f"urgent-{self.team.namespace}"

    def make(self) -> None:
        """Both queues, their cohort, their flavor, and the priority class."""
        space = self.team.namespace
        flavor = {"name": space, "resources": [_quota("cpu", SHARE), _quota("memory", PLENTY)]}
        shared = {
            "cohort": space,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
            "preemption": {"withinClusterQueue": "LowerPriority", "reclaimWithinCohort": "Any"},
            "resourceGroups": [{"coveredResources": ["cpu", "memory"], "flavors": [flavor]}],
        }
        objects = [_object("ResourceFlavor", space, spec={}), _object("WorkloadPriorityClass", self.urgent, value=1000)]
        for queue in ("a", "b"):
            objects.append(_object("ClusterQueue", f"{queue}-{space}", spec=shared))
            objects.append(_object("LocalQueue", queue, space, spec={"clusterQueue": f"{queue}-{space}"}))
        self.team.cluster.apply(*objects)

    def remove(self) -> None:
        """What does not go with the namespace."""
        space = self.team.namespace
        for kind in ("finetunejobs", "jobs"):  # a queue goes when nothing is in it any longer
            self.team.cluster.kubectl("delete", kind, "--all", "-n", space)
        for kind, name in (
            *(("clusterqueue", f"{queue}-{space}") for queue in ("a", "b")),
            *(("resourceflavor", space), ("workloadpriorityclass", self.urgent)),
        ):
            self.team.cluster.kubectl("delete", kind, name, "--wait=false")

    def occupy(self, queue: str, cpu: str = SHARE, priority: str | None = None) -> str:
        """A neighbour's Job that has its quota, or waits for it; returns its name."""
        name = f"neighbour-{time.monotonic_ns()}"
        labels = {"kueue.x-k8s.io/queue-name": queue}
        if priority:
            labels["kueue.x-k8s.io/priority-class"] = priority
        container = {
            "name": "none",
            "image": "none.invalid/none",
            "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        secure = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        pod = {
            "restartPolicy": "Never",
            "nodeSelector": {"test.attune.dev/node": "none"},
            "securityContext": secure,
            "containers": [container],
        }
        job = _object("Job", name, self.team.namespace, spec={"suspend": True, "template": {"spec": pod}})
        self.team.cluster.apply({**job, "apiVersion": "batch/v1", "metadata": {**job["metadata"], "labels": labels}})
        return name

    def leave(self, neighbour: str) -> None:
        """The neighbour goes, and its quota is free."""
        self.team.cluster.kubectl("delete", "job", neighbour, "-n", self.team.namespace, check=True)
        # Kubernetes' garbage collector looks for new kinds twice a minute: it has just met this one.
        until(lambda: self.workload(neighbour) is None, "its Workload goes with it")

    def workload(self, job: str) -> JSON | None:
        """Kueue's Workload of a Job."""
        for found in self.team.cluster.get("workloads.kueue.x-k8s.io", self.team.namespace)["items"]:
            if any(owner["name"] == job for owner in found["metadata"].get("ownerReferences", [])):
                return dict(found)
        return None

    def admitted(self, job: str) -> bool:
        """Whether a Job has its quota."""
        found = self.workload(job)
        return found is not None and conditions(found).get("Admitted", {}).get("status") == "True"

    def borrowed(self, queue: str) -> set[str]:
        """What a queue uses of the other's CPU now."""
        status = self.team.cluster.get("clusterqueue", name=f"{queue}-{self.team.namespace}")["status"]
        used = [r for flavor in status["flavorsUsage"] for r in flavor["resources"] if r["name"] == "cpu"]
        return {r.get("borrowed", "0") for r in used}


@pytest.fixture
def queues(kueue: None, team: Team) -> Iterator[Queues]:
    made = Queues(team)
    made.make()
    yield made
    made.remove()


def until(holds: Callable[[], bool], what: str, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.2)


def test_without_kueue_a_queue_stalls_and_with_kueue_the_run_goes_on(
    team: Team, request: pytest.FixtureRequest
) -> None:
    devcluster("--without", "kueue")  # a session that was killed may have left it
    team.submit(queue={"name": "a"})
    job = team.wait("job", "Stalled", reason="KueueNotInstalled", timeout=60)
    assert "Install" in job["status"]["message"]
    assert not team.jobs(), "a Job that no queue holds back would start at once"
    request.getfixturevalue("queues")
    team.wait("job", "Succeeded", timeout=300)


def test_a_run_waits_for_quota_in_kueues_own_words_and_then_borrows(team: Team, queues: Queues) -> None:
    own, other = queues.occupy("a"), queues.occupy("b")
    until(lambda: queues.admitted(own) and queues.admitted(other), "both neighbours have their quota")
    team.submit(queue={"name": "a"})
    job = team.until("job", lambda j: "insufficient" in j.get("status", {}).get("message", ""), 120, "the reason")
    assert job["status"]["phase"] == "Queued"
    waiting = queues.workload(job["status"]["attempts"][-1]["jobName"])
    assert waiting is not None
    assert conditions(waiting)["QuotaReserved"]["message"] in job["status"]["message"]
    assert conditions(job)["Stalled"]["status"] == "False"
    assert conditions(job)["Validated"]["status"] == "True", "its data was checked meanwhile, for that needs no quota"
    assert not team.pods(job["status"]["attempts"][-1]["stage"].lower())

    queues.leave(other)
    team.until("job", lambda _: SHARE in queues.borrowed("a"), 120, "the quota of the other queue is borrowed")
    job = team.wait("job", "Succeeded", timeout=300)
    assert {a["state"] for a in job["status"]["attempts"]} == {"Succeeded"}, "to wait is no failure"


@pytest.mark.parametrize(
    ("own", "queue", "priority"),
    [
        pytest.param(False, "a", True, id="by a Job of higher priority in its queue", marks=WHOLE),
        pytest.param(True, "b", False, id="by the owner of the quota that it borrowed"),
    ],
)
def test_a_preempted_run_saves_its_state_waits_and_goes_on(
    team: Team, queues: Queues, own: bool, queue: str, priority: bool
) -> None:
    # One share is left for the run: its own, or the one that it borrows.
    taken = queues.occupy("a" if own else "b")
    until(lambda: queues.admitted(taken), "the neighbour has its quota")
    team.submit(queue={"name": "a"}, training=LONG, retryLimit=0)
    team.until("job", _has_trained, 240, "it trains")

    intruder = queues.occupy(queue, priority=queues.urgent if priority else None)
    job = team.until("job", lambda j: j["status"]["phase"] == "Queued", 120, "it waits again")
    until(lambda: queues.admitted(intruder), "who came has the quota")
    queues.leave(intruder)
    job = team.wait("job", "Succeeded", timeout=400)
    trained = [a for a in job["status"]["attempts"] if a["stage"] == "Train"]
    assert [a["state"] for a in trained] == ["Failed", "Succeeded"], "retryLimit is 0, and preemption does not count"
    assert trained[0]["reason"] == "EvictedByQueue"
    assert trained[1]["resumedFromStep"] > 0
    assert trained[1]["number"] == trained[0]["number"] + 1
    assert "preempt" in json.dumps([e["message"] for e in team.events("job")]).lower()


@WHOLE
def test_of_two_runs_that_wait_the_one_with_priority_goes_first(team: Team, queues: Queues) -> None:
    taken = queues.occupy("a", TWO_SHARES)
    until(lambda: queues.admitted(taken), "the neighbour has all of it")
    team.submit("early", queue={"name": "a"})
    team.until("early", _queued, 120, "it waits")
    team.submit("urgent", queue={"name": "a", "priorityClass": queues.urgent})
    team.until("urgent", _queued, 120, "it waits")
    workload = queues.workload(team.read("urgent")["status"]["attempts"][-1]["jobName"])
    assert workload is not None
    assert workload["spec"]["priority"] == 1000
    # The other queue's share is taken, so that one run at a time has room.
    queues.occupy("b")
    queues.leave(taken)
    urgent = team.wait("urgent", "Succeeded", timeout=300)
    early = team.wait("early", "Succeeded", timeout=300)
    assert _first_start(urgent) < _first_start(early)


@WHOLE
def test_a_queue_that_does_not_exist_is_named_and_once_it_does_the_run_goes_on(team: Team, queues: Queues) -> None:
    team.submit(queue={"name": "late"})
    job = team.wait("job", "Stalled", reason="QueueRefused", timeout=120)
    assert "LocalQueue late doesn't exist" in job["status"]["message"]
    queue = _object("LocalQueue", "late", team.namespace, spec={"clusterQueue": f"a-{team.namespace}"})
    team.cluster.apply(queue)
    team.wait("job", "Succeeded", timeout=300)


@WHOLE
def test_suspended_in_its_queue_it_gives_its_place_up_and_takes_one_again(team: Team, queues: Queues) -> None:
    taken = queues.occupy("a", TWO_SHARES)
    until(lambda: queues.admitted(taken), "the neighbour has all of it")
    team.submit(queue={"name": "a"})
    job = team.until("job", _queued, 120, "it waits")
    waiting = job["status"]["attempts"][-1]["jobName"]
    _suspend(team, True)
    team.until("job", lambda j: j["status"]["phase"] == "Suspended", 60, "Suspended")
    until(lambda: queues.workload(waiting) is None, "its place is given up")
    _suspend(team, False)
    team.until("job", _queued, 60, "it waits again")
    queues.leave(taken)
    team.wait("job", "Succeeded", timeout=300)


def test_a_look_at_a_published_version_waits_for_quota_too(team: Team, queues: Queues) -> None:
    fleet = Fleet(team.cluster, team.namespace)
    fleet.schedule("weekly", register="router")
    look = {
        "cron": {"schedule": "* * * * *"},
        "source": f"s3://{team.bucket}/{team.namespace}/fresh/",
        "runtime": "default",
        "resources": {"gpusPerNode": 0, "cpu": SHARE, "memory": "1Gi"},
        "queue": {"name": "a"},
    }
    taken = queues.occupy("a", TWO_SHARES)
    until(lambda: queues.admitted(taken), "the neighbour has all of it")
    fleet.model("router", monitor=look)
    fleet.run_to_its_end("weekly")
    status = fleet.until("tm", "router", lambda s: "insufficient" in s.get("message", ""), "the reason", timeout=120)
    waiting = status["look"]["jobName"]
    assert not queues.admitted(waiting)
    queues.leave(taken)
    until(lambda: queues.admitted(waiting), "the look has its quota")


def _suspend(team: Team, suspend: bool) -> None:
    patch = json.dumps({"spec": {"suspend": suspend}})
    team.cluster.kubectl("patch", "ftj", "job", "-n", team.namespace, "--type=merge", "-p", patch, check=True)


def _queued(job: JSON) -> bool:
    return bool(job.get("status", {}).get("phase") == "Queued")


def _has_trained(job: JSON) -> bool:
    return bool(job.get("status", {}).get("progress", {}).get("step", 0) > 0 and job["status"]["phase"] == "Training")


def _first_start(job: JSON) -> str:
    return str(min(c["lastTransitionTime"] for c in job["status"]["conditions"] if c["type"] == "Trained"))


def _quota(resource: str, amount: str) -> JSON:
    return {"name": resource, "nominalQuota": amount}


def _object(kind: str, name: str, namespace: str | None = None, **rest: Any) -> JSON:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, **rest}
