"""One operator for an hour, with faults on its way to the API server all the time; part of `make soak`.

The pods are played; test_soak.py does the same to runs whose pods are real.
"""

import asyncio
import os
import time
from pathlib import Path

import pytest
from benchmarks.apiserver import APIServer
from benchmarks.manifests import runtime
from benchmarks.scene import RUNTIMES_PATH, jobs_path, pods_path

from attune_devcluster.alone import Alone
from peril.faults import now_and_then
from peril.results import Section, row
from peril.soak import GROWTH, growth
from peril.world import World, world

RUNS = int(os.environ.get("ATTUNE_SOAK_PLAYED", "0"))
MINUTES = float(os.environ.get("ATTUNE_SOAK_MINUTES", "60"))
SAMPLE_SECONDS = 10.0
GONE_SECONDS = 120.0
RUNTIME = "soak"
SECTION = Section("long service", "One operator for long", "")
pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(60 * MINUTES + 1800),
    pytest.mark.skipif(not RUNS, reason="part of `make soak`"),
]


async def test_an_operator_that_is_disturbed_all_the_time_ends_every_run_and_keeps_nothing(
    alone: Alone, api: APIServer, tmp_path: Path, results: Section, usual: set[str], stall: float, seed: int
) -> None:
    await api.post(RUNTIMES_PATH, runtime(RUNTIME, retention="0s"))
    began = time.monotonic()
    async with world(alone, api, tmp_path, "long", scripts=[now_and_then(seed)], stall=stall) as made:
        memory: list[float] = []
        sampling = asyncio.create_task(sample(made, memory))
        for number in range(RUNS):
            await asyncio.sleep(began + number * 60 * MINUTES / RUNS - time.monotonic())
            await made.submit(f"run-{number}", runtime=RUNTIME)
        verdict = await made.finish()
        left = await leaked(made)
        sampling.cancel()
    took = time.monotonic() - began

    assert verdict.broken == []
    assert left == []
    assert verdict.restarts == 0, "one process, whose memory is what was looked at"
    grown = growth(memory)
    assert grown is None or grown <= GROWTH, f"the operator's memory grew to {grown:.2f} times what it was"
    told = (
        "too short to tell of its memory" if grown is None else f"its memory at the end {grown:.2f} times what it was"
    )
    results.rows.append(row("all that leaves the operator running", len(verdict.struck), [verdict], usual))
    results.text = f"""\
{RUNS} runs in {took / 60:.0f} minutes, their pods played, under one operator that was never started again, {told} once
warm ({max(memory) / 2**20:.0f} MiB at most). No Job and no pod was left.
"""


async def sample(made: World, memory: list[float]) -> None:
    """Notes the bytes that the operator's process has, at even distances."""
    while True:
        pid = made.operators[0].pid
        if pid:
            memory.append(resident(pid))
        await asyncio.sleep(SAMPLE_SECONDS)


def resident(pid: int) -> float:
    """Bytes of memory that a process has."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return float(pages) * os.sysconf("SC_PAGE_SIZE")


async def leaked(made: World) -> list[str]:
    """Jobs and pods that are there after all runs are over and there was time for them to go."""
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        lists = [await made.api.get(path(made.namespace)) for path in (jobs_path, pods_path)]
        found = [o["metadata"]["name"] for listed in lists for o in listed["items"]]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)
