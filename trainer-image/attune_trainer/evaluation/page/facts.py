"""From the run's other reports to facts of the page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attune_trainer.evaluation.page.document import Fact

_DATA = {
    "format": "Format",
    "rows": "Rows read",
    "trainRows": "Rows trained on",
    "testRows": "Rows held out",
    "invalidRows": "Invalid rows",
    "duplicateRows": "Repeated rows in train",
    "leakedRows": "Held-out rows that are in train",
    "truncatedRows": "Rows cut at the sequence length",
    "packedSequences": "Packed sequences",
}
_TOKENS = {"total": "in all", "p50": "median", "p95": "95 %", "max": "longest"}


def of_validation(report: Mapping[str, Any]) -> tuple[Fact, ...]:
    """The data's figures, from validation.json."""
    found = [Fact(name=title, value=_text(report[key])) for key, title in _DATA.items() if report.get(key) is not None]
    if tokens := report.get("tokens"):
        said = ", ".join(f"{title} {_text(tokens[key])}" for key, title in _TOKENS.items() if key in tokens)
        found.append(Fact(name="Tokens of a row", value=said))
    if labels := report.get("labels"):
        found.append(Fact(name="Rows by label", value=", ".join(f"{k} {_text(n)}" for k, n in labels.items())))
    return tuple(found)


def warnings_of(report: Mapping[str, Any]) -> tuple[str, ...]:
    """What preflight warned of, from validation.json."""
    return tuple(f"{w['code']} ({_text(w['count'])}): {w.get('message', '')}" for w in report.get("warnings", ()))


def flat(document: Mapping[str, Any], leave_out: Sequence[str] = ()) -> tuple[Fact, ...]:
    """Every value of a nested document under its path; a list of plain values is one fact, nothing is none.

    Args:
        document: JSON, such as the manifest or the resolved settings.
        leave_out: keys of the top that are shown elsewhere.
    """
    kept = {name: value for name, value in document.items() if name not in leave_out}
    return tuple(Fact(name=name, value=value) for name, value in _flat(kept, ""))


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{i}]")
    elif isinstance(value, list | tuple):
        if value:
            yield path, ", ".join(map(_text, value))
    elif value is not None:
        yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
