"""SIGKILL of the operator before and after each write of a run, every one of them, found by counting.

A killed operator is the harshest reader of the rule "first the record, then the deed": wherever it dies, the next one
must go on from what is stored, and make nothing twice.
"""

import random
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest
from benchmarks.apiserver import APIServer

from attune_devcluster.alone import Alone
from peril.faults import Kind, kill_at
from peril.results import Section, row
from peril.side_by_side import SideBySide
from peril.world import Verdict, world

FEWEST_POINTS = 25
PART = 5
LAST_WRITES_SECONDS = 5.0
pytestmark = [pytest.mark.faults, pytest.mark.timeout(3000)]
SECTION = Section(
    "the operator killed",
    "The operator is killed",
    """\
A proxy between the operator and a real API server counts the writes of a run and kills the operator (SIGKILL) before
or after one of them, every one in turn; a new operator goes on. The pods are played by kwok and end with recorded
Outcomes; everything else is real. Each run has four stages, so four attempts where nothing is repeated. For every run
of this page it is also held that there never were two Jobs for one attempt, that no attempt began before the one before
it had ended, and that nothing happened after its end.
""",
)
Point = tuple[int, Kind]


@pytest.fixture(scope="module")
def every(healthy_run: Verdict) -> list[Point]:
    """Before and after every write of a run."""
    numbers = range(1, healthy_run.writes + 1)
    return [(number, kind) for number in numbers for kind in (Kind.KILL_BEFORE, Kind.KILL_AFTER)]


async def test_wherever_the_operator_is_killed_the_run_ends_well_with_one_job_for_each_attempt(
    alone: Alone,
    api: APIServer,
    tmp_path: Path,
    every: list[Point],
    side_by_side: SideBySide,
    thorough: bool,
    seed: int,
    results: Section,
    usual: set[str],
) -> None:
    assert len(every) >= FEWEST_POINTS

    async def trial(write: int, kind: Kind) -> Verdict:
        name = f"kill-{'before' if kind is Kind.KILL_BEFORE else 'after'}-{write}"
        async with world(alone, api, tmp_path, name, scripts=[kill_at(write, kind)]) as made:
            await made.submit("run-1")
            await made.witness.finished(["run-1"], made.patience)
            # Its last writes are Events, which come after the end; and an operator that comes back sees that end.
            await made.witness.until(lambda: made.operators[0].starts > 1, LAST_WRITES_SECONDS)
            return made.verdict()

    points = every if thorough else random.Random(seed).sample(every, PART)  # noqa: S311 - not for secrets
    verdicts = await side_by_side([partial(trial, *point) for point in points])
    assert [problem for verdict in verdicts for problem in verdict.broken] == []
    reached = [verdict for verdict in verdicts if verdict.struck]
    assert len(reached) >= (FEWEST_POINTS if thorough else PART - 2), "points that a run got to"
    assert sum(verdict.hung for verdict in verdicts) == 0
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in reached:
        groups[f"{verdict.struck[0].kind}: {verdict.struck[0].what}"].append(verdict)
    results.rows += [row(name, len(group), group, usual) for name, group in sorted(groups.items())]
