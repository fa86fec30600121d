"""Fixtures of the fault suite: a control plane of its own, how much of the suite to run, and its table of results."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from benchmarks.apiserver import APIServer, connect
from benchmarks.playground import playground

from attune_devcluster.alone import Alone
from attune_devcluster.kube_api import CONTEXT
from clusters import Team
from peril.diary import Diary
from peril.results import Section
from peril.side_by_side import SideBySide
from peril.trial import Trial
from peril.world import Verdict, pattern, world

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
LONG = {"slow": "8s"}
"""FineTuneJobs with this word in their names train so long: an operator can be down meanwhile."""
HEALTHY_SECONDS = 60.0


@pytest.fixture(scope="session")
def thorough() -> bool:
    """Whether all of it runs (`make faults`), or a part that is chosen by a seed (`make test`)."""
    return os.environ.get("ATTUNE_FAULTS") == "all"


@pytest.fixture(scope="session")
def seed() -> int:
    """Chooses the part that runs."""
    return int(os.environ.get("ATTUNE_FAULTS_SEED", "6"))


@pytest.fixture(scope="session")
def stall() -> float:
    """Seconds that a stalled request waits: longer than the operator's own limit of 30 s only where there is time."""
    return float(os.environ.get("ATTUNE_FAULTS_STALL", "2"))


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    with playground(tmp_path_factory.mktemp("alone"), os.environ, train_for=LONG) as started:
        yield started


@pytest.fixture
async def api(alone: Alone) -> AsyncIterator[APIServer]:
    async with connect(str(alone.kubeconfig), CONTEXT) as opened:
        yield opened


@pytest.fixture(scope="module")
def results(thorough: bool, request: pytest.FixtureRequest) -> Iterator[Section]:
    """The module's table; written where the whole suite ran, and not a selection of it."""
    section: Section = request.module.SECTION
    yield section
    if thorough and section.rows and not request.config.option.keyword:
        section.write(PAGE)


@pytest.fixture(scope="session")
def healthy_run(alone: Alone, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """A run that nothing goes wrong with: how many writes it takes, and what its status says."""

    async def go() -> Verdict:
        async with (
            connect(str(alone.kubeconfig), CONTEXT) as opened,
            world(alone, opened, tmp_path_factory.mktemp("healthy"), "healthy") as well,
        ):
            well.patience = HEALTHY_SECONDS
            await well.submit("run-healthy")
            return await well.finish()

    verdict = asyncio.run(go())
    assert verdict.broken == [], "without faults"
    return verdict


@pytest.fixture(scope="session")
def usual(healthy_run: Verdict) -> set[str]:
    """Patterns of what a status says of a run that nothing goes wrong with."""
    return {pattern(message) for message in healthy_run.messages}


@pytest.fixture(scope="session")
def side_by_side() -> SideBySide:
    return SideBySide(int(os.environ.get("ATTUNE_FAULTS_SIDE_BY_SIDE", "4")))


@pytest.fixture
def trial(team: Team) -> Iterator[Trial]:
    """A run on the real cluster, and a diary of its steps."""
    with Diary(team).kept() as diary:
        yield Trial(team, diary)
