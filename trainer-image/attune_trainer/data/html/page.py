"""The page as a whole."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from attune_trainer.data.html import sections
from attune_trainer.data.html.sections import JSON, Shapes
from attune_trainer.data.html.style import CSS

ROWS = 200
"""Errors that the page lists; the JSON has them all."""


def write_page(
    path: Path,
    report: JSON,
    errors: Iterable[JSON],
    *,
    usable: bool,
    verdict: str,
    shapes: Shapes | None = None,
) -> None:
    """Writes validation.html.

    Args:
        path: a local file.
        report: what `report.head` made: validation.json without its errors.
        errors: every problem, in order; the first ones are listed.
        usable: whether the run goes on with this data.
        verdict: one or two sentences that say so.
        shapes: of bad rows, by file and line, as `quality.shapes` made them.
    """
    listed = list(islice(errors, ROWS))
    path.write_text(_page(report, listed, shapes or {}, usable, verdict), encoding="utf-8")


def _page(report: JSON, listed: list[JSON], shapes: Shapes, usable: bool, verdict: str) -> str:
    said, total = sections.said, int(report.get("errorCount", 0))
    counts = report.get("counts") or {}
    head, kind = ("Ready.", "verdict") if usable else ("Not usable as it is.", "verdict bad")
    model = (report.get("model") or {}).get("source")
    what = said(report.get("format") or "no format was recognised") + (f" · model {said(model)}" if model else "")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Attune: validation of the data</title><style>{CSS}</style></head><body>
<h1>Validation of the data</h1>
<p class="soft">{what}</p>
<div class="{kind}"><p><strong>{head}</strong> {said(verdict)}</p></div>
{sections.tiles(report)}
{sections.estimate(report)}
<h2>Lengths in tokens</h2>
{sections.lengths(report)}
{sections.labels(report)}
<h2>Errors</h2>
{sections.errors(counts, listed, total, shapes)}
<h2>Warnings</h2>
{sections.warnings(report)}
{sections.notes(report)}
<h2>Files</h2>
{sections.files(report)}
<p class="soft">Texts of rows are shortened, and what looks like a secret or personal data is masked.</p>
</body></html>
"""
