"""What others do to a run's files: cut a checkpoint short, change or delete what preflight had checked."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from clusters import rows
from peril.podresults import POD_HEAD, end_of, trainings
from peril.results import Section
from peril.trial import LONG, WHOLE, Trial

TRAIN_DATA = "data/train.parquet"
SECTION = Section(
    "files that others change",
    "Files that others change",
    """\
A checkpoint is cut short by hand while the run is suspended; data or model are changed or deleted after preflight has
checked them, while the run waits for approval. What was checked is what is trained on: what differs is named, and ends
the run.
""",
    head=POD_HEAD,
)
pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(900)]


def put(trial: Trial, key: str, change: Callable[[bytes], bytes]) -> None:
    """Changes an object of the team's."""
    at = {"Bucket": trial.team.bucket, "Key": key}
    before = trial.team.cluster.s3.get_object(**at)["Body"].read()
    trial.team.cluster.s3.put_object(**at, Body=change(before))


def delete(trial: Trial, key: str) -> None:
    trial.team.cluster.s3.delete_object(Bucket=trial.team.bucket, Key=key)


@WHOLE
def test_a_checkpoint_that_was_cut_short_is_passed_over_for_the_one_before(trial: Trial, results: Section) -> None:
    trial.submit(training={**LONG, "maxSteps": 900})
    trial.until_checkpoint(2)
    trial.patch(suspend=True)
    trial.until(lambda: trial.team.read()["status"]["phase"] == "Suspended", 90, "suspended")
    trial.until(lambda: not trial.team.pods("train"), 180, "its pods are gone")
    older, newest = trial.checkpoints()[-2:]
    state = [key for key in trial.keys(f"checkpoints/{newest}/state/") if key.endswith(".safetensors")]
    trial.strike(lambda: put(trial, trial.prefix() + state[0], lambda body: body[: len(body) // 2]))
    trial.patch(suspend=False)
    job = trial.succeed()
    second = trainings(job)[1]
    assert second["resumedFromStep"] == older
    assert any(f"Checkpoint {newest} cannot be used" in warning for warning in second["warnings"])
    results.rows.append(trial.row("newest checkpoint truncated by hand", job, second["warnings"][0]))


class Change(NamedTuple):
    """What is done between preflight and training."""

    fault: str
    deed: Callable[[Trial], None]
    names: str
    """What the message says of it; empty where it does no harm."""


CHANGES = {
    "data changed": Change(
        "prepared data changed between preflight and train",
        lambda t: put(t, t.prefix() + TRAIN_DATA, lambda body: body + b"\0"),
        f"{TRAIN_DATA}: its digest is",
    ),
    "data deleted": Change(
        "prepared data deleted between preflight and train",
        lambda t: delete(t, t.prefix() + TRAIN_DATA),
        f"{TRAIN_DATA}: it is gone",
    ),
    "model changed": Change(
        "base model changed between preflight and train",
        lambda t: put(t, f"{t.team.namespace}/base/model.safetensors", lambda body: body[:-1] + b"\1"),
        "model.safetensors changed since",
    ),
    "model deleted": Change(
        "a file of the base model deleted between preflight and train",
        lambda t: delete(t, f"{t.team.namespace}/base/generation_config.json"),
        "generation_config.json changed since",
    ),
    "source deleted": Change(
        "source file deleted between preflight and train",
        lambda t: delete(t, f"{t.team.namespace}/job/train.jsonl"),
        "",
    ),
}


def own_base(trial: Trial) -> str:
    """A copy of the base model that a test may spoil."""
    s3, bucket = trial.team.cluster.s3, trial.team.bucket
    for found in s3.list_objects_v2(Bucket=bucket, Prefix="base/")["Contents"]:
        key = f"{trial.team.namespace}/{found['Key']}"
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": found["Key"]})
    return f"s3://{bucket}/{trial.team.namespace}/base"


@pytest.mark.parametrize(
    "change", [pytest.param(c, id=name, marks=() if name == "data changed" else WHOLE) for name, c in CHANGES.items()]
)
def test_what_differs_from_what_preflight_saw_is_named_and_final(
    trial: Trial, results: Section, change: Change
) -> None:
    data = trial.team.upload("job/train.jsonl", rows(64))
    trial.submit(
        model={"source": own_base(trial)},
        dataset={"train": [data]},
        training={"maxSteps": 4},
        approval="Required",
    )
    trial.until(lambda: trial.team.read()["status"].get("phase") == "AwaitingApproval", 120, "preflight is done")
    trial.strike(lambda: change.deed(trial))
    trial.patch(approved=True)
    job = trial.finish(240)
    if change.names:
        assert end_of(job) == "Failed, DigestMismatch"
        assert change.names in job["status"]["message"]
        assert len(trainings(job)) == 1, "the same would fail again"
    else:
        assert end_of(job) == "Succeeded"
    results.rows.append(trial.row(change.fault, job))
