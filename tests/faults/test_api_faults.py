"""A proxy between operator and API server that does all the harm that networks and busy API servers do.

Which requests it is done to follows from a seed. Most schedules have one kind of fault only, so that what it does can
be told; the others mix all of them.
"""

import os
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest
from benchmarks.apiserver import APIServer

from attune_devcluster.alone import Alone
from peril.faults import KINDS, kind_of, schedule
from peril.results import Section, row
from peril.side_by_side import SideBySide
from peril.world import Verdict, world

SCHEDULES = int(os.environ.get("ATTUNE_FAULTS_SCHEDULES", "200"))
MIXED = "all of these mixed"
SECTION = Section(
    "faults of the API server",
    "The way to the API server",
    f"""\
{SCHEDULES} schedules of faults, each with two runs and an operator of its own behind a proxy. Which requests are
struck follows from the schedule's number; most schedules have one kind of fault. Faults come close upon each other, up
to eight of them: the time to the next step holds those that came meanwhile, and restarts. What an event that was
dropped would have told is found by the resync, every 4 s here and every 180 s by default. A stalled request waits
longer than the operator's own limit of 30 s. An operator that does not answer its liveness probe for 5 s is started
again.
""",
)
pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


async def test_whatever_goes_wrong_on_the_way_to_the_api_server_runs_end_well(
    alone: Alone,
    api: APIServer,
    tmp_path: Path,
    side_by_side: SideBySide,
    stall: float,
    thorough: bool,
    seed: int,
    results: Section,
    usual: set[str],
) -> None:
    async def trial(number: int) -> Verdict:
        script = schedule(number, kind_of(number))
        async with world(alone, api, tmp_path, f"schedule-{number}", scripts=[script], stall=stall) as made:
            await made.submit("run-1", "run-2")
            return await made.finish()

    # One of each kind, and two that mix them.
    first = 0 if thorough else seed * 20
    numbers = range(SCHEDULES) if thorough else range(first, first + len(KINDS) + 2)
    verdicts = await side_by_side([partial(trial, number) for number in numbers])
    assert [problem for verdict in verdicts for problem in verdict.broken] == []
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for number, verdict in zip(numbers, verdicts, strict=True):
        groups[kind_of(number) or MIXED].append(verdict)
    for name in (*KINDS, MIXED):
        times = sum(len(verdict.struck) for verdict in groups[name])
        results.rows.append(row(name, times, groups[name], usual))
        assert times, f"{name} never happened: the schedules test nothing"
