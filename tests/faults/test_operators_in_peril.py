"""Two operators at once, one that is down while a Job ends, and objects that nobody could have foreseen."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.apiserver import APIServer
from benchmarks.manifests import runtime
from benchmarks.scene import NAMESPACES_PATH, RUNTIMES_PATH

from attune_devcluster.alone import Alone
from peril.faults import Kind, healthy, old_news, schedule
from peril.results import Section, row
from peril.witness import condition
from peril.world import World, world

JSON = dict[str, Any]
SECTION = Section(
    "operators in peril",
    "Two operators, none, and objects that cannot be read",
    """\
Two operators that both work, without leader election; one that is told old news; one that stands by; none while
a Job ends; and one beside objects that no version should ever meet: such objects say of themselves what is wrong, and
hold nobody up.
""",
)
AT_ONCE = 10
LATER_SECONDS = 5.0
"""So long after the end of all runs is looked whether one begins again; a resync is due in it."""
pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "only",
    [
        pytest.param(None, id="both with everything that goes wrong"),
        pytest.param(Kind.STALE, id="both with stale reads"),
        pytest.param(Kind.LOST, id="both with lost answers"),
    ],
)
async def test_two_operators_that_both_work_make_one_job_for_each_attempt(
    alone: Alone, api: APIServer, tmp_path: Path, results: Section, usual: set[str], only: Kind | None
) -> None:
    name = f"two-{(only or 'all').split()[0].lower()}"
    scripts = [schedule(1, only), schedule(2, only)]
    async with world(alone, api, tmp_path, name, scripts=scripts) as made:
        await made.submit("run-1", "run-2", "run-3")
        verdict = await made.finish()
        assert verdict.broken == []
        worked = [sum(done.is_step for done in proxy.done) for proxy in made.proxies]
        assert all(worked), f"steps of each: both must have worked, or nothing was tested: {worked}"
    fault = f"two operators, both at work, {only or 'all faults mixed'}"
    results.rows.append(row(fault, len(verdict.struck), [verdict], usual))


async def test_by_old_news_no_run_that_is_over_and_pruned_begins_again(
    alone: Alone, api: APIServer, tmp_path: Path, results: Section, usual: set[str], seed: int
) -> None:
    """Jobs go as soon as their run is over, and with them the names that else stand in the way of a second one."""
    await api.post(RUNTIMES_PATH, runtime("pruned", retention="0s"))
    async with world(alone, api, tmp_path, "old-news", scripts=[old_news(seed)]) as made:
        await made.submit(*(f"run-{number}" for number in range(AT_ONCE)), runtime="pruned")
        await made.finish()
        await asyncio.sleep(LATER_SECONDS)
        verdict = made.verdict()
    assert verdict.broken == []
    fault = "every second read of a FineTuneJob stale, and Jobs pruned at once"
    results.rows.append(row(fault, len(verdict.struck), [verdict], usual))


async def test_the_operator_that_stands_by_takes_over_from_one_that_is_gone(
    alone: Alone, api: APIServer, tmp_path: Path, results: Section, usual: set[str], thorough: bool
) -> None:
    if not thorough:
        pytest.skip("a Lease is waited for: part of `make faults`")
    async with world(alone, api, tmp_path, "elected", scripts=[healthy, healthy], elect=True) as made:
        await made.submit("run-slow")
        assert await made.witness.until(lambda: _training(made), 120), "training runs"
        steps = [sum(done.is_step for done in proxy.done) for proxy in made.proxies]
        assert min(steps) == 0, f"one stands by: {steps}"
        gone = time.monotonic()
        await made.operators[steps.index(max(steps))].down()
        verdict = await made.finish()
        other = made.proxies[steps.index(0)]
    assert verdict.broken == []
    waits = [done.at - gone for done in other.done if done.is_step]
    results.rows.append(row("the leader of two operators gone for good", 1, [verdict], usual, waits[:1]))


async def test_a_job_that_ended_while_the_operator_was_down_is_seen_afterwards(
    alone: Alone, api: APIServer, tmp_path: Path, results: Section, usual: set[str]
) -> None:
    async with world(alone, api, tmp_path, "down") as made:
        operator, witness = made.operators[0], made.witness
        await made.submit("run-slow")
        assert await witness.until(lambda: _training(made), 120), "training runs"
        await operator.down()
        assert await witness.until(lambda: not witness.open, 120), "the Job ended"
        assert made.verdict().states["run-slow"].startswith("not finished: Training")
        back = time.monotonic()
        operator.up()
        verdict = await made.finish()
    assert verdict.broken == []
    assert verdict.extra_attempts == 0, "an Outcome is not lost because nobody was there"
    steps = [done.at - back for done in made.proxies[0].done if done.is_step and done.at > back]
    results.rows.append(row("operator down while a Job ended", 1, [verdict], usual, steps[:1]))


def _training(made: World) -> bool:
    attempts = made.witness.runs.get("run-slow", {}).get("status", {}).get("attempts", [])
    return bool(attempts) and (attempts[-1]["stage"], attempts[-1]["state"]) == ("Train", "Running")


def _status(value: Any) -> Callable[[JSON], JSON]:
    return lambda body: {**body, "status": value}


def _spec(**fields: Any) -> Callable[[JSON], JSON]:
    return lambda body: {**body, "spec": {**body["spec"], **fields}}


def _attempt(**fields: Any) -> JSON:
    start = "2026-01-02T03:04:05Z"
    whole = {"stage": "Train", "number": 1, "jobName": "x", "state": "Running", "startTime": start}
    return {"attempts": [{**whole, **fields}]}


POISON: dict[str, Callable[[JSON], JSON]] = {
    "attempts-is-text": _status({"attempts": "none"}),
    "attempts-are-numbers": _status({"attempts": [1]}),
    "state-of-a-newer-version": _status(_attempt(state="Hibernating")),
    "stage-of-a-newer-version": _status(_attempt(stage="Distill")),
    "conditions-is-text": _status({"conditions": "fine"}),
    "conditions-are-odd": _status({"conditions": [1, None, {}]}),
    "method-of-a-newer-version": _spec(method="RLHF"),
    "field-of-a-newer-version": _spec(quantumAnnealing={"qubits": 4}),
    "resources-is-text": _spec(resources="many"),
    "no-spec": lambda body: {name: value for name, value in body.items() if name != "spec"},
}
GARBAGE: dict[str, Callable[[JSON], JSON]] = {
    "status-is-text": _status("garbage"),
    "status-is-a-list": _status([1, 2]),
    "time-is-no-time": _status(_attempt(startTime="yesterday")),
}
"""What the schema of today does not let in, and etcd may hold all the same from another day."""
HARMLESS: dict[str, Callable[[JSON], JSON]] = {
    "huge-annotations": lambda body: {
        **body,
        "metadata": {**body["metadata"], "annotations": {"notes": "x" * 900_000}},
    },
}


def _mangle(body: JSON) -> JSON:
    poison = {**POISON, **GARBAGE, **HARMLESS}.get(body.get("metadata", {}).get("name", "").removeprefix("run-"))
    return poison(body) if poison else body


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(POISON, id="unreadable"),
        pytest.param(GARBAGE, id="garbage"),
    ],
)
async def test_objects_that_cannot_be_read_are_reported_and_hold_nobody_up(
    alone: Alone, api: APIServer, tmp_path: Path, results: Section, usual: set[str], poison: JSON
) -> None:
    bad = [f"run-{name}" for name in poison]
    good = ["run-1", "run-2", *(f"run-{name}" for name in HARMLESS)]
    async with world(alone, api, tmp_path, f"poison-{len(bad)}", mangle=_mangle) as made:
        await made.submit(*bad, *good)
        assert await made.witness.finished(good, made.patience), made.verdict(good).states
        # Not only whoever was first: a run that comes when all the poison is known is found as well.
        await made.submit("run-late")
        assert await made.witness.finished(["run-late"], made.patience), made.verdict(["run-late"]).states
        silent = await _silent(api, made, bad)
        verdict = made.verdict([*good, "run-late"])
        log = made.operators[0].log.read_text()
    assert verdict.broken == []
    assert (verdict.restarts, verdict.hung) == (0, 0), log[-3000:]
    assert silent == [], "nothing about these on the objects: neither an Event nor condition Stalled"
    harm = {name: text for name, text in verdict.states.items() if name in bad and text == "Succeeded"}
    assert harm == {}, "what could not be read was acted on"
    results.rows.append(row(f"{len(bad)} objects beside them that cannot be read", len(bad), [verdict], usual))


async def _silent(api: APIServer, made: World, names: list[str]) -> list[str]:
    """Of these objects, those that say nothing of what is wrong with them."""
    told = set()
    for event in (await api.get(f"{NAMESPACES_PATH}/{made.namespace}/events"))["items"]:
        if event["type"] == "Warning":
            told.add(event["involvedObject"]["name"])
    stalled = {n for n, run in made.witness.runs.items() if condition(run, "Stalled").get("status") == "True"}
    return sorted(set(names) - told - stalled)
