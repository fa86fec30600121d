"""From turns to the text that a model reads: through its chat template, or put together as they are."""

import json
from collections.abc import Sequence
from typing import Any

from attune_trainer.data.encoding.base import TemplateError
from attune_trainer.data.examples import Turn


def render(tokenizer: Any, turns: Sequence[Turn], tools: str = "", *, ask: bool = False) -> str:
    """A conversation as the model's chat template writes it.

    Args:
        tokenizer: has the template.
        turns: the messages, in order.
        tools: JSON list of the tools that the conversation may use; empty: none.
        ask: whether to end where the assistant would begin to speak.

    Raises:
        TemplateError: the template does not take this conversation.
    """
    try:
        return str(
            tokenizer.apply_chat_template(
                [_message(turn) for turn in turns],
                tools=json.loads(tools) if tools else None,
                tokenize=False,
                add_generation_prompt=ask,
            )
        )
    except Exception as error:
        raise TemplateError(f"the model's chat template refuses the conversation: {error}") from error


def render_many(tokenizer: Any, conversations: Sequence[tuple[Sequence[Turn], str]]) -> list[str]:
    """Whole conversations, each with its tools, as the model's chat template writes them.

    Raises:
        TemplateError: the template does not take one of them.
    """
    if any(tools for _, tools in conversations):  # the template takes one list of tools at a time
        return [render(tokenizer, turns, tools) for turns, tools in conversations]
    try:
        return list(
            tokenizer.apply_chat_template(
                [[_message(turn) for turn in turns] for turns, _ in conversations], tokenize=False
            )
        )
    except Exception as error:
        raise TemplateError(f"the model's chat template refuses one of the conversations: {error}") from error


def left_out(turn: Turn, text: str) -> bool:
    """Whether a rendered text lacks a message, or the name of a tool that it calls.

    Line breaks and spaces are not compared: templates set them as they like.
    """
    called = (call.get("function", call).get("name", "") for call in _calls(turn))
    return any(part not in text and _squeezed(part) not in _squeezed(text) for part in (turn.content.strip(), *called))


def count(tokenizer: Any, texts: Sequence[str], *, special: bool) -> list[int]:
    """Tokens of each text, counted without making lists of ids: a third of a tokenizer's time is those.

    Args:
        tokenizer: a fast tokenizer of transformers.
        texts: any number; many at once, because that is how fast tokenizers are fast.
        special: whether the tokenizer puts its own tokens at the ends, and an end-of-text token is counted with them.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    counts = [len(encoding) for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=special)]
    end = tokenizer.eos_token
    if not special or end is None or _ends_by_itself(tokenizer):
        return counts
    return [n + (not text.endswith(end)) for n, text in zip(counts, texts, strict=True)]


def _ends_by_itself(tokenizer: Any) -> bool:
    return bool(tokenizer("a")["input_ids"][-1:] == [tokenizer.eos_token_id])


def ended(tokenizer: Any, ids: list[int]) -> list[int]:
    """The ids with the end-of-text token behind them, where the tokenizer has one and has not put it there itself."""
    end = tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def _calls(turn: Turn) -> list[dict[str, Any]]:
    return (json.loads(turn.extra).get("tool_calls") or []) if turn.extra else []


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _message(turn: Turn) -> dict[str, Any]:
    return {"role": turn.role, "content": turn.content, **(json.loads(turn.extra) if turn.extra else {})}
