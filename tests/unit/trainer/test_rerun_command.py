"""`attune rerun`: a FineTuneJob that repeats a run, and on the CPU gives the same figures."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer_factories as make
from attune_contract.enums import Stage
from attune_contract.outcome import Outcome
from attune_trainer import digests
from attune_trainer.cli.__main__ import main

IMAGE = "registry.example/trainer@sha256:0"
DATA = {"side": "train", "sha256": "sha256:1", "versionID": "v7"}


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest as publish writes it, as far as a rerun reads it."""
    made: dict[str, Any] = {
        "version": "v1alpha1",
        "run": {"id": "u-1", "name": "colours", "namespace": "team"},
        "base": {"source": "hf://org/base", "revision": "c0ffee", "digest": "sha256:2"},
        "data": [{"uri": "s3://d/a.jsonl", **DATA}, {"uri": "s3://d/b.jsonl", **DATA}],
        "configuration": {
            "model": {"source": "hf://org/base@main"},
            "method": "DPO",
            "dataset": {"train": ["s3://d/"]},
            "training": {"epochs": 1.0, "keepBest": True},
            "output": {"uri": "s3://out/x"},
        },
        "budget": {"maxCost": "5.00"},
        "resolved": {"learningRate": 0.0002, "beta": 0.1, "device": "cpu"},
        "runtime": {"name": "small", "image": IMAGE},
        "versions": {"torch": "2.15"},
        **changes,
    }
    return {**made, "digest": digests.of_json(made)}


def rerun(folder: Path, capsys: pytest.CaptureFixture[str], document: Any, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors for a manifest in `folder`."""
    (folder / "manifest.json").write_text(json.dumps(document) if not isinstance(document, str) else document)
    capsys.readouterr()
    code = main(["rerun", "--manifest", str(folder / "manifest.json"), *arguments])
    return code, *capsys.readouterr()


def test_what_the_run_had_decided_is_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = rerun(tmp_path, capsys, manifest())
    job = yaml.safe_load(text)
    spec = job["spec"]

    assert code == 0
    assert (job["apiVersion"], job["kind"]) == ("attune.dev/v1alpha1", "FineTuneJob")
    assert job["metadata"] == {"name": "colours-rerun", "namespace": "team"}
    assert (spec["runtime"], spec["budget"]) == ("small", {"maxCost": "5.00"})
    assert spec["model"]["source"] == "hf://org/base@c0ffee"
    assert spec["dataset"]["train"] == ["s3://d/a.jsonl", "s3://d/b.jsonl"]
    assert spec["dataset"]["split"] == {"testFraction": 0.1, "seed": 17, "validationFraction": 0.1}
    assert (spec["training"]["learningRate"], spec["training"]["beta"]) == (0.0002, 0.1)
    assert spec["evaluation"]["metrics"] == [{"name": "PreferenceMargin"}]
    assert spec["output"]["format"] == "Adapter"


@pytest.mark.parametrize(
    "says",
    [
        pytest.param("s3://d/a.jsonl (version v7) had sha256:1.", id="versions-of-objects"),
        pytest.param(f"TuningRuntime small ran the image {IMAGE}.", id="image"),
        pytest.param("It had torch 2.15.", id="libraries"),
        pytest.param("approval, queue, retryLimit", id="the-operators-affairs"),
    ],
)
def test_what_cannot_be_pinned_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], says: str) -> None:
    _, text, _ = rerun(tmp_path, capsys, manifest())
    comments = " ".join(line[2:].strip() for line in text.splitlines() if line.startswith("#"))

    assert says in comments


def test_too_many_files_to_name_stay_a_prefix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [{"uri": f"s3://d/{i}.jsonl", **DATA} for i in range(101)]
    _, text, _ = rerun(tmp_path, capsys, manifest(data=many))

    assert yaml.safe_load(text)["spec"]["dataset"]["train"] == ["s3://d/"]
    assert "must mean the same files" in text


def test_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = rerun(tmp_path, capsys, manifest(), "--name", "again")

    assert yaml.safe_load(text)["metadata"]["name"] == "again"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        pytest.param("nothing", "not JSON", id="no-json"),
        pytest.param({}, "no manifest", id="something-else"),
        pytest.param({**manifest(), "run": {"id": "u-1", "name": "x", "namespace": "team"}}, "changed", id="changed"),
        pytest.param(manifest(configuration={"model": 1}), "another version", id="of-another-version"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: Any, says: str
) -> None:
    code, text, error = rerun(tmp_path, capsys, document)

    assert (code, text) == (10, "")
    assert says in error


def test_no_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["rerun", "--manifest", str(tmp_path / "none.json")])

    assert code == 10
    assert "none.json" in capsys.readouterr().err


def figures(done: dict[Stage, Outcome]) -> Any:
    """What a run came to, the time that it took apart."""
    training = done[Stage.TRAIN].training
    assert training is not None
    timed = {"seconds", "seconds_per_step", "peak_memory_bytes", "measured_steps"}
    return training.model_dump(exclude=timed), done[Stage.EVALUATE].evaluation


@pytest.mark.slow
def test_a_rerun_gives_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.make_model(tmp_path / "model")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    training = {"epochs": 3, "learningRate": None, "keepBest": True}
    first = make.document(tmp_path, training=training, tuning={"dropout": 0.1})
    before = make.run_stages(first)
    code = main(["rerun", "--manifest", str(make.run_folder(tmp_path))])
    job = yaml.safe_load(capsys.readouterr().out)
    spec = {key: value for key, value in job["spec"].items() if key != "runtime"}
    after = make.run_stages({**first, "run": {**first["run"], "id": "run-2"}, "workload": spec})

    assert code == 0
    assert figures(after) == figures(before)
    assert digest_of_weights(tmp_path, "run-1") == digest_of_weights(tmp_path, "run-2")


def digest_of_weights(folder: Path, run: str) -> str:
    return digests.of_file(folder / "out" / "runs" / run / "model" / "adapter_model.safetensors")
