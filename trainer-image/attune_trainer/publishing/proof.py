"""The proof of a published model: it is loaded as anybody would load it, and says again what the evaluation recorded.

What differs by no more than rounding is the same: the evaluation may have run in bfloat16 on a GPU and this in float32
on a CPU. An answer in other words is the same only if each of its recorded tokens is, within rounding, the one that
the published model would have chosen.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attune_contract.enums import OutputFormat, TuningType
from attune_contract.spec import Workload
from attune_trainer.data.encoding.base import TemplateError
from attune_trainer.errors import NotReproducedError
from attune_trainer.evaluation.kinds.base import Given
from attune_trainer.evaluation.kinds.select import kind_for

ROWS = 20
"""Held-out rows that are asked again."""
EXACT, ROUNDED, FOUR_BIT = 1e-3, 0.2, 0.5
"""What may differ, in nats per token: of the same weights in the same precision; of weights or computation in bfloat16;
of an adapter that was evaluated over 4-bit weights and is published for those that the base has."""
_MOST_TIES = {EXACT: 0, ROUNDED: 1, FOUR_BIT: 2}
"""Rows of `ROWS` whose label may be another one, where the likelihoods agree: two labels were as good as each other."""
_TEXT, _TOKENS = "text", "tokens"
_DERIVED = frozenset({"margin", "scores"})
"""What follows from the other figures, and adds up their rounding."""


@dataclass(frozen=True)
class Recorded:
    """What the evaluation left.

    Args:
        predictions: predictions.jsonl.
        precision: that it computed in: `float32` or `bfloat16`.
    """

    predictions: Path
    precision: str


@dataclass(frozen=True)
class Proof:
    """How well the published model says it again."""

    rows: int
    tolerance: float
    """Nats per token."""
    largest: float
    """The largest difference of a likelihood, in nats per token."""
    ties: int
    """Rows with another label or in other words, by rounding."""

    def document(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "rows": self.rows,
            "tolerance": self.tolerance,
            "largestDifference": float(f"{self.largest:.3g}"),
            "ties": self.ties,
        }

    def in_words(self) -> str:
        """For the Outcome's message."""
        return f"loads, and says on {self.rows} held-out rows what the evaluation recorded"


def tolerance(work: Workload, precision: str, stored: torch.dtype) -> float:
    """What may differ between evaluation and publication, in nats per token.

    Args:
        work: the manifest's blocks.
        precision: that the evaluation computed in.
        stored: precision of the base's weights, which a merged model is stored in.
    """
    if work.tuning.type is TuningType.QLORA:
        return FOUR_BIT
    folded = work.tuning.type is TuningType.LORA and work.output.resolved_format(work.tuning.type) in {
        OutputFormat.MERGED,
        OutputFormat.BOTH,
    }
    rounds = precision != "float32" or (folded and stored is not torch.float32)
    return ROUNDED if rounds else EXACT


def prove(model: Any, given: Given, recorded: Recorded, allowed: float, where: str) -> Proof:
    """Asks a model again what the evaluation asked the tuned one.

    Args:
        model: the published one, loaded, in float32.
        given: the held-out rows, with the published tokenizer.
        recorded: what the evaluation left.
        allowed: what may differ, in nats per token.
        where: URI of the model, for the error.

    Raises:
        NotReproducedError: a row comes out otherwise; names the first ones.
    """
    kind = kind_for(given)
    rows = {kind.rows[i].row_id: i for i in spread(len(kind.rows))}
    expected = {rows[row_id]: said for row_id, said in _tuned(recorded.predictions) if row_id in rows}
    kind.ready(model)
    asked = _Asked(model, given, int(kind.details().get("maxNewTokens", 0)))
    differences: list[float] = []
    wrong: dict[str, str] = {}
    ties = 0
    for batch in kind.batches():
        mine = [i for i in batch if i in expected]
        with torch.inference_mode():
            scores = kind.score(model, mine) if mine else []
        for score in scores:
            before = expected[score.row]
            difference = _difference(score.said, before)
            differences.append(difference)
            other = _other(score.said, before)
            explained = all(asked.is_tie(score.row, key, before[key], allowed) for key in other)
            ties += bool(other) and explained
            if not difference <= allowed or not explained:
                wrong[kind.rows[score.row].row_id] = _told(other, score.said, before, difference)
    unexplained = ties > _MOST_TIES[allowed] and asked.has_labels
    if wrong or unexplained or len(differences) < len(rows):
        raise NotReproducedError(_refusal(where, wrong, len(rows), ties, allowed))
    return Proof(len(differences), allowed, max(differences), ties)


def spread(rows: int, wanted: int = ROWS) -> list[int]:
    """Indices of rows from one end to the other, evenly."""
    return [i * rows // min(rows, wanted) for i in range(min(rows, wanted))]


@dataclass
class _Asked:
    """Asks whether what a model says otherwise is a matter of rounding."""

    model: Any
    given: Given
    longest: int
    """Tokens after which the evaluation ended an answer."""
    has_labels: bool = False
    _examples: list[Any] | None = None

    def is_tie(self, row: int, key: str, said: Any, allowed: float) -> bool:
        """Whether the model might as well have said what was recorded."""
        if key != _TEXT:
            self.has_labels = True
            return True  # the likelihoods are compared anyway, and ties are counted
        if self._examples is None:
            self._examples = self.given.held_out()
        return self._gap(self._examples[row], said) <= allowed

    def _gap(self, example: Any, text: str) -> float:
        """By how much, at most, a token of the answer is less likely than the likeliest one there."""
        try:
            prompt, answer = self.given.encoder.prompt_and_answer(example, text)
        except TemplateError:
            return float("inf")
        answer = answer[:-1] if len(answer) > self.longest else answer  # it was cut, and never came to its end
        with torch.inference_mode():
            logits = self.given.forward.logits(self.model, [[*prompt, *answer]])[0]
        spoken = torch.log_softmax(logits[len(prompt) - 1 : len(prompt) - 1 + len(answer)].float(), dim=-1)
        chosen = spoken.gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1)
        return float((spoken.max(dim=-1).values - chosen).max())


def _tuned(predictions: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with predictions.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["rowID"], row["tuned"]


def _difference(said: Mapping[str, Any], before: Mapping[str, Any]) -> float:
    """The largest difference of a likelihood, per token where their number is known, and per nat of a large one."""
    tokens = float(before.get(_TOKENS, 1))
    pairs = [
        (float(value), float(before[key]))
        for key, value in said.items()
        if isinstance(value, float) and key not in _DERIVED and key in before
    ]
    return max((abs(now - then) / max(1.0, tokens, abs(then)) for now, then in pairs), default=0.0)


def _other(said: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Keys of texts and labels that are not the same."""
    return [key for key, value in said.items() if isinstance(value, str) and value != before.get(key)]


def _told(other: list[str], said: Mapping[str, Any], before: Mapping[str, Any], difference: float) -> str:
    if other:
        return f"{other[0]} {_short(said[other[0]])}, and it was {_short(before.get(other[0]))}"
    return f"likelihoods differ by {difference:.3g} nats per token"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - of a sentence


def _refusal(where: str, wrong: Mapping[str, str], rows: int, ties: int, allowed: float) -> str:
    named = "; ".join(f"{row_id}: {told}" for row_id, told in list(wrong.items())[:3])
    counted = f"{len(wrong)} of {rows} held-out rows come out otherwise ({named})" if wrong else f"{ties} labels differ"
    return (
        f"{where}: the published model does not say again what the evaluation recorded of the tuned one: {counted}; "
        f"{allowed:g} nats per token may differ. It is not to be used. The checkpoint is as it was evaluated: try "
        "spec.output.format Adapter, or report this with the run's files."
    )
