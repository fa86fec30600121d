"""Which tokens the model learns, and that the loss over them is the usual one."""

from typing import Any

import pytest

from attune_trainer.data.canonical import Example, Turn
from attune_trainer.data.encoding import IGNORED, Encoded, EncodedRows, Encoder, TemplateError

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages[-2:] %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def pair(prompt: str, completion: str) -> Example:
    return Example("x#1", (Turn("prompt", prompt), Turn("completion", completion, 1)))


def talk(*texts: str, weights: tuple[int, ...] = (1, 1, 1)) -> Example:
    turns = [Turn("system", "Name the colour.")]
    for i, text in enumerate(texts):
        turns.append(Turn("assistant", text, weights[i // 2]) if i % 2 else Turn("user", text))
    return Example("x#1", tuple(turns))


def learnt(encoder: Encoder, encoded: Encoded) -> str:
    return str(encoder.tokenizer.decode([i for i in encoded.labels if i != IGNORED]))


def with_template(tokenizer: Any, template: str) -> Encoder:
    other = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    other.chat_template = template
    return Encoder(other, 256)


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        pytest.param(pair("The big sky is", " blue"), " blue<|endoftext|>", id="completion-and-end"),
        pytest.param(pair("The big sky is ", "blue"), " blue<|endoftext|>", id="a-token-over-the-seam-is-learnt"),
        pytest.param(talk("big sky?", "blue"), "blue<|im_end|>", id="answer-and-its-end"),
        pytest.param(
            talk("sky?", "blue", "grass?", "green"),
            "blue<|im_end|>green<|im_end|>",
            id="every-answer-of-a-conversation",
        ),
        pytest.param(
            talk("sky?", "blue", "grass?", "green", weights=(0, 1)), "green<|im_end|>", id="an-answer-without-weight"
        ),
        pytest.param(talk("sky?", "blue", "thanks"), "blue<|im_end|>", id="the-user-has-the-last-word"),
        pytest.param(talk("say blue", "blue", "say blue", "blue"), "blue<|im_end|>" * 2, id="equal-texts"),
    ],
)
def test_only_answers_are_learnt(encoder: Encoder, example: Example, expected: str) -> None:
    encoded = encoder.encode(example)

    assert learnt(encoder, encoded) == expected
    assert len(encoded.input_ids) == len(encoded.labels)
    assert all(label in {IGNORED, i} for i, label in zip(encoded.input_ids, encoded.labels, strict=True))


def test_the_text_is_the_templates_own(encoder: Encoder) -> None:
    example = talk("sky?", "blue")
    messages = [{"role": turn.role, "content": turn.content} for turn in example.turns]
    expected = encoder.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)

    assert encoder.encode(example).input_ids == expected


def test_a_template_that_treats_the_last_turn_specially(tokenizer: Any) -> None:
    encoder = with_template(tokenizer, THINKING)
    encoded = encoder.encode(talk("sky?", "blue", "grass?", "green"))

    assert learnt(encoder, encoded) == "blue<|im_end|><think></think>green<|im_end|>"


def test_a_template_that_drops_earlier_turns_is_refused(tokenizer: Any) -> None:
    with pytest.raises(TemplateError, match="one answer per row"):
        with_template(tokenizer, FORGETFUL).encode(talk("sky?", "blue", "grass?", "green"))


@pytest.mark.parametrize("example", [pair("The sky is", " blue"), talk("sky?", "blue")], ids=["pair", "chat"])
def test_lengths_are_those_of_the_encoding(encoder: Encoder, example: Example) -> None:
    assert encoder.lengths([example, example]) == [len(encoder.encode_whole(example).input_ids)] * 2


@pytest.mark.parametrize(
    ("length", "learns"), [pytest.param(3, False, id="nothing-is-left"), pytest.param(64, True, id="all")]
)
def test_truncation_is_at_the_end(tokenizer: Any, length: int, learns: bool) -> None:
    encoder = Encoder(tokenizer, length)
    whole, cut = encoder.encode_whole(pair("The big sky is", " blue")), encoder.encode(pair("The big sky is", " blue"))

    assert cut.input_ids == whole.input_ids[:length]
    assert cut.learns is learns


@pytest.mark.parametrize(
    ("example", "prompt", "answer"),
    [
        pytest.param(pair("The sky is", " blue"), "The sky is", " blue<|endoftext|>", id="pair"),
        pytest.param(
            talk("sky?", "blue", "grass?", "green"),
            "<|im_start|>system\nName the colour.<|im_end|>\n<|im_start|>user\nsky?<|im_end|>\n<|im_start|>assistant\n"
            "blue<|im_end|>\n<|im_start|>user\ngrass?<|im_end|>\n<|im_start|>assistant\n",
            "green<|im_end|>",
            id="the-last-answer-of-a-conversation",
        ),
    ],
)
def test_evaluation_asks_for_the_last_answer(encoder: Encoder, example: Example, prompt: str, answer: str) -> None:
    given, expected = encoder.prompt_and_answer(example)

    assert encoder.tokenizer.decode(given) == prompt
    assert encoder.tokenizer.decode(expected) == answer
    assert encoder.prompt_and_answer(example, "red")[0] == given


def test_many_rows_come_back_as_they_were(encoder: Encoder) -> None:
    rows = [encoder.encode(talk("sky?", "blue", "grass?", "green")), encoder.encode(pair("The sky is", " blue"))]
    packed = EncodedRows(rows)

    assert [*packed] == rows
    assert packed[-1] == rows[-1]
    assert packed[:1] == rows[:1]


@pytest.mark.slow
@pytest.mark.parametrize("example", [pair("The big sky is", " blue"), talk("big sky?", "blue")], ids=["pair", "chat"])
def test_the_loss_is_that_of_transformers(encoder: Encoder, tmp_path: Any, example: Example) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    import trainer_factories as make
    from attune_trainer.methods.loop import Collator, token_mean

    make.make_model(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    encoded = encoder.encode(example)
    longer = encoder.encode(talk("big sky?", "blue", "grass?", "green"))
    batch = Collator(0)([encoded, longer])
    alone = [
        model(input_ids=torch.tensor([e.input_ids]), labels=torch.tensor([e.labels])).loss * _count(e)
        for e in (encoded, longer)
    ]
    labels = batch.pop("labels")
    ours = token_mean(model(**batch), labels)

    assert ours.item() == pytest.approx(sum(alone).item() / (_count(encoded) + _count(longer)), abs=1e-5)


def _count(encoded: Encoded) -> int:
    return sum(label != IGNORED for label in encoded.labels)
