"""A node that goes away while others are there: the next attempt is scheduled elsewhere. Nodes and pods are played."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.apiserver import APIServer
from benchmarks.scene import NODES_PATH, pods_path

from attune_devcluster.alone import Alone
from peril.podresults import ENDED_BY_THE_CLUSTER, POD_HEAD, row, trainings
from peril.results import Section
from peril.world import World, world

JSON = dict[str, Any]
RUN = "run-slow"
SECTION = Section(
    "nodes that go away",
    "A node of several",
    """\
Ten nodes that kwok plays, under a real scheduler, real controllers and a real operator: the node under a training is
tainted NoExecute, or drained (cordoned, its pod evicted through the Eviction API). The time is until the next attempt
runs.
""",
    head=POD_HEAD,
)
pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@asynccontextmanager
async def changed(api: APIServer, node: str, **spec: Any) -> AsyncIterator[None]:
    """A node with another spec, until the block ends."""
    before = (await api.get(f"{NODES_PATH}/{node}"))["spec"]
    taints = [*before.get("taints", []), *spec.pop("taints", [])]
    await put(api, node, {**before, **spec, "taints": taints})
    try:
        yield
    finally:
        await put(api, node, before)


async def put(api: APIServer, node: str, spec: JSON) -> None:
    path = f"{NODES_PATH}/{node}"
    found = {**await api.get(path), "spec": spec}
    found["metadata"].pop("resourceVersion")  # kwok writes its heartbeat all the time
    async with api._session.put(path, data=json.dumps(found)) as answer:
        assert answer.status == 200, await answer.text()


@asynccontextmanager
async def tainted(api: APIServer, _namespace: str, pod: JSON) -> AsyncIterator[None]:
    taint = {"key": "test.attune.dev/away", "value": "now", "effect": "NoExecute"}
    async with changed(api, pod["spec"]["nodeName"], taints=[taint]):
        yield


@asynccontextmanager
async def drained(api: APIServer, namespace: str, pod: JSON) -> AsyncIterator[None]:
    name = pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    async with changed(api, pod["spec"]["nodeName"], unschedulable=True):
        await api.post(f"{pods_path(namespace)}/{name}/eviction", json.dumps(body).encode())
        yield


def trains(made: World, number: int) -> bool:
    """Whether an attempt at training runs."""
    tried = trainings(made.witness.runs.get(RUN, {}))
    return len(tried) >= number and tried[number - 1]["state"] == "Running"


async def trainer(api: APIServer, namespace: str, number: int) -> JSON:
    """The pod of an attempt at training."""
    selector = f"attune.dev/stage=train,attune.dev/attempt={number}"
    found: list[JSON] = (await api.get(f"{pods_path(namespace)}?labelSelector={selector}"))["items"]
    return found[0]


@pytest.mark.parametrize(
    ("fault", "harm"),
    [
        pytest.param("node tainted NoExecute", tainted, id="tainted"),
        pytest.param("node drained", drained, id="drained"),
    ],
)
async def test_a_run_whose_node_goes_away_goes_on_elsewhere(
    alone: Alone,
    api: APIServer,
    tmp_path: Path,
    results: Section,
    fault: str,
    harm: Callable[..., Any],
) -> None:
    async with world(alone, api, tmp_path, f"away-{harm.__name__}") as made:
        await made.submit(RUN)
        assert await made.witness.until(lambda: trains(made, 1), 120), "training runs"
        first = await trainer(api, made.namespace, 1)
        struck = time.monotonic()
        async with harm(api, made.namespace, first):
            assert await made.witness.until(lambda: trains(made, 2), 60), made.verdict().states
            waited = time.monotonic() - struck
            second = await trainer(api, made.namespace, 2)
        verdict = await made.finish()
        job = made.witness.runs[RUN]
    assert verdict.broken == []
    assert second["spec"]["nodeName"] != first["spec"]["nodeName"]
    first_reason, second_reason = (a["reason"] for a in trainings(job))
    assert first_reason in ENDED_BY_THE_CLUSTER  # kwok's pods are gone at once
    assert second_reason == "Done"
    results.rows.append(replace(row(fault, job, []), wait=f"{waited:.1f} s", again="—"))
