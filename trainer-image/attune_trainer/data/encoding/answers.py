"""A prompt and what is answered to it, as token ids: what pairs and rated answers have in common.

The answer is all that comes after the prompt: of a conversation, what the chat template writes there; else the text and
the end-of-text token. This is TRL's rule too, so that its losses are over the same tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from attune_trainer.data.encoding.base import LEFT_OUT, TemplateError
from attune_trainer.data.encoding.chat import count, ended, left_out, render
from attune_trainer.data.examples import ASSISTANT, PROMPT, Turn
from attune_trainer.data.problems import Finding


class Answered(NamedTuple):
    """Ids of prompt and answer together, of any length."""

    ids: list[int]
    start: int
    """Index of the answer's first token."""


class Texts(NamedTuple):
    """Prompt and answer as one text."""

    text: str
    prompt: int
    """Characters of the prompt."""
    is_chat: bool


def texts(tokenizer: Any, prompt: Sequence[Turn], answer: Sequence[Turn], tools: str) -> Texts:
    """What the tokenizer is given.

    Raises:
        TemplateError: the chat template does not take the conversation, rewrites the prompt once it is answered, or
            leaves out something of the answer.
    """
    if prompt[0].role == PROMPT:
        before = prompt[0].content
        return Texts(before + answer[0].content, len(before), is_chat=False)
    before = render(tokenizer, prompt, tools, ask=True)
    text = render(tokenizer, (*prompt, *answer), tools)
    if not text.startswith(before):
        raise TemplateError(
            "the model's chat template writes the prompt differently once it is answered, so it cannot be said where "
            "the answer begins"
        )
    if any(turn.role == ASSISTANT and left_out(turn, text[len(before) :]) for turn in answer):
        raise TemplateError(LEFT_OUT)
    return Texts(text, len(before), is_chat=True)


def encode(tokenizer: Any, given: Texts) -> Answered:
    """Ids, and where the answer begins: a token over the seam holds something of the answer, so it is the answer's."""
    encoding = tokenizer(given.text, add_special_tokens=not given.is_chat, return_offsets_mapping=True)
    ids, offsets = list(encoding["input_ids"]), encoding["offset_mapping"]
    start = next((i for i, (_, end) in enumerate(offsets) if end > given.prompt), len(ids))
    return Answered(ids if given.is_chat else ended(tokenizer, ids), start)


def lengths(tokenizer: Any, given: Sequence[Texts]) -> list[int]:
    """Tokens of each; many at once, because that is how fast tokenizers are fast."""
    if not given:
        return []
    chat = given[0].is_chat
    return count(tokenizer, [g.text for g in given], special=not chat)


def too_long(start: int, limit: int) -> Finding | None:
    """`prompt_too_long` where the prompt alone fills what the model is given."""
    if start < limit:
        return None
    return Finding(
        "prompt_too_long",
        f"the prompt has {start} tokens, and the first {limit} of a row are used (training.sequenceLength), so nothing "
        "of the answer is left",
    )
