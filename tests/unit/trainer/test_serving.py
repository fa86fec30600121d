"""The manifests beside a published model say what servers need, under names that no other version has."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer_factories as make
from attune_contract.runconfig import RunConfig
from attune_trainer.publishing import serving

RUN = "3f1c9a52-0d7e-4b57-9c11-6a2f2f1f0b7e"
HEAD = {"method": "Classification", "classification": {"style": "Head"}}


def written(folder: Path, *, architecture: str = "LlamaForCausalLM", **changes: Any) -> dict[str, str]:
    output = {"uri": "s3://models/router/", "register": "support-router", **changes.pop("output", {})}
    made = make.document(folder, **{"output": output, "model": {"source": "hf://Qwen/Qwen2.5-0.5B@main"}, **changes})
    made["run"]["id"] = RUN
    (folder / "model").mkdir()
    base = {"architectures": [architecture]}
    names = serving.write(RunConfig.model_validate(made), ("a", "b"), base, folder / "model")
    return {name: (folder / "model" / "serving" / name).read_text() for name in names}


def test_every_server_has_a_file_and_each_is_whole(tmp_path: Path) -> None:
    files = written(tmp_path, output={"format": "Merged"})
    assert set(files) == {"vllm.yaml", "kserve.yaml", "Modelfile", "transformers_example.py", "README.md"}
    service = yaml.safe_load(files["kserve.yaml"])
    assert (service["kind"], service["metadata"]["name"]) == ("InferenceService", "support-router-3f1c9a52")
    model = service["spec"]["predictor"]["model"]
    assert model["storageUri"] == f"s3://models/router/runs/{RUN}/model"
    assert "--model_name=support-router-3f1c9a52" in model["args"]
    arguments = yaml.safe_load(files["vllm.yaml"])["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments == ["--model=/mnt/model", "--served-model-name=support-router-3f1c9a52"]
    assert next(line for line in files["Modelfile"].splitlines() if not line.startswith("#")) == "FROM .."
    ast.parse(files["transformers_example.py"])


@pytest.mark.parametrize(("rank", "flag"), [(8, 8), (12, 16), (100, 128)])
def test_vllm_gets_an_adapter_under_a_name_of_its_own(tmp_path: Path, rank: int, flag: int) -> None:
    files = written(tmp_path, tuning={"rank": rank})
    pod = yaml.safe_load(files["vllm.yaml"])["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == [
        "--model=/mnt/base",
        "--enable-lora",
        f"--max-lora-rank={flag}",
        "--lora-modules=support-router-3f1c9a52=/mnt/model",
    ]
    assert [v["name"] for v in pod["volumes"]] == ["base", "model"]
    assert "ADAPTER .." in files["Modelfile"]
    assert "Qwen/Qwen2.5-0.5B" in files["Modelfile"]


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        pytest.param("kserve.yaml", {}, "one whole model from storageUri", id="adapter for KServe"),
        pytest.param("Modelfile", HEAD, "has no classification heads", id="head for Ollama"),
        pytest.param("vllm.yaml", HEAD, "brings a classification head", id="adapter with a head for vLLM"),
        pytest.param("vllm.yaml", {"tuning": {"rank": 600}}, "over 512", id="rank that no vLLM takes"),
    ],
)
def test_a_server_that_cannot_load_it_is_told_why(
    tmp_path: Path, name: str, changes: dict[str, Any], told: str
) -> None:
    text = written(tmp_path, **changes)[name]
    assert told in text
    assert all(line.startswith("#") for line in text.splitlines())


def test_both_serves_the_whole_model_whatever_the_rank(tmp_path: Path) -> None:
    files = written(tmp_path, output={"format": "Both"}, tuning={"rank": 600})
    assert not [name for name in ("vllm.yaml", "kserve.yaml", "Modelfile") if "cannot load" in files[name]]
    pod = yaml.safe_load(files["vllm.yaml"])["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"][0] == "--model=/mnt/model"


@pytest.mark.parametrize(
    ("architecture", "form", "doubted"),
    [
        ("LlamaForCausalLM", "Adapter", False),
        ("MistralForCausalLM", "Adapter", False),
        ("Gemma2ForCausalLM", "Adapter", False),
        ("Qwen2ForCausalLM", "Adapter", True),
        ("Qwen2ForCausalLM", "Merged", False),
    ],
)
def test_an_adapter_that_ollama_may_not_know_comes_with_what_to_do(
    tmp_path: Path, architecture: str, form: str, doubted: bool
) -> None:
    text = written(tmp_path, architecture=architecture, output={"format": form})["Modelfile"]
    assert (f"base is {architecture}" in text and "publish the whole model" in text) is doubted
    assert ("ADAPTER .." in text) is (form == "Adapter"), "whoever has an Ollama that knows it goes on"


def test_classifiers_are_served_as_what_they_are(tmp_path: Path) -> None:
    files = written(tmp_path, output={"format": "Merged"}, **HEAD)
    assert "--task=sequence_classification" in files["kserve.yaml"]
    assert "--runner=pooling" in files["vllm.yaml"]


@pytest.mark.parametrize(("register", "expected"), [("support-router", "support-router"), (None, "colours")])
def test_names_are_of_the_tuned_model_or_else_of_the_run(tmp_path: Path, register: str | None, expected: str) -> None:
    made = make.document(tmp_path, output={"uri": "s3://models/x/", "register": register})
    made["run"]["id"] = RUN
    assert serving.immutable_name(RunConfig.model_validate(made)) == f"{expected}-3f1c9a52"
