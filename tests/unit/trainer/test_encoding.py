"""Which tokens the model learns, and that the loss over them is the usual one."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from attune_contract.enums import Method
from attune_contract.spec import Workload
from attune_trainer.data import canonical, figures, split
from attune_trainer.data.encoding.labeled import HeadEncoder, TokenEncoder
from attune_trainer.data.encoding.pairs import PairEncoder
from attune_trainer.data.encoding.rated import RatedEncoder
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.data.encoding.supervised import IGNORED, Encoded, EncodedRows, Encoder, TemplateError
from attune_trainer.data.encoding.text import TextEncoder
from attune_trainer.data.examples import Document, Labeled, Pair, Rated, Supervised, Turn
from attune_trainer.data.kept import Kept
from attune_trainer.data.measure import Measure
from attune_trainer.data.problems import Finding

TEMPLATES = Path(find_spec("trl").origin).parent / "chat_templates"  # type: ignore[union-attr, arg-type]  # installed
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages[-2:] %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def pair(prompt: str, completion: str) -> Supervised:
    return Supervised("x#1", (Turn("prompt", prompt), Turn("completion", completion, 1)))


TOOLS = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def talk(*texts: str, weights: tuple[int, ...] = (1, 1, 1)) -> Supervised:
    turns = [Turn("system", "Name the colour.")]
    for i, text in enumerate(texts):
        turns.append(Turn("assistant", text, weights[i // 2]) if i % 2 else Turn("user", text))
    return Supervised("x#1", tuple(turns))


def learnt(encoder: Encoder, encoded: Encoded) -> str:
    return str(encoder.tokenizer.decode([i for i in encoded.labels if i != IGNORED]))


CALL = '{"tool_calls": [{"type": "function", "function": {"name": "colour", "arguments": {"of": "sky"}}}]}'
LAST_THINKS = THINKING.replace(
    "{{ m.content }}",
    "{{ m.content }}{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}",
)


def asks_a_tool(content: str = "") -> Supervised:
    says = Turn("assistant", content, 1, CALL)
    return Supervised("x#1", (Turn("user", "sky?"), says, Turn("tool", "blue"), Turn("assistant", "It is.", 1)))


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
def test_only_answers_are_learnt(encoder: Encoder, example: Supervised, expected: str) -> None:
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


@pytest.mark.parametrize("content", ["", "one moment"], ids=["no-text", "text"])
def test_a_call_is_learnt_where_the_last_turn_is_special(tokenizer: Any, content: str) -> None:
    encoder = with_template(tokenizer, LAST_THINKS)
    call = '<call>{"name": "colour", "arguments": {"of": "sky"}}</call><|im_end|>'

    assert learnt(encoder, encoder.encode(asks_a_tool(content))) == f"{content}{call}<think></think>It is.<|im_end|>"


def test_the_end_of_a_turn_may_stand_on_a_line_of_its_own(tokenizer: Any) -> None:
    encoder = with_template(tokenizer, THINKING.replace("{{ m.content }}", "{{ m.content }}\n"))
    encoded = encoder.encode(talk("sky?", "blue", "grass?", "green"))

    assert learnt(encoder, encoded) == "blue\n<|im_end|><think></think>green\n<|im_end|>"


LEAVE_OUT = [
    pytest.param(THINKING, asks_a_tool(), id="calls-after-which-the-turn-is-empty"),
    pytest.param(THINKING, asks_a_tool("one moment"), id="calls"),
    pytest.param(PLAIN, asks_a_tool("one moment"), id="calls-of-a-template-that-treats-all-turns-alike"),
    pytest.param(PLAIN.replace("m.content", "' '"), talk("sky?", "blue"), id="the-text"),
    pytest.param(PLAIN.replace("m.content", "m.content[:2]"), talk("sky?", "blue"), id="half-of-the-text"),
]


@pytest.mark.parametrize(("template", "example"), LEAVE_OUT)
def test_a_template_that_leaves_out_what_is_to_be_learnt_is_refused(
    tokenizer: Any, template: str, example: Supervised
) -> None:
    encoder = with_template(tokenizer, template)
    for look in (encoder.encode, lambda row: encoder.lengths([row])):
        with pytest.raises(TemplateError, match="leaves out or changes an assistant's message"):
            look(example)


@pytest.mark.parametrize("encoder", [PairEncoder, RatedEncoder], ids=["pair", "rated"])
def test_so_is_one_that_leaves_out_a_preferred_or_rated_answer(tokenizer: Any, encoder: Any) -> None:
    other = with_template(tokenizer, PLAIN.replace("m.content", "' '")).tokenizer
    row = preferred("sky?", "blue", "red", chat=True) if encoder is PairEncoder else rated("sky?", "blue", chat=True)

    with pytest.raises(TemplateError, match="leaves out or changes an assistant's message"):
        encoder(other, 64).lengths([row])


def test_a_template_may_set_spaces_as_it_likes(tokenizer: Any) -> None:
    encoder = with_template(tokenizer, PLAIN.replace("m.content", "m.content | replace('\n\n', '\n')"))

    assert learnt(encoder, encoder.encode(talk("sky?", "blue\n\nis it"))) == "blue\nis it<|im_end|>"


@pytest.mark.parametrize("extra", ["", CALL], ids=["text", "with-a-call"])
def test_every_row_with_calls_is_looked_at(tokenizer: Any, extra: str) -> None:
    """A template that leaves them out at the end only: counting alone does not show it."""
    template = PLAIN.replace("{{ m.content }}", "{{ m.content }}{{ 'colour' if m.role == 'user' }}")
    row = Supervised("x#1", (Turn("user", "sky?"), Turn("assistant", "blue", 1, extra)))
    (found,) = Measure(with_template(tokenizer, template), seen=1000)([row])

    assert isinstance(found, Finding) is bool(extra)


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("example", "said", "heard"),
    [
        pytest.param(talk("sky?", "blue", "grass?", "green"), ["blue", "green"], ["sky?", "grass?"], id="turns"),
        pytest.param(asks_a_tool(), ["colour", "It is."], ["sky?", "blue"], id="tools"),
    ],
)
def test_known_templates_teach_all_that_is_said_and_nothing_that_is_heard_or_are_refused(
    tokenizer: Any, template: Path, example: Supervised, said: list[str], heard: list[str]
) -> None:
    encoder = with_template(tokenizer, template.read_text(encoding="utf-8"))
    try:
        text = learnt(encoder, encoder.encode_whole(example))  # some begin with a page of instructions
    except TemplateError:
        return
    assert all(part in text for part in said)
    assert not any(part in text for part in heard)


def test_a_template_that_drops_earlier_turns_is_refused(tokenizer: Any) -> None:
    with pytest.raises(TemplateError, match="one answer per row, or set weight 0 on earlier assistant messages"):
        with_template(tokenizer, FORGETFUL).encode(talk("sky?", "blue", "grass?", "green"))


@pytest.mark.parametrize("example", [pair("The sky is", " blue"), talk("sky?", "blue")], ids=["pair", "chat"])
def test_lengths_are_those_of_the_encoding(encoder: Encoder, example: Supervised) -> None:
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
def test_evaluation_asks_for_the_last_answer(encoder: Encoder, example: Supervised, prompt: str, answer: str) -> None:
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
def test_the_loss_is_that_of_transformers(encoder: Encoder, tmp_path: Any, example: Supervised) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    import trainer_factories as make
    from attune_trainer.methods.collate import Collator
    from attune_trainer.methods.loop import token_mean

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


def test_tools_and_tool_calls_go_through_the_template(tokenizer: Any) -> None:
    encoder = with_template(tokenizer, TOOLS)
    call = '{"tool_calls": [{"type": "function", "function": {"name": "colour", "arguments": {"of": "sky"}}}]}'
    turns = (
        Turn("user", "sky?"),
        Turn("assistant", "", 1, call),
        Turn("tool", "blue", 0, '{"tool_call_id": "1"}'),
        Turn("assistant", "It is blue.", 1),
    )
    encoded = encoder.encode(Supervised("x#1", turns, '[{"type": "function", "function": {"name": "colour"}}]'))

    assert learnt(encoder, encoded) == 'colour({"of": "sky"})<|im_end|>It is blue.<|im_end|>'
    assert '<|im_start|>tools\n[{"type": "function"' in tokenizer.decode(encoded.input_ids)
    assert "<|im_start|>tool\nblue<|im_end|>" in tokenizer.decode(encoded.input_ids)


def preferred(prompt: str, chosen: str, rejected: str, *, chat: bool = False) -> Pair:
    asks, says = ("user", "assistant") if chat else ("prompt", "completion")
    return Pair("x#1", (Turn(asks, prompt),), (Turn(says, chosen, 1),), (Turn(says, rejected),))


def rated(prompt: str, completion: str, *, chat: bool = False) -> Rated:
    asks, says = ("user", "assistant") if chat else ("prompt", "completion")
    return Rated("x#1", (Turn(asks, prompt),), (Turn(says, completion, 1),), desirable=True)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(
            preferred("The sky is", " blue", " red"),
            ("The sky is", " blue<|endoftext|>", " red<|endoftext|>"),
            id="strings",
        ),
        pytest.param(
            preferred("The sky is", " blue", " blue and red"),
            ("The sky is", " blue<|endoftext|>", " blue and red<|endoftext|>"),
            id="answers-that-begin-alike",
        ),
        pytest.param(
            preferred("The sky is ", "blue", "red"),
            ("The sky is", " blue<|endoftext|>", " red<|endoftext|>"),
            id="a-token-over-the-seam-is-the-answers",
        ),
        pytest.param(
            preferred("sky?", "blue", "red", chat=True),
            ("<|im_start|>user\nsky?<|im_end|>\n<|im_start|>assistant\n", "blue<|im_end|>\n", "red<|im_end|>\n"),
            id="chat",
        ),
    ],
)
def test_a_pair_is_a_prompt_and_two_answers(tokenizer: Any, row: Pair, expected: tuple[str, str, str]) -> None:
    made = PairEncoder(tokenizer, 64).encode(row)

    assert tuple(tokenizer.decode(ids) for ids in (made.prompt, made.chosen, made.rejected)) == expected


def test_both_answers_of_a_pair_are_cut(tokenizer: Any) -> None:
    whole = PairEncoder(tokenizer, 64).encode(preferred("The sky is", " blue", " red and white"))
    cut = PairEncoder(tokenizer, len(whole.prompt) + 1).encode(preferred("The sky is", " blue", " red and white"))

    assert cut.prompt == whole.prompt
    assert (cut.chosen, cut.rejected) == (whole.chosen[:1], whole.rejected[:1])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(rated("The sky is", " blue"), ("The sky is", " blue<|endoftext|>"), id="strings"),
        pytest.param(
            rated("sky?", "blue", chat=True),
            ("<|im_start|>user\nsky?<|im_end|>\n<|im_start|>assistant\n", "blue<|im_end|>\n"),
            id="chat",
        ),
    ],
)
def test_a_rated_answer_is_a_prompt_and_an_answer(tokenizer: Any, row: Rated, expected: tuple[str, str]) -> None:
    made = RatedEncoder(tokenizer, 64).encode(row)

    assert (tokenizer.decode(made.prompt), tokenizer.decode(made.answer), made.desirable) == (*expected, True)


@pytest.mark.parametrize("limit", [3, 64], ids=["the-prompt-fills-it", "there-is-room"])
@pytest.mark.parametrize(
    ("kind", "row"),
    [
        pytest.param(Encoder, pair("The big sky is", " blue"), id="supervised"),
        pytest.param(PairEncoder, preferred("The big sky is", " blue", " red"), id="pair"),
        pytest.param(RatedEncoder, rated("The big sky is", " blue"), id="rated"),
    ],
)
def test_a_prompt_that_leaves_no_room_for_the_answer(tokenizer: Any, kind: Any, row: Any, limit: int) -> None:
    finding = kind(tokenizer, limit).finding(row)

    assert (finding.code if finding else None) == ("prompt_too_long" if limit == 3 else None)


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        pytest.param(PairEncoder, [preferred("The sky is", " blue", " red and white")] * 2, [11, 11], id="pairs"),
        pytest.param(PairEncoder, [preferred("sky?", "red and white", "blue", chat=True)], None, id="pairs-of-chat"),
        pytest.param(RatedEncoder, [rated("The sky is", " blue"), rated("The sky", " is blue")], None, id="rated"),
        pytest.param(TokenEncoder, [Labeled("x#1", "The sky", "blue")], None, id="labelled"),
    ],
)
def test_lengths_are_those_of_what_goes_through_the_model(
    tokenizer: Any, kind: Any, rows: list[Any], expected: list[int] | None
) -> None:
    encoder = kind(tokenizer, 1000)
    made = [encoder.encode(row) for row in rows]
    lengths = encoder.lengths(rows)

    assert lengths == [row.longest if hasattr(row, "longest") else len(row.input_ids) for row in made]
    assert expected is None or len(lengths) == len(expected)


@pytest.mark.parametrize(
    ("lengths", "size", "stride", "expected"),
    [
        pytest.param([3], 8, None, [(0, 4)], id="one-short-document"),
        pytest.param([3, 2], 4, None, [(0, 4), (4, 7)], id="over-the-seam"),
        pytest.param([3, 3], 4, None, [(0, 4), (4, 8)], id="no-remainder"),
        pytest.param([3, 4], 4, None, [(0, 4), (4, 8)], id="one-token-is-left-and-nothing-to-foresee"),
        pytest.param([9], 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)], id="windows-that-overlap"),
        pytest.param([9], 4, 100, [(0, 4), (4, 8), (8, 10)], id="a-stride-that-would-skip-text"),
    ],
)
def test_documents_are_joined_and_cut(
    tokenizer: Any, lengths: list[int], size: int, stride: int | None, expected: list[tuple[int, int]]
) -> None:
    documents = [Document(f"x#{i}", " sky" * length) for i, length in enumerate(lengths)]
    end = tokenizer.eos_token_id
    joined = [i for document in documents for i in [*tokenizer(document.text)["input_ids"], end]]
    encoder = TextEncoder(tokenizer, size, stride)

    assert sum(encoder.lengths(documents)) == len(joined) == sum(lengths) + len(lengths)
    assert list(encoder.windows(documents)) == [joined[start:stop] for start, stop in expected]


def test_end_of_text_comes_where_a_document_ends_and_not_between_its_parts(tokenizer: Any) -> None:
    documents = [
        Document("a.txt#1", " sky"),
        Document("a.txt#2", " is", "a.txt#1"),
        Document("a.txt#9", " red", "a.txt#5"),  # a part in between is held out
        Document("b.txt#2", " blue", "b.txt#1"),  # its first part is held out
        Document("c.jsonl#1", " grass"),
    ]
    (window,) = TextEncoder(tokenizer, 64).windows(documents)

    assert tokenizer.decode(window) == " sky is<|endoftext|> red<|endoftext|> blue<|endoftext|> grass<|endoftext|>"


def test_parts_of_other_rows_of_a_file_do_not_go_on(tokenizer: Any) -> None:
    documents = [
        Document("a.jsonl#5", " sky"),
        Document("a.jsonl#6.1", " is", "a.jsonl#6"),  # its first part is held out
        Document("a.jsonl#6.2", " blue", "a.jsonl#6.1"),
        Document("a.jsonl#7.1", " grass", "a.jsonl#7"),
    ]
    (window,) = TextEncoder(tokenizer, 64).windows(documents)

    assert tokenizer.decode(window) == " sky<|endoftext|> is blue<|endoftext|> grass<|endoftext|>"


@pytest.mark.parametrize("seed", range(4))
def test_tokens_are_counted_as_they_are_trained_on_whatever_is_held_out(
    tokenizer: Any, tmp_path: Path, seed: int
) -> None:
    documents = [
        Document(f"{file}#{part}", f" sky {'blue ' * (part + 1)}", f"{file}#{part - 1}" if part % 5 else "")
        for file in ("a.txt", "b.txt")
        for part in range(20)
        if part != 7  # a part that could not be used
    ]
    encoder, kept = TextEncoder(tokenizer, 8), Kept()
    with canonical.Writer(tmp_path / "rows.parquet", canonical.DOCUMENT) as writer:
        for row, length in zip(documents, encoder.lengths(documents), strict=True):
            kept.add(row, 1, length, held_out=False)
            writer.write(row)
    out = bytearray((i * 13 + seed * 5) % 7 < 3 for i in range(len(documents)))
    watched = bytearray((i * 11 + seed) % 5 == 0 and not out[i] for i in range(len(documents)))
    parts = split.Parts(out, watched)
    made = figures.part(tmp_path / "rows.parquet", canonical.DOCUMENT, kept, parts, folder=tmp_path, limit=None, end=1)
    (window,) = TextEncoder(tokenizer, 10_000).windows(canonical.read(made.train, canonical.DOCUMENT))

    assert made.tokens.total == len(window)


def test_a_label_is_one_token_after_the_question(tokenizer: Any) -> None:
    encoded = TokenEncoder(tokenizer, 64).encode(Labeled("x#1", "The sky", "blue"))

    assert tokenizer.decode(encoded.input_ids) == "The sky\nLabel: blue"
    assert [i for i in encoded.labels if i != IGNORED] == tokenizer(" blue")["input_ids"] == encoded.input_ids[-1:]


@pytest.mark.parametrize("length", [12, 16, 40])
def test_a_long_text_is_cut_before_the_question(tokenizer: Any, length: int) -> None:
    text = tokenizer.decode(TokenEncoder(tokenizer, length).encode(Labeled("x#1", "small sky " * 50, "blue")).input_ids)

    assert text.startswith("small sky")
    assert text.endswith("\nLabel: blue")
    assert len(TokenEncoder(tokenizer, length).prompt("small sky " * 50)) in {length - 1, length - 2}


@pytest.mark.parametrize(
    ("kind", "label", "labels", "code"),
    [
        pytest.param(TokenEncoder, "blue", (), None, id="one-token"),
        pytest.param(TokenEncoder, "somewhat blue", (), "label_not_one_token", id="several-tokens"),
        pytest.param(TokenEncoder, "blue", ("blue", "red"), None, id="known"),
        pytest.param(TokenEncoder, "green", ("blue", "red"), "unknown_label", id="unknown"),
        pytest.param(HeadEncoder, "somewhat blue", (), None, id="a-head-takes-any-label"),
        pytest.param(HeadEncoder, "green", ("blue", "red"), "unknown_label", id="unknown-to-a-head"),
    ],
)
def test_labels_that_cannot_be_learnt(
    tokenizer: Any, kind: Any, label: str, labels: tuple[str, ...], code: str | None
) -> None:
    finding = kind(tokenizer, 64, labels).finding(Labeled("x#1", "The sky", label))

    assert (finding.code if finding else None) == code


@pytest.mark.parametrize(
    ("method", "more", "kind"),
    [
        pytest.param("SFT", {}, Encoder, id="sft"),
        pytest.param("DPO", {}, PairEncoder, id="dpo"),
        pytest.param("ORPO", {}, PairEncoder, id="orpo"),
        pytest.param("KTO", {}, RatedEncoder, id="kto"),
        pytest.param("ContinuedPretraining", {}, TextEncoder, id="continued-pretraining"),
        pytest.param("Classification", {}, TokenEncoder, id="classification"),
        pytest.param("Classification", {"classification": {"style": "Head"}}, HeadEncoder, id="head"),
    ],
)
def test_every_method_has_its_encoder(tokenizer: Any, method: str, more: dict[str, Any], kind: Any) -> None:
    blocks = {
        "model": {"source": "s3://b/m"},
        "method": Method(method),
        "dataset": {"train": ["s3://b/d.jsonl"]},
        "training": {"epochs": 1},
        "output": {"uri": "s3://b/o"},
        **more,
    }

    assert type(encoder_for(Workload.model_validate(blocks), tokenizer, 64)) is kind
