"""Rows for the bench of preflight, and a tokenizer for them."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FORMATS = ("PromptCompletion", "Chat")
_VOCABULARY = 30_000
_TOKENS = 32_000
_TRAINED_ON = 20_000
_LETTERS = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllluuucccmmmwwffggyyppbbvkjxqz"
_WITH_DIGITS = 0.2
"""Share of the texts that have some."""
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_rows(path: Path, name: str, rows: int, size: int | None) -> int:
    """Writes rows of one format: some 100 words each, which no two rows share in their order.

    Args:
        path: the file.
        name: one of FORMATS.
        rows: how many; not looked at where a size is given.
        size: bytes from which on no more rows are written.

    Returns:
        How many were written.
    """
    made = _rows(name)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        while count < rows if size is None else file.tell() < size:
            file.writelines(json.dumps(row) + "\n" for row in itertools.islice(made, 1000))
            count += 1000
    return count


def tokenizer_of(path: Path, name: str, folder: Path) -> None:
    """Trains a byte-level BPE on the first rows and saves it as transformers does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=_TOKENS,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    with path.open(encoding="utf-8") as lines:
        inner.train_from_iterator((_text(json.loads(line)) for line in itertools.islice(lines, _TRAINED_ON)), trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=special[0], additional_special_tokens=special[1:])
    made.chat_template = _TEMPLATE if name == "Chat" else None
    made.save_pretrained(folder)


def _rows(name: str) -> Iterator[dict[str, Any]]:
    chosen = random.Random(17)  # noqa: S311 - rows, no secrets
    words = [
        "".join(chosen.choices(_LETTERS, k=min(14, 1 + int(chosen.expovariate(0.22))))) for _ in range(_VOCABULARY)
    ]
    # Zipf's law: the n-th word is 1/n as frequent as the first.
    weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(_VOCABULARY)))
    while True:
        drawn = chosen.choices(words, cum_weights=weights, k=100)
        cut = chosen.randrange(15, 60)
        prompt, answer = _sentences(drawn[:cut], chosen), _sentences(drawn[cut:], chosen)
        if name == "Chat":
            yield {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
        else:
            yield {"prompt": prompt, "completion": f" {answer}"}


def _sentences(words: list[str], chosen: random.Random) -> str:
    parts: list[str] = []
    while words:
        length = chosen.randrange(6, 16)
        parts.append(" ".join(words[:length]).capitalize() + chosen.choice(".....?!"))
        words = words[length:]
    if chosen.random() < _WITH_DIGITS:
        parts.append(f"Order {chosen.randrange(10**6)} came at {chosen.randrange(24)}:{chosen.randrange(60):02d}.")
    return " ".join(parts)


def _text(row: dict[str, Any]) -> str:
    messages = row.get("messages")
    return "\n".join(m["content"] for m in messages) if messages else str(row["prompt"] + row["completion"])
