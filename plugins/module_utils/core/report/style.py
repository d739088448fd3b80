# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's style sheet: one palette by custom properties, redefined for dark and for print. Contrast of all text is 4.5 to 1 or more."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #17202c; --soft: #556070; --rule: #dfe3e9; --grid: #e9ecf1; --code: #f1f3f6;
  --blue: #1f5fc4; --blue-soft: #1f5fc41a; --good: #12714a; --good-soft: #e3f4ec; --warn: #8a5a00; --warn-soft: #fcf1d8;
  --bad: #b3261e; --bad-soft: #fbe7e5; --quiet: #556070; --quiet-soft: #eceff3; --base: #6b7686; --violet: #7a3fb8; --teal: #0b7285;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10151c; --card: #171e27; --ink: #e7ecf3; --soft: #a3afbf; --rule: #2b3542; --grid: #242d39; --code: #1e2732;
    --blue: #7fb2ff; --blue-soft: #7fb2ff22; --good: #5fd09b; --good-soft: #15352a; --warn: #f0c05a; --warn-soft: #3a2f14;
    --bad: #ff9087; --bad-soft: #43201f; --quiet: #a3afbf; --quiet-soft: #252f3b; --base: #93a0b2; --violet: #c9a2ff; --teal: #66d9e8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.stripe { height: 5px; background: var(--quiet); }
.stripe.good { background: var(--good); } .stripe.warn { background: var(--warn); } .stripe.bad { background: var(--bad); }
main, header, footer { max-width: 1064px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 36px; }
.eyebrow { margin: 0 0 6px; color: var(--soft); font-size: 13px; }
.title { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px; }
h1 { margin: 0; font-size: 32px; line-height: 1.2; font-weight: 650; letter-spacing: -0.018em; }
h1 .from { color: var(--soft); font-weight: 450; }
h2 { margin: 0 0 14px; font-size: 17px; font-weight: 640; letter-spacing: -0.006em; }
h3 { margin: 0; font-size: 15px; font-weight: 620; }
.badge { display: inline-block; padding: 2px 11px; border-radius: 99px; font-size: 13px; font-weight: 620; line-height: 1.6; white-space: nowrap;
  color: var(--quiet); background: var(--quiet-soft); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.badge.big { font-size: 15px; padding: 3px 15px; }
.badge.good { color: var(--good); background: var(--good-soft); }
.badge.warn { color: var(--warn); background: var(--warn-soft); }
.badge.bad { color: var(--bad); background: var(--bad-soft); }
.lead { margin: 14px 0 0; font-size: 18px; line-height: 1.5; max-width: 62em; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(148px, 1fr)); gap: 1px; margin: 24px 0 0; padding: 0; background: var(--rule);
  border: 1px solid var(--rule); border-radius: 10px; overflow: hidden; }
.facts div { background: var(--card); padding: 13px 18px 14px; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { margin: 1px 0 0; font-size: 20px; font-weight: 600; line-height: 1.3; letter-spacing: -0.01em; }
.facts dd small { display: block; font-size: 12.5px; font-weight: 400; color: var(--soft); letter-spacing: 0; line-height: 1.45; }
.next { margin: 18px 0 0; padding: 12px 18px; border-left: 3px solid var(--blue); background: var(--card); border-radius: 0 8px 8px 0; }
.next p { margin: 0; } .next code { display: inline-block; margin-top: 2px; }
.note { color: var(--soft); font-size: 13.5px; margin: 12px 0 0; }
section, details.card { margin: 22px 0 0; padding: 22px 26px 24px; background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
.head { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 2px 20px; }
figure { margin: 0; overflow-x: auto; }
figure + .metric, .metric + .metric { margin-top: 26px; padding-top: 22px; border-top: 1px solid var(--rule); }
.metric p { margin: 2px 0 8px; color: var(--soft); font-size: 14px; }
svg { display: block; width: 100%; min-width: 620px; height: auto;
  font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 10px 0 0; padding: 0; list-style: none; color: var(--soft); font-size: 13px; }
.legend li { display: flex; align-items: center; gap: 7px; }
.legend svg { width: 24px; min-width: 0; height: 12px; flex: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 12.5px; padding: 0 18px 7px 0; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
td { padding: 8px 18px 8px 0; border-bottom: 1px solid var(--grid); vertical-align: top; overflow-wrap: break-word; }
tr:last-child td { border-bottom: 0; }
.num { text-align: right; white-space: nowrap; } .time { white-space: nowrap; color: var(--soft); }
td.strong { font-weight: 600; min-width: 7em; } td ul { margin: 0; padding: 0; list-style: none; } td.wide { min-width: 260px; }
.tone-bad { color: var(--bad); } .tone-warn { color: var(--warn); } .tone-quiet { color: var(--soft); }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
code { background: var(--code); padding: 1px 6px; border-radius: 5px; }
pre { margin: 10px 0 0; padding: 12px 16px; background: var(--code); border-radius: 8px; white-space: pre-wrap; max-height: 480px; overflow: auto; }
summary { cursor: pointer; font-weight: 640; font-size: 17px; } summary::marker { color: var(--soft); }
summary small { font-weight: 400; font-size: 13.5px; color: var(--soft); margin-left: 6px; }
details > :nth-child(2) { margin-top: 16px; }
a { color: var(--blue); } a.button { display: inline-block; padding: 6px 15px; border: 1px solid var(--rule); border-radius: 8px; background: var(--card);
  text-decoration: none; font-weight: 560; font-size: 14px; } a.button:hover { border-color: var(--blue); }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
footer { padding-top: 26px; padding-bottom: 48px; color: var(--soft); font-size: 13px; display: flex; flex-wrap: wrap; gap: 10px 24px;
  align-items: center; justify-content: space-between; }

.grid { stroke: var(--grid); stroke-width: 1; } .grid.base { stroke: var(--rule); }
.tick { fill: var(--soft); font-size: 11.5px; } .tick.strong { font-weight: 600; } .value { fill: var(--ink); font-weight: 600; font-size: 12px; }
.fold { fill: var(--quiet-soft); } .foldmark { stroke: var(--soft); stroke-width: 1.2; }
.area { fill: var(--blue-soft); } .asked { fill: none; stroke: var(--blue); stroke-width: 2.2; stroke-linejoin: round; }
.change { fill: var(--card); stroke: var(--blue); stroke-width: 1.8; }
.asked.s1, .change.s1 { stroke: var(--violet); stroke-dasharray: 7 3; } .asked.s2, .change.s2 { stroke: var(--teal); stroke-dasharray: 2 3; }
.asked.s3, .change.s3 { stroke: var(--warn); stroke-dasharray: 9 3 2 3; }
.dot.m0 { fill: var(--ink); opacity: .72; } .dot.m1 { fill: var(--violet); } .dot.m2 { fill: var(--teal); } .dot.m3 { fill: var(--warn); }
.dot.c { fill: var(--blue); } .dot.bad { fill: var(--bad); } .ring { fill: var(--card); stroke: var(--soft); stroke-width: 1.4; }
.disc { fill: var(--quiet); } .disc.good { fill: var(--good); } .disc.bad { fill: var(--bad); } .disc.warn { fill: var(--warn); }
.glyph { fill: none; stroke: var(--card); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.diamond { fill: var(--warn); } .diamond.good { fill: var(--good); } .diamond.bad { fill: var(--bad); }
.fault { stroke: var(--bad); stroke-width: 1.6; stroke-dasharray: 5 3; } .bad-text { fill: var(--bad); font-weight: 600; font-size: 12px; }
.resumed { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 1 3; }
.bar { fill: var(--quiet-soft); } .bar.done { fill: var(--good-soft); } .bar.failed { fill: var(--bad-soft); } .bar.current { fill: var(--warn-soft); }
.bar-text { font-size: 12px; font-weight: 560; fill: var(--soft); } .bar-text.done { fill: var(--good); } .bar-text.failed { fill: var(--bad); }
.bar-text.current { fill: var(--warn); }
.candidate { fill: none; stroke: var(--blue); stroke-width: 2; stroke-linejoin: round; } .band { fill: var(--blue-soft); }
.baseline { fill: none; stroke: var(--base); stroke-width: 1.7; stroke-dasharray: 6 4; } .limit { fill: none; stroke: var(--bad); stroke-width: 1.5;
  stroke-dasharray: 2 3; }
.divider { stroke: var(--rule); stroke-width: 1; } .n { fill: var(--base); opacity: .55; }
.decision { stroke: var(--quiet); stroke-width: 1.3; } .decision.good { stroke: var(--good); } .decision.bad { stroke: var(--bad); }
.decision.warn { stroke: var(--warn); }

@media (max-width: 640px) { main, header, footer { padding-left: 16px; padding-right: 16px; } section, details.card { padding: 18px 16px; }
h1 { font-size: 25px; } }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #111; --soft: #4c5563; --rule: #d4d9e0; --grid: #e6e9ee; --code: #f4f5f7;
    --blue: #1f5fc4; --blue-soft: #1f5fc41a; --good: #12714a; --good-soft: #e3f4ec; --warn: #8a5a00; --warn-soft: #fcf1d8;
    --bad: #b3261e; --bad-soft: #fbe7e5; --quiet: #556070; --quiet-soft: #eceff3; --base: #6b7686; --violet: #7a3fb8; --teal: #0b7285; }
  @page { margin: 14mm 12mm; }
  body { font-size: 12.5px; } main, header, footer { max-width: none; padding-left: 0; padding-right: 0; } header { padding-top: 12px; }
  section, details.card { border: 0; border-top: 1px solid var(--rule); border-radius: 0; padding: 16px 0; margin-top: 14px; }
  figure, .metric, tr, .facts, .next { break-inside: avoid; } h2 { break-after: avoid; } .scroll, figure { overflow: visible; } svg { min-width: 0; }
  a.button, .screen { display: none; }
  td.wide { min-width: 120px; } .facts dd { font-size: 15px; } .facts div { padding: 8px 12px; }
  .stripe, svg, .facts { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; block-size: auto; } details.screen { display: none; } pre { max-height: none; }
}
"""
