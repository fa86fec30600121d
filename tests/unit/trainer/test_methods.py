"""Each method on each architecture and tuning: it trains, is timed, saves what comes back, and refuses the rest."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import method_factories as methods
import trainer_factories as make
from attune_contract.enums import Method
from attune_trainer.data import canonical
from attune_trainer.data.examples import Labeled
from attune_trainer.errors import DivergedError, InvalidConfigurationError, InvalidDataError

pytestmark = pytest.mark.slow  # torch, and TRL on top
LORA = {"type": "LoRA", "rank": 4, "alpha": 8, "dropout": 0.0}
FULL = {"type": "Full"}
TOKEN, HEAD = {"style": "Token"}, {"style": "Head"}
DECODERS = ("llama", "qwen2", "gpt_neox")


def cases() -> list[Any]:
    found = []
    for family in (*DECODERS, "bert"):
        for method in Method:
            for style in ("Token", "Head") if method is Method.CLASSIFICATION else ("",):
                for tuning in (LORA, FULL):
                    if family == "bert" and style != "Head":
                        continue
                    name = f"{method.value}{style}-{family}-{tuning['type']}".lower()
                    found.append(pytest.param(family, method, style, tuning, id=name))
    return found


def changes(method: Method, style: str, tuning: dict[str, Any], **training: Any) -> dict[str, Any]:
    block = {"classification": {"style": style}} if method is Method.CLASSIFICATION else {}
    return {"tuning": tuning, "training": {"maxSteps": 2, **training}, **block}


def first_logits(model: Any) -> Any:
    import torch

    model.eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[5, 6, 7, 8]]), attention_mask=torch.ones(1, 4, dtype=torch.long)).logits


@pytest.mark.parametrize(("family", "method", "style", "tuning"), cases())
def test_it_trains_and_what_it_saves_comes_back(
    tmp_path: Path, family: str, method: Method, style: str, tuning: dict[str, Any]
) -> None:
    import torch

    from attune_trainer.methods import loading
    from attune_trainer.methods.architecture import Architecture, labels_of

    make.make_model(tmp_path / "model", family=family)
    job = methods.job(tmp_path, method, **changes(method, style, tuning))
    trained, loaded = methods.train(job, tmp_path / "saved")
    labels = labels_of(job.work, job.train)
    architecture = Architecture(job.work, labels, loading.padding_id(loaded.tokenizer), trust_remote_code=False)
    whole = architecture.load(tmp_path / ("saved" if tuning == FULL else "model"), torch.float32)
    again = whole if tuning == FULL else loading.with_adapter(whole, tmp_path / "saved")
    untouched = architecture.load(tmp_path / "model", torch.float32)

    assert trained.figures.steps == len(trained.history) == 2
    assert all(math.isfinite(loss) for loss in methods.losses(trained.history))
    assert trained.figures.tokens > 0
    assert torch.allclose(first_logits(again), first_logits(loaded.model), atol=1e-5)
    assert not torch.allclose(first_logits(again), first_logits(untouched), atol=1e-5)
    assert (tmp_path / "saved" / "tokenizer.json").is_file()
    assert not list((tmp_path / "saved").glob("*.bin"))


@pytest.mark.parametrize("rows", [2, 4, 5, 9], ids=["one-batch", "whole-batches", "one-is-left", "one-is-left-of-nine"])
def test_no_rated_answer_is_compared_with_itself(rows: int) -> None:
    from attune_trainer.data.encoding.rated import EncodedRated
    from attune_trainer.methods.kto import RatedRows, _Compared

    compared = _Compared(RatedRows(EncodedRated([1], [10 + i], desirable=True) for i in range(rows)), 4)

    assert all(compared[i]["KL_completion_ids"] != compared[i]["completion_ids"] for i in range(rows))


def test_one_rated_answer_is_refused(tmp_path: Path) -> None:
    make.make_model(tmp_path / "model")
    job = methods.job(tmp_path, Method.KTO)
    kept = next(iter(canonical.read(job.train, canonical.RATED)))
    with canonical.Writer(job.train, canonical.RATED) as writer:
        writer.write(kept)

    with pytest.raises(InvalidDataError, match="compares answers"):
        methods.train(job)


@pytest.mark.parametrize(
    ("rows", "micro", "processes", "repeated"),
    [
        pytest.param(13, 4, 1, 0, id="a-lone-process"),
        pytest.param(16, 4, 2, 0, id="whole-micro-batches"),
        pytest.param(13, 4, 2, 3, id="the-last-ones-are-filled-up"),
    ],
)
def test_rows_repeated_for_equal_shares_are_counted(rows: int, micro: int, processes: int, repeated: int) -> None:
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler, SequentialSampler

    from attune_trainer.methods.preference import repeated as counted

    batches = BatchSampler(SequentialSampler(range(rows)), micro, drop_last=False)
    shares = [BatchSamplerShard(batches, processes, rank) for rank in range(processes)]
    seen = sum(len(batch) for share in shares for batch in share) if processes > 1 else rows

    assert counted(rows, micro, processes) == repeated == seen - rows


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        pytest.param("Token", {"id", "label", "token"}, id="token"),
        pytest.param("Head", {"id", "label"}, id="head"),
    ],
)
def test_the_label_map_is_saved_with_the_model(tmp_path: Path, style: str, expected: set[str]) -> None:
    make.make_model(tmp_path / "model")
    made = changes(Method.CLASSIFICATION, style, FULL)
    made["classification"]["labels"] = ["red", "green", "blue"]
    _, loaded = methods.train(methods.job(tmp_path, Method.CLASSIFICATION, **made), tmp_path / "saved")
    entries = json.loads((tmp_path / "saved" / "labels.json").read_text())
    config = json.loads((tmp_path / "saved" / "config.json").read_text())

    assert [entry["label"] for entry in entries] == ["red", "green", "blue"]
    assert all(set(entry) == expected for entry in entries)
    if style == "Token":
        assert [loaded.tokenizer.decode(entry["token"]) for entry in entries] == [" red", " green", " blue"]
    else:
        assert config["id2label"] == {"0": "red", "1": "green", "2": "blue"}
        assert config["label2id"] == {"red": 0, "green": 1, "blue": 2}


@pytest.mark.parametrize(
    ("rule", "counts", "expected"),
    [
        pytest.param("Balanced", [6, 3, 3], [2 / 3, 4 / 3, 4 / 3], id="balanced"),
        pytest.param("Balanced", [4, 4], [1, 1], id="even"),
        pytest.param("Balanced", [4, 0], [0.5, 0], id="a-label-without-rows"),
        pytest.param("Uniform", [6, 3], [1, 1], id="uniform"),
    ],
)
def test_class_weights(tmp_path: Path, rule: str, counts: list[int], expected: list[float]) -> None:
    from attune_trainer.methods.classification import class_weights

    work = methods.job(tmp_path, Method.CLASSIFICATION, classification={"classWeights": rule}).work

    assert class_weights(work, counts) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("desirable", "undesirable", "expected"),
    [
        pytest.param(10, 10, (1, 1), id="even"),
        pytest.param(30, 10, (1, 3), id="few-unwanted"),
        pytest.param(5, 20, (4, 1), id="few-wanted"),
        pytest.param(5, 0, (1, 1), id="one-kind-only"),
    ],
)
def test_ratings_of_both_kinds_weigh_the_same(desirable: int, undesirable: int, expected: tuple[float, float]) -> None:
    from attune_trainer.methods.kto import weights

    assert weights(desirable, undesirable) == expected


@pytest.mark.parametrize("method", [Method.DPO, Method.ORPO, Method.KTO], ids=str)
def test_margins_are_reported_and_grow(tmp_path: Path, method: Method) -> None:
    make.make_model(tmp_path / "model")
    trained, _ = methods.train(methods.job(tmp_path, method, tuning=FULL, training={"maxSteps": 12}))
    margins = [step.margin for step in trained.history if step.margin is not None]

    assert len(margins) >= 8  # a micro-batch of KTO may have answers of one kind only, and then has none
    assert margins[-1] > margins[0]
    assert trained.settings["beta"] == 0.1


@pytest.mark.parametrize(
    ("steps", "measured"),
    [
        pytest.param(2, None, id="too-few"),
        pytest.param(3, 2, id="a-short-run"),
        pytest.param(20, 19, id="not-quite-enough"),
        pytest.param(25, 20, id="the-first-twenty-after-the-first"),
    ],
)
def test_steps_are_timed(tmp_path: Path, steps: int, measured: int | None) -> None:
    make.make_model(tmp_path / "model")
    seen = []
    job = replace(methods.job(tmp_path, Method.SFT, training={"maxSteps": steps}), on_step=seen.append)
    figures = methods.train(job)[0].figures

    assert figures.measured_steps == measured
    assert (figures.seconds_per_step is None) is (measured is None)
    assert seen[-1].measured_steps == measured
    assert figures.peak_memory_bytes is not None
    assert figures.peak_memory_bytes > 50_000_000
    if steps == 25:
        assert [step.measured_steps for step in seen[:20]] == [None] * 20
        assert seen[20].seconds_per_step == pytest.approx(figures.seconds_per_step)


def test_the_stopwatch_leaves_out_the_first_step() -> None:
    from attune_trainer.methods.reporting import Stopwatch

    times = iter([100.0, *(100.0 + 2 * i for i in range(1, 21)), 9999.0])
    watch = Stopwatch(lambda: next(times))
    for _ in range(22):
        watch.step()

    assert watch.mean(is_last=False) == (2.0, 20)


@pytest.mark.parametrize("method", list(Method), ids=str)
def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path, method: Method) -> None:
    make.make_model(tmp_path / "model")
    job = methods.job(tmp_path, method, tuning=FULL, training={"learningRate": 1.0, "maxSteps": 5})

    import torch

    from attune_trainer.methods.registry import METHODS

    loaded = METHODS[method].load(job)
    trainer = METHODS[method].build(job, loaded, METHODS[method].prepare(job, loaded))
    with torch.no_grad():
        next(loaded.model.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"step 1 of 5, learning rows \d+(, \d+)* of x\. Look at these rows, lower"):
        METHODS[method].train(job, trainer)


@pytest.mark.parametrize(
    ("method", "tuning", "loads"),
    [
        pytest.param(Method.DPO, LORA, 1, id="dpo-lora-turns-the-adapter-off"),
        pytest.param(Method.DPO, FULL, 2, id="dpo-full-has-a-copy"),
        pytest.param(Method.KTO, LORA, 1, id="kto-lora-turns-the-adapter-off"),
        pytest.param(Method.KTO, FULL, 2, id="kto-full-has-a-copy"),
        pytest.param(Method.ORPO, LORA, 1, id="orpo-lora-has-no-reference"),
        pytest.param(Method.ORPO, FULL, 1, id="orpo-full-has-no-reference"),
    ],
)
def test_how_many_models_there_are(tmp_path: Path, method: Method, tuning: dict[str, Any], loads: int) -> None:
    """Counts whole models that are alive while training runs, however they came to be."""
    import gc

    from transformers import LlamaForCausalLM

    make.make_model(tmp_path / "model")
    gc.collect()
    before = {id(o) for o in gc.get_objects() if isinstance(o, LlamaForCausalLM)}
    found: list[int] = []

    def count(_: Any) -> None:
        found.append(sum(isinstance(o, LlamaForCausalLM) and id(o) not in before for o in gc.get_objects()))

    job = replace(methods.job(tmp_path, method, tuning=tuning, training={"maxSteps": 1}), on_step=count)
    _, loaded = methods.train(job)

    assert found == [loads]
    assert set(getattr(loaded.model, "peft_config", {"default": None})) == {"default"}


PEAK = """
import sys
from pathlib import Path
import method_factories as methods
from attune_contract.enums import Method
short = {"maxSteps": 1, "batchSize": 2}
job = methods.job(Path(sys.argv[1]), Method(sys.argv[2]), tuning={"type": "Full"}, training=short)
print(methods.train(job)[0].figures.peak_memory_bytes)
"""


def test_orpo_needs_less_memory_than_dpo_by_a_whole_model(tmp_path: Path) -> None:
    """Of 50 million parameters, in float32: weights, gradients and two moments are 16 bytes each, a reference 4."""
    shape = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_key_value_heads": 4}
    make.make_model(tmp_path / "model", loud=1, **shape)
    weights = (tmp_path / "model" / "model.safetensors").stat().st_size
    peaks = {}
    for method in (Method.DPO, Method.ORPO):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path), method.value],
            env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "2", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        peaks[method] = int(done.stdout.split()[-1])

    assert weights > 150_000_000
    assert peaks[Method.DPO] - peaks[Method.ORPO] > 0.7 * weights


@pytest.mark.parametrize("method", [m for m in Method if m is not Method.CLASSIFICATION], ids=str)
def test_an_encoder_is_no_language_model(tmp_path: Path, method: Method) -> None:
    make.make_model(tmp_path / "model", family="bert")
    with pytest.raises(InvalidConfigurationError, match=r"type bert is no causal language model.*style: Head"):
        methods.train(methods.job(tmp_path, method))


@pytest.mark.parametrize(
    ("method", "given", "says"),
    [
        pytest.param(Method.SFT, {"tuning": {"type": "QLoRA"}}, "QLoRA needs a GPU", id="qlora-without-a-gpu"),
        pytest.param(Method.SFT, {"tuning": {"targetModules": ["nothing"]}}, "down_proj.*up_proj", id="no-such-layer"),
        pytest.param(
            Method.DPO, {"tuning": {"targetModules": ["q_proj", "lm_head"]}}, "lm_head cannot be tuned", id="the-head"
        ),
        pytest.param(Method.KTO, {"training": {"batchSize": 1}}, "batchSize: 1 leaves 1.*use 2", id="kto-alone"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, method: Method, given: dict[str, Any], says: str) -> None:
    make.make_model(tmp_path / "model")
    with pytest.raises(InvalidConfigurationError, match=says):
        methods.train(methods.job(tmp_path, method, **given))


def test_a_chat_template_of_the_manifest_goes_with_the_model(tmp_path: Path) -> None:
    make.make_model(tmp_path / "model", template=None)
    job = methods.job(tmp_path, Method.SFT)
    job = replace(job, base=replace(job.base, chat_template=make.CHAT_TEMPLATE))
    methods.train(job, tmp_path / "saved")

    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(tmp_path / "saved").chat_template == make.CHAT_TEMPLATE


def test_long_texts_are_cut_so_that_question_and_label_stay(tmp_path: Path) -> None:
    make.make_model(tmp_path / "model")
    rows = [Labeled(f"x#{i}", "small " * 100 + str(i), "red" if i % 2 else "blue") for i in range(8)]
    job = methods.job(tmp_path, Method.CLASSIFICATION, rows, training={"sequenceLength": 16, "maxSteps": 1})

    assert methods.train(job)[0].figures.tokens == 4 * 16


@pytest.mark.parametrize("method", [Method.SFT, Method.DPO, Method.ORPO, Method.KTO], ids=str)
def test_the_configuration_of_the_base_stays(tmp_path: Path, method: Method) -> None:
    """TRL and transformers would give the model the tokenizer's special tokens."""
    make.make_model(tmp_path / "model")
    methods.train(methods.job(tmp_path, method, tuning=FULL, training={"maxSteps": 1}), tmp_path / "saved")

    for name in ("config.json", "generation_config.json"):
        before, after = (json.loads((tmp_path / f / name).read_text()) for f in ("model", "saved"))
        assert after == before
