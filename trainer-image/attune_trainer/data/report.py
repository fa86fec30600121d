"""The validation report: every problem, every figure, and which objects were read."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attune_contract.outcome import Validation
from attune_trainer.data.check import Source


def lineage(sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Which objects the rows came from, in which version."""
    return [
        {
            "uri": source.file.info.uri,
            "field": source.file.field,
            "side": "test" if source.file.held_out else "train",
            "sizeBytes": source.file.info.size,
            "etag": source.file.info.etag,
            "versionID": source.file.info.version,
            "sha256": source.sha256,
            "rows": source.rows,
            "invalidRows": source.invalid_rows,
        }
        for source in sources
    ]


def write(path: Path, validation: Validation, extra: dict[str, Any], errors: Iterable[dict[str, object]]) -> None:
    """Writes the report to a local file, its errors one by one: there may be millions.

    Args:
        path: the file.
        validation: the figures; its short list of errors is replaced by the whole one.
        extra: what else the report tells, by key.
        errors: every problem, in order.
    """
    head = validation.model_dump(mode="json", exclude={"errors"}) | extra
    with path.open("w", encoding="utf-8") as file:
        text = json.dumps(head, indent=2, ensure_ascii=False)
        file.write(text.removesuffix("\n}") + ',\n  "errors": [')
        separator = "\n    "
        for error in errors:
            file.write(separator + json.dumps(error, ensure_ascii=False))
            separator = ",\n    "
        file.write("\n  ]\n}\n")
