"""One model over all held-out rows: likelihood of the answers, choice among labels, greedy answers; in batches."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from attune_contract.enums import MetricName
from attune_trainer.errors import DivergedError
from attune_trainer.evaluation.rows import HeldOut, Row

LOGITS_ON_CPU = 1 << 26
LOGITS_ON_GPU = 1 << 29
"""Logits (tokens x vocabulary) that one batch may have; they, not the weights, are what fills memory here."""
_MOST_ROWS = 64


class Score(NamedTuple):
    """What one model made of one row; None where no metric asks."""

    row: int
    """Index of the row."""
    nll: float | None = None
    """Negative log-likelihood of the answer, summed over its tokens, in nats."""
    tokens: int = 0
    """Tokens of the answer."""
    label: int | None = None
    """Index of the most likely label."""
    text: str | None = None
    """The greedy answer."""


@dataclass(frozen=True)
class Scorer:
    """Scores models on the same rows in the same batches.

    Args:
        held_out: the rows.
        tokenizer: decodes answers.
        metrics: what is asked.
        sequence_length: rows are cut there for the likelihood, as in training.
        padding: a token id to fill up with.
        device: where the model is.
        vocabulary: size of the logits, for the size of batches.
        on_rows: told how many rows more are done.
    """

    held_out: HeldOut
    tokenizer: Any
    metrics: frozenset[MetricName]
    sequence_length: int
    padding: int
    device: Any
    vocabulary: int
    on_rows: Callable[[int], None]

    def score(self, model: Any) -> Iterator[list[Score]]:
        """Scores batch after batch, shortest rows first; the same batches for every model.

        Raises:
            DivergedError: the model's figures are no numbers.
        """
        model.eval()
        for batch in self.batches():
            with torch.inference_mode():
                scores = self._forward(model, batch)
                if MetricName.EXACT_MATCH in self.metrics:
                    scores = self._generated(model, batch, scores)
                if self.held_out.candidates:
                    scores = [s._replace(label=self._best_candidate(model, s.row)) for s in scores]
            yield scores
            self.on_rows(len(batch))

    def batches(self) -> list[list[int]]:
        """Indices of rows, grouped by length so that little is padding."""
        rows = self.held_out.rows
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i].prompt) + len(rows[i].answer), i))
        limit = (LOGITS_ON_GPU if str(self.device) != "cpu" else LOGITS_ON_CPU) // self.vocabulary
        made: list[list[int]] = []
        for i in order:
            length = self._length(rows[i])
            if not made or len(made[-1]) >= _MOST_ROWS or (len(made[-1]) + 1) * length > limit:
                made.append([])
            made[-1].append(i)
        return made

    def _length(self, row: Row) -> int:
        return max(len(row.prompt) + len(row.answer), len(row.prompt) + self.held_out.max_new_tokens)

    def _forward(self, model: Any, batch: list[int]) -> list[Score]:
        """One pass over prompt and answer tells the likelihood, and the label where labels are single tokens."""
        tokens = self.held_out.label_tokens
        if MetricName.PERPLEXITY not in self.metrics and tokens is None:
            return [Score(i) for i in batch]
        rows = [self.held_out.rows[i] for i in batch]
        pairs = [(row.prompt, self._kept(row)) for row in rows]
        logits = self._logits(model, [prompt + answer for prompt, answer in pairs])
        return [self._one(i, logits[n], *pairs[n]) for n, i in enumerate(batch)]

    def _kept(self, row: Row) -> list[int]:
        """The part of an answer that training would have seen."""
        return row.answer[: max(0, self.sequence_length - len(row.prompt))]

    def _one(self, index: int, logits: torch.Tensor, prompt: list[int], answer: list[int]) -> Score:
        nll = self._nll(logits, prompt, answer)
        if math.isnan(nll):
            raise DivergedError(f"The model's likelihood of {self.held_out.rows[index].row_id} is not a number.")
        tokens = self.held_out.label_tokens
        label = None if tokens is None else int(logits[len(prompt) - 1][self._tensor(list(tokens))].float().argmax())
        return Score(index, nll, len(answer), label)

    def _best_candidate(self, model: Any, index: int) -> int:
        """The label of the highest summed log-likelihood, each with the token that ends it."""
        candidates = self.held_out.candidates[index]
        totals: list[float] = []
        size = max(1, LOGITS_ON_CPU // self.vocabulary // max(len(p) + len(a) for p, a in candidates))
        for first in range(0, len(candidates), size):
            part = candidates[first : first + size]
            logits = self._logits(model, [prompt + answer for prompt, answer in part])
            totals += [-self._nll(logits[n], *pair) for n, pair in enumerate(part)]
        return max(range(len(totals)), key=totals.__getitem__)

    def _nll(self, logits: torch.Tensor, prompt: list[int], answer: list[int]) -> float:
        """Negative log-likelihood of an answer in nats, from the logits of one row (length x vocabulary)."""
        start = len(prompt) - 1
        spoken = torch.log_softmax(logits[start : start + len(answer)].float(), dim=-1)
        return -float(spoken.gather(1, self._tensor(answer).unsqueeze(1)).sum())

    def _logits(self, model: Any, rows: Sequence[list[int]]) -> torch.Tensor:
        """Logits of rows x longest x vocabulary; rows are filled up at the end, where a causal model never looks."""
        longest = max(map(len, rows))
        ids = self._tensor([row + [self.padding] * (longest - len(row)) for row in rows])
        mask = self._tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

    def _generated(self, model: Any, batch: list[int], scores: list[Score]) -> list[Score]:
        """Greedy answers; prompts are filled up at the front, so that all go on from their ends."""
        prompts = [self.held_out.rows[i].prompt for i in batch]
        longest = max(map(len, prompts))
        ids = self._tensor([[self.padding] * (longest - len(p)) + p for p in prompts])
        mask = self._tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=self.held_out.max_new_tokens)
        texts = self.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
        return [score._replace(text=text) for score, text in zip(scores, texts, strict=True)]

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.tensor(values, device=self.device)
