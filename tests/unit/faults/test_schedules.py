"""Schedules of faults follow from their seed, and stop."""

import pytest

from peril.faults import KINDS, Asked, Kind, Script, kill_at, kind_of, now_and_then, schedule

READ = Asked(1, 0, "GET", "/api/v1/x", "GET x", known=True)
NEW = Asked(1, 0, "GET", "/api/v1/x", "GET x")
WRITE = Asked(1, 1, "PUT", "/api/v1/x", "PUT x")
WATCH = Asked(1, 0, "GET", "/api/v1/x?watch=1", "GET x", watch=True)
EVENT = Asked(1, 0, "GET", "/api/v1/x?watch=1", "GET x", event=True)
TRAFFIC = [READ, NEW, WRITE, WATCH, EVENT] * 60


def struck(script: Script, traffic: list[Asked]) -> list[tuple[int, Kind]]:
    return [(number, kind) for number, asked in enumerate(traffic) if (kind := script(asked)) is not None]


def test_the_same_seed_does_the_same_harm_and_another_seed_other_harm() -> None:
    first, again, other = (struck(schedule(seed), TRAFFIC) for seed in (4, 4, 5))
    assert first == again != other


@pytest.mark.parametrize("kind", [None, *KINDS], ids=lambda kind: str(kind) if kind else "mixed")
def test_after_so_many_faults_the_world_is_well_again(kind: Kind | None) -> None:
    done = struck(schedule(1, kind, count=8), TRAFFIC)
    assert len(done) == 8
    assert kind is None or {found for _, found in done} == {kind}


@pytest.mark.parametrize(
    ("asked", "never"),
    [
        pytest.param(NEW, Kind.STALE, id="no stale answer to what was never asked before"),
        pytest.param(READ, Kind.CONFLICT, id="no conflict for a read"),
        pytest.param(WRITE, Kind.STALE, id="no stale answer to a write"),
        pytest.param(WATCH, Kind.LOST, id="no lost write for a watch"),
    ],
)
def test_a_fault_is_done_only_to_requests_that_can_have_it(asked: Asked, never: Kind) -> None:
    assert struck(schedule(1, never), [asked] * 200) == []


def test_faults_for_long_never_stop_and_let_the_process_live() -> None:
    done = struck(now_and_then(1, one_in=10), TRAFFIC * 20)
    assert len(done) == pytest.approx(len(TRAFFIC) * 20 / 10, rel=0.1)
    assert max(number for number, _ in done) > len(TRAFFIC) * 19
    assert {kind for _, kind in done} == set(KINDS) - {Kind.GONE, Kind.EXPIRED}


def test_every_kind_has_schedules_of_its_own_and_some_mix_all() -> None:
    kinds = [kind_of(seed) for seed in range(200)]
    assert {kinds.count(kind) for kind in KINDS} == {10}
    assert kinds.count(None) == 70


def test_the_operator_is_killed_once_at_the_chosen_write() -> None:
    traffic = [Asked(n, n if n % 2 else 0, "PUT", "/x", "PUT x") for n in range(1, 10)]
    assert struck(kill_at(5, Kind.KILL_AFTER), traffic + traffic) == [(4, Kind.KILL_AFTER)]
