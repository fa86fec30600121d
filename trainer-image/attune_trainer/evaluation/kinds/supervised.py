"""Supervised rows: likelihood of the answer, choice among the answers of train, and a greedily generated answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from attune_contract.enums import MetricName
from attune_trainer.data import canonical
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.examples import Supervised
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.kinds import closed_set
from attune_trainer.evaluation.kinds.base import Given, Metrics, Row
from attune_trainer.evaluation.kinds.closed_set import ClosedSet
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.textmetrics import select
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Metric
from attune_trainer.evaluation.textmetrics.likelihoods import Perplexity, Read
from attune_trainer.methods import loading

SOME_MORE = 8
_PERPLEXITY = Perplexity()
_DEFINITIONS = {
    MetricName.ACCURACY: "Share of rows whose answer has the highest likelihood among the distinct answers of train "
    "(the closed set): by the logit of its one token where every answer is one token after every prompt, else by the "
    "sum of its tokens' log-likelihoods, the end token included. A row whose answer is not in the set is wrong.",
    MetricName.PERPLEXITY: "exp of the mean negative log-likelihood over all answer tokens of all rows, the end token "
    "included; rows are cut at training.sequenceLength.",
}
CHOICES = frozenset({MetricName.ACCURACY, MetricName.MACRO_F1})
"""Metrics of a choice among the answers of train."""


@dataclass(frozen=True)
class _Asked:
    """One row as a model sees it."""

    prompt: list[int]
    answer: list[int]
    """What it should say, with the token that ends an answer."""
    expected: str
    """The answer as text."""
    wanted: str
    """The answer as the row has it, for the closed set."""
    kept: list[int]
    """The part of the answer that training would have seen."""


class SupervisedKind:
    """Scores supervised rows.

    Args:
        given: the rows, and the metrics that are asked for.
    """

    def __init__(self, given: Given) -> None:
        self._forward: Forward = given.forward
        self._encoder: Encoder = given.encoder
        examples: list[Supervised] = given.held_out()
        asked: list[Supervised] = given.as_asked(examples)
        self._closed_set = ClosedSet()
        if CHOICES & set(given.names):
            train = canonical.read(given.train, canonical.SUPERVISED)
            self._closed_set = closed_set.of(train, asked, self._encoder)
        self._metrics = _metrics(given, self._closed_set, examples)
        self._generates = bool(select.OF_TEXT & self._metrics.keys()) or MetricName.HUMAN_PREFERENCE in given.names
        self._asked = [self._ask(example) for example in asked]
        self.rows = [Row.of(e, expected=a.expected) for e, a in zip(examples, self._asked, strict=True)]
        self._max_new_tokens = max(len(asked.answer) for asked in self._asked) + SOME_MORE

    def metrics(self) -> Metrics:
        """Metrics of answers, of choices among those of train, and Perplexity."""
        return self._metrics

    def about(self) -> Mapping[MetricName, Description]:
        """What they mean of supervised rows."""
        found = {name: metric.describe() for name, metric in self._metrics.items()}
        return {name: replace(told, definition=_DEFINITIONS.get(name, told.definition)) for name, told in found.items()}

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
        texts = self._generated(model, batch) if self._generates else [None] * len(batch)
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
        kept = answer[: max(0, self._encoder.sequence_length - len(prompt))]
        return _Asked(prompt, answer, expected, example.answer, kept)

    def _read(self, model: Any, batch: list[int]) -> tuple[list[float | None], list[int | None]]:
        """Negative log-likelihood by row and, where labels are single tokens, the most likely one."""
        tokens = self._closed_set.tokens
        if MetricName.PERPLEXITY not in self._metrics and tokens is None:
            return [None] * len(batch), [None] * len(batch)
        pairs = [(self._asked[i].prompt, self._asked[i].kept) for i in batch]
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
        chosen = None if label is None else self._closed_set.labels[label]
        figures: dict[MetricName, Floats] = {}
        for name, metric in self._metrics.items():
            if name is MetricName.PERPLEXITY:
                figures[name] = metric.row(Read(nll or 0.0, len(asked.kept)), None)
            elif name in CHOICES:
                figures[name] = metric.row(chosen, asked.wanted)
            else:
                figures[name] = metric.row(text or "", asked.expected)
        said: dict[str, Any] = {}
        if nll is not None and MetricName.PERPLEXITY in self._metrics:
            said |= {"nll": nll, "tokens": len(asked.kept)}
        if chosen is not None:
            said["label"] = chosen
        if text is not None:
            said["text"] = text
        return Score(row, figures, said)


def _metrics(
    given: Given, chosen_from: ClosedSet, examples: Sequence[Supervised]
) -> dict[MetricName, Metric[Any, Any]]:
    """The metrics that are taken from what a model does, in the order in which they are asked for."""
    labels = tuple(sorted({*chosen_from.labels, *(example.answer for example in examples)}))
    found: dict[MetricName, Metric[Any, Any]] = {}
    for i, asked in enumerate(given.metrics):
        if asked.name in select.OF_TEXT:
            found[asked.name] = select.of_text(asked, f"spec.evaluation.metrics[{i}]")
        elif asked.name in CHOICES:
            found[asked.name] = select.of_labels(asked.name, labels)
        elif asked.name is MetricName.PERPLEXITY:
            found[asked.name] = _PERPLEXITY
    return found
