"""Packed examples do not see each other: each has the loss that it has alone."""

from pathlib import Path
from typing import Any

import pytest

import method_factories as methods
import trainer_factories as make
from attune_contract.enums import Method
from attune_trainer.data.encoding.packing import pack
from attune_trainer.data.encoding.supervised import Encoded
from attune_trainer.errors import InvalidConfigurationError

EXAMPLES = [
    # The second repeats the first: a model that saw both would foresee it better, or worse, than alone.
    Encoded([10, 20, 30, 40, 50], [-100, -100, 30, 40, 50]),
    Encoded([10, 20, 30, 40, 60, 70], [-100, 20, 30, 40, 60, 70]),
    Encoded([7, 8, 9], [7, 8, 9]),
]


@pytest.mark.parametrize(
    ("lengths", "limit", "expected"),
    [
        pytest.param([], 10, [], id="nothing"),
        pytest.param([5, 5, 5], 10, [[0, 1], [2]], id="two-fit"),
        pytest.param([3, 7, 4, 6], 10, [[0, 1], [2, 3]], id="best-fit"),
        pytest.param([12, 2], 10, [[0], [1]], id="one-that-is-longer-is-alone"),
        pytest.param([1] * 10, 4, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], id="small-ones"),
    ],
)
def test_sequences_are_filled(lengths: list[int], limit: int, expected: list[list[int]]) -> None:
    made = pack(lengths, limit)

    assert made == expected
    assert all(sum(lengths[i] for i in members) <= limit for members in made if len(members) > 1)


def test_many_examples_are_packed_at_once() -> None:
    import time

    started = time.perf_counter()
    made = pack([1 + (i * 7919) % 2048 for i in range(100_000)], 2048)

    assert sorted(i for members in made for i in members) == list(range(100_000))
    assert time.perf_counter() - started < 5


def example_losses(model: Any, batch: dict[str, Any], lengths: list[int]) -> list[float]:
    """Summed cross-entropy of each example of a packed row."""
    import torch
    from torch.nn.functional import cross_entropy

    inputs = {k: v for k, v in batch.items() if k not in {"labels", "tokens"}}
    with torch.inference_mode():
        logits = model(**inputs, use_cache=False).logits[0, :-1]
    each = cross_entropy(logits, batch["labels"][0, 1:], ignore_index=-100, reduction="none")
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    return [float(each[max(0, end - length - 1) : end - 1].sum()) for length, end in zip(lengths, ends, strict=True)]


def loaded(folder: Path, family: str, attention: str = "sdpa") -> Any:
    from transformers import AutoModelForCausalLM

    make.make_model(folder, family=family)
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox", "gpt2"])
def test_an_example_has_the_loss_that_it_has_alone(tmp_path: Path, family: str, attention: str) -> None:
    from attune_trainer.methods.packing import PackedRow, collator_for

    model = loaded(tmp_path, family, attention)
    collator = collator_for(model, 0, 40)
    padded = PackedRow.of([Encoded(list(range(40)), [-100] * 40)])  # so that the others are filled up
    together = example_losses(model, collator([PackedRow.of(EXAMPLES), padded]), [5, 6, 3])
    alone = [example_losses(model, collator([PackedRow.of([e])]), [len(e.input_ids)])[0] for e in EXAMPLES]
    plain = [float(model(**as_transformers(e)).loss) * sum(x != -100 for x in e.labels[1:]) for e in EXAMPLES]

    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(plain, abs=1e-5)


def as_transformers(example: Encoded) -> dict[str, Any]:
    import torch

    return {"input_ids": torch.tensor([example.input_ids]), "labels": torch.tensor([example.labels])}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox"])
@pytest.mark.parametrize("dropped", ["mask", "positions"])
def test_the_mask_and_the_positions_are_what_does_it(tmp_path: Path, family: str, dropped: str) -> None:
    """Two examples see each other, or are told that one comes after the other, and their losses tell."""
    import torch

    from attune_trainer.methods.packing import PackedRow, PackingCollator

    model = loaded(tmp_path, family)
    batch = PackingCollator(0)([PackedRow.of(EXAMPLES)])
    right = example_losses(model, batch, [5, 6, 3])
    if dropped == "mask":
        batch["attention_mask"] = torch.ones(1, 1, 14, 14, dtype=torch.bool).tril()
    else:  # rotary positions are relative, so only the mask matters; what is lost is nothing that can be seen
        batch["position_ids"] = torch.arange(14).unsqueeze(0)
    wrong = example_losses(model, batch, [5, 6, 3])

    assert wrong[0] == pytest.approx(right[0], abs=1e-5), "the first example sees nothing in any case"
    if dropped == "mask":
        assert abs(wrong[1] - right[1]) > 1e-2
        assert abs(wrong[2] - right[2]) > 1e-2
    else:
        assert wrong == pytest.approx(right, abs=1e-3)


@pytest.mark.slow
def test_positions_begin_anew_where_they_are_absolute(tmp_path: Path) -> None:
    import torch

    from attune_trainer.methods.packing import PackedRow, PackingCollator

    model = loaded(tmp_path, "gpt2")
    batch = PackingCollator(0)([PackedRow.of(EXAMPLES)])
    right = example_losses(model, batch, [5, 6, 3])
    wrong = example_losses(model, {**batch, "position_ids": torch.arange(14).unsqueeze(0)}, [5, 6, 3])

    assert abs(wrong[1] - right[1]) > 1e-2


@pytest.mark.slow
def test_a_model_that_cannot_keep_examples_apart_is_refused(tmp_path: Path) -> None:
    from attune_trainer.methods.packing import collator_for

    with pytest.raises(InvalidConfigurationError, match="MambaForCausalLM cannot keep packed examples apart"):
        collator_for(loaded(tmp_path, "mamba", "eager"), 0, 40)


def sliding(kind: str) -> Any:
    """A model that looks back over eight tokens, in one of its layers or in both."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "sliding_window": 8,
        "initializer_range": 0.5,
        "pad_token_id": 0,
    }
    more = {"gemma3": {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]}}.get(kind, {})
    prefix = {"mistral": "Mistral", "gemma3": "Gemma3Text", "phi3": "Phi3", "qwen2": "Qwen2"}[kind]
    config = getattr(transformers, f"{prefix}Config")(**sizes, **more)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "longest", "refused"),
    [
        pytest.param("mistral", 9, True, id="every-layer"),
        pytest.param("gemma3", 9, True, id="one-layer"),
        pytest.param("phi3", 9, True, id="phi3"),
        pytest.param("mistral", 8, False, id="examples-fit-into-the-window"),
        pytest.param("gemma3", 8, False, id="examples-fit-into-the-window-of-one-layer"),
        pytest.param("qwen2", 200, False, id="the-window-is-not-used"),
    ],
)
def test_a_window_shorter_than_an_example_is_refused(kind: str, longest: int, refused: bool) -> None:
    from attune_trainer.methods.packing import collator_for

    if not refused:
        assert collator_for(sliding(kind), 0, longest)
        return
    with pytest.raises(InvalidConfigurationError, match=r"the last 8 tokens only.*sequenceLength to 8 or less"):
        collator_for(sliding(kind), 0, longest)


@pytest.mark.slow
def test_a_window_that_no_setting_tells_of_shows_in_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    from attune_trainer.methods import packing

    monkeypatch.setattr(packing, "window", lambda _: None)

    assert packing.collator_for(sliding("mistral"), 0, 8)
    with pytest.raises(InvalidConfigurationError, match="otherwise than without packing"):
        packing.collator_for(sliding("mistral"), 0, 40)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt_neox"])
def test_packed_training_learns_as_unpacked_does(tmp_path: Path, family: str) -> None:
    """With every example in one batch, the loss of each step is the same; and packing takes fewer sequences."""
    make.make_model(tmp_path / "model", family=family, loud=1)
    changes = {"batchSize": 18, "maxSteps": 3}
    apart, _ = methods.train(methods.job(tmp_path, Method.SFT, training=changes))
    together, _ = methods.train(methods.job(tmp_path, Method.SFT, training={**changes, "packing": True}))

    assert methods.losses(together.history) == pytest.approx(methods.losses(apart.history), abs=1e-5)
    assert together.figures.tokens == apart.figures.tokens
