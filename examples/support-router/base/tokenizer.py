"""The base model's tokenizer: byte-level BPE, trained on the same text as the model.

Categories are words that the tokenizer must know whole: with its leading space each has to be exactly one token, so
that "did the model name the right category" is a question about one prediction. The tokenizer learns the eight words
and nothing about which request belongs to which.
"""

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML; `generation` marks what the assistant says, so that loss can be taken there only."""

_REPEATS = 20_000  # often enough that every category is merged to one token before the vocabulary is full


def train_tokenizer(
    texts: Sequence[str], *, whole_words: Sequence[str], vocab_size: int, context: int
) -> PreTrainedTokenizerFast:
    """Train the tokenizer.

    Args:
        texts: paragraphs to learn merges from.
        whole_words: words, each with its leading space, that must become one token.
        vocab_size: tokens in all, the three special ones among them.
        context: longest input of the model, in tokens.

    Returns:
        A tokenizer that adds no special token by itself, so that prompt and completion tokenised apart and joined
        are the same as tokenised together.

    Raises:
        ValueError: one of `whole_words` did not become one token.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_with_repeats(texts, whole_words), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    split = [word for word in whole_words if len(tokenizer(word)["input_ids"]) != 1]
    if split:
        raise ValueError(f"not one token each: {split}; raise vocab_size (now {vocab_size})")
    return tokenizer


def _with_repeats(texts: Sequence[str], whole_words: Sequence[str]) -> Iterator[str]:
    yield from texts
    for word in whole_words:
        yield from [word * 100] * (_REPEATS // 100)
