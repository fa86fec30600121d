"""A run that is suspended and resumed again and again ends with the weights of one that was not."""

import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from clusters import conditions
from peril.podresults import POD_HEAD, trainings
from peril.results import Section
from peril.trial import LONG, WHOLE, Trial

PAUSES = 5
STEPS = 1000
TOLERANCE = 1e-6
SECTION = Section(
    "pauses",
    "Suspended and resumed",
    f"""\
The same run twice: once as it is, once suspended and resumed {PAUSES} times at steps that were drawn by chance. On a
CPU in float32 the published weights differ by {TOLERANCE:g} at most.
""",
    head=POD_HEAD,
)
pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(1800), WHOLE]


def weights(trial: Trial, folder: Path) -> dict[str, np.ndarray]:
    """The published adapter."""
    target = folder / f"{trial.name}.safetensors"
    key = f"{trial.prefix()}model/adapter_model.safetensors"
    trial.team.cluster.s3.download_file(trial.team.bucket, key, str(target))
    return dict(load_file(target))


def test_five_pauses_at_random_steps_change_no_weight(
    trial: Trial, results: Section, seed: int, tmp_path: Path
) -> None:
    data = {"train": [trial.team.manifest("both")["spec"]["dataset"]["train"][0]]}
    plain = Trial(trial.team, trial.diary, "plain")
    plain.submit(training={**LONG, "maxSteps": STEPS}, dataset=data)
    expected = plain.succeed()
    assert len(trainings(expected)) == 1

    trial.submit(training={**LONG, "maxSteps": STEPS}, dataset=data)
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    stops = sorted(dice.sample(range(20, STEPS - 100), PAUSES))
    for number, stop in enumerate(stops, 1):
        trial.diary.until(trial.uid, stop, 300, attempt=number)
        trial.strike(lambda: trial.patch(suspend=True))
        trial.until(lambda: trial.team.read()["status"]["phase"] == "Suspended", 90, f"suspended at step {stop}")
        trial.until(lambda: not trial.pods(), 180, "its pods are gone")
        assert conditions(trial.team.read())["Finished"]["status"] == "False"
        trial.patch(suspend=False)
        trial.harm_ends()
    job = trial.succeed(timeout=600)
    assert [a["reason"] for a in trainings(job)] == ["Suspended"] * PAUSES + ["Done"]

    one, other = weights(plain, tmp_path), weights(trial, tmp_path)
    assert one.keys() == other.keys()
    furthest = max(float(np.abs(one[name] - other[name]).max()) for name in one)
    assert furthest <= TOLERANCE
    at = ", ".join(map(str, stops))
    seen = f"largest difference of a weight: {furthest:.1g}"
    results.rows.append(trial.row(f"suspended {PAUSES} times, about steps {at}, and resumed", job, seen))
