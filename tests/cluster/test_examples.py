"""Every example as a newcomer would run it: upload, apply, wait; and the tuned model clearly beats its base."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters import Cluster, conditions

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
JSON = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Expected:
    """What comes of one FineTuneJob. Of Perplexity less is better, of all else more."""

    rows: tuple[int, int]
    """To train on, and held out."""
    metric: str
    """The first one, by which the run is judged."""
    base: float
    """The base is no better than this."""
    tuned: float
    """The tuned model is at least as good as this."""
    warnings: tuple[str, ...] = ()
    """What preflight remarks on the data; anything else is a fault of the example."""


EXPECTED = {
    # Always answering the most frequent category is right in 0.20; the base knows no task, and is about there at best.
    "support-router/support-router": Expected((861, 96), "Accuracy", base=0.25, tuned=0.60),
    "authors-voice/authors-voice": Expected((16, 8), "Perplexity", base=1000, tuned=150, warnings=("few_rows",)),
    "legal-answers/legal-answers": Expected((120, 30), "Perplexity", base=1000, tuned=250),
    # The wanted answers are longer than the others, so the margin is below zero; it is the rise that counts.
    "brand-voice/brand-voice-dpo": Expected((100, 30), "PreferenceMargin", base=-120, tuned=-110),
    "brand-voice/brand-voice-orpo": Expected((100, 30), "PreferenceMargin", base=-120, tuned=-110),
    "rated-answers/rated-answers": Expected((111, 36), "PreferenceMargin", base=-300, tuned=-295),
    # Half of the held-out comments are happy.
    "sentiment/sentiment-token": Expected((266, 96), "Accuracy", base=0.60, tuned=0.65),
    "sentiment/sentiment-head": Expected((266, 96), "Accuracy", base=0.60, tuned=0.65),
}


def jobs() -> dict[str, tuple[Path, JSON]]:
    """The FineTuneJobs of all examples with their files, by folder and name."""
    files = sorted(EXAMPLES.glob("*/manifests/*.yaml"))
    parsed = [(file, yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]
    return {
        f"{file.parents[1].name}/{raw['metadata']['name']}": (file, raw)
        for file, raw in parsed
        if raw["kind"] == "FineTuneJob"
    }


@pytest.fixture(scope="module")
def runs(cluster: Cluster) -> Iterator[None]:
    """All of them at once, applied as they stand; the node takes as many pods at a time as it has room for."""
    store = {
        "AWS_ENDPOINT_URL": cluster.env["ATTUNE_S3_ENDPOINT"],
        "AWS_REGION": cluster.env["ATTUNE_S3_REGION"],
        "AWS_ACCESS_KEY_ID": cluster.env["ATTUNE_S3_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": cluster.env["ATTUNE_S3_SECRET_ACCESS_KEY"],
    }
    subprocess.run([sys.executable, str(EXAMPLES / "upload.py")], env={**os.environ, **store}, check=True)
    for name, (file, raw) in jobs().items():
        cluster.kubectl("apply", "-f", str(file.parent / "namespace.yaml"), check=True)
        earlier = ("finetunejob", raw["metadata"]["name"], "-n", raw["metadata"]["namespace"])
        cluster.kubectl("delete", *earlier, "--ignore-not-found", check=True)
        assert name in EXPECTED
    for folder in sorted({file.parent for file, _ in jobs().values()}):
        cluster.kubectl("apply", "-f", str(folder), check=True)
    yield
    for _, raw in jobs().values():  # those that a failed test left: other tests want the node
        cluster.kubectl("delete", "finetunejob", raw["metadata"]["name"], "-n", raw["metadata"]["namespace"])


def test_every_example_is_run_here() -> None:
    assert set(jobs()) == set(EXPECTED)
    assert {file.parents[1].name for file, _ in jobs().values()} == {d.parent.name for d in EXAMPLES.glob("*/data")}


@pytest.mark.parametrize("key", EXPECTED)
def test_an_example_teaches_what_it_says(cluster: Cluster, runs: None, key: str) -> None:
    expected, (_, raw) = EXPECTED[key], jobs()[key]
    name, namespace = raw["metadata"]["name"], raw["metadata"]["namespace"]
    waited = cluster.kubectl("wait", "--for=condition=Finished", f"ftj/{name}", "-n", namespace, "--timeout=1200s")
    job = cluster.get("finetunejob", namespace, name)
    status = job["status"]
    assert waited.returncode == 0, status
    assert conditions(job)["Succeeded"]["status"] == "True", status["message"]
    validation = status["validation"]
    assert (validation["trainRows"], validation["testRows"]) == expected.rows
    assert tuple(w["code"] for w in validation.get("warnings", ())) == expected.warnings
    result = status["evaluation"]["results"][0]
    assert (result["metric"], result["rows"]) == (expected.metric, expected.rows[1])
    if expected.metric == "Perplexity":
        assert result["value"] >= expected.base
        assert result["tuned"] <= expected.tuned
        assert result["high"] < 0, "the interval of the difference says so too"
    else:
        assert result["value"] <= expected.base
        assert result["tuned"] >= expected.tuned
        assert result["low"] > 0, "the interval of the difference says so too"
