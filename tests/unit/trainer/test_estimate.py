"""What a run will take: formulas against tables, torch and peft; refusals and what they say would fit."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import OutcomeState, Stage
from attune_contract.quantities import duration_text, memory_text, quantity
from attune_contract.runconfig import RuntimeFacts
from attune_contract.spec import Budget, Workload
from attune_trainer.data.encoding.text import TextEncoder
from attune_trainer.data.examples import Document
from attune_trainer.estimate import duration, figures, limits, model, work
from attune_trainer.estimate.memory import activations_per_token
from attune_trainer.estimate.tensors import Tensor, of_config, read_header

LLAMA = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
    "max_position_embeddings": 256,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
QWEN = {**LLAMA, "model_type": "qwen2", "tie_word_embeddings": True}
NEOX = {**LLAMA, "model_type": "gpt_neox", "hidden_act": "gelu", "num_key_value_heads": 4}
GPT2 = {"model_type": "gpt2", "n_embd": 256, "n_layer": 3, "n_head": 4, "vocab_size": 500, "n_positions": 256}
BERT = {**NEOX, "model_type": "bert", "tie_word_embeddings": True}
CONFIGS = [pytest.param(c, id=str(c["model_type"])) for c in (LLAMA, QWEN, NEOX, GPT2, BERT)]
SEVEN_BILLION = {
    **LLAMA,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "max_position_embeddings": 32_768,
    "torch_dtype": "bfloat16",
}
GPU = RuntimeFacts(
    name="gpu",
    accelerator_memory="80Gi",
    accelerator_tflops=989,
    price_per_gpu_hour="4.00",
    price_per_cpu_hour="0.05",
)


def manifest(**changes: Any) -> Workload:
    blocks: dict[str, Any] = {
        "model": {"source": "s3://models/base"},
        "method": "SFT",
        "tuning": {"type": "LoRA", "dropout": 0.0},
        "dataset": {"train": ["s3://data/train.jsonl"]},
        "training": {"epochs": 3, "batchSize": 16, "sequenceLength": 2048},
        "resources": {"gpusPerNode": 1, "cpu": "8", "memory": "64Gi"},
        "output": {"uri": "s3://models/out/"},
    }
    for name, change in changes.items():
        blocks[name] = {**blocks[name], **change} if isinstance(change, dict) and name in blocks else change
    return Workload.model_validate(blocks)


def case(config: dict[str, Any] = LLAMA, runtime: RuntimeFacts = GPU, **changes: Any) -> figures.Case:
    lengths = changes.pop("lengths", {200: 500, 900: 200, 3000: 161})
    return figures.Case(manifest(**changes), runtime, model.weights(config, ()), lengths, 32_768)


def found(of: figures.Case) -> figures.Figures:
    made = figures.figures(of)
    assert made is not None
    return made


def torch_model(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    made = AutoConfig.for_model(**config)
    kind = AutoModelForMaskedLM if config["model_type"] == "bert" else AutoModelForCausalLM
    return kind.from_config(made)


H, KV, MLP, VOCABULARY = 256, 128, 640, 500
LAYERS = 3 * (2 * H * H + 2 * H * KV + 3 * H * MLP)


@pytest.fixture(scope="module", params=CONFIGS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any, Any]:
    """A config, torch's model of it, and the tensors of its file."""
    made = torch_model(request.param)
    folder = tmp_path_factory.mktemp("model")
    made.save_pretrained(folder)
    with (folder / "model.safetensors").open("rb") as stream:
        return request.param, made, read_header(stream)


def test_parameters_by_the_headers_are_exact(saved: tuple[dict[str, Any], Any, Any]) -> None:
    config, made, tensors = saved
    weights = model.weights(config, tensors)
    assert weights is not None
    assert weights.exact
    assert weights.count == sum(p.numel() for p in made.parameters())


def test_parameters_by_the_config_are_those_but_for_norms_and_biases(saved: tuple[dict[str, Any], Any, Any]) -> None:
    config, made, _ = saved
    weights = model.weights(config, ())
    assert weights is not None
    assert not weights.exact
    assert weights.count == pytest.approx(sum(p.numel() for p in made.parameters()), rel=0.05)


def test_trained_parameters_are_peft_s(saved: tuple[dict[str, Any], Any, Any]) -> None:
    from peft import LoraConfig, get_peft_model

    config, made, tensors = saved
    weights = model.weights(config, tensors)
    assert weights is not None
    adapted = get_peft_model(made, LoraConfig(r=4, target_modules="all-linear"))
    heads = ("cls.predictions",)  # of BERT's masked language model, which no method trains
    trained = sum(
        p.numel() for n, p in adapted.named_parameters() if p.requires_grad and not any(h in n for h in heads)
    )
    asked = manifest(tuning={"type": "LoRA", "rank": 4})
    assert model.trainable(weights, asked).parameters == trained


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        pytest.param({"tuning": {"type": "Full"}}, LAYERS + 2 * VOCABULARY * H, id="Full"),
        pytest.param(
            {"tuning": {"type": "LoRA", "rank": 4, "targetModules": ["q_proj", "v_proj"]}},
            3 * 4 * (H + H + H + KV),
            id="two layers of each block",
        ),
        pytest.param(
            {
                "method": "Classification",
                "tuning": {"type": "LoRA", "rank": 4, "targetModules": ["q_proj"]},
                "classification": {"style": "Head", "labels": ["a", "b", "c"]},
            },
            3 * 4 * (H + H) + 3 * H,
            id="a head of three labels",
        ),
    ],
)
def test_trained_parameters(changes: dict[str, Any], trained: int) -> None:
    weights = model.weights(LLAMA, ())
    assert weights is not None
    assert model.trainable(weights, manifest(**changes)).parameters == trained


@pytest.mark.parametrize(
    ("more", "share"),
    [
        pytest.param({"num_local_experts": 8, "num_experts_per_tok": 2}, 0.25, id="mixtral"),
        pytest.param({"num_experts": 128, "num_experts_per_tok": 8}, 1 / 16, id="qwen3-moe"),
        pytest.param({"n_routed_experts": 64, "num_experts_per_tok": 6}, 6 / 64, id="deepseek"),
        pytest.param({"text_config": {"num_experts": 4, "top_k_experts": 1}}, 0.25, id="in-a-nested-config"),
        pytest.param({}, 1, id="no-experts"),
        pytest.param({"num_experts": 8}, 1, id="a-config-that-does-not-say"),
    ],
)
def test_a_token_multiplies_with_the_experts_that_it_is_sent_to(more: dict[str, Any], share: float) -> None:
    experts = [Tensor(f"model.layers.0.mlp.experts.{i}.up_proj.weight", (64, 32)) for i in range(8)]
    shared = [Tensor("model.layers.0.mlp.shared_experts.up_proj.weight", (64, 32))]
    table = [Tensor("lm_head.weight", (100, 32))]
    found = model.weights({**LLAMA, **more}, [*experts, *shared, *table])

    assert found is not None
    assert found.count == 9 * 64 * 32 + 3200, "all of them are in memory"
    assert found.multiplied == 8 * 64 * 32 * share + 64 * 32 + 3200


def test_tables_do_not_multiply_and_a_shared_table_is_the_head() -> None:
    for config in (LLAMA, QWEN):
        weights = model.weights(config, ())
        assert weights is not None
        assert weights.multiplied == LAYERS + VOCABULARY * H


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 8, struct.pack("<Q", 2**62), struct.pack("<Q", 9) + b"not JSON!", b"PK\x03\x04abcdefgh"],
    ids=["empty", "no header", "a huge header", "no JSON", "a pickle"],
)
def test_a_file_that_is_no_safetensors_file_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_header(io.BytesIO(content))


def test_no_more_of_a_file_is_read_than_its_header() -> None:
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]}}).encode()
    stream = io.BytesIO(struct.pack("<Q", len(header)) + header + b"x" * 24)
    assert read_header(stream) == (Tensor("w", (3, 4), 2),)
    assert stream.tell() == 8 + len(header)


@pytest.mark.parametrize("config", [{}, {"model_type": "llama"}, {"hidden_size": "64"}], ids=str)
def test_a_config_without_sizes_gives_no_estimate_of_memory_and_says_so(config: dict[str, Any]) -> None:
    assert of_config(config) == ()
    told = figures.estimate(case(config), found(case(config)))
    assert (told.memory_per_gpu, told.duration, told.steps) == (None, None, 162)
    assert "sizes are not known" in " ".join(told.assumptions)


@pytest.mark.parametrize(
    ("changes", "sequences", "steps", "tokens"),
    [
        pytest.param({"lengths": {10: 100}}, 100, 21, 3000, id="a last step that is not full"),
        pytest.param({"lengths": {10: 96}}, 96, 18, 2880, id="whole steps"),
        pytest.param({"lengths": {10: 100}, "training": {"epochs": 0.5}}, 100, 4, 640, id="half an epoch"),
        pytest.param({"lengths": {10: 100}, "training": {"epochs": None, "maxSteps": 9}}, 100, 9, 1320, id="steps"),
        pytest.param({"lengths": {5000: 16}, "training": {"epochs": 1}}, 16, 1, 16 * 2048, id="cut rows"),
        pytest.param(
            {"lengths": {1000: 100}, "training": {"epochs": 1, "packing": True}}, 50, 4, 100_000, id="two rows a pack"
        ),
        pytest.param({"method": "DPO", "lengths": {10: 32}}, 32, 6, 3 * 640, id="pairs have two sides"),
        pytest.param(
            {"method": "ContinuedPretraining", "lengths": {3000: 3}, "training": {"epochs": 1}},
            5,
            1,
            9000,
            id="windows",
        ),
    ],
)
def test_steps_and_tokens(changes: dict[str, Any], sequences: int, steps: int, tokens: int) -> None:
    counted = found(case(**changes)).work
    assert (counted.sequences, counted.steps, counted.tokens) == (sequences, steps, tokens)


@pytest.mark.parametrize("stride", [None, 3, 8, 11])
@pytest.mark.parametrize("size", [1, 2, 11, 12, 22, 23, 24, 60])
def test_windows_are_counted_as_they_are_cut(tokenizer: Any, size: int, stride: int | None) -> None:
    encoder = TextEncoder(tokenizer, 11, stride)
    rows = [Document("f#1", "x" * (size - 1))]
    tokens = sum(encoder.lengths(rows))
    windows = list(encoder.windows(rows))
    counted = work.work(
        manifest(method="ContinuedPretraining", training={"epochs": 1, "sequenceLength": 11, "stride": stride}),
        {tokens: 1},
        11,
        None,
    )
    assert (counted.sequences if counted else 0) == len(windows)
    assert (counted.tokens if counted else 0) == sum(len(w) for w in windows)


def test_padding_is_what_fills_micro_batches_up_to_their_longest_row() -> None:
    even, uneven = found(case(lengths={100: 64})).work, found(case(lengths={50: 32, 150: 32})).work
    assert even.tokens == uneven.tokens == even.padded_tokens
    assert uneven.plan.micro == 16
    assert uneven.padded_tokens == pytest.approx(3 * 64 * (150 - 100 * 0.5**16), rel=0.001)


@pytest.mark.parametrize(
    ("tuning", "method", "passes"),
    [("Full", "SFT", 6), ("LoRA", "SFT", 4), ("LoRA", "DPO", 6), ("Full", "KTO", 12), ("LoRA", "ORPO", 4)],
)
def test_operations_for_each_parameter_and_token(tuning: str, method: str, passes: int) -> None:
    weights = model.weights(LLAMA, ())
    assert weights is not None
    assert duration.per_token(weights, manifest(tuning={"type": tuning}, method=method)) == passes


def test_a_large_model_computes_activations_again_on_a_gpu_only() -> None:
    weights = model.weights(SEVEN_BILLION, ())
    assert weights is not None
    assert duration.per_token(weights, manifest()) == 6
    assert duration.per_token(weights, manifest(resources={"gpusPerNode": 0})) == 4


def test_duration_and_cost_follow_from_operations_speed_and_prices() -> None:
    of = case(SEVEN_BILLION, lengths={1024: 160}, training={"epochs": 1})
    made = found(of)
    assert of.model is not None
    assert made.seconds is not None
    operations = 6 * of.model.multiplied * 160 * 1024
    download = of.model.count * 2
    assert made.seconds.low == pytest.approx(operations / (0.5 * 989e12) + 10 + download / 1e9, rel=0.01)
    assert made.seconds.high == pytest.approx(operations / (0.25 * 989e12) + 60 + download / 1e8, rel=0.01)
    told = figures.estimate(of, made)
    assert told.cost is not None
    # A GPU at 4.00 and eight cores at 0.05 an hour.
    assert float(told.cost.high) == pytest.approx(made.seconds.high / 3600 * 4.40, abs=0.006)


@pytest.mark.parametrize(
    ("runtime", "changes", "has"),
    [
        pytest.param(GPU, {}, (True, True), id="all is known"),
        pytest.param(GPU.model_copy(update={"accelerator_tflops": None}), {}, (False, False), id="no speed"),
        pytest.param(RuntimeFacts(name="free", accelerator_tflops=100), {}, (True, False), id="no prices"),
        pytest.param(RuntimeFacts(name="x"), {"resources": {"gpusPerNode": 0}}, (True, False), id="CPU"),
    ],
)
def test_what_nobody_said_is_not_estimated(
    runtime: RuntimeFacts, changes: dict[str, Any], has: tuple[bool, bool]
) -> None:
    of = case(runtime=runtime, **changes)
    told = figures.estimate(of, found(of))
    assert (told.duration is not None, told.cost is not None) == has
    assert told.memory_per_gpu


@pytest.mark.parametrize(
    ("tuning", "method", "weights", "reference", "states"),
    [
        pytest.param("Full", "SFT", 6, 0, 12, id="Full: float32, and a copy in bfloat16 for the step"),
        pytest.param("Full", "DPO", 6, 4, 12, id="DPO Full: a frozen copy too"),
        pytest.param("Full", "ORPO", 6, 0, 12, id="ORPO Full: no copy"),
        pytest.param("LoRA", "DPO", 2, 0, 0, id="LoRA: bfloat16, the reference is the base"),
        pytest.param("QLoRA", "SFT", 0.75, 0, 0, id="QLoRA: four bits but for the tables"),
    ],
)
def test_memory_of_weights_and_states(
    tuning: str, method: str, weights: float, reference: float, states: float
) -> None:
    of = case(SEVEN_BILLION, tuning={"type": tuning}, method=method)
    need = found(of).memory
    assert of.model is not None
    assert need is not None
    count = of.model.count
    assert need.weights / count == pytest.approx(weights, rel=0.1)
    assert need.reference / count == reference
    assert (need.gradients + need.optimizer) / count == pytest.approx(states, abs=0.1)


@pytest.mark.parametrize("config", [LLAMA, QWEN], ids=["llama", "qwen2"])
@pytest.mark.parametrize(
    "tuning",
    [{"type": "Full"}, {"type": "LoRA", "rank": 4, "dropout": 0.0}, {"type": "LoRA", "rank": 4, "dropout": 0.1}],
    ids=["Full", "LoRA", "LoRA with dropout"],
)
def test_activations_on_cpu_are_what_torch_keeps(config: dict[str, Any], tuning: dict[str, Any]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    def kept(layers: int) -> int:
        made = torch_model({**config, "num_hidden_layers": layers})
        if tuning["type"] == "LoRA":
            adapters = LoraConfig(
                r=4, lora_dropout=tuning["dropout"], target_modules="all-linear", task_type="CAUSAL_LM"
            )
            made = get_peft_model(made, adapters)
        made.train()
        own = {p.untyped_storage().data_ptr() for p in made.parameters()}
        seen: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            made(input_ids=torch.zeros(2, 32, dtype=torch.long), use_cache=False)
        return sum(seen.values())

    weights, asked = model.weights(config, ()), manifest(tuning=tuning, resources={"gpusPerNode": 0})
    assert weights is not None
    counted = activations_per_token(weights, asked, model.trainable(weights, asked), recomputed=False)
    assert counted / 3 == pytest.approx((kept(4) - kept(2)) / 2 / 64, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "memory", "says"),
    [
        pytest.param(
            {"tuning": {"type": "Full"}},
            "80Gi",
            ["an accelerator of the runtime has 80Gi", "tuning.type LoRA (", "tuning.type QLoRA (", "accelerators of "],
            id="Full on one GPU",
        ),
        pytest.param(
            {"tuning": {"type": "LoRA"}},
            "30Gi",
            [
                "training.batchSize 2 (",
                "training.sequenceLength 256 (",
                "resources.gpusPerNode 8",
            ],
            id="too many tokens at once",
        ),
        pytest.param(
            {"tuning": {"type": "LoRA"}},
            "8Gi",
            ["tuning.type QLoRA with training.batchSize 1 and sequenceLength "],
            id="all of it together",
        ),
        pytest.param({"resources": {"gpusPerNode": 0}}, None, ["spec.resources.memory is 64Gi"], id="CPU"),
        pytest.param(
            {"resources": {"gpusPerNode": 1, "memory": "16Gi"}},
            "80Gi",
            ["Before it is published", "on CPU in float32", "spec.resources.memory is 16Gi. Set it to 30Gi or more."],
            id="too little memory of the host to publish",
        ),
        pytest.param({"resources": {"gpusPerNode": 1, "memory": "26Gi"}}, "80Gi", [], id="perhaps enough to publish"),
        pytest.param({"tuning": {"type": "LoRA"}}, "80Gi", [], id="fits"),
        pytest.param({"tuning": {"type": "Full"}}, None, [], id="nobody said how much there is"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    changes: dict[str, Any], memory: str | None, says: list[str]
) -> None:
    of = case(SEVEN_BILLION, GPU.model_copy(update={"accelerator_memory": memory}), **changes)
    refused = limits.refusal(of, found(of), None)
    if not says:
        assert refused is None
        return
    assert refused is not None
    assert refused.kind.reason == "DoesNotFit"
    for part in says:
        assert part in refused.message


def test_what_is_said_to_fit_does() -> None:
    runtime = GPU.model_copy(update={"accelerator_memory": "30Gi"})
    refused = limits.refusal(of := case(SEVEN_BILLION, runtime), found(of), None)
    assert refused is not None
    again = case(SEVEN_BILLION, runtime, training={"batchSize": 2})
    need = found(again).memory
    assert need is not None
    assert f"training.batchSize 2 ({memory_text(need.total)})" in refused.message
    assert need.total <= 30 * 2**30
    assert limits.refusal(again, found(again), None) is None


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        pytest.param({"maxCost": "0.10"}, ["at least 0.5", "maxCost is 0.10", "training.epochs 0."], id="cost"),
        pytest.param({"maxDuration": "4m"}, ["maxDuration is 4m", "resources.gpusPerNode 2", "epochs 1."], id="time"),
        pytest.param({"maxCost": "25.00", "maxDuration": "6h"}, [], id="enough"),
        pytest.param({}, [], id="an empty budget"),
        pytest.param(None, [], id="no budget"),
    ],
)
def test_what_is_over_the_budget_even_at_best_is_refused(budget: dict[str, str] | None, says: list[str]) -> None:
    given = Budget.model_validate(budget) if budget is not None else None
    of = case(SEVEN_BILLION)
    refused = limits.refusal(of, found(of), given)
    assert (refused is not None) is bool(says)
    for part in says:
        assert refused is not None
        assert refused.kind.reason == "OverBudget"
        assert part in refused.message


def test_the_epochs_that_are_said_to_be_within_the_budget_are() -> None:
    budget = Budget(max_cost="0.30")
    refused = limits.refusal(of := case(SEVEN_BILLION), found(of), budget)
    assert refused is not None
    epochs = float(refused.message.partition("training.epochs ")[2].split(";")[0])
    assert 0 < epochs < 3
    fewer = case(SEVEN_BILLION, training={"epochs": epochs})
    assert limits.refusal(fewer, found(fewer), budget) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45.4, "45s"), (89.9, "90s"), (90, "2m"), (660, "11m"), (7140, "119m"), (9000, "2h30m"), (7200, "2h")],
)
def test_durations_are_said_as_a_person_would(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "1Mi"), (2**30, "1Gi"), (3 * 2**29, "1536Mi"), (9.5 * 2**30, "9728Mi"), (10.2 * 2**30, "11Gi"), (0, "0Mi")],
)
def test_memory_is_said_in_whole_units_and_never_too_little(size: float, text: str) -> None:
    assert memory_text(size) == text
    assert quantity(text) >= size


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A folder with a tiny model and data."""
    make.make_model(tmp_path / "model")
    make.write_jsonl(tmp_path / "data" / "train.jsonl", make.colour_rows())
    return tmp_path


def report(folder: Path) -> dict[str, Any]:
    text = (make.run_folder(folder) / "reports" / "validation.json").read_text(encoding="utf-8")
    told: dict[str, Any] = json.loads(text)
    return told


def test_preflight_estimates_by_the_headers_of_the_weights(laptop: Path) -> None:
    outcome, code = make.run_stage(make.document(laptop), Stage.PREFLIGHT)
    assert (code, outcome.state) == (0, OutcomeState.SUCCEEDED)
    assert outcome.estimate is not None
    assert "by the headers of its files" in " ".join(outcome.estimate.assumptions)
    assert f"Training is estimated at {outcome.estimate.in_words}." in outcome.message
    assert report(laptop)["estimate"] == outcome.estimate.model_dump(mode="json", exclude_none=True)


def test_weights_whose_headers_cannot_be_read_are_estimated_by_the_config(laptop: Path) -> None:
    (laptop / "model" / "model.safetensors").write_bytes(b"damaged")
    outcome, code = make.run_stage(make.document(laptop), Stage.PREFLIGHT)
    assert code == 0
    assert outcome.estimate is not None
    assert "by its config.json" in " ".join(outcome.estimate.assumptions)


@pytest.mark.parametrize(
    ("changes", "more", "reason", "says"),
    [
        pytest.param(
            {"resources": {"gpusPerNode": 0, "cpu": "2", "memory": "512Mi"}},
            {},
            "DoesNotFit",
            "spec.resources.memory is 512Mi",
            id="memory",
        ),
        pytest.param({}, {"budget": {"maxDuration": "2s"}}, "OverBudget", "maxDuration is 2s", id="duration"),
        pytest.param(
            {},
            {"budget": {"maxCost": "0.01"}, "runtime": {"name": "dear", "pricePerCPUHour": "900"}},
            "OverBudget",
            "maxCost is 0.01",
            id="cost",
        ),
    ],
)
def test_a_run_that_cannot_go_ends_before_any_gpu_with_its_figures_and_report(
    laptop: Path, changes: dict[str, Any], more: dict[str, Any], reason: str, says: str
) -> None:
    outcome, code = make.run_stage({**make.document(laptop, **changes), **more}, Stage.PREFLIGHT)
    assert (code, outcome.reason) == (11, reason), outcome.message
    assert says in outcome.message
    assert "What would fit: " in outcome.message
    assert outcome.validation is not None
    assert outcome.estimate is not None
    assert outcome.report_uri == outcome.validation.report_uri
    assert [a.path for a in outcome.artifacts] == ["reports/validation.json"]
    assert report(laptop)["estimate"]["steps"] == outcome.estimate.steps
    assert not (make.run_folder(laptop) / "data").exists()


def test_a_batch_that_cannot_be_divided_ends_preflight(laptop: Path) -> None:
    changes = {"training": {"batchSize": 7}, "resources": {"gpusPerNode": 2}}
    outcome, code = make.run_stage(make.document(laptop, **changes), Stage.PREFLIGHT)
    assert (code, outcome.reason) == (11, "InvalidConfiguration")
    assert "7 cannot be divided over 2 processes" in outcome.message
