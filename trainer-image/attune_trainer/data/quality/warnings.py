"""One sentence for each warning: what it is, where the first such row is, and how to mend it. Never a row's text.

The sentences stand in the status of a resource and must be short: all of them together fit into a termination message.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attune_contract.enums import DataWarning
from attune_contract.outcome import WarningCount
from attune_trainer.data.quality.sensitive import mask

FEW_ROWS = 50


class Place(NamedTuple):
    """Where a row is."""

    file: str
    """URI or name of its file."""
    line: int
    """From 1."""

    def __str__(self) -> str:
        """The file's own name is enough for a reader; the report has the URI."""
        return f"{self.file.rsplit('/', 1)[-1]} line {self.line}"


def truncation(count: int, total: int, limit: int, first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows of train that are longer than the sequence length; None where there are none."""
    text = (
        f"{count} of {total} rows of train are longer than {limit} tokens and lose their ends{_at(first)}. Raise "
        "training.sequenceLength, or shorten them."
    )
    return _warning(DataWarning.TRUNCATION, count, text)


def duplicates(count: int, first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows of train that repeat an earlier one."""
    text = f"Rows of train that repeat an earlier one count twice{_at(first)}. Remove them."
    return _warning(DataWarning.DUPLICATES, count, text)


def near_duplicates(count: int, first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows of train that hardly differ from another."""
    text = f"Rows of train that hardly differ from another teach little{_at(first)}. Keep one of each."
    return _warning(DataWarning.NEAR_DUPLICATES, count, text)


def conflicting_duplicates(count: int, first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows of train that contradict another."""
    text = f"Rows of train answer the same differently{_at(first)}. Keep the right one of each."
    return _warning(DataWarning.CONFLICTING_DUPLICATES, count, text)


def leakage(count: int, first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows of test that are in train too."""
    text = f"Rows of test are in train too, so that scores look too good{_at(first)}. Remove them from train."
    return _warning(DataWarning.LEAKAGE, count, text)


def label_imbalance(counts: Mapping[str, int], ratio: float) -> WarningCount | None:
    """Labels with far fewer rows than another; `counts` is most frequent first."""
    named = [_short(mask(label)) for label in counts] or [""]
    most, least = named[0], named[-1]
    text = (
        f"Label {most} has {ratio:.0f} times as many rows as {least}. Add rows of the rare labels, and look at "
        "figures for each label rather than at Accuracy alone."
    )
    rare = sum(n for n in counts.values() if n * 10 <= max(counts.values()))
    return _warning(DataWarning.LABEL_IMBALANCE, rare, text)


def few_rows(train_rows: int) -> WarningCount | None:
    """Hardly anything to learn from."""
    text = f"Only {train_rows} rows to train on, and results are seldom reliable below {FEW_ROWS}. Add rows."
    return _warning(DataWarning.FEW_ROWS, train_rows if train_rows < FEW_ROWS else 0, text)


def personal_data(count: int, kinds: Mapping[str, int], first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows with personal data, by kind."""
    text = f"Rows seem to hold personal data ({_kinds(kinds)}{_at(first)}). Remove it: a model may repeat it."
    return _warning(DataWarning.PERSONAL_DATA, count, text)


def secrets(count: int, kinds: Mapping[str, int], first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows with secrets, by kind."""
    text = f"Rows seem to hold secrets ({_kinds(kinds)}{_at(first)}). Remove and revoke them: a model may repeat them."
    return _warning(DataWarning.SECRETS, count, text)


def special_tokens(count: int, tokens: Sequence[str], first: Sequence[tuple[str, int]] = ()) -> WarningCount | None:
    """Rows whose text has control tokens."""
    text = (
        f"Text holds the tokenizer's control tokens, such as {' '.join(_short(t) for t in tokens[:2])}{_at(first)}. "
        "Remove them, unless the data is meant to have them."
    )
    return _warning(DataWarning.SPECIAL_TOKENS, count, text)


def _warning(code: DataWarning, count: int, text: str) -> WarningCount | None:
    return WarningCount(code=code, count=count, message=text) if count else None


def _at(first: Sequence[tuple[str, int]]) -> str:
    return f"; first: {Place(*first[0])}" if first else ""


def _kinds(kinds: Mapping[str, int]) -> str:
    most = sorted(kinds.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {count}" for name, count in most[:2])
    return f"{named}, …" if len(most) > 2 else named  # noqa: PLR2004 - as many as are named


def _short(text: str) -> str:
    most = 24
    return text if len(text) <= most else text[: most - 1] + "…"
