"""Texts with labels: which label a model finds most likely, by one pass over the text."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from attune_contract.enums import ClassificationStyle, MetricName
from attune_trainer.data.examples import Labeled
from attune_trainer.errors import InvalidDataError
from attune_trainer.evaluation.kinds.base import Given, Metrics, Row
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.textmetrics import select
from attune_trainer.evaluation.textmetrics.base import Description

_ACCURACY = {
    ClassificationStyle.TOKEN: "Share of rows whose label's token has the highest logit among the tokens of all "
    "labels, after the text and `Label:`. Base: the language model asked the same way.",
    ClassificationStyle.HEAD: "Share of rows whose label has the highest logit of the classification head. Base: the "
    "base with the head that training began from, drawn at random with training.seed.",
}


class LabeledKind:
    """Scores texts with labels, by one token each (Token) or by a head (Head).

    Args:
        given: the rows.

    Raises:
        InvalidDataError: a held-out row has a label that is none of the known ones.
    """

    def __init__(self, given: Given) -> None:
        self._style = given.work.resolved_classification().style
        self._labels = given.labels
        self._forward = given.forward
        self._metrics = {name: select.of_labels(name, self._labels) for name in given.names}
        examples: list[Labeled] = given.held_out()
        _demand_known(examples, self._labels)
        asked: list[Labeled] = given.as_asked(examples)
        self._prompts: list[list[int]] = [given.encoder.prompt(example.text) for example in asked]
        self._expected = [self._labels.index(example.label) for example in examples]
        self._tokens = self._tokens_of(given.encoder)
        self.rows = [Row.of(example, expected=example.label) for example in examples]

    def metrics(self) -> Metrics:
        """Accuracy, MacroF1 and LabelLogLoss."""
        return self._metrics

    def about(self) -> Mapping[MetricName, Description]:
        """What they mean of labels that are tokens, or of a head."""
        found = {name: metric.describe() for name, metric in self._metrics.items()}
        if MetricName.ACCURACY in found:
            told = _ACCURACY[self._style]
            found[MetricName.ACCURACY] = replace(found[MetricName.ACCURACY], definition=told)
        return found

    def batches(self) -> list[list[int]]:
        """Grouped by length."""
        return self._forward.groups([len(prompt) for prompt in self._prompts])

    def ready(self, model: Any) -> None:
        """Nothing: one pass, no generation."""

    def score(self, model: Any, batch: list[int]) -> list[Score]:
        """The likelihood of each label, and the best one."""
        likelihoods = torch.log_softmax(self._label_logits(model, batch).float(), dim=-1).tolist()
        return [self._score(i, by_label) for i, by_label in zip(batch, likelihoods, strict=True)]

    def details(self) -> dict[str, Any]:
        """The labels, and how they are scored."""
        scoring = "one token per label, one forward pass" if self._tokens else "classification head, one forward pass"
        return {"labels": list(self._labels), "labelScoring": scoring}

    def _label_logits(self, model: Any, batch: list[int]) -> torch.Tensor:
        """Logits of rows x labels."""
        prompts = [self._prompts[i] for i in batch]
        if self._tokens is None:
            ids, mask = self._forward.padded(prompts)
            logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
            return logits
        every = self._forward.logits(model, prompts)
        last = self._forward.tensor([len(prompt) - 1 for prompt in prompts])
        rows = torch.arange(len(batch), device=every.device)
        return every[rows, last][:, self._forward.tensor(self._tokens)]

    def _tokens_of(self, encoder: Any) -> list[int] | None:
        if self._style is ClassificationStyle.HEAD:
            return None
        return [encoder.label_tokens[label] for label in self._labels]

    def _score(self, row: int, likelihoods: list[float]) -> Score:
        best = self._labels[max(range(len(likelihoods)), key=likelihoods.__getitem__)]
        expected = self._labels[self._expected[row]]
        figures = {
            name: metric.row(likelihoods if name is MetricName.LABEL_LOG_LOSS else best, expected)
            for name, metric in self._metrics.items()
        }
        return Score(row, figures, {"label": best, "logLoss": -likelihoods[self._expected[row]]})


def _demand_known(examples: list[Labeled], labels: tuple[str, ...]) -> None:
    """Preflight refuses such rows; this holds even where it did not look."""
    unknown = next((example for example in examples if example.label not in labels), None)
    if unknown is not None:
        raise InvalidDataError(f"{unknown.row_id}: the label {unknown.label!r} is none of {', '.join(labels)}.")
