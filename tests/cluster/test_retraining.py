"""Schedules, waves and TunedModels on the real cluster, with a clock that the tests move. No pod runs."""

import json
import time
import uuid
from collections.abc import Iterator

import pytest

from clusters import Cluster
from fleets import API, Fleet, Operators

pytestmark = pytest.mark.cluster
HOURLY = {"cron": {"schedule": "0 * * * *"}}


@pytest.fixture(scope="module")
def operators(cluster: Cluster) -> Iterator[Operators]:
    found = Operators(cluster)
    found.clock(0)
    found.follow_clock(follow=True)
    yield found
    found.scale(1)
    found.follow_clock(follow=False)


@pytest.fixture
def fleet(cluster: Cluster, operators: Operators) -> Iterator[Fleet]:
    name = f"fleet-{uuid.uuid4().hex[:8]}"
    operators.clock(0)
    cluster.kubectl("create", "namespace", name, check=True)
    yield Fleet(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_a_run_by_the_clock_then_one_that_is_skipped_with_its_reason(fleet: Fleet, operators: Operators) -> None:
    fleet.schedule("weekly", triggers=HOURLY)
    operators.clock(1)
    run = fleet.started("weekly")
    operators.clock(2)
    status = fleet.until("fts", "weekly", lambda s: s["skipped"], "a start was skipped")
    assert status["skipped"][0]["reason"] == "RunActive"
    assert run in status["skipped"][0]["message"]
    fleet.end(run, cost="2.50")
    status = fleet.until("fts", "weekly", lambda s: not s["runs"], "the run was counted")
    assert (status["spend"]["amount"], fleet.runs("weekly")) == ("2.50", [run])


def test_operators_that_were_down_over_two_due_times_start_one_run(fleet: Fleet, operators: Operators) -> None:
    for i in range(5):
        fleet.schedule(f"s{i}", triggers=HOURLY)
    operators.scale(0)
    operators.clock(2.5)
    operators.scale(2)
    for i in range(5):
        fleet.started(f"s{i}")
    time.sleep(3)
    operators.scale(1)
    assert [len(fleet.runs(f"s{i}")) for i in range(5)] == [1] * 5
    assert fleet.status("fts", "s0")["skipped"][0]["reason"] == "Missed"


def test_a_breaker_opens_and_says_so(fleet: Fleet) -> None:
    fleet.schedule("weekly", breaker={"failures": 2})
    for _ in range(2):
        fleet.run_to_its_end("weekly", succeeded=False)
    status = fleet.until("fts", "weekly", lambda s: "in a row failed" in s["message"], "the breaker opened")
    stalled = {c["type"]: c for c in status["conditions"]}["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "BreakerOpen")


def test_a_month_s_budget_ends_starts(fleet: Fleet, operators: Operators) -> None:
    fleet.schedule("weekly", triggers=HOURLY, budget={"maxCost": "1.50"})
    operators.clock(1)
    fleet.end(fleet.started("weekly"), cost="1.50")
    fleet.until("fts", "weekly", lambda s: not s["runs"], "the run was counted")
    operators.clock(2)
    status = fleet.until("fts", "weekly", lambda s: s["skipped"], "a start was skipped")
    assert status["skipped"][0]["reason"] == "BudgetReached"
    assert "1.50 of 1.50 USD" in status["message"]


def test_a_template_that_changes_makes_a_run_and_the_same_one_again_does_not(fleet: Fleet) -> None:
    fleet.schedule("weekly")
    fleet.schedule("weekly")
    assert fleet.runs("weekly") == []
    changed = {"spec": {"training": {"epochs": 2}}}
    fleet.schedule("weekly", template={**changed})
    fleet.started("weekly")
    fleet.schedule("weekly", template={"spec": {"training": {"epochs": 2}}})
    time.sleep(2)
    assert len(fleet.runs("weekly")) == 1


def test_a_matrix_makes_a_run_for_each_value_so_many_at_once(fleet: Fleet) -> None:
    template = {"matrix": {"lang": ["de", "en", "fr"]}, "maxParallel": 2}
    fleet.schedule("weekly", template=template)
    fleet.trigger("weekly")
    fleet.until("fts", "weekly", lambda s: s.get("summary", {}).get("active") == 2, "two runs are active")
    time.sleep(1)
    first = fleet.runs("weekly")
    assert [name[-2:] for name in first] == ["de", "en"]
    fleet.end(first[0])
    fleet.until("fts", "weekly", lambda s: len(s["runs"]) == 2 and s["summary"]["active"] == 2, "the third was created")


def champion(fleet: Fleet, version: int) -> dict[str, str]:
    """Waits for a champion; returns what the ConfigMap hands over."""
    fleet.until("tm", "router", lambda s: s.get("champion", {}).get("version") == version, f"v{version} is champion")
    deadline = time.monotonic() + 20
    while True:
        found = fleet.cluster.get("configmap", fleet.namespace, "router-tunedmodel")["data"]
        if found.get("champion.version") == str(version):
            return {str(key): str(value) for key, value in found.items()}
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_what_is_better_is_promoted_what_is_worse_is_not_and_a_rollback_brings_the_old_one_back(fleet: Fleet) -> None:
    fleet.model("router", rollout={"challengerPercent": 10, "stickyBy": "userID"})
    fleet.schedule("weekly", register="router")
    fleet.run_to_its_end("weekly", accuracy=0.8)
    first = champion(fleet, 1)
    fleet.run_to_its_end("weekly", accuracy=0.9, champion=(1, 0.8))
    second = champion(fleet, 2)
    assert second["champion.uri"] != first["champion.uri"]
    flag = json.loads(second["flags.json"])["flags"]["router"]
    assert flag["variants"]["champion"]["uri"] == second["champion.uri"]
    fleet.run_to_its_end("weekly", accuracy=0.7, champion=(2, 0.9))
    status = fleet.until("tm", "router", lambda s: len(s["versions"]) == 3, "a third version")
    assert (status["champion"]["version"], status["versions"][0]["state"]) == (2, "Declined")
    fleet.run_to_its_end("weekly", published=False)
    fleet.until("tm", "router", lambda s: s["declined"], "a run without a version is told")
    fleet.patch("tm", "router", rollbackTo=1)
    assert champion(fleet, 1)["champion.uri"] == first["champion.uri"]
    fleet.patch("tm", "router", rollbackTo=None, promotion="Manual")
    fleet.run_to_its_end("weekly", accuracy=0.99)
    fleet.until("tm", "router", lambda s: s.get("challenger", {}).get("version") == 4, "v4 waits for a person")
    assert champion(fleet, 1)["challenger.version"] == "4"
    fleet.patch("tm", "router", promote=4)
    champion(fleet, 4)


def test_a_wave_over_forty_namespaces_never_has_more_than_three_active(
    cluster: Cluster, fleet: Fleet, operators: Operators
) -> None:
    wave = fleet.namespace
    teams = [f"{wave}-{i}" for i in range(40)]
    labels = {"attune.dev/wave-test": wave}
    kind = {"apiVersion": "v1", "kind": "Namespace"}
    cluster.apply(*({**kind, "metadata": {"name": team, "labels": labels}} for team in teams))
    operators.scale(2)
    try:
        for team in teams:
            fleet.schedule("weekly", namespace=team)
        spec = {"namespaceSelector": {"matchLabels": labels}, "cron": {"schedule": "0 0 1 1 *"}, "maxConcurrent": 3}
        cluster.apply({"apiVersion": API, "kind": "ClusterFineTuneSchedule", "metadata": {"name": wave}, "spec": spec})
        time.sleep(2)
        cluster.kubectl("annotate", "cfts", wave, "attune.dev/trigger=now", check=True)
        most, killed, deadline = 0, False, time.monotonic() + 420
        while time.monotonic() < deadline:
            items = cluster.get("ftj", None, all_namespaces="true")["items"]
            active = [i for i in items if i["metadata"]["namespace"] in teams and not over(i)]
            if len(active) < 3 and not most:
                continue  # all places are taken once, before any is given back
            most = max(most, len(active))
            for run in active:
                fleet.end(run["metadata"]["name"], run["metadata"]["namespace"], cost="0.10", published=False)
            status = cluster.get("cfts", None, wave).get("status", {}).get("wave", {})
            if status.get("done", 0) > 10 and not killed:
                operators.kill_one()
                killed = True
            if "completionTime" in status:
                break
        assert (status["done"], status["total"], most) == (40, 40, 3)
        assert all(len(fleet.runs("weekly", team)) == 1 for team in teams)
    finally:
        operators.scale(1)
        cluster.kubectl("delete", "cfts", wave)
        cluster.kubectl("delete", "namespace", *teams, "--wait=false")


def over(raw: dict[str, object]) -> bool:
    conditions = raw.get("status", {}).get("conditions", [])  # type: ignore[attr-defined]  # JSON
    return any(c["type"] == "Finished" and c["status"] == "True" for c in conditions)
