"""The validation report: every problem, every figure, and which objects were read."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attune_contract.outcome import Validation
from attune_trainer.data.kept import Source
from attune_trainer.data.quality import lengths

if TYPE_CHECKING:
    from attune_trainer.data.dataset import Checked

JSON = dict[str, Any]


def lineage(sources: Iterable[Source]) -> list[JSON]:
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


def figures(checked: "Checked", sequence_length: int) -> JSON:
    """What the report tells of the rows beyond the figures in the resource's status.

    Returns:
        `tokenLengths` with percentiles and histogram, `quality` with what the searches looked at and found, `examples`
        of rows by warning (`head` moves them into the warnings), and `data`, the lineage.
    """
    return {
        "tokenLengths": lengths.figures(checked.lengths if any(checked.lengths) else {}, sequence_length),
        **checked.quality.figures,
        "data": lineage(checked.sources),
    }


def head(validation: Validation, extra: Mapping[str, Any]) -> JSON:
    """The report without its errors: what validation.json begins with, and what the page shows.

    Args:
        validation: the figures; its short list of errors is left out.
        extra: what else the report tells, by key.
    """
    made: JSON = {**validation.model_dump(mode="json", exclude={"errors"}), **extra}
    examples = made.pop("examples", {})
    for warning in made["warnings"]:
        warning["examples"] = examples.get(warning["code"], [])
    return made


def write(path: Path, validation: Validation, extra: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> JSON:
    """Writes the report to a local file, its errors one by one: there may be millions.

    Args:
        path: the file.
        validation: the figures; its short list of errors is replaced by the whole one.
        extra: what else the report tells, by key.
        errors: every problem, in order.

    Returns:
        The report without its errors.
    """
    made = head(validation, extra)
    with path.open("w", encoding="utf-8") as file:
        text = json.dumps(made, indent=2, ensure_ascii=False)
        file.write(text.removesuffix("\n}") + ',\n  "errors": [')
        separator = "\n    "
        for error in errors:
            file.write(separator + json.dumps(error, ensure_ascii=False))
            separator = ",\n    "
        file.write("\n  ]\n}\n")
    return made
