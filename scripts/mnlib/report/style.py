# SPDX-License-Identifier: Apache-2.0
"""How the page of page.py looks, in light and in dark."""

STYLE = '''
:root { color-scheme: light dark; --back: #fff; --card: #f6f7f9; --ink: #1b1f24; --quiet: #5b6470;
  --grid: #d9dde2; --good: #1a7f4b; --bad: #b42318;
  --v0: #5b6470; --v1: #1f6feb; --v2: #b35900; --v3: #8250df; --v4: #0f7b83; --v5: #bf3989; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1d2127; --ink: #e6e9ed;
  --quiet: #9aa4b0; --grid: #363d46; --good: #4cc38a; --bad: #ff7b72;
  --v0: #a8b1bc; --v1: #6cb0ff; --v2: #f0a050; --v3: #c297ff; --v4: #4cc9d3; --v5: #ff80bf; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1124px; margin: 0 auto; padding: 24px; overflow-wrap: anywhere; }
h1 { font-size: 26px; line-height: 1.3; margin: 0 0 16px; max-width: 34em; font-weight: 650; }
h2 { font-size: 18px; margin: 36px 0 12px; font-weight: 650; }
p { max-width: 46em; }
pre { background: var(--card); padding: 12px; border-radius: 6px; white-space: pre-wrap; margin: 16px 0; }
.quiet { color: var(--quiet); font-weight: normal; }
.bad { color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, 352px); gap: 10px; }
figure { --under: var(--card); margin: 0; background: var(--card); border-radius: 6px; padding: 8px; width: 352px; }
figcaption { font-weight: 600; display: flex; justify-content: space-between; margin-bottom: 6px; }
svg { display: block; overflow: hidden; }
.narrow { display: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 16px 6px 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; min-width: 7em; overflow-wrap: normal; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; }
dt { color: var(--quiet); }
dd { margin: 0; }
.v0 { --c: var(--v0); } .v1 { --c: var(--v1); } .v2 { --c: var(--v2); }
.v3 { --c: var(--v3); } .v4 { --c: var(--v4); } .v5 { --c: var(--v5); }
.legend { margin: 0 0 4px; }
.key { color: var(--c); font-weight: 600; margin-right: 14px; }
.key::before { content: "\\25CF  "; }
text { paint-order: stroke; stroke: var(--under, var(--back)); stroke-width: 4px; fill: var(--ink); font: 13px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
text.tick, text.side, text.value { fill: var(--quiet); font-size: 12px; }
text.label { font-weight: 600; fill: var(--c, var(--ink)); }
.grid { stroke: var(--grid); }
.one { stroke: var(--ink); stroke-width: 1.5; }
.dot { fill: var(--c); fill-opacity: .75; }
.box { fill: var(--c); fill-opacity: .16; }
.median { stroke: var(--c); stroke-width: 2.5; }
.thread { fill: none; stroke: var(--c); stroke-opacity: .45; }
.interval { stroke-width: 4; stroke-linecap: round; stroke-opacity: .55; }
.interval.good { stroke: var(--good); } .ratio.good { fill: var(--good); }
.interval.bad { stroke: var(--bad); } .ratio.bad { fill: var(--bad); }
.interval.none { stroke: var(--quiet); } .ratio.none { fill: var(--quiet); }
@media (max-width: 1123px) { .wide { display: none; } .narrow { display: block; } }
@media (max-width: 460px) { main { padding: 16px; } h1 { font-size: 21px; }
  .cards { grid-template-columns: 1fr; } .narrow svg { margin-left: 8px; } }
'''
