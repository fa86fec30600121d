"""A model that is trained again as its data and its world change: every look, poll, comparison and run in real pods."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from clusters import STORE, Team, rows
from fleets import API, Fleet

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
JSON = dict[str, Any]
MODEL = "router"
TRAINING = {"maxSteps": 60, "batchSize": 16}
GATE = {"require": [{"metric": "Accuracy", "minImprovement": 0.1, "over": "champion"}]}
NO_GPU = {"gpusPerNode": 0, "cpu": "100m", "memory": "2Gi"}
A_RUN, A_LOOK = 600.0, 300.0
"""Seconds that a run, and a look at a model, are waited for."""
FEW, MORE = 16, 64
"""Rows."""
EVALUATED: JSON = {"evaluation": {"metrics": [{"name": "Accuracy"}]}}


def other_way(found: list[JSON]) -> list[JSON]:
    """The same rows in a world where every answer is the other one."""
    turned = {" warm": " cold", " cold": " warm"}
    return [{**row, "completion": turned[row["completion"]]} for row in found]


def stamped(found: list[JSON]) -> list[JSON]:
    """Rows as an application drops them."""
    return [{**row, "timestamp": datetime.now(UTC).isoformat()} for row in found]


def template(team: Team, test: str) -> JSON:
    """Of runs that learn from all that lies below `train/`."""
    made: JSON = team.manifest(
        data=f"s3://{team.bucket}/{team.namespace}/train/",
        training=TRAINING,
        evaluation={"metrics": [{"name": "Accuracy"}], "gate": GATE},
        output={"register": MODEL},
    )["spec"]
    made["dataset"] = {**{k: v for k, v in made["dataset"].items() if k != "split"}, "test": [test]}
    return made


def champion(fleet: Fleet, version: int) -> JSON:
    """Waits for a champion; returns what the ConfigMap hands over, once it does."""
    is_it = {"champion.version": str(version)}
    fleet.until("tm", MODEL, lambda s: s.get("champion", {}).get("version") == version, f"v{version}", timeout=A_RUN)
    name = f"{MODEL}-tunedmodel"
    fleet.cluster.kubectl(
        "wait",
        f"configmap/{name}",
        "-n",
        fleet.namespace,
        *(f"--for=jsonpath={{.data['{key.replace('.', chr(92) + '.')}']}}={value}" for key, value in is_it.items()),
        "--timeout=20s",
        check=True,
    )
    data: JSON = fleet.cluster.get("configmap", fleet.namespace, name)["data"]
    flag = json.loads(data["flags.json"])["flags"][MODEL]
    assert flag["variants"][flag["defaultVariant"]]["uri"] == data["champion.uri"]
    return data


def trigger(fleet: Fleet, what: str, says: str) -> None:
    """Waits until something has started a run, and says so."""
    fleet.until(
        "fts",
        MODEL,
        lambda s: (last := s.get("lastTrigger", {})).get("trigger") == what and says in last["message"],
        f"{what} ({says}) starts a run",
        timeout=A_LOOK,
    )


def version(status: JSON, number: int) -> JSON:
    """One of the versions of a TunedModel's status."""
    return next((v for v in status.get("versions", []) if v["version"] == number), {"state": None})


def test_a_model_follows_its_data_and_its_world(team: Team) -> None:
    fleet = Fleet(team.cluster, team.namespace)
    test = team.upload("test/rows.jsonl", rows(48, seed=3))
    team.upload("train/rows.jsonl", rows(FEW))
    team.upload("fresh/rows.jsonl", stamped(rows(60, seed=5)))
    fleet.model(MODEL)
    team.submit("hardly-trained", training={"maxSteps": 1}, output={"register": MODEL}, **EVALUATED)
    meta = {"name": MODEL, "namespace": team.namespace}
    spec = {
        "jobTemplate": {"spec": template(team, test)},
        "triggers": {"newData": {"minNewRows": 10, "pollInterval": "15s"}, "drift": {}},
    }
    team.cluster.apply({"apiVersion": API, "kind": "FineTuneSchedule", "metadata": meta, "spec": spec})
    fleet.until("fts", MODEL, lambda s: s.get("data", {}).get("rows") == FEW, "a poll counted", timeout=A_LOOK)
    first = champion(fleet, 1)
    assert fleet.runs(MODEL) == []

    # More data: better, and so promoted.
    team.upload("train/more.jsonl", rows(MORE, seed=1))
    trigger(fleet, "NewData", f"{FEW + MORE}")
    second = champion(fleet, 2)
    assert second["champion.uri"] != first["champion.uri"]
    assert second["champion.digest"] != first["champion.digest"]

    # More data that teaches the opposite: worse than the champion on the same rows, and so not promoted.
    team.upload("train/wrong.jsonl", other_way(rows(4 * MORE, seed=2)))
    trigger(fleet, "NewData", f"{FEW + 5 * MORE}")
    status = fleet.until("tm", MODEL, lambda s: s.get("declined"), "a run published nothing", timeout=A_RUN)
    assert status["champion"]["version"] == 2, status
    assert champion(fleet, 2) == second

    # The world changes: the monitor sees it, and the schedule trains again.
    fleet.until("fts", MODEL, lambda s: not s["runs"], "the run was counted")
    looks_every_minute = {
        "cron": {"schedule": "* * * * *"},
        "source": f"s3://{team.bucket}/{team.namespace}/fresh/",
        "credentialsSecret": STORE,
        "minRows": 20,
        "resources": NO_GPU,
    }
    fleet.patch("tm", MODEL, monitor=looks_every_minute)
    seen = fleet.until("tm", MODEL, lambda s: s.get("monitor", {}).get("last"), "the monitor looked", timeout=A_LOOK)
    assert not seen["monitor"]["last"].get("drift"), seen["monitor"]
    team.upload("fresh/rows.jsonl", stamped(other_way(rows(60, seed=5))))
    trigger(fleet, "Drift", "Accuracy")
    assert len(fleet.runs(MODEL)) == 3


def test_a_version_whose_run_could_not_ask_the_champion_is_compared_before_it_takes_its_place(team: Team) -> None:
    """Its own keys to the base do not read the champion, which lies elsewhere; one pod then asks both."""
    fleet = Fleet(team.cluster, team.namespace)
    team.cluster.apply(team.cluster.secret(team.namespace, "other-store"))
    fleet.model(MODEL)
    team.submit("first", training={"maxSteps": 1}, output={"register": MODEL}, **EVALUATED)
    champion(fleet, 1)
    elsewhere = {"uri": f"s3://{team.bucket}/{team.namespace}/elsewhere/", "register": MODEL}
    keys = {"model": {"source": team.base, "credentialsSecret": "other-store"}}
    team.submit(
        "second", training=TRAINING, data=team.upload("x.jsonl", rows(200)), output=elsewhere, **keys, **EVALUATED
    )
    status = fleet.until("tm", MODEL, lambda s: version(s, 2)["state"] == "Comparing", "it is compared", timeout=A_RUN)
    assert status["champion"]["version"] == 1
    champion(fleet, 2)
    found = version(fleet.status("tm", MODEL), 2)
    assert found["compared"]["champion"] == 1
    assert found["compared"]["better"] is True
