"""The page's style sheet, which stands in the page."""

CSS = """
:root {
  color-scheme: light dark; --ink: #1c2330; --soft: #5b6577; --line: #d9dee7; --paper: #fff;
  --raised: #f5f7fa; --accent: #2f6fb2; --good: #1d7a46; --bad: #b3261e; --warn: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e8ef; --soft: #9aa5b8; --line: #343c4a; --paper: #14181f; --raised: #1d232d; --accent: #6ea8e6;
    --good: #5fc48d; --bad: #ff8a80; --warn: #e3b35a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
}
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
p { margin: .35rem 0; }
.soft { color: var(--soft); }
code { font: .88em ui-monospace, Menlo, Consolas, monospace; }
.verdict { border-left: .3rem solid var(--good); background: var(--raised); padding: .8rem 1rem; margin: 1rem 0; }
.verdict.bad { border-color: var(--bad); }
.verdict strong { color: var(--good); }
.verdict.bad strong { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .6rem; }
.tile { background: var(--raised); padding: .6rem .8rem; border-radius: .35rem; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td {
  text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line);
}
th { color: var(--soft); font-weight: 600; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td code { overflow-wrap: anywhere; }
.where { overflow-wrap: anywhere; min-width: 8rem; }
.warning { border-top: 1px solid var(--line); padding: .7rem 0; }
.warning h3 { font-size: 1rem; margin: 0; color: var(--warn); }
details { margin: .3rem 0; }
summary { cursor: pointer; color: var(--soft); }
ul { margin: .3rem 0; padding-left: 1.2rem; }
svg { max-width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .bar { fill: var(--accent); }
svg .cut { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .cut-text { fill: var(--bad); }
svg .axis { stroke: var(--line); }
@media print {
  :root {
    --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --raised: #f3f3f3; --accent: #2f6fb2;
    --good: #1d7a46; --bad: #b3261e; --warn: #8a5a00;
  }
  body { max-width: none; padding: 0; font-size: 11px; }
  .scroll { overflow: visible; }
  .warning, tr, svg, .tile { break-inside: avoid; }
  h2 { break-after: avoid; }
  details:not([open]) > * { display: block; }
}
"""
