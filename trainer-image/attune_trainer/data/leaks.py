"""The last look before training: whether a row of test is among those that are learnt."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attune_trainer.data import canonical
from attune_trainer.data.examples import digest
from attune_trainer.errors import InvalidDataError

_NAMED = 3


def refuse(test: Path, learnt: Iterable[Path], kind: "canonical.Kind[Any]") -> None:
    """Compares canonical rows by the digest of all that they say, prompt and answer.

    Args:
        test: parquet of the held-out rows.
        learnt: parquet of the rows that are learnt, and of those that choose the weights.
        kind: the kind of all of them.

    Raises:
        InvalidDataError: some are the same; names the first.
    """
    held_out = {digest(row): row.row_id for row in canonical.read(test, kind)}
    found = [
        (held_out[key], row.row_id)
        for path in learnt
        for row in canonical.read(path, kind)
        if (key := digest(row)) in held_out
    ]
    if found:
        named = ", ".join(f"{theirs} (in train as {ours})" for theirs, ours in found[:_NAMED])
        raise InvalidDataError(
            f"{len(found)} rows to train on are rows of test: {named}. Remove them from one of the two, or set "
            "spec.evaluation.allowLeakage to true, and the reports say that the figures look too good."
        )
