"""One operator leads; another takes over when the Lease is given up or abandoned, and never before."""

import asyncio
import contextlib
from typing import Any

import pytest

from attune_operator.cluster import lease
from attune_operator.cluster.client import Kube
from attune_operator.cluster.lease import Leadership
from attune_operator.errors import UnavailableError
from factories import Clock
from memory_kube import MemoryKube

PATH = "/apis/coordination.k8s.io/v1/namespaces/attune-system/leases/attune"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kube() -> MemoryKube:
    return MemoryKube()


def leadership(kube: MemoryKube, name: str, clock: Clock) -> Leadership:
    typed: Kube = kube  # type: ignore[assignment]  # has its methods
    return Leadership(typed, "attune-system", name, clock)


def leads(one: Leadership) -> bool:
    return asyncio.run(one._tried())


def test_the_first_leads_and_the_second_stands_by(kube: MemoryKube, clock: Clock) -> None:
    a, b = leadership(kube, "a", clock), leadership(kube, "b", clock)
    assert leads(a)
    assert not leads(b)
    assert leads(a), "renewed"


def test_an_abandoned_lease_is_taken_over_only_after_its_whole_duration(kube: MemoryKube, clock: Clock) -> None:
    a, b = leadership(kube, "a", clock), leadership(kube, "b", clock)
    assert leads(a)
    assert not leads(b)
    clock.now = lease.DURATION_SECONDS - 1
    assert not leads(b)
    clock.now = lease.DURATION_SECONDS + 1
    assert leads(b)
    assert not leads(a), "and the first has lost it"
    assert kube.objects[PATH]["spec"]["leaseTransitions"] == 2


def test_a_lease_that_is_renewed_is_never_taken(kube: MemoryKube, clock: Clock) -> None:
    a, b = leadership(kube, "a", clock), leadership(kube, "b", clock)
    for _ in range(20):
        assert leads(a)
        assert not leads(b)
        clock.now += lease.DURATION_SECONDS / 2


def test_a_lease_that_is_given_up_is_free_at_once(kube: MemoryKube, clock: Clock) -> None:
    a, b = leadership(kube, "a", clock), leadership(kube, "b", clock)
    assert leads(a)
    asyncio.run(a.release())
    assert leads(b)


def test_the_same_pod_started_anew_goes_on_at_once(kube: MemoryKube, clock: Clock) -> None:
    assert leads(leadership(kube, "pod-1", clock))
    assert leads(leadership(kube, "pod-1", clock))


def test_of_two_that_write_at_once_one_loses(kube: MemoryKube, clock: Clock) -> None:
    a = leadership(kube, "a", clock)
    assert leads(a)
    asyncio.run(a.release())
    kube.broken[f"PUT {PATH}"] = lease.ConflictError("somebody was faster")
    assert not leads(leadership(kube, "b", clock))


@pytest.mark.parametrize(
    ("down_for", "lost"),
    [(lease.DEADLINE_SECONDS / 2, False), (lease.DEADLINE_SECONDS * 2, True)],
    ids=["short", "long"],
)
def test_a_leader_that_cannot_renew_gives_up_in_time(
    kube: MemoryKube, clock: Clock, monkeypatch: pytest.MonkeyPatch, down_for: float, lost: bool
) -> None:
    a = leadership(kube, "a", clock)
    assert leads(a)
    kube.broken[f"PUT {PATH}"] = UnavailableError("the API server is away")
    gave_up: list[float] = []

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        if clock.now > down_for:
            kube.broken.clear()
        if clock.now > 5 * lease.DEADLINE_SECONDS:
            raise asyncio.CancelledError

    monkeypatch.setattr(lease.asyncio, "sleep", sleep)

    async def keep() -> None:
        try:
            await a.keep(lambda: gave_up.append(clock.now))
        except asyncio.CancelledError:
            return

    asyncio.run(keep())
    assert bool(gave_up) is lost
    assert all(moment < lease.DURATION_SECONDS for moment in gave_up), "before anybody else may take over"


def kept(one: Leadership, clock: Clock, monkeypatch: pytest.MonkeyPatch, rounds: int = 20) -> list[float]:
    """When a leader gave up within so many tries to renew."""
    gave_up: list[float] = []
    tries = iter(range(rounds))

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        if next(tries, None) is None:
            raise asyncio.CancelledError

    async def keep() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await one.keep(lambda: gave_up.append(clock.now))

    monkeypatch.setattr(lease.asyncio, "sleep", sleep)
    asyncio.run(keep())
    return gave_up


def taken_over(kube: MemoryKube, clock: Clock) -> tuple[Leadership, Leadership]:
    """Two of which the second has the Lease, as the first let it run out."""
    a, b = leadership(kube, "a", clock), leadership(kube, "b", clock)
    assert leads(a)
    assert not leads(b)
    clock.now = lease.DURATION_SECONDS + 1
    assert leads(b)
    return a, b


def test_a_leader_that_finds_another_in_its_place_gives_up_at_once(
    kube: MemoryKube, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was frozen for longer than its Lease lasts, with its node for instance."""
    a, _ = taken_over(kube, clock)
    assert kept(a, clock, monkeypatch) == [clock.now]
    assert clock.now == lease.DURATION_SECONDS + 1 + lease.RETRY_SECONDS


def test_who_took_over_and_then_cannot_read_the_lease_does_not_take_the_one_before_for_a_rival(
    kube: MemoryKube, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b = taken_over(kube, clock)

    reads = kube.get
    fails = iter((True, False))

    async def get(path: str) -> dict[str, Any]:
        if next(fails, False):
            raise UnavailableError("the API server is away for a moment")
        return await reads(path)

    monkeypatch.setattr(kube, "get", get)
    assert kept(b, clock, monkeypatch) == []


def test_a_lease_that_cannot_be_read_is_lost_in_time_and_not_without_a_word(
    kube: MemoryKube, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a = leadership(kube, "a", clock)
    assert leads(a)
    kube.objects[PATH]["spec"]["leaseDurationSeconds"] = "a while"
    gave_up = kept(a, clock, monkeypatch)
    assert gave_up
    assert gave_up[0] < lease.DURATION_SECONDS
    assert "could not be renewed" in caplog.text
