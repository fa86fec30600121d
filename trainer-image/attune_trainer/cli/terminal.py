"""A result as tables for people at a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from attune_contract.enums import ExitCode
from attune_trainer.cli.validate import Result
from attune_trainer.data import guide

JSON = dict[str, Any]
_BAR = 24


def show(console: Console, result: Result, most_errors: int) -> None:
    """Prints one result.

    Args:
        console: where to.
        result: of one job.
        most_errors: how many errors are listed one by one.
    """
    parts: list[RenderableType] = [_verdict(result)]
    if result.page:
        parts += [*_figures(result.report), *_errors(result, most_errors), *_warnings(result.report)]
        parts += _estimate(result.report)
    parts += [Text(note, style="dim") for note in result.notes]
    console.print(Group(*parts))


def _verdict(result: Result) -> Text:
    good = result.code == ExitCode.DONE
    mark = Text("✔ " if good else "✘ ", style="bold green" if good else "bold red")
    return mark.append(result.name, style="bold").append(f"\n{result.verdict}\n", style="not bold")


def _figures(report: JSON) -> list[RenderableType]:
    table = _table("", "", head=False)
    tokens, total = report.get("tokens") or {}, report.get("rows", 0)
    table.add_row("format", Text(report.get("format") or "none was recognised"))
    rows = f"{report['trainRows']:,} to train, {report['testRows']:,} held out, {report['invalidRows']:,} bad"
    table.add_row("rows", f"{total:,}: {rows}")
    if tokens.get("total"):
        spread = f"p50 {tokens['p50']:,}, p95 {tokens['p95']:,}, longest {tokens['max']:,}"
        table.add_row("tokens", f"{tokens['total']:,} to train on; per row {spread}")
    if report.get("packedSequences") and tokens.get("total"):
        table.add_row("packed", f"{report['packedSequences']:,} sequences instead of {report['trainRows']:,}")
    for i, (label, count) in enumerate(list((report.get("labels") or {}).items())[:10]):
        bar = "█" * max(1, round(_BAR * count / max(report["labels"].values())))
        table.add_row("labels" if i == 0 else "", Text(f"{bar} {count:,} {label}"))
    search = (report.get("quality") or {}).get("nearDuplicateSearch") or {}
    if search.get("rowsLeftOut"):
        table.add_row("compared", f"{search['rows']:,} rows for near duplicates; {search['rowsLeftOut']:,} were not")
    return [table]


def _errors(result: Result, most: int) -> list[RenderableType]:
    counts = result.report.get("counts") or {}
    if not counts:
        return [Text("\nNo errors.", style="green")]
    by_code = _table("error", "rows", "what it means", "how to mend it", numbers={1})
    for code, count in sorted(counts.items(), key=lambda item: -item[1]):
        entry = guide.entry(code) or guide.Entry("", "")
        by_code.add_row(Text(code, style="red"), f"{count:,}", _plain(entry.meaning), _plain(entry.mend))
    listed = _table("where", "field", "message")
    for error in result.errors[:most]:
        listed.add_row(Text(_place(error)), Text(error.get("field") or ""), Text(error["message"]))
    more = len(result.errors) - most
    tail = [Text(f"… and {more:,} more; --output json has all of them.", style="dim")] if more > 0 else []
    return [Text(), by_code, Text(), *([listed] if most else []), *tail]


def _warnings(report: JSON) -> list[RenderableType]:
    found: Sequence[JSON] = report.get("warnings") or ()
    if not found:
        return [Text("No warnings.", style="green")]
    table = _table("warning", "rows", "what it is, and how to mend it", numbers={1})
    for warning in found:
        table.add_row(Text(warning["code"], style="yellow"), f"{warning['count']:,}", Text(warning["message"]))
    return [Text(), table]


def _estimate(report: JSON) -> list[RenderableType]:
    found = report.get("estimate")
    if not found:
        return []
    table = _table("estimate", "")
    table.add_row("steps", f"{found['steps']:,}")
    for name in ("duration", "cost"):
        if part := found.get(name):
            table.add_row(name, f"{part['low']} to {part['high']} {part.get('currency', '')}".rstrip())
    if found.get("memoryPerGPU"):
        table.add_row("memory", f"{found['memoryPerGPU']} per GPU, or per pod on CPU")
    assumed = [Text(f"  · {sentence}", style="dim") for sentence in found.get("assumptions", ())]
    return [Text(), table, *assumed]


def _place(error: JSON) -> str:
    name = str(error.get("file", "")).rsplit("/", 1)[-1]
    return f"{name}:{error['line']}" if error.get("line") else name


def _plain(text: str) -> Text:
    return Text(text.replace("`", ""))


def _table(*columns: str, head: bool = True, numbers: set[int] | None = None) -> Table:
    table = Table(box=None, show_header=head, pad_edge=False, header_style="bold")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if numbers and i in numbers else "left", overflow="fold")
    return table
