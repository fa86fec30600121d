"""The base with a system prompt and examples: would prompting have done?"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attune_contract.spec import Baseline, Workload
from attune_trainer.data import canonical
from attune_trainer.data.encoding.labeled import ASK
from attune_trainer.data.examples import PROMPT, Labeled, Pair, Rated, Supervised, Turn

_GAP = "\n\n"
_SYSTEM = "system"


@dataclass(frozen=True)
class Prompting:
    """What goes before each prompt: of conversations as messages, of everything else as text.

    Args:
        system: a system prompt; empty: none.
        shots: rows of train with their answers.
    """

    system: str = ""
    shots: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.system or self.shots)

    def before(self, example: Any) -> Any:
        """The row with it; the row itself where there is nothing."""
        if not self:
            return example
        if isinstance(example, Supervised):
            return replace(example, turns=self._turns(example.turns))
        if isinstance(example, Pair | Rated):
            return replace(example, prompt=self._turns(example.prompt))
        assert isinstance(example, Labeled), "documents have no prompt, and the manifest is refused"  # noqa: S101
        return replace(example, text=self._text() + example.text)

    def _turns(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        if turns[0].role == PROMPT:
            return (turns[0]._replace(content=self._text() + turns[0].content), *turns[1:])
        own, rest = (turns[0].content, turns[1:]) if turns[0].role == _SYSTEM else ("", turns)
        system = _GAP.join(text for text in (self.system, own) if text)
        shown = tuple(turn for shot in self.shots for turn in _conversation(shot) if turn.role != _SYSTEM)
        return (*((Turn(_SYSTEM, system),) if system else ()), *shown, *rest)

    def _text(self) -> str:
        """System prompt and examples as text, each with an empty line behind it."""
        return "".join(text + _GAP for text in (self.system, *map(_written, self.shots)) if text)

    def document(self) -> dict[str, Any]:
        """For the report: the system prompt, and which rows of train are shown."""
        return {"systemPrompt": self.system or None, "examples": [shot.row_id for shot in self.shots]}


PLAIN = Prompting()
"""Nothing goes before."""


def of(asked: Baseline, work: Workload, train: Path) -> Prompting:
    """What a baseline puts before prompts; its examples are drawn with training.seed.

    Args:
        asked: the manifest's baseline.
        work: names method and seed.
        train: parquet of the training rows.
    """
    rows = canonical.count(train)
    drawn = random.Random(work.training.seed).sample(range(rows), min(asked.few_shot or 0, rows))  # noqa: S311 - no secret
    return Prompting(asked.system_prompt or "", _rows(train, work, drawn))


def _rows(train: Path, work: Workload, wanted: Sequence[int]) -> tuple[Any, ...]:
    """Rows by index, in the order in which they were drawn."""
    if not wanted:
        return ()
    found = {i: row for i, row in enumerate(canonical.read(train, canonical.kind_of(work.method))) if i in set(wanted)}
    return tuple(found[i] for i in wanted)


def _conversation(shot: Any) -> tuple[Turn, ...]:
    """Prompt and answer as messages that are not learnt."""
    if isinstance(shot, Supervised):
        turns = shot.turns[: shot.answer_index + 1]
    else:
        turns = shot.prompt + (shot.chosen if isinstance(shot, Pair) else shot.completion)
    return tuple(turn._replace(weight=0) for turn in turns)


def _written(shot: Any) -> str:
    if isinstance(shot, str):
        return shot
    if isinstance(shot, Labeled):
        return f"{shot.text}{ASK} {shot.label}"
    return "".join(turn.content for turn in _conversation(shot))
