"""What goes wrong while a run is under way: the operator dies, the object is deleted, somebody deletes a Job."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from clusters import Cluster, Team

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]
LONG = {"maxSteps": 1200, "batchSize": 16}
OPERATOR = "app.kubernetes.io/name=attune"
CHART = Path(__file__).resolve().parents[2] / "charts" / "attune"


def training(job: JSON) -> bool:
    attempts = job.get("status", {}).get("attempts", [])
    return bool(attempts) and attempts[-1]["stage"] == "Train" and attempts[-1]["state"] == "Running"


def kill_operator(cluster: Cluster) -> None:
    """SIGKILL from the node, as the kernel would: no handler runs, nothing is flushed."""
    (pod,) = cluster.get("pods", "attune-system", selector=OPERATOR)["items"]
    if not sigkill(pod, "attune_operator"):
        # A cluster on another machine: the nearest thing is a pod that is deleted without grace.
        cluster.kubectl("delete", "pod", "-n", "attune-system", pod["metadata"]["name"], "--grace-period=0", "--force")


def sigkill(pod: JSON, command: str) -> bool:
    """Kills a pod's process on this machine, which is the node; False where it is not visible here."""
    found = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=False).stdout.split()
    mine = [pid for pid in found if pod["metadata"]["uid"] in cgroup(pid)]
    return bool(mine) and subprocess.run(["kill", "-9", mine[0]], check=False).returncode == 0


def test_an_operator_that_is_killed_during_training_goes_on_with_the_same_job(team: Team) -> None:
    team.submit(training=LONG)
    before = team.until("job", training, 120, "training runs")
    (uid,) = [j["metadata"]["uid"] for j in team.jobs() if j["metadata"]["labels"]["attune.dev/stage"] == "train"]
    kill_operator(team.cluster)
    after = team.wait("job", "Succeeded", timeout=300)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    trains = [j for j in team.jobs() if j["metadata"]["labels"]["attune.dev/stage"] == "train"]
    assert [j["metadata"]["uid"] for j in trains] == [uid], "the same Job, and only one"
    assert [a["stage"] for a in after["status"]["attempts"]] == ["Preflight", "Train", "Evaluate", "Publish"]


def test_an_upgrade_takes_up_the_attempt_that_is_under_way(team: Team) -> None:
    team.submit(training=LONG, retryLimit=0)
    before = team.until("job", training, 120, "training runs")
    (old,) = team.cluster.get("pods", "attune-system", selector=OPERATOR)["items"]
    upgrade(team.cluster, **{"operator.podAnnotations.attune\\.dev/test": "upgraded"})
    try:
        (new,) = [p for p in team.cluster.get("pods", "attune-system", selector=OPERATOR)["items"] if alive(p)]
        assert new["metadata"]["uid"] != old["metadata"]["uid"]
        assert training(team.read("job")), "it still trains: the upgrade came in the middle"
        after = team.wait("job", "Succeeded", timeout=300)
    finally:
        upgrade(team.cluster, **{"operator.podAnnotations": "null"})
    job_name = before["status"]["attempts"][-1]["jobName"]
    assert [a["jobName"] for a in after["status"]["attempts"] if a["stage"] == "Train"] == [job_name]
    assert len(team.jobs()) == 4


def upgrade(cluster: Cluster, **values: str) -> None:
    """The chart with other values, as an admin upgrades it; ends when the new operator is ready."""
    options = [f"--set={name}={value}" for name, value in values.items()]
    command = ["helm", "upgrade", "attune", str(CHART), "-n", "attune-system", "--reuse-values", "--wait", *options]
    env = {**os.environ, **cluster.env}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def alive(pod: JSON) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"


def test_two_operators_make_one_job_for_each_attempt(team: Team) -> None:
    scale(team.cluster, 2)
    try:
        names = [f"job-{i}" for i in range(2)]
        for name in names:
            team.submit(name, training={"maxSteps": 2})
        for name in names:
            job = team.wait(name, "Succeeded", timeout=400)
            assert [(a["stage"], a["number"]) for a in job["status"]["attempts"]] == [
                (stage, 1) for stage in ("Preflight", "Train", "Evaluate", "Publish")
            ]
        assert len(team.jobs()) == 4 * len(names)
    finally:
        scale(team.cluster, 1)


def scale(cluster: Cluster, replicas: int) -> None:
    cluster.kubectl("scale", "deployment/attune", "-n", "attune-system", f"--replicas={replicas}", check=True)
    cluster.kubectl("rollout", "status", "deployment/attune", "-n", "attune-system", "--timeout=60s", check=True)


def test_a_deleted_run_leaves_nothing_running(team: Team) -> None:
    team.submit(training={"maxSteps": 100_000})
    team.until("job", training, 120, "training runs")
    team.cluster.kubectl("delete", "ftj", "job", "-n", team.namespace, "--wait=true", "--timeout=10s", check=True)
    deadline = time.monotonic() + 60  # training saves a checkpoint first
    while team.pods() or team.jobs():
        assert time.monotonic() < deadline, f"still there: {[state(p) for p in team.pods()]}"
        time.sleep(0.3)
    left = team.cluster.get("networkpolicies,services", team.namespace)["items"]
    assert not [o for o in left if o["metadata"]["name"].startswith("job-")]


def state(pod: JSON) -> JSON:
    """What tells why a pod that is being deleted is still there."""
    found = pod["metadata"]
    return {
        "name": found["name"],
        "deleted": found.get("deletionTimestamp"),
        "grace": found.get("deletionGracePeriodSeconds"),
        "containers": [c["state"] for c in pod["status"].get("containerStatuses", [])],
    }


def test_a_job_that_somebody_deletes_is_replaced_by_the_next_attempt(team: Team) -> None:
    team.submit(training=LONG, retryLimit=0)
    team.until("job", training, 120, "training runs")
    team.cluster.kubectl("delete", "job", "-n", team.namespace, "-l", "attune.dev/stage=train", check=True)
    job = team.wait("job", "Succeeded", timeout=300)
    trains = [(a["number"], a["state"], a["reason"]) for a in job["status"]["attempts"] if a["stage"] == "Train"]
    assert trains == [(1, "Failed", "JobLost"), (2, "Succeeded", "Done")]


def cgroup(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cgroup") as file:  # noqa: PTH123 - procfs
            return file.read().replace("_", "-")
    except OSError:
        return ""
