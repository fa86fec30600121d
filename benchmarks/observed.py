"""The operator as it is seen from outside: its own counters, and the memory that the kernel counts for it."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from benchmarks.apiserver import APIServer, BenchError
from prometheus_client.parser import text_string_to_metric_families

SELECTOR = "app.kubernetes.io/name=attune"
REQUESTS = "attune_api_requests_total"
READS = frozenset({"GET"})
PROC = Path("/proc")
MIB = 2**20
Writes = Counter[str]
"""Number of writing requests by what they were, such as `POST jobs`."""


@dataclass(frozen=True)
class Operator:
    """An operator that runs somewhere.

    Attributes:
        name: for people.
        metrics: path of its /metrics through the API server, or a URL.
        node: where its pod runs; empty where it is no pod.
        uid: of its pod; empty where it is no pod.
        pid: of its process, where that is known beforehand.
    """

    name: str
    metrics: str
    node: str = ""
    uid: str = ""
    pid: int | None = None


async def find(api: APIServer, namespace: str) -> Operator:
    """The operator that the chart installed.

    Raises:
        BenchError: there is none, or more than one.
    """
    path = f"/api/v1/namespaces/{namespace}/pods"
    pods = (await api.get(f"{path}?labelSelector={SELECTOR}&fieldSelector=status.phase=Running"))["items"]
    pods = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    if len(pods) != 1:
        raise BenchError(f"{len(pods)} pods of the operator run in namespace {namespace}; `make install` makes it one")
    name = pods[0]["metadata"]["name"]
    proxied = f"{path}/{name}:8080/proxy/metrics"
    return Operator(f"pod {namespace}/{name}", proxied, pods[0]["spec"]["nodeName"], pods[0]["metadata"]["uid"])


async def scrape(api: APIServer, operator: Operator) -> str:
    """The operator's /metrics."""
    if operator.metrics.startswith("/"):
        return await api.text(operator.metrics)
    async with aiohttp.ClientSession() as session, session.get(operator.metrics) as answer:
        return await answer.text()


async def writes(api: APIServer, operator: Operator) -> Writes:
    """Writing requests to the API server since the operator started."""
    return count_writes(await scrape(api, operator))


def count_writes(metrics: str) -> Writes:
    """Writing requests in a text of Prometheus metrics. Pure."""
    return Counter(
        {
            f"{sample.labels['verb']} {sample.labels['resource']}": int(sample.value)
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == REQUESTS and sample.labels["verb"] not in READS
        }
    )


@dataclass(frozen=True)
class Usage:
    """What the operator takes.

    Attributes:
        mebibytes: resident memory.
        cpu_seconds: CPU time since it started; None where only the kubelet sees it, which looks every ten seconds.
    """

    mebibytes: float
    cpu_seconds: float | None = None


async def usage(api: APIServer, operator: Operator) -> Usage:
    """What the operator takes: by its process where that is visible here, else as its kubelet says."""
    pids = [operator.pid] if operator.pid else await asyncio.to_thread(lambda: list(_pids(PROC, operator.uid)))
    if pids:
        return process(*((PROC / str(pids[0]) / name).read_text() for name in ("status", "stat")))
    summary = await api.get(f"/api/v1/nodes/{operator.node}/proxy/stats/summary")
    containers = next(pod["containers"] for pod in summary["pods"] if pod["podRef"]["uid"] == operator.uid)
    return Usage(sum(container["memory"]["rssBytes"] for container in containers) / MIB)


def process(status: str, stat: str) -> Usage:
    """What a process takes, from the text of /proc/<pid>/status and /proc/<pid>/stat (see proc(5)). Pure."""
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    after_name = stat.rpartition(")")[2].split()
    user, system = int(after_name[11]), int(after_name[12])
    return Usage(int(resident.split()[1]) * 1024 / MIB, (user + system) / os.sysconf("SC_CLK_TCK"))


def _pids(proc: Path, uid: str) -> Iterable[int]:
    """Processes of the operator in a pod, newest first, by the names of their cgroups."""
    if not uid:
        return
    for folder in sorted(proc.glob("[0-9]*"), key=lambda folder: -int(folder.name)):
        try:
            cgroups, command = (folder / "cgroup").read_text(), (folder / "cmdline").read_text()
        except OSError:  # it ended meanwhile
            continue
        ours = uid in cgroups or uid.replace("-", "_") in cgroups
        if ours and "attune_operator" in command:
            yield int(folder.name)
