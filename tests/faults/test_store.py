"""What can happen to the object store while a run needs it: away, busy, slow, and with other keys than before."""

import re
import time
from collections.abc import Callable, Iterator

import pytest

from peril.door import Asked, Door, Mode
from peril.gateway import other_keys
from peril.podresults import POD_HEAD, trainings
from peril.results import Section
from peril.trial import LONG, LONGER, WHOLE, Trial, door_to_the_store, lead_through

AWAY_SECONDS = 90
SECTION = Section(
    "faults of the store",
    "The object store",
    f"""\
A proxy between the pods and a real S3 server cuts connections and refuses new ones for {AWAY_SECONDS} s, answers 503,
or passes so few bytes that everything takes long. Stages ask again for a minute; the process that uploads checkpoints
does so for ten, while training goes on beside it. Of every run the same is held as of those above.
""",
    head=POD_HEAD,
)
pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(1200), WHOLE]


@pytest.fixture
def door(trial: Trial) -> Iterator[Door]:
    with door_to_the_store(trial.team) as opened:
        yield opened


def when(verb: str, path: str, mode: Mode) -> Callable[[Asked], Mode | None]:
    """A trap for the first request whose path matches."""
    return lambda asked: mode if asked.verb == verb and re.search(path, asked.path) else None


def begun(trial: Trial) -> bool:
    return bool(trainings(trial.team.read()))


def away(trial: Trial, door: Door, trap: Callable[[Asked], Mode | None]) -> None:
    """Shuts the door when a request comes by, and opens it after a while."""
    trial.strike(lambda: door.set_trap(trap))
    assert door.sprung.wait(180), f"no such request: {door.asked[-20:]}"
    trial.strike(lambda: None)
    time.sleep(AWAY_SECONDS)
    assert door.refused, "nobody asked for anything meanwhile"
    door.become(Mode.OPEN)
    trial.harm_ends()


def test_a_store_that_goes_away_while_the_model_is_fetched(trial: Trial, door: Door, results: Section) -> None:
    trial.submit(training={**LONG, "maxSteps": 100})
    trial.until(lambda: begun(trial), 120, "training begins")
    away(trial, door, when("GET", r"/base/model\.safetensors", Mode.SHUT))
    job = trial.succeed(timeout=600)
    assert {a["reason"] for a in trainings(job)} <= {"StoreUnreachable", "Done"}
    results.rows.append(trial.row(f"S3 away for {AWAY_SECONDS} s while the model is fetched", job))


def test_a_store_that_goes_away_while_it_trains(trial: Trial, door: Door, results: Section) -> None:
    trial.submit(training=LONGER)
    before = trial.until_checkpoint()
    trial.strike(lambda: door.become(Mode.SHUT))
    time.sleep(AWAY_SECONDS)
    meanwhile = trial.diary.steps(trial.uid)[-1].number
    assert meanwhile > before + 100, "training goes on without a store"
    door.become(Mode.OPEN)
    trial.harm_ends()
    job = trial.succeed(timeout=900)
    assert len(trainings(job)) == 1
    results.rows.append(trial.row(f"S3 away for {AWAY_SECONDS} s during training", job))


def test_a_store_that_goes_away_in_the_middle_of_a_checkpoint(trial: Trial, door: Door, results: Section) -> None:
    trial.submit(training=LONGER)
    trial.until_checkpoint()
    away(trial, door, when("PUT", r"/checkpoints/\d+/state/", Mode.SHUT))
    whole = trial.checkpoints()
    trial.until(lambda: trial.checkpoints()[-1] > whole[-1], 120, "another checkpoint is complete")
    job = trial.succeed(timeout=900)
    assert len(trainings(job)) == 1
    partial = {key.split("/")[1] for key in trial.keys("checkpoints/")} - {str(s) for s in trial.checkpoints()}
    assert partial == set(), "checkpoints that never became complete are swept"
    results.rows.append(trial.row(f"S3 away for {AWAY_SECONDS} s in the middle of a checkpoint", job))


@pytest.mark.parametrize("mode", [Mode.BUSY, Mode.SILENT, Mode.SLOW], ids=["503", "silent", "slow"])
def test_a_store_that_is_busy_or_slow_costs_time_and_nothing_else(
    trial: Trial, door: Door, results: Section, mode: Mode
) -> None:
    trial.submit(training={**LONG, "maxSteps": 1500})
    trial.until_checkpoint()
    trial.strike(lambda: door.become(mode))
    time.sleep(40)
    door.become(Mode.OPEN)
    trial.harm_ends()
    job = trial.succeed(timeout=600)
    assert len(trainings(job)) == 1
    results.rows.append(trial.row(f"S3 {mode}, for 40 s", job))


def test_keys_that_are_rotated_are_taken_up_without_a_new_run(trial: Trial, door: Door, results: Section) -> None:
    """Old keys stop at once; the Secret has the new ones at once, and the kubelet brings them in about a minute."""
    with other_keys() as gateway:
        trial.submit(training=LONGER)
        kept = trial.until_checkpoint()

        def rotate() -> None:
            door.lead_to(gateway.address)
            lead_through(trial.team, door.url, **gateway.keys)

        trial.strike(rotate)
        job = trial.succeed(timeout=900)
    steps = [key for key in trial.keys("checkpoints/") if key.endswith("/COMPLETE")]
    assert steps
    assert all(a.get("resumedFromStep", kept) >= kept for a in trainings(job)[1:])
    assert {a["reason"] for a in trainings(job)} <= {"AccessDenied", "Done"}
    results.rows.append(trial.row("credentials rotated, the old ones void at once", job))
