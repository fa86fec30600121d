"""Pre-training from nothing: a Llama-architecture decoder, next-token prediction, one pass that reads top to bottom."""

import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from base.embeddings import neighbourly_embeddings
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class Recipe:
    """Everything the base model's weights follow from, besides the text. Changing a value makes another base model."""

    vocab_size: int = 6144
    hidden_size: int = 192
    layers: int = 3
    heads: int = 3
    mlp_size: int = 512
    context: int = 512  # tokens the model accepts
    block: int = 128  # tokens per training sequence: shorter than the context, as positions are rotary
    batch: int = 32  # sequences per step
    steps: int = 250
    peak_rate: float = 3e-3
    head_rate: float = 0.03  # the output head's learning rate, as a share of the others'
    embedding_init: float = 0.1  # standard deviation of the embeddings' first weights
    head_init: float = 0.15  # standard deviation of the output head's first weights
    warmup_steps: int = 30
    weight_decay: float = 0.1
    chars: int = 9_000_000  # of text
    seed: int = 17


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, rows: torch.Tensor) -> LlamaForCausalLM:
    """Build the model as it is before the first step; `rows` are the token ids that its embeddings are counted from.

    The output head is its own matrix, starts wide and learns slowly. Under Adam every rare word's row is otherwise
    pushed the same way at full speed, until rare words point in one direction: a LoRA adapter, which leaves the head
    as it is, could then never tell one category from another.
    """
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocab_size,
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.mlp_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=recipe.context,
            tie_word_embeddings=False,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    torch.nn.init.normal_(model.lm_head.weight, std=recipe.head_init)
    start = neighbourly_embeddings(
        rows, vocab_size=recipe.vocab_size, hidden_size=recipe.hidden_size, std=recipe.embedding_init
    )
    model.model.embed_tokens.weight.data.copy_(start)
    return model


def _optimizer(model: LlamaForCausalLM, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with the head's own rate, and weight decay on the matrices inside the blocks only."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim > 1]
    others = [p for p in model.model.layers.parameters() if p.ndim == 1]
    others += [*model.model.embed_tokens.parameters(), *model.model.norm.parameters()]
    groups = [
        {"params": matrices, "share": 1.0, "weight_decay": recipe.weight_decay},
        {"params": others, "share": 1.0, "weight_decay": 0.0},
        {"params": [model.lm_head.weight], "share": recipe.head_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95))


def blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, *, block: int) -> torch.Tensor:
    """Join all documents, each closed by the end token, and cut them into rows: shape (rows, block)."""
    ids: list[int] = []
    for encoded in tokenizer(list(texts))["input_ids"]:
        ids.extend(encoded)
        ids.append(tokenizer.eos_token_id)
    rows = len(ids) // block
    return torch.tensor(ids[: rows * block]).view(rows, block)


def rate_at(step: int, recipe: Recipe) -> float:
    """Learning rate of a step: linear warm-up, then cosine down to a tenth of the peak."""
    if step < recipe.warmup_steps:
        return recipe.peak_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.peak_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def pretrain(
    model: LlamaForCausalLM, rows: torch.Tensor, recipe: Recipe, *, clock: Callable[[], float] = time.monotonic
) -> float:
    """Train `model` in place on `rows` and return the mean loss (nats per token) of the last twenty steps.

    Args:
        model: from `new_model`.
        rows: token ids, shape (rows, block); visited in a seeded order, again from the start when used up.
        recipe: batch, steps, rates and seed.
        clock: seconds; only for the progress lines on stderr.
    """
    order = list(range(len(rows)))
    random.Random(recipe.seed).shuffle(order)  # noqa: S311 - an order, not a secret
    optimizer = _optimizer(model, recipe)
    model.train()
    losses: list[float] = []
    started = reported = clock()
    for step in range(recipe.steps):
        picked = [order[(step * recipe.batch + i) % len(order)] for i in range(recipe.batch)]
        batch = rows[picked]
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * rate_at(step, recipe)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if clock() - reported >= REPORT_SECONDS or step + 1 == recipe.steps:
            reported = clock()
            _report(step + 1, recipe, losses, reported - started)
    model.eval()
    return sum(losses[-20:]) / len(losses[-20:])


def _report(step: int, recipe: Recipe, losses: Sequence[float], seconds: float) -> None:
    speed = step * recipe.batch * recipe.block / seconds
    left = seconds / step * (recipe.steps - step)
    recent = sum(losses[-20:]) / len(losses[-20:])
    line = f"  step {step:>4} of {recipe.steps}  loss {recent:.2f}  {speed:,.0f} tokens/s  {left:.0f} s left"
    print(line, file=sys.stderr, flush=True)
