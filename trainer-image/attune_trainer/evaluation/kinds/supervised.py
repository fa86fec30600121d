"""Supervised rows: likelihood of the answer, choice among the answers of train, and a greedily generated answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from attune_contract.enums import MetricName
from attune_trainer.data import canonical
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.examples import Supervised
from attune_trainer.evaluation import measures
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.kinds import closed_set
from attune_trainer.evaluation.kinds.base import Given, Row
from attune_trainer.evaluation.kinds.closed_set import ClosedSet
from attune_trainer.evaluation.measures import Measure, Score
from attune_trainer.methods import loading

SOME_MORE = 8
_RIGHT = {metric: f"right:{metric.value}" for metric in (MetricName.ACCURACY, MetricName.EXACT_MATCH)}
_MEASURES = {
    MetricName.ACCURACY: measures.share(
        "Share of rows whose answer has the highest likelihood among the distinct answers of train (the closed set): "
        "by the logit of its one token where every answer is one token after every prompt, else by the sum of its "
        "tokens' log-likelihoods, the end token included. A row whose answer is not in the set is wrong.",
        _RIGHT[MetricName.ACCURACY],
    ),
    MetricName.EXACT_MATCH: measures.share(
        "Share of rows whose greedily generated answer equals the expected one. Normalisation: special tokens removed, "
        "white space at both ends stripped; nothing else.",
        _RIGHT[MetricName.EXACT_MATCH],
    ),
    MetricName.PERPLEXITY: measures.perplexity(
        "exp of the mean negative log-likelihood over all answer tokens of all rows, the end token included; rows are "
        "cut at training.sequenceLength. Lower is better."
    ),
}


@dataclass(frozen=True)
class _Asked:
    """One row as a model sees it."""

    prompt: list[int]
    answer: list[int]
    """What it should say, with the token that ends an answer."""
    expected: str
    """The answer as text."""
    label: int | None
    """Index of the answer in the closed set."""


class SupervisedKind:
    """Scores supervised rows.

    Args:
        given: the rows, and the metrics that are asked for.
    """

    def __init__(self, given: Given) -> None:
        self._metrics = frozenset(given.metrics)
        self._forward: Forward = given.forward
        self._encoder: Encoder = given.encoder
        examples: list[Supervised] = given.held_out()
        self._closed_set = ClosedSet()
        if MetricName.ACCURACY in self._metrics:
            train = canonical.read(given.train, canonical.SUPERVISED)
            self._closed_set = closed_set.of(train, examples, self._encoder)
        self._asked = [self._ask(example) for example in examples]
        self.rows = [Row.of(e, expected=a.expected) for e, a in zip(examples, self._asked, strict=True)]
        self._max_new_tokens = max(len(asked.answer) for asked in self._asked) + SOME_MORE

    def measures(self) -> Mapping[MetricName, Measure]:
        """Accuracy, ExactMatch and Perplexity."""
        return _MEASURES

    def batches(self) -> list[list[int]]:
        """Grouped by length, so that little is padding."""
        return self._forward.groups([len(a.prompt) + max(len(a.answer), self._max_new_tokens) for a in self._asked])

    def ready(self, model: Any) -> None:
        """Greedy generation that ends where expected answers do."""
        special = set(self._encoder.tokenizer.all_special_ids)
        stops = tuple(sorted({asked.answer[-1] for asked in self._asked} & special))
        loading.plain_generation(model, self._encoder.tokenizer, stops)

    def score(self, model: Any, batch: list[int]) -> list[Score]:
        """One pass over prompt and answer, then generation and candidates where a metric asks for them."""
        nlls, labels = self._read(model, batch)
        texts = self._generated(model, batch) if MetricName.EXACT_MATCH in self._metrics else [None] * len(batch)
        if self._closed_set.candidates:
            labels = [self._best_candidate(model, i) for i in batch]
        return [self._score(*found) for found in zip(batch, nlls, labels, texts, strict=True)]

    def details(self) -> dict[str, Any]:
        """The closed set, how its labels are scored, and how long a generated answer may get."""
        return {
            "labels": list(self._closed_set.labels) or None,
            "labelScoring": self._closed_set.in_words(),
            "maxNewTokens": self._max_new_tokens,
        }

    def _ask(self, example: Supervised) -> _Asked:
        prompt, answer = self._encoder.prompt_and_answer(example)
        expected = self._encoder.tokenizer.decode(answer, skip_special_tokens=True)
        return _Asked(prompt, answer, expected, self._closed_set.number(example.answer))

    def _kept(self, asked: _Asked) -> list[int]:
        """The part of an answer that training would have seen."""
        return asked.answer[: max(0, self._encoder.sequence_length - len(asked.prompt))]

    def _read(self, model: Any, batch: list[int]) -> tuple[list[float | None], list[int | None]]:
        """Negative log-likelihood by row and, where labels are single tokens, the most likely one."""
        tokens = self._closed_set.tokens
        if MetricName.PERPLEXITY not in self._metrics and tokens is None:
            return [None] * len(batch), [None] * len(batch)
        pairs = [(self._asked[i].prompt, self._kept(self._asked[i])) for i in batch]
        logits = self._forward.logits(model, [prompt + answer for prompt, answer in pairs])
        nlls: list[float | None] = [-self._forward.log_likelihood(logits[n], *pair) for n, pair in enumerate(pairs)]
        if tokens is None:
            return nlls, [None] * len(batch)
        chosen = self._forward.tensor(list(tokens))
        return nlls, [int(logits[n, len(pairs[n][0]) - 1, chosen].float().argmax()) for n in range(len(batch))]

    def _best_candidate(self, model: Any, row: int) -> int:
        """The label of the highest summed log-likelihood, each with the token that ends it."""
        found = self._forward.log_likelihoods(model, self._closed_set.candidates[row])
        return max(range(len(found)), key=found.__getitem__)

    def _generated(self, model: Any, batch: list[int]) -> list[str | None]:
        """Greedy answers; prompts are filled up at the front, so that all go on from their ends."""
        ids, mask = self._forward.padded([self._asked[i].prompt for i in batch], at_front=True)
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=self._max_new_tokens)
        return list(self._encoder.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True))

    def _score(self, row: int, nll: float | None, label: int | None, text: str | None) -> Score:
        asked = self._asked[row]
        right = {
            MetricName.ACCURACY: asked.label is not None and label == asked.label,
            MetricName.EXACT_MATCH: (text or "").strip() == asked.expected.strip(),
        }
        right = {metric: is_right for metric, is_right in right.items() if metric in self._metrics}
        figures = {_RIGHT[metric]: float(is_right) for metric, is_right in right.items()}
        said: dict[str, Any] = {}
        if MetricName.PERPLEXITY in self._metrics and nll is not None:
            said |= {measures.NLL: nll, measures.TOKENS: len(self._kept(asked))}
            figures |= said
        if label is not None:
            said["label"] = self._closed_set.labels[label]
        if text is not None:
            said["text"] = text
        return Score(row, figures, said | {"right": {metric.value: is_right for metric, is_right in right.items()}})
