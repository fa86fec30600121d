"""The parts of the page. Everything that comes from data or manifest is masked, shortened and escaped on its way in."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from attune_trainer.data import guide
from attune_trainer.data.html import charts
from attune_trainer.data.quality.sensitive import mask

JSON = Mapping[str, Any]
Shapes = Mapping[tuple[str, int], str]
_LONGEST = 400


def said(value: object) -> str:
    """Text for the page: never a secret, never markup, never endless."""
    text = mask(str(value))
    return escape(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def code(value: object) -> str:
    """The same in a font for code."""
    return f"<code>{said(value)}</code>"


def tiles(report: JSON) -> str:
    """The figures that one looks at first."""
    tokens = report.get("tokens") or {}
    invalid = report.get("invalidRows", 0)
    shown: list[tuple[str, Any]] = [
        ("rows read", report.get("rows", 0)),
        ("to train on", report.get("trainRows", 0)),
        ("held out", report.get("testRows", 0)),
        ("cannot be used", invalid),
    ]
    if tokens.get("total"):
        shown += [
            ("tokens to train on", tokens["total"]),
            ("tokens in the median row", tokens["p50"]),
            ("tokens, 95th percentile", tokens["p95"]),
            ("tokens in the longest row", tokens["max"]),
            ("rows that are cut", report.get("truncatedRows", 0)),
        ]
    if report.get("packedSequences") is not None and tokens.get("total"):
        shown.append(("sequences when packed", report["packedSequences"]))
    return f'<div class="tiles">{"".join(_tile(name, value) for name, value in shown)}</div>'


def lengths(report: JSON) -> str:
    """The histogram of lengths; a sentence where no tokens were counted."""
    figures = report.get("tokenLengths") or {}
    if not figures.get("histogram"):
        return "<p class='soft'>No tokens were counted: there is no tokenizer, or there are no rows.</p>"
    return charts.histogram(figures["histogram"], figures.get("sequenceLength")) + _packing(report)


def labels(report: JSON) -> str:
    """Rows by label; empty where rows have none."""
    counts = ((report.get("quality") or {}).get("labels") or {}).get("train") or report.get("labels")
    if not counts:
        return ""
    masked = {mask(str(name)): n for name, n in counts.items()}
    return f"<h2>Labels</h2>{charts.label_bars(masked)}"


def warnings(report: JSON) -> str:
    """Each warning with what it means, how to mend it, and the first rows."""
    found = report.get("warnings") or []
    if not found:
        return "<p>None.</p>"
    return "".join(_warning(warning) for warning in found)


def errors(counts: Mapping[str, int], rows: Sequence[JSON], total: int, shapes: Shapes) -> str:
    """Errors by code, then the first rows that have them."""
    if not total:
        return "<p>None.</p>"
    by_code = [(code(name), f"{n:,}", *_guide(name)) for name, n in sorted(counts.items(), key=lambda c: -c[1])]
    listed = [
        (said(e.get("file", "")), e.get("line") or "", code(e.get("field") or ""), _fault(e, shapes), code(e["code"]))
        for e in rows
    ]
    more = f"<p class='soft'>The first {len(rows)} of {total:,}; all are in validation.json.</p>"
    return (
        _table(("code", "how often", "what it means", "how to mend it"), by_code, numbers={1})
        + f"<h2>Where the errors are</h2>{more if total > len(rows) else ''}"
        + _table(("file", "line", "field", "message and the row's shape", "code"), listed, numbers={1}, wide={0})
    )


def estimate(report: JSON) -> str:
    """What training is expected to take; empty where it was not estimated."""
    found = report.get("estimate")
    if not found:
        return ""
    rows: list[tuple[str, str]] = [("optimizer steps", f"{found.get('steps', 0):,}")]
    for name, key in (("duration", "duration"), ("cost", "cost")):
        if part := found.get(key):
            rows.append((name, said(f"{part['low']} to {part['high']} {part.get('currency', '')}")))
    if found.get("memoryPerGPU"):
        rows.append(("memory per GPU (on CPU, per pod)", said(found["memoryPerGPU"])))
    assumed = "".join(f"<li>{said(sentence)}</li>" for sentence in found.get("assumptions", ()))
    told = f"<details open><summary>Assumptions</summary><ul>{assumed}</ul></details>" if assumed else ""
    return f"<h2>Estimate</h2>{_table((), rows)}{told}"


def files(report: JSON) -> str:
    """Which objects were read, in which version."""
    rows = [
        (
            said(f["uri"]),
            f.get("side", ""),
            f"{f.get('rows', 0):,}",
            f"{f.get('invalidRows', 0):,}",
            f"{f.get('sizeBytes', 0):,}",
            code(str(f.get("sha256") or "")[:23]),
        )
        for f in report.get("data") or ()
    ]
    return _table(("file", "side", "rows", "bad rows", "bytes", "digest"), rows, numbers={2, 3, 4}, wide={0})


def notes(report: JSON) -> str:
    """How far the searches went, and what they took."""
    quality = report.get("quality") or {}
    search = quality.get("nearDuplicateSearch")
    if not search:
        return ""
    said_ = [
        f"Near duplicates were searched among {search['rows']:,} rows, in {search['seconds']:.1f} s"
        + (f"; {search['rowsLeftOut']:,} rows beyond the bound were not compared." if search["rowsLeftOut"] else ".")
    ]
    one_in = (quality.get("thirteenWords") or {}).get("oneRunIn", 1)
    if one_in > 1:
        said_.append(f"Of all runs of 13 words, one in {one_in} was compared.")
    return f"<p class='soft'>{' '.join(said_)}</p>"


def _tile(name: str, value: Any) -> str:
    return f'<div class="tile"><b>{value:,}</b><span>{escape(name)}</span></div>'


def _packing(report: JSON) -> str:
    packed, rows = report.get("packedSequences"), report.get("trainRows", 0)
    if not packed or not rows:
        return ""
    return (
        f"<p>Packed, the {rows:,} rows make {packed:,} sequences, {1 - packed / rows:.0%} fewer "
        "(<code>training.packing: true</code>).</p>"
    )


def _warning(warning: JSON) -> str:
    meaning, mend = _guide(warning["code"])
    examples = "".join(f"<li>{_example(e)}</li>" for e in warning.get("examples") or ())
    more = f"<details><summary>The first rows</summary><ul>{examples}</ul></details>" if examples else ""
    return (
        f'<div class="warning"><h3>{code(warning["code"])}: {warning["count"]:,}</h3><p>{said(warning["message"])}</p>'
        f'<p class="soft">{meaning} {mend}</p>{more}</div>'
    )


def _example(example: JSON) -> str:
    other = example.get("with")
    tail = f" {said(other['file'])} line {other['line']}" if other else ""
    return f"{said(example['file'])} line {example['line']}: {said(example.get('note', ''))}{tail}"


def _fault(error: JSON, shapes: Shapes) -> str:
    shape = shapes.get((str(error.get("file")), int(error.get("line") or 0)))
    return said(error["message"]) + (f"<br><span class='soft'>{code(shape)}</span>" if shape else "")


def _guide(name: str) -> tuple[str, str]:
    entry = guide.entry(name)
    return (_marked(entry.meaning), _marked(entry.mend)) if entry else ("", "")


def _marked(text: str) -> str:
    """The guide's own text: what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    numbers: frozenset[int] | set[int] = frozenset(),
    wide: frozenset[int] | set[int] = frozenset(),
) -> str:
    def cell(i: int, value: Any) -> str:
        kind = ' class="n"' if i in numbers else ' class="where"' if i in wide else ""
        return f"<td{kind}>{value}</td>"

    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(cell(i, value) for i, value in enumerate(row))}</tr>" for row in rows)
    above = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="scroll"><table>{above}<tbody>{body}</tbody></table></div>'
