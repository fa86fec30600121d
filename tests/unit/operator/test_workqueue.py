import asyncio

import pytest

from attune_operator.cluster.failures import refusal
from attune_operator.workqueue import FIRST_RETRY, LONGEST_RETRY, Key, WorkQueue, work
from factories import Clock

A, B = Key("ns", "a"), Key("ns", "b")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock, jitter=lambda: 1.0)


async def take(queue: WorkQueue) -> Key | None:
    try:
        return await asyncio.wait_for(queue.get(), 0.02)
    except TimeoutError:
        return None


async def test_a_key_added_twice_is_handed_out_once(queue: WorkQueue) -> None:
    queue.add(A)
    queue.add(A)
    assert [await take(queue), await take(queue)] == [A, None]


async def test_keys_come_in_the_order_in_which_they_are_due(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, after=2)
    queue.add(B, after=1)
    clock.now = 3
    assert [await take(queue), await take(queue)] == [B, A]


async def test_a_delayed_key_waits_for_its_time(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, after=5)
    assert await take(queue) is None
    clock.now = 5
    assert await take(queue) == A


async def test_an_earlier_time_replaces_a_later_one_and_not_the_other_way_round(queue: WorkQueue) -> None:
    queue.add(A, after=5)
    queue.add(A)
    queue.add(A, after=9)
    assert [await take(queue), await take(queue)] == [A, None]


async def test_a_key_under_work_is_not_handed_to_a_second_worker_but_again_afterwards(queue: WorkQueue) -> None:
    queue.add(A)
    assert await take(queue) == A
    queue.add(A)
    assert await take(queue) is None
    queue.done(A)
    assert await take(queue) == A


async def test_back_off_doubles_is_bounded_and_ends_with_a_success(queue: WorkQueue) -> None:
    delays = [queue.retry(A) for _ in range(12)]
    assert delays[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert delays[-1] == LONGEST_RETRY
    queue.forget(A)
    assert queue.retry(A) == FIRST_RETRY


async def test_a_failure_is_reported_and_does_not_end_the_worker(queue: WorkQueue) -> None:
    failed: list[str] = []
    worked: list[Key] = []

    async def reconcile(key: Key) -> float | None:
        worked.append(key)
        if key == A:
            raise RuntimeError("bad")
        return None

    worker = asyncio.create_task(work(queue, reconcile, lambda key, error, _: failed.append(f"{key.name}: {error}")))
    queue.add(A)
    queue.add(B)
    await asyncio.sleep(0.02)
    worker.cancel()
    assert worked == [A, B]
    assert failed == ["a: bad"]
    assert len(queue) == 1, "the failed key waits for its next try"


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        pytest.param(429, "7", 7, id="too many requests"),
        pytest.param(503, "7", 7, id="away"),
        pytest.param(429, "86400", LONGEST_RETRY, id="never longer than the longest back-off"),
        pytest.param(429, "", FIRST_RETRY, id="not said for how long"),
        pytest.param(429, "Wed, 21 Oct 2026 07:28:00 GMT", FIRST_RETRY, id="a date, which no API server sends"),
        pytest.param(409, "7", FIRST_RETRY, id="somebody was faster: read afresh at once"),
    ],
)
async def test_an_api_server_that_asks_to_be_left_in_peace_is(
    clock: Clock, status: int, header: str, seconds: float
) -> None:
    queue = WorkQueue(clock, jitter=lambda: 0.0)
    delays: list[float] = []

    async def reconcile(key: Key) -> float | None:
        raise refusal(status, "GET", "/api/v1/pods", "the server has received too many requests", header)

    worker = asyncio.create_task(work(queue, reconcile, lambda *failure: delays.append(failure[2])))
    queue.add(A)
    await asyncio.sleep(0.02)
    worker.cancel()
    assert delays == [pytest.approx(seconds if seconds != FIRST_RETRY else FIRST_RETRY / 2)]


async def test_what_can_wait_is_handed_out_when_nothing_else_is_due(queue: WorkQueue) -> None:
    queue.add_idle(A, 60)
    queue.add(B)
    assert [await take(queue), await take(queue), await take(queue)] == [B, A, None]
    assert len(queue) == 0


async def test_what_can_wait_does_not_wait_for_ever(queue: WorkQueue, clock: Clock) -> None:
    queue.add_idle(A, 60)
    clock.now = 61
    queue.add(B)
    assert [await take(queue), await take(queue), await take(queue)] == [A, B, None]


async def test_what_could_wait_is_handed_out_once_when_it_is_added_again(queue: WorkQueue, clock: Clock) -> None:
    queue.add_idle(A, 60)
    queue.add(A)
    assert await take(queue) == A
    queue.done(A)
    clock.now = 61
    assert await take(queue) is None


async def test_what_can_wait_and_is_worked_on_comes_again_at_its_time(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    assert await take(queue) == A
    queue.add_idle(A, 60)
    assert await take(queue) is None
    queue.done(A)
    assert await take(queue) is None
    clock.now = 60
    assert await take(queue) == A


async def test_a_quiet_moment_does_not_shorten_a_back_off(queue: WorkQueue, clock: Clock) -> None:
    delay = queue.retry(A)
    queue.add_idle(A, 60)
    assert await take(queue) is None
    clock.now = delay
    assert await take(queue) == A


async def test_a_worker_that_waits_is_woken_by_what_can_wait(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_idle(A, 60)
    assert await asyncio.wait_for(waiting, 1) == A


async def test_what_can_wait_is_worked_on_one_at_a_time(queue: WorkQueue) -> None:
    queue.add_idle(A, 60)
    queue.add_idle(B, 60)
    assert [await take(queue), await take(queue)] == [A, None]
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done(A)
    assert await asyncio.wait_for(waiting, 1) == B


async def test_a_failure_calls_off_the_wait_for_a_quiet_moment(queue: WorkQueue, clock: Clock) -> None:
    queue.add_idle(A, 60)
    queue.add(B)
    assert [await take(queue), await take(queue)] == [B, A]
    queue.add_idle(B, 60)
    delay = queue.retry(B)
    queue.done(B)
    queue.done(A)
    assert await take(queue) is None
    clock.now = delay
    assert await take(queue) == B
