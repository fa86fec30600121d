"""What can happen to a pod that trains: its processes, its node, its image, its disk, one of its gang."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clusters import Cluster, conditions
from peril import node, soaking
from peril.podresults import ENDED_BY_THE_CLUSTER, POD_HEAD, end_of, trainings
from peril.results import Section
from peril.trial import LONG, WHOLE, Trial

JSON = dict[str, Any]
TAINT = "test.attune.dev/away=now:NoExecute"
SECTION = Section(
    "faults in pods",
    "Pods that train",
    f"""\
Real pods on a real node, with a checkpoint every {LONG["checkpoint"]["interval"]}. Steps done again are those after the
last checkpoint, counted from the pods' logs; of every run it is held that they were not worth more training than one
interval and the checkpoint that was on its way, that no attempt began before the one before it had ended, that every
attempt says why it ended, and that no Job is left that status does not tell of. There is one kubelet here: the node
that is tainted or drained is the only one, so the run waits until it is back.
""",
    head=POD_HEAD,
)
pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(900)]


def delete(trial: Trial) -> None:
    name = trial.pod()["metadata"]["name"]
    trial.team.cluster.kubectl("delete", "pod", name, "-n", trial.team.namespace, "--wait=false", check=True)


def evict(trial: Trial) -> None:
    soaking.evict(trial.team, trial.pod()["metadata"]["name"])


@pytest.mark.parametrize(
    ("fault", "harm", "reasons"),
    [
        pytest.param("SIGKILL of the trainer", node.kill_trainer, {"ProcessLost"}, id="trainer killed"),
        pytest.param("SIGKILL of all in the pod", node.kill_all, {"PodFailed"}, id="all killed", marks=WHOLE),
    ],
)
def test_a_trainer_that_is_killed_goes_on_from_its_checkpoint(
    trial: Trial, results: Section, fault: str, harm: Callable[[JSON], None], reasons: set[str]
) -> None:
    trial.submit()
    kept = trial.until_checkpoint()
    trial.strike(lambda: harm(trial.pod()))
    job = trial.succeed(resumed_from=kept)
    first, second = trainings(job)
    assert (first["state"], first["exitCode"]) == ("Failed", 137)
    assert first["reason"] in reasons
    assert second["resumedFromStep"] > 0
    results.rows.append(trial.row(fault, job))


@pytest.mark.parametrize(
    ("fault", "harm"),
    [
        pytest.param("pod deleted", delete, id="deleted", marks=WHOLE),
        pytest.param("Eviction API", evict, id="evicted"),
    ],
)
def test_a_pod_that_the_cluster_ends_costs_no_retry_and_no_step(
    trial: Trial, results: Section, fault: str, harm: Callable[[Trial], None]
) -> None:
    trial.submit(retryLimit=0)
    kept = trial.until_checkpoint()
    trial.strike(lambda: harm(trial))
    job = trial.succeed(resumed_from=kept)
    assert trainings(job)[0]["reason"] in ENDED_BY_THE_CLUSTER
    results.rows.append(trial.row(fault, job))


@WHOLE
def test_a_trainer_that_hangs_is_ended_with_its_stacks_and_goes_on(
    trial: Trial, results: Section, runtime: Callable[..., str]
) -> None:
    trial.submit(runtime=runtime("watched", stallTimeout="5s"))
    kept = trial.until_checkpoint()
    trial.strike(lambda: node.hang(trial.pod()))
    job = trial.succeed(resumed_from=kept)
    first = trainings(job)[0]
    assert (first["state"], first["reason"], first["exitCode"]) == ("Failed", "NoProgress", 14)
    assert "reports/attempts/train-1.stacks.txt" in trial.keys("reports/")
    results.rows.append(trial.row("SIGSTOP of the trainer (it hangs)", job))


@WHOLE
def test_memory_that_runs_out_is_final_and_says_what_to_raise(trial: Trial, results: Section) -> None:
    trial.submit()
    trial.until_checkpoint()
    trial.strike(lambda: node.use_up_memory(trial.pod()))
    job = trial.finish()
    assert end_of(job) == "Failed, OutOfMemory"
    assert len(trainings(job)) == 1, "the same would fail again"
    assert "memory" in job["status"]["message"]
    results.rows.append(trial.row("memory limit reached (OOM)", job))


@pytest.fixture
def only_node(cluster: Cluster) -> Iterator[str]:
    """The node that pods run on; without taint and open for pods when the test ends."""
    nodes = [n["metadata"] for n in cluster.get("nodes")["items"]]
    real = [n["name"] for n in nodes if n.get("annotations", {}).get("kwok.x-k8s.io/node") is None]
    if len(real) > 1:
        pytest.skip(f"this cluster has {len(real)} nodes that may be others' as well: none of them is taken away")
    yield real[0]
    cluster.kubectl("taint", "node", real[0], f"{TAINT}-")
    cluster.kubectl("uncordon", real[0])
    arguments = ("rollout", "status", "deployment/attune", "-n", "attune-system", "--timeout=120s")
    cluster.kubectl(*arguments, check=True)


@WHOLE
def test_a_node_that_is_drained_lets_training_save_and_the_run_waits_for_a_node(
    trial: Trial, results: Section, only_node: str
) -> None:
    trial.submit(retryLimit=0)
    kept = trial.until_checkpoint()
    options = ("--pod-selector=attune.dev/run", "--force", "--delete-emptydir-data", "--ignore-daemonsets")
    drain = ("drain", only_node, *options, "--timeout=150s")
    trial.strike(lambda: trial.team.cluster.kubectl(*drain, check=True))
    trial.until(lambda: "unschedulable" in trial.team.read()["status"]["message"], 120, "it says what it waits for")
    waiting = trial.team.read()["status"]
    assert waiting["phase"] in {"Pending", "Training"}
    trial.team.cluster.kubectl("uncordon", only_node, check=True)
    trial.harm_ends()
    job = trial.succeed(resumed_from=kept)
    assert trainings(job)[0]["reason"] in ENDED_BY_THE_CLUSTER
    results.rows.append(trial.row("node drained, and back after a while", job, waiting["message"]))


@WHOLE
def test_a_tainted_node_takes_trainer_and_operator_away_and_both_come_back(
    trial: Trial, results: Section, only_node: str
) -> None:
    trial.submit(retryLimit=0)
    kept = trial.until_checkpoint()
    trial.strike(lambda: trial.team.cluster.kubectl("taint", "node", only_node, TAINT, check=True))
    deadline = time.monotonic() + 150
    while [p for p in trial.team.pods("train") if p["status"]["phase"] == "Running"]:
        assert time.monotonic() < deadline, "the taint ended no pod"
        time.sleep(0.5)
    trial.team.cluster.kubectl("taint", "node", only_node, f"{TAINT}-", check=True)
    trial.harm_ends()
    job = trial.succeed(resumed_from=kept)
    assert trainings(job)[0]["reason"] in ENDED_BY_THE_CLUSTER
    results.rows.append(trial.row("node tainted NoExecute (the operator's too), and back", job))


@WHOLE
def test_an_image_that_does_not_exist_is_named_and_a_mended_runtime_is_taken_up(
    trial: Trial, results: Section, runtime: Callable[..., str]
) -> None:
    trial.submit(runtime=runtime("mended", image="registry.invalid/attune-trainer:none"), training={"maxSteps": 20})
    stalled = trial.team.wait("job", "Stalled", reason="ImagePullFailed", timeout=180)
    assert "registry.invalid" in stalled["status"]["message"]
    trial.strike(lambda: runtime("mended"))
    job = trial.succeed()
    assert [a["reason"] for a in trainings(job)] == ["RuntimeChanged", "Done"]
    seen = stalled["status"]["message"]
    results.rows.append(trial.row("image that does not exist, until the runtime is mended", job, seen))


@WHOLE
def test_a_full_disk_costs_checkpoints_and_not_the_run(trial: Trial, results: Section) -> None:
    trial.submit(training={**LONG, "maxSteps": 3000})
    trial.until_checkpoint()
    pod = trial.pod()
    with node.full_disk(pod):
        trial.strike(lambda: None)
        time.sleep(20)
    trial.harm_ends()
    job = trial.succeed()
    warnings = [w for a in trainings(job) for w in a.get("warnings") or ()]
    assert any("No space left on device" in w for w in warnings), job["status"]["attempts"]
    assert len(trainings(job)) == 1, "a checkpoint that fails is no reason to end a training"
    results.rows.append(trial.row("disk full for 20 s where checkpoints are written", job))


@WHOLE
def test_one_rank_of_two_that_is_killed_ends_the_gang_and_both_go_on(trial: Trial, results: Section) -> None:
    trial.submit(resources={"nodes": 2})
    kept = trial.until_checkpoint()
    assert len(trial.team.pods("train")) == 2
    trial.strike(lambda: node.kill_trainer(trial.pod()))
    job = trial.succeed(resumed_from=kept, timeout=600)
    first, second = trainings(job)
    assert first["state"] == "Failed"
    assert first["endTime"] <= second["startTime"]
    assert conditions(job)["Trained"]["status"] == "True"
    results.rows.append(trial.row("one rank of two killed", job))
