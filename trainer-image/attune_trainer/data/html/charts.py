"""The page's two drawings, as SVG that takes its colours from the page."""

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 220, 48, 34, 14
_ROW, _NAME, _NUMBER = 22, 190, 90
_LABELS = 30
_LONGEST_NAME = 26


def histogram(bars: Sequence[Mapping[str, int]], cut: int | None) -> str:
    """Rows by their number of tokens.

    Args:
        bars: {from, to, rows} in order, at least one.
        cut: the sequence length, marked where it lies within the drawing.
    """
    plot_width, plot_height = _WIDTH - _LEFT - 10, _HEIGHT - _BOTTOM - _TOP
    most = max(bar["rows"] for bar in bars) or 1
    each = plot_width / len(bars)
    parts = [_bar(bar, _LEFT + i * each, each, plot_height * bar["rows"] / most) for i, bar in enumerate(bars)]
    floor = _HEIGHT - _BOTTOM
    parts.append(f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - 10}" y2="{floor}"/>')
    parts += [
        _word(_LEFT - 6, _TOP + 10, f"{most:,}", "end"),
        _word(_LEFT - 6, floor, "0", "end"),
        *(_word(_LEFT + i * each, floor + 16, f"{bars[i]['from']:,}", "middle") for i in _ticks(len(bars))),
        _word(_WIDTH - 10, _HEIGHT - 4, f"tokens; the longest row has {bars[-1]['to']:,} at most", "end"),
    ]
    width = max(1, bars[0]["to"] - bars[0]["from"] + 1)
    if cut is not None and cut < width * len(bars):
        x = _LEFT + cut / width * each
        parts.append(f'<line class="cut" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{floor}"/>')
        side, shift = ("end", -5) if x > _WIDTH - 170 else ("start", 5)
        parts.append(
            f'<text class="cut-text" x="{x + shift:.1f}" y="{_TOP + 8}" text-anchor="{side}">cut at {cut:,}</text>'
        )
    return _svg(_WIDTH, _HEIGHT, "Histogram of the rows' lengths in tokens", parts)


def label_bars(counts: Mapping[str, int]) -> str:
    """Rows by label, most frequent first; labels beyond the first thirty are counted together."""
    shown = list(counts.items())[:_LABELS]
    rest = sum(counts.values()) - sum(n for _, n in shown)
    shown += [(f"{len(counts) - len(shown)} other labels", rest)] if rest else []
    most, total = max((n for _, n in shown), default=1) or 1, sum(counts.values()) or 1
    room = _WIDTH - _NAME - _NUMBER
    parts: list[str] = []
    for i, (name, n) in enumerate(shown):
        y = i * _ROW
        short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
        parts += [
            _word(_NAME - 8, y + 15, short, "end"),
            f'<rect class="bar" x="{_NAME}" y="{y + 3}" width="{max(1, room * n / most):.1f}" height="{_ROW - 7}"/>',
            _word(_NAME + room * n / most + 6, y + 15, f"{n:,} ({n / total:.0%})", "start"),
        ]
    return _svg(_WIDTH, len(shown) * _ROW + 2, "Rows of train by label", parts)


def _bar(bar: Mapping[str, int], x: float, width: float, height: float) -> str:
    title = f"{bar['from']:,} to {bar['to']:,} tokens: {bar['rows']:,} rows"
    y = _HEIGHT - _BOTTOM - height
    return (
        f'<rect class="bar" x="{x + 0.5:.1f}" y="{y:.1f}" width="{max(1.0, width - 1):.1f}" height="{height:.1f}">'
        f"<title>{title}</title></rect>"
    )


def _ticks(bars: int) -> range:
    return range(0, bars, max(1, -(-bars // 8)))


def _word(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
