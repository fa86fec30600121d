"""Hundreds of short runs with harm by chance, `make soak`: all end, truthfully, and nothing is left behind.

`make soak RUNS=12 MINUTES=4` is a short one. A small machine takes longer than it is told to: no more than
ATTUNE_SOAK_AT_ONCE runs are under way at a time.
"""

import os
import time
from collections.abc import Callable

import pytest

from clusters import Team, rows
from peril.results import Section
from peril.soak import GROWTH, HEAD, Harm, SoakRow, growth, plan, untrue
from peril.soaking import Soak
from peril.trial import door_to_the_store

RUNS = int(os.environ.get("ATTUNE_SOAK_RUNS", "0"))
MINUTES = float(os.environ.get("ATTUNE_SOAK_MINUTES", "60"))
AT_ONCE = int(os.environ.get("ATTUNE_SOAK_AT_ONCE", "4"))
PATIENCE_SECONDS = 4 * 60 * MINUTES + 1800
SECTION = Section("soak", "Many runs for long", "", head=HEAD)
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.timeout(PATIENCE_SECONDS + 1800),
    pytest.mark.skipif(not RUNS, reason="part of `make soak`"),
]


def test_all_runs_end_truthfully_and_leave_nothing_behind(
    team: Team, runtime: Callable[..., str], results: Section, seed: int
) -> None:
    planned = plan(RUNS, MINUTES, seed)
    name = runtime("soak", retention="0s")
    good = team.upload("soak/good.jsonl", rows(64))
    bad = team.upload("soak/bad.jsonl", [{"prompt": "no completion"}] * 8)
    began = time.monotonic()
    with door_to_the_store(team) as door:
        soak = Soak(team, door, name, good, bad, AT_ONCE)
        soak.go(planned, PATIENCE_SECONDS)
        leaked = soak.leaked()
    took = time.monotonic() - began

    wrong = [problem for run in planned for problem in untrue(run, soak.over[run.name], soak.keys(run.name))]
    assert wrong == []
    assert leaked == []
    assert len(soak.operators) == 1, f"one operator, never started again: {soak.operators}"
    grown = growth(soak.memory)
    assert grown is None or grown <= GROWTH, f"the operator's memory grew to {grown:.2f} times what it was"
    for harm in Harm:
        of_harm = tuple(soak.over[run.name] for run in planned if run.harm is harm)
        if of_harm:
            results.rows.append(SoakRow(harm, of_harm))
    results.text = _text(took, grown, soak.memory)


def _text(took: float, grown: float | None, memory: list[float]) -> str:
    told = (
        "too few samples to tell whether the operator's memory grows"
        if grown is None
        else (f"the operator's memory at the end was {grown:.2f} times what it was once warm")
    )
    return f"""\
{RUNS} short runs with real pods in {took / 60:.0f} minutes, at most {AT_ONCE} at a time; what is done to each
while it trains was drawn by chance. All ended as they had to, with every attempt told of; no Job, no pod and no file
was left that nobody keeps; {told} ({max(memory) / 2**20:.0f} MiB at most).
"""
