"""Forward passes over many rows in batches that fit: what every kind of scoring is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

LOGITS_ON_CPU = 1 << 26
LOGITS_ON_GPU = 1 << 29
"""Logits (tokens x vocabulary) that one batch may have; they, not the weights, are what fills memory here."""
MOST_ROWS = 64
Asked = tuple[list[int], list[int]]
"""What a model is given, and what it should then say, as token ids."""


@dataclass(frozen=True)
class Forward:
    """Batches rows the same way for every model.

    Args:
        device: where the models are.
        padding: a token id to fill up with; masked, so any.
        vocabulary: size of the logits of one token.
    """

    device: Any
    padding: int
    vocabulary: int

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices of rows, shortest first, grouped so that little is padding and the logits fit.

        Args:
            lengths: tokens by row.
        """
        limit = (LOGITS_ON_GPU if str(self.device) != "cpu" else LOGITS_ON_CPU) // self.vocabulary
        made: list[list[int]] = []
        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            if not made or len(made[-1]) >= MOST_ROWS or (len(made[-1]) + 1) * lengths[i] > limit:
                made.append([])
            made[-1].append(i)
        return made

    def logits(self, model: Any, rows: Sequence[list[int]]) -> torch.Tensor:
        """Logits of rows x longest x vocabulary; rows are filled up at the end, where a causal model never looks."""
        ids, mask = self.padded(rows)
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

    def padded(self, rows: Sequence[list[int]], *, at_front: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask of rows x longest, on the device."""
        longest = max(map(len, rows))

        def filled(row: list[int], fill: int) -> list[int]:
            more = [fill] * (longest - len(row))
            return [*more, *row] if at_front else [*row, *more]

        ids = self.tensor([filled(row, self.padding) for row in rows])
        return ids, self.tensor([filled([1] * len(row), 0) for row in rows])

    def log_likelihoods(self, model: Any, asked: Sequence[Asked]) -> list[float]:
        """The log-likelihood of each answer after its prompt, summed over its tokens, in nats."""
        found = [0.0] * len(asked)
        for group in self.groups([len(prompt) + len(answer) for prompt, answer in asked]):
            logits = self.logits(model, [[*asked[i][0], *asked[i][1]] for i in group])
            for n, i in enumerate(group):
                found[i] = self.log_likelihood(logits[n], *asked[i])
        return found

    def log_likelihood(self, logits: torch.Tensor, prompt: list[int], answer: list[int]) -> float:
        """The log-likelihood of an answer in nats, from the logits of one row (length x vocabulary).

        Where nothing comes before the answer, its first token cannot be foreseen and is not counted.
        """
        if not prompt:
            prompt, answer = answer[:1], answer[1:]
        if not answer:
            return 0.0
        start = len(prompt) - 1
        spoken = torch.log_softmax(logits[start : start + len(answer)].float(), dim=-1)
        return float(spoken.gather(1, self.tensor(answer).unsqueeze(1)).sum())

    def tensor(self, values: Any) -> torch.Tensor:
        """Values as a tensor on the device."""
        return torch.tensor(values, device=self.device)
