"""`attune validate`: the pod's check at a laptop or in CI, with its messages and an exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer_factories as make
from attune_contract.enums import Stage
from attune_trainer.cli.__main__ import main, parser
from tiny_s3 import Behaviour, serving


@pytest.fixture
def laptop(tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model (its weights are never read here) and data; the current one."""
    model = tmp_path / "model"
    tokenizer.save_pretrained(model)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 256}))
    (model / "model.safetensors").write_bytes(b"")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    make.write_jsonl(tmp_path / "data" / "bad.jsonl", [*make.colour_rows(), {"prompt": "x"}])
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def manifest(folder: Path, *, name: str = "colours", kind: str = "FineTuneJob", **changes: Any) -> dict[str, Any]:
    """A FineTuneJob of local files as a person writes it; `changes` as in `make.workload`."""
    spec = make.workload(folder, **({"output": {"uri": "s3://out/runs"}} | changes))
    return {"apiVersion": "attune.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def write(path: Path, *documents: Any) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def validated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """The exit code, and the object that was printed."""
    capsys.readouterr()
    code = main(["validate", *arguments, "--output", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "code", "errors"),
    [
        pytest.param(["--data", "data/train.jsonl"], 0, [], id="good"),
        pytest.param(["--data", "data/train.jsonl", "--model", "model"], 0, [], id="with-a-model"),
        pytest.param(["--data", "data/bad.jsonl"], 10, ["missing_column"], id="bad-row"),
        pytest.param(["--data", "data/none.jsonl"], 10, ["object_not_found"], id="no-file"),
        pytest.param(["--data", "data/"], 10, ["missing_column"], id="folder"),
        pytest.param(["--data", "data/t*.jsonl"], 0, [], id="glob"),
        pytest.param(
            ["--data", "data/train.jsonl", "--strict", "few_rows"], 10, ["few_rows"], id="a-warning-that-is-strict"
        ),
        pytest.param(
            ["--data", "data/train.jsonl", "--format", "Chat"],
            10,
            ["missing_messages_list", "too_few_rows"],
            id="another-format",
        ),
        pytest.param(
            ["--data", "data/train.jsonl", "--method", "DPO", "--format", "Chat"],
            11,
            ["invalid_configuration"],
            id="a-format-that-the-method-does-not-read",
        ),
        pytest.param(
            ["--data", "data/train.jsonl", "--sequence-length", "1"], 11, ["invalid_configuration"], id="bad-option"
        ),
        pytest.param(
            ["--data", "data/train.jsonl", "--model", "none"], 20, ["model_not_found"], id="no-folder-of-the-model"
        ),
        pytest.param(["-f", "none.yaml"], 11, ["invalid_configuration"], id="no-manifest"),
    ],
)
def test_exit_codes(
    laptop: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, errors: list[str]
) -> None:
    got, report = validated(capsys, *arguments)

    assert got == code, report
    assert sorted({e["code"] for e in report["errors"]}) == errors
    assert all({"code", "file", "message"} <= set(e) for e in report["errors"])
    assert {"rows", "tokens", "warnings", "errors"} <= set(report)


def test_the_object_is_that_of_the_pods_report(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"train": [f"file://{laptop}/data/bad.jsonl"]}
    make.run_stage(make.document(laptop, dataset=data), Stage.PREFLIGHT)
    theirs = json.loads((make.run_folder(laptop) / "reports" / "validation.json").read_text())
    code, ours = validated(capsys, "-f", write(laptop / "job.yaml", manifest(laptop, dataset=data)))
    for report in (theirs, ours):
        del report["quality"]["nearDuplicateSearch"]["seconds"], report["quality"]["otherSeconds"]
        del report["reportURI"]

    assert code == 10
    assert ours == theirs


def test_tokens_are_counted_where_there_is_a_tokenizer_alone(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("config.json", "model.safetensors"):
        (laptop / "model" / name).unlink()
    code, report = validated(capsys, "--data", "data/train.jsonl", "--model", "model", "--sequence-length", "8")

    assert code == 0
    assert report["tokens"]["total"] > 0
    assert report["sequenceLength"] == 8


def test_without_a_model_tokens_are_not_counted_and_that_is_said(
    laptop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--data", "data/train.jsonl"]) == 0
    text = capsys.readouterr().out

    assert "tokens are not counted" in text
    assert "32 rows read" in text
    assert "0 tokens" not in text


@pytest.mark.parametrize(
    ("rows", "method"),
    [
        pytest.param([{"prompt": "a", "completion": "b"}], "PromptCompletion", id="prompt-completion"),
        pytest.param(
            [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}], "Chat", id="chat"
        ),
        pytest.param([{"prompt": "a", "chosen": "b", "rejected": "c"}], "Preference", id="preference"),
        pytest.param([{"prompt": "a", "completion": "b", "label": True}], "Rated", id="rated"),
        pytest.param([{"text": "a"}], "Text", id="text"),
        pytest.param([{"text": "a", "label": "b"}], "Labeled", id="labeled"),
    ],
)
def test_format_and_method_are_recognised(
    laptop: Path, capsys: pytest.CaptureFixture[str], rows: list[Any], method: str
) -> None:
    make.write_jsonl(laptop / "data" / "some.jsonl", rows * 40)
    _, report = validated(capsys, "--data", "data/some.jsonl")

    assert report["format"].startswith(method)
    assert report["rows"] == 40


@pytest.mark.parametrize("given", [["--format", "PromptCompletion"], []], ids=["with-the-format", "without"])
def test_columns_of_other_names(laptop: Path, capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    rows = [{"q": row["prompt"], "a": row["completion"]} for row in make.colour_rows()]
    make.write_jsonl(laptop / "data" / "qa.jsonl", rows)
    names = ["--column", "prompt=q", "--column", "completion=a"]
    code, report = validated(capsys, "--data", "data/qa.jsonl", *given, *names)

    assert (code, report["rows"]) == (0, 32)


def test_labels_of_many_tokens_are_fine_for_a_head(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": row["prompt"], "label": f"the colour{row['completion']}"} for row in make.colour_rows()]
    make.write_jsonl(laptop / "data" / "labels.jsonl", rows)
    asked = ["--data", "data/labels.jsonl", "--model", "model"]

    assert validated(capsys, *asked)[0] == 10
    assert validated(capsys, *asked, "--style", "head")[0] == 0


def test_test_files_are_the_held_out_side(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.write_jsonl(laptop / "data" / "test.jsonl", make.colour_rows()[:4])
    _, report = validated(capsys, "--data", "data/train.jsonl", "--test", "data/test.jsonl")

    assert (report["trainRows"], report["testRows"], report["leakedRows"]) == (32, 4, 4)
    assert {"leakage", "few_rows"} <= {w["code"] for w in report["warnings"]}


def test_a_manifest_with_several_documents(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        laptop / "jobs.yaml",
        manifest(laptop, name="good"),
        {"kind": "Secret", "metadata": {"name": "s"}},
        manifest(laptop, name="bad", dataset={"train": ["data/bad.jsonl"]}),
    )
    code, reports = validated(capsys, "-f", path)

    assert code == 10
    assert [len(report["errors"]) for report in reports] == [0, 1]
    assert main(["validate", "-f", path]) == 10
    text = capsys.readouterr().out
    assert "✔ good" in text
    assert "✘ bad" in text


def test_paths_in_a_manifest_are_relative_to_its_folder(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (laptop / "jobs").mkdir()
    job = manifest(laptop, dataset={"train": ["../data/train.jsonl"]}, model={"source": "../model"})
    code, report = validated(capsys, "-f", write(laptop / "jobs" / "job.yaml", job))

    assert (code, report["rows"]) == (0, 32)
    assert report["tokens"]["total"] > 0


@pytest.mark.parametrize(
    ("document", "code", "says"),
    [
        pytest.param(
            {"training": {"learninRate": 1}}, 11, "spec.training.learninRate: there is no such", id="misspelt"
        ),
        pytest.param({"training": {"batchSize": 0}}, 11, "spec.training.batchSize", id="out-of-range"),
        pytest.param({"training": {"maxSteps": 5}}, 11, "exactly one of epochs and maxSteps", id="both-lengths"),
        pytest.param({"tuning": {"type": "QLoRA"}}, 11, "QLoRA needs a GPU", id="qlora-on-cpu"),
        pytest.param({"model": {"source": "pvc://models/base"}}, 20, "--no-model", id="volume-of-the-cluster"),
        pytest.param({"model": {"source": "missing"}}, 20, "spec.model.source", id="no-model"),
        pytest.param({"budget": {"maxDuration": "soon"}}, 11, "spec.budget.maxDuration", id="bad-budget"),
    ],
)
def test_what_is_wrong_with_a_manifest(
    laptop: Path, capsys: pytest.CaptureFixture[str], document: dict[str, Any], code: int, says: str
) -> None:
    job = manifest(laptop)
    for block, change in document.items():
        job["spec"][block] = {**job["spec"].get(block, {}), **change}
    path = write(laptop / "job.yaml", job)
    got, report = validated(capsys, "-f", path)

    assert got == code
    assert says in report["errors"][0]["message"]
    assert main(["validate", "-f", path]) == code
    assert says.split(":", maxsplit=1)[0] in " ".join(capsys.readouterr().out.split())


def test_fields_of_the_operator_are_fine(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = manifest(laptop)
    job["spec"] |= {
        "runtime": "gpu",
        "approval": "Required",
        "approved": False,
        "queue": {"name": "a"},
        "retryLimit": 2,
        "suspend": True,
    }

    assert validated(capsys, "-f", write(laptop / "job.yaml", job))[0] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: [", "is not YAML", id="no-yaml"),
        pytest.param("kind: Secret", "there is no FineTuneJob in the file (found: Secret)", id="another-kind"),
        pytest.param("", "found: nothing", id="empty"),
        pytest.param("kind: FineTuneJob\nspec: 1", "spec must be a mapping", id="spec-is-no-mapping"),
    ],
)
def test_files_that_are_no_manifests(laptop: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    (laptop / "job.yaml").write_text(text)
    code, report = validated(capsys, "-f", "job.yaml")

    assert code == 11
    assert says in report["errors"][0]["message"]


def test_an_estimate_is_made_for_a_manifest(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(laptop / "job.yaml", manifest(laptop))
    _, report = validated(capsys, "-f", path)
    main(["validate", "-f", path])

    assert report["estimate"]["steps"] > 0
    assert "estimate" in capsys.readouterr().out


def test_a_runtime_in_the_file_gives_prices_and_sizes(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    config = {"model_type": "llama", "num_attention_heads": 4, "max_position_embeddings": 256, **shape}
    (laptop / "model" / "config.json").write_text(json.dumps(config))
    job = manifest(laptop, budget={"maxCost": "0.000001"}, runtime="cpu")
    job["spec"]["training"] = {**job["spec"]["training"], "epochs": 1000}
    runtime = {
        "kind": "TuningRuntime",
        "metadata": {"name": "cpu"},
        "spec": {"image": "trainer", "price": {"perCPUHour": "50000", "currency": "EUR"}},
    }
    code, report = validated(capsys, "-f", write(laptop / "job.yaml", runtime, job))

    assert code == 11
    assert report["estimate"]["cost"]["currency"] == "EUR"
    runtime["spec"]["price"]["perCPUHour"] = "cheap"
    code, report = validated(capsys, "-f", write(laptop / "job.yaml", runtime, job))
    assert code == 11
    assert "pricePerCPUHour" in report["errors"][0]["message"]


def test_no_model_is_looked_at_where_none_is_wanted(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(laptop / "job.yaml", manifest(laptop, model={"source": "s3://nowhere/base"}))
    code, report = validated(capsys, "-f", path, "--no-model")

    assert (code, report["rows"], report["tokens"]["total"]) == (0, 32, 0)


def test_s3_with_keys_from_the_environment(
    laptop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (laptop / "data" / "train.jsonl").read_bytes()
    with serving(Behaviour(objects={"data/train.jsonl": body}, buckets={"data"})) as endpoint:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        good = validated(capsys, "--data", "s3://data/train.jsonl")
        gone = validated(capsys, "--data", "s3://none/train.jsonl")

    assert (good[0], good[1]["rows"]) == (0, 32)
    assert (gone[0], gone[1]["errors"][0]["code"]) == (20, "bucket_not_found")
    assert "keys from the environment" in gone[1]["errors"][0]["message"]


def test_the_page_is_written(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(laptop / "jobs.yaml", manifest(laptop, name="a"), manifest(laptop, name="b"))
    main(["validate", "-f", path, "--html", "out.html"])

    assert "Ready." in (laptop / "out.html").read_text()
    assert "Ready." in (laptop / "out-2.html").read_text()


def test_nothing_else_is_written(laptop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(laptop.rglob("*"))
    main(["validate", "--data", "data/train.jsonl", "--model", "model"])

    assert sorted(laptop.rglob("*")) == before


def test_the_help_shows_examples_formats_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        parser().parse_args(["validate", "--help"])
    text = capsys.readouterr().out

    assert done.value.code == 0
    for part in ("attune validate --data train.jsonl", "exit codes:", '{"prompt": "…", "completion": "…"}', "AWS_"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param(["-f", "a", "--data", "b"], "", id="both"),
        pytest.param(["--data", "a", "--column", "x"], "", id="column"),
        pytest.param(["--data", "a", "--strict", "nothing"], "'nothing' is none of truncation", id="strict"),
        pytest.param(["--data", "a", "--format", "XML"], "'XML' is none of Auto, Chat", id="format"),
    ],
)
def test_bad_usage(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["validate", *arguments])

    assert done.value.code == 2
    assert says in capsys.readouterr().err
