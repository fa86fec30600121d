"""What a newcomer applies is valid, complete, and names what is there; the runs themselves are in tests/cluster."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.finetuneschedule import FineTuneSchedule
from attune_operator.api.support import unsupported
from attune_operator.api.tunedmodel import TunedModel

JSON = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
STORE = "s3://data/"


def load(file: Path) -> JSON:
    parsed: JSON = yaml.safe_load(file.read_text(encoding="utf-8"))
    return parsed


FOLDERS = sorted(file.parent for file in EXAMPLES.glob("*/manifests/namespace.yaml"))
JOBS = [file for folder in FOLDERS for file in sorted(folder.iterdir()) if load(file)["kind"] == "FineTuneJob"]


def name(file: Path) -> str:
    return f"{file.parents[1].name}/{file.name}"


def texts(file: Path) -> list[str]:
    """What a model reads of each row of a data file."""
    if file.suffix == ".txt":
        return [file.read_text(encoding="utf-8")]
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as lines:
            return [row["comment"] for row in csv.DictReader(lines)]
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.dumps(json.loads(line)) for line in raw.decode().splitlines()]


def data(folder: str) -> list[Path]:
    return [p for p in sorted((EXAMPLES / folder / "data").rglob("*")) if p.is_file() and p.name != "README.md"]


@pytest.mark.parametrize("file", JOBS, ids=name)
def test_a_manifest_asks_for_nothing_that_is_refused(file: Path) -> None:
    job, problems = FineTuneJob.parse(load(file))
    assert problems == ()
    assert unsupported(job.spec) == []


@pytest.mark.parametrize("file", JOBS, ids=name)
def test_a_manifest_names_the_data_beside_it(file: Path) -> None:
    folder = file.parents[1].name
    dataset = load(file)["spec"]["dataset"]
    for uri in (*dataset["train"], *dataset.get("test", ())):
        pattern = uri.removeprefix(f"{STORE}{folder}/") + ("*" if uri.endswith("/") else "")
        assert list((EXAMPLES / folder / "data").glob(pattern)), uri


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.parent.name))
def test_namespace_and_secret_are_the_run_s(folder: Path) -> None:
    namespace = load(folder / "namespace.yaml")["metadata"]["name"]
    secret = load(folder / "secret.yaml")
    assert secret["metadata"]["namespace"] == namespace
    for job in (load(file) for file in JOBS if file.parent == folder):
        assert job["metadata"]["namespace"] == namespace
        blocks = (job["spec"][block] for block in ("model", "dataset", "output"))
        assert {block["credentialsSecret"] for block in blocks} == {secret["metadata"]["name"]}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.parent.name))
def test_no_row_comes_twice(folder: Path) -> None:
    rows = [text for file in data(folder.parent.name) for text in texts(file)]
    assert rows
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("kind", [FineTuneSchedule, TunedModel], ids=lambda kind: str(kind.__name__))
def test_what_retrains_is_valid_and_belongs_together(kind: Any) -> None:
    found = {raw["kind"]: raw for file in sorted((EXAMPLES / "retraining").glob("*.yaml")) for raw in [load(file)]}
    made, problems = kind.parse(found[kind.__name__])
    assert problems == ()
    assert made.metadata.namespace == found["Namespace"]["metadata"]["name"]
    template = found["FineTuneSchedule"]["spec"]["jobTemplate"]["spec"]
    assert template["output"]["register"] == found["TunedModel"]["metadata"]["name"]
    blocks = (template[block] for block in ("model", "dataset", "output"))
    assert {block["credentialsSecret"] for block in blocks} == {found["Secret"]["metadata"]["name"]}
