"""Classification: the label as one token that a language model says (Token), or from a head (Head).

Labels with few rows count more (`classification.classWeights`): the loss is the cross-entropy of each row times the
weight of its label, summed, over the sum of the weights, as torch's `CrossEntropyLoss(weight=...)` has it; here over
the whole optimizer step, however it is cut into micro-batches.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import set_seed

from attune_contract.enums import ClassificationStyle, ClassWeights
from attune_contract.spec import Workload
from attune_trainer.data import canonical
from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.labeled import HeadEncoder, TokenEncoder, label_set
from attune_trainer.data.encoding.supervised import EncodedRows
from attune_trainer.methods import causal, loading, loop, tuning
from attune_trainer.methods.base import Job, Loaded, Trained
from attune_trainer.methods.collate import filled

Weights = Callable[[torch.Tensor], torch.Tensor]
"""From labels to what each counts; IGNORED counts nothing."""


class Classification:
    """Both styles."""

    def load(self, job: Job) -> Loaded:
        """A language model, or a model with a head; adapters for LoRA and QLoRA. The head is trained in any case."""
        labels = label_set(job.work, (row.label for row in canonical.read(job.train, canonical.LABELED)))
        tokenizer = job.base.tokenizer()
        set_seed(job.work.training.seed)  # before head and adapters draw their first weights
        if not has_head(job.work):
            return Loaded(tuning.tuned(causal.causal_base(job), job.work.tuning), tokenizer, labels)
        model, fresh = loading.classifier(
            job.base.folder,
            tuning.weights_dtype(job.work.tuning, job.device),
            labels,
            loading.padding_id(tokenizer),
            trust_remote_code=job.base.trust_remote_code,
            **tuning.quantization(job.work.tuning, job.device),
        )
        model.config.use_cache = False
        return Loaded(tuning.tuned(model, job.work.tuning, task="SEQ_CLS", fresh=fresh), tokenizer, labels)

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[Any]:
        """Token ids of every row, with the label's token or number."""
        rows = canonical.read(job.train, canonical.LABELED)
        if has_head(job.work):
            head = HeadEncoder(loaded.tokenizer, job.sequence_length, loaded.labels)
            return [head.encode(row) for row in rows]
        encoder = TokenEncoder(loaded.tokenizer, job.sequence_length, loaded.labels)
        return EncodedRows(encoder.encode(row) for row in rows)

    def build(self, job: Job, loaded: Loaded, rows: Sequence[Any], watched: Sequence[Any] = ()) -> Any:
        """The Trainer."""
        weights = weights_of(_by_number(job, loaded))
        if has_head(job.work):
            head = {"collator": HeadCollator(loading.padding_id(loaded.tokenizer)), "loss": _head_loss(weights)}
            return loop.build(job, loaded, rows, watched, weigh=_total(weights), **head)
        return loop.build(job, loaded, rows, watched, loss=_token_loss(weights), weigh=_total(weights))

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end."""
        counts = _counts(job)
        labels = label_set(job.work, counts)
        weights = class_weights(job.work, [counts[label] for label in labels])
        shown = {label: round(weight, 6) for label, weight in zip(labels, weights, strict=True)}
        return loop.run(job, trainer, classWeights=shown)

    def save(self, job: Job, loaded: Loaded, folder: Path) -> None:
        """As every method, and labels.json: each label with its number and, for Token, the token that says it."""
        causal.save(job, loaded, folder, label_map(job.work, loaded))


def has_head(work: Workload) -> bool:
    """Whether labels come from a classification head."""
    return work.resolved_classification().style is ClassificationStyle.HEAD


def label_map(work: Workload, loaded: Loaded) -> list[dict[str, Any]]:
    """The entries of labels.json."""
    entries: list[dict[str, Any]] = [{"id": number, "label": label} for number, label in enumerate(loaded.labels)]
    if not has_head(work):
        tokens = TokenEncoder(loaded.tokenizer, 0, loaded.labels).label_tokens
        return [{**entry, "token": tokens[entry["label"]]} for entry in entries]
    return entries


def class_weights(work: Workload, counts: Sequence[int]) -> list[float]:
    """What a row of each label counts: all the same, or rows / (labels * rows of the label).

    Args:
        work: names the rule.
        counts: rows of train by label; a label without rows has no say.
    """
    if work.resolved_classification().class_weights is ClassWeights.UNIFORM:
        return [1.0] * len(counts)
    return [sum(counts) / (len(counts) * count) if count else 0.0 for count in counts]


def weights_of(by_number: dict[int, float]) -> Weights:
    """Looks weights up.

    Args:
        by_number: weight by what labels are in tensors: numbers of labels, or of their tokens.
    """
    numbers = torch.tensor(sorted(by_number))
    weights = torch.tensor([by_number[int(number)] for number in numbers])

    def look_up(labels: torch.Tensor) -> torch.Tensor:
        known, values = numbers.to(labels.device), weights.to(labels.device)
        place = torch.searchsorted(known, labels.clamp(min=0)).clamp(max=len(known) - 1)
        return torch.where(labels == IGNORED, torch.zeros((), device=labels.device), values[place])

    return look_up


class HeadCollator:
    """Fills texts up to the longest of a micro-batch, at the end.

    Args:
        padding: the token id that the model is told to look past.
    """

    def __init__(self, padding: int) -> None:
        self._padding = padding

    def __call__(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Tensors of batch x longest, and the number of each row's label; of a filler, IGNORED."""
        return {
            "input_ids": filled([row.input_ids for row in rows], self._padding),
            "attention_mask": filled([[1] * len(row.input_ids) for row in rows], 0),
            "labels": torch.tensor([getattr(row, "label", IGNORED) for row in rows]),
        }


def _counts(job: Job) -> Counter[str]:
    return Counter(row.label for row in canonical.read(job.train, canonical.LABELED))


def _by_number(job: Job, loaded: Loaded) -> dict[int, float]:
    counts = _counts(job)
    weights = class_weights(job.work, [counts[label] for label in loaded.labels])
    entries = label_map(job.work, loaded)
    return {entry.get("token", entry["id"]): weight for entry, weight in zip(entries, weights, strict=True)}


def _total(weights: Weights) -> Weights:
    return lambda labels: weights(labels).sum()


def _head_loss(weights: Weights) -> Any:
    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        return _weighted(outputs.logits, labels, weights, num_items_in_batch)

    return loss


def _token_loss(weights: Weights) -> Any:
    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        return _weighted(outputs.logits[:, :-1], labels[:, 1:], weights, num_items_in_batch)

    return loss


def _weighted(logits: torch.Tensor, labels: torch.Tensor, weights: Weights, total: Any) -> torch.Tensor:
    """Weighted cross-entropy, over the sum of the weights of the whole optimizer step."""
    labels = labels.to(logits.device)
    each = cross_entropy(
        logits.reshape(-1, logits.size(-1)).float(), labels.reshape(-1), ignore_index=IGNORED, reduction="none"
    )
    weight = weights(labels).reshape(-1)
    return (each * weight).sum() / (weight.sum() if total is None else total)
