"""Every example as a newcomer would run it: upload, apply, wait; and the tuned model clearly beats its base."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters import Cluster, conditions

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
JSON = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def upload(cluster: Cluster, example: Path) -> None:
    store = {
        "AWS_ENDPOINT_URL": cluster.env["ATTUNE_S3_ENDPOINT"],
        "AWS_REGION": cluster.env["ATTUNE_S3_REGION"],
        "AWS_ACCESS_KEY_ID": cluster.env["ATTUNE_S3_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": cluster.env["ATTUNE_S3_SECRET_ACCESS_KEY"],
    }
    subprocess.run([sys.executable, str(example / "upload.py")], env={**os.environ, **store}, check=True)


def test_every_example_is_run_here() -> None:
    assert {p.name for p in EXAMPLES.iterdir() if (p / "manifests").is_dir()} == {"support-router"}


def test_support_router_learns_to_route(cluster: Cluster) -> None:
    example = EXAMPLES / "support-router"
    upload(cluster, example)
    job = yaml.safe_load((example / "manifests" / "finetunejob.yaml").read_text(encoding="utf-8"))
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    cluster.kubectl("apply", "-f", str(example / "manifests" / "namespace.yaml"), check=True)
    cluster.kubectl("delete", "finetunejob", name, "-n", namespace, "--ignore-not-found", check=True)
    cluster.kubectl("apply", "-f", str(example / "manifests"), check=True)
    waited = cluster.kubectl("wait", "--for=condition=Finished", f"ftj/{name}", "-n", namespace, "--timeout=900s")
    finished = cluster.get("finetunejob", namespace, name)
    assert waited.returncode == 0, finished["status"]
    status = finished["status"]
    assert conditions(finished)["Succeeded"]["status"] == "True", status["message"]
    assert (status["validation"]["trainRows"], status["validation"]["testRows"]) == (861, 96)
    accuracy = next(r for r in status["evaluation"]["results"] if r["metric"] == "Accuracy")
    assert accuracy["rows"] == 96
    # Always answering the most frequent category is right in 0.20; the base knows no task, and is about there at best.
    assert accuracy["value"] <= 0.25
    assert accuracy["tuned"] >= 0.55
    assert accuracy["delta"] >= 0.35
