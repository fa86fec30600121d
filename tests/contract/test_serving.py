"""What servers cannot load is refused before it is trained, with what would do."""

import re
from typing import Any

import pytest

from attune_contract.serving import Server, needed_rank, refusals, served_name
from attune_contract.spec import Workload

HEAD = {"method": "Classification", "classification": {"style": "Head"}}


def work(*, rank: int = 16, form: str | None = None, tuning: str = "LoRA", **blocks: Any) -> Workload:
    return Workload.model_validate(
        {
            "model": {"source": "s3://models/base"},
            "method": "SFT",
            "tuning": {"type": tuning, "rank": rank},
            "dataset": {"train": ["s3://data/train.jsonl"]},
            "training": {"epochs": 1},
            "output": {"uri": "s3://models/out/", "format": form},
            **blocks,
        }
    )


@pytest.mark.parametrize(
    ("server", "most", "given", "refused"),
    [
        pytest.param("vLLM", None, work(), [], id="vLLM takes rank 16 by itself"),
        pytest.param("vLLM", 16, work(rank=32), ["spec.tuning.rank"], id="vLLM, rank over what it was started with"),
        pytest.param("vLLM", None, work(rank=17), ["spec.tuning.rank"], id="vLLM, rank over its default"),
        pytest.param("vLLM", 64, work(rank=64), [], id="vLLM, rank as high as it may be"),
        pytest.param("vLLM", 8, work(rank=9), ["spec.tuning.rank"], id="vLLM started with less"),
        pytest.param("vLLM", 16, work(rank=64, form="Merged"), [], id="vLLM, merged: no rank"),
        pytest.param("vLLM", 16, work(rank=600, form="Both"), [], id="vLLM, both: the whole model is served"),
        pytest.param("vLLM", 16, work(tuning="Full", rank=64), [], id="vLLM, all weights"),
        pytest.param("vLLM", 16, work(**HEAD), ["spec.output.format"], id="vLLM, adapter with a head"),
        pytest.param("vLLM", 16, work(**HEAD, form="Merged"), [], id="vLLM, whole model with a head"),
        pytest.param(
            "vLLM", 16, work(**HEAD, rank=32), ["spec.output.format", "spec.tuning.rank"], id="vLLM, all at once"
        ),
        pytest.param("KServe", None, work(), ["spec.output.format"], id="KServe, adapter"),
        pytest.param("KServe", None, work(form="Both", rank=512), [], id="KServe, both"),
        pytest.param("KServe", None, work(**HEAD, form="Merged"), [], id="KServe, head"),
        pytest.param("Ollama", None, work(), [], id="Ollama, adapter"),
        pytest.param("Ollama", None, work(tuning="QLoRA"), ["spec.output.format"], id="Ollama, adapter of 4 bits"),
        pytest.param("Ollama", None, work(tuning="QLoRA", form="Merged"), [], id="Ollama, merged from 4 bits"),
        pytest.param("Ollama", None, work(**HEAD, form="Merged"), ["spec.classification.style"], id="Ollama, head"),
        pytest.param("transformers", None, work(**HEAD, rank=1024), [], id="transformers takes everything"),
    ],
)
def test_what_a_server_cannot_load_is_refused(
    server: str, most: int | None, given: Workload, refused: list[str]
) -> None:
    found = refusals(Server(server), most, given)
    assert [each.path for each in found] == refused
    assert all(server in str(each) for each in found)


@pytest.mark.parametrize(
    ("rank", "flag"), [(1, 1), (2, 8), (16, 16), (17, 32), (200, 256), (300, 320), (512, 512), (513, None)]
)
def test_the_flag_that_a_rank_needs(rank: int, flag: int | None) -> None:
    assert needed_rank(rank) == flag
    found = refusals(Server.VLLM, 1, work(rank=rank))
    assert (f"--max-lora-rank {flag}" in str(found)) is (flag is not None and rank > 1)


@pytest.mark.parametrize(
    ("rank", "ways"),
    [
        (
            32,
            [
                "Use 16 or less",
                "start it with --max-lora-rank 32 and say maxRank: 32 in spec.serving",
                "publish it as Merged or Both (spec.output.format).",
            ],
        ),
        (
            600,
            [
                "Use 16 or less",
                "publish it as Merged or Both (spec.output.format), for no vLLM loads adapters over 512.",
            ],
        ),
    ],
)
def test_a_rank_that_is_too_high_is_told_with_every_way_out(rank: int, ways: list[str]) -> None:
    (found,) = refusals(Server.VLLM, 16, work(rank=rank))
    assert found.message == f"vLLM loads adapters of rank 16 at most, and this is {rank}. {'; or '.join(ways)}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("support-router", "support-router-3f1c9a52"),
        ("a" * 80, "a" * 44 + "-3f1c9a52"),
        ("a" * 43 + "-bcd", "a" * 43 + "-3f1c9a52"),
        ("team.Model", "team-model-3f1c9a52"),
        ("7b-router", "model-7b-router-3f1c9a52"),
        (".", "model-3f1c9a52"),
    ],
)
def test_served_names_are_those_of_every_server(name: str, expected: str) -> None:
    made = served_name(name, "3f1c9a52-0d7e-4b57-9c11-6a2f2f1f0b7e")
    assert made == expected
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", made), "KServe's IsvcNameFmt"
    assert len(f"{made}-predictor") <= 63
