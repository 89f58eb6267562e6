#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the figures of ./bench into a table on standard output, table.md, figures.json and a bar chart (SVG) for each figure.

    tests/bench/report.py OUT

OUT/raw/PART.SYSTEM holds lines `NAME: NUMBER`; tests/bench/goals says what a figure may be at most. Ends 1 when one is above its bound.
"""
import html
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
SYSTEMS = ["native", "xen", "ours"]
TITLES = {"native": "native", "xen": "Xen 4.17", "ours": "Xenolith"}
COLOURS = {"native": "#9aa0a6", "xen": "#d98c3f", "ours": "#2f6f9f"}
# A figure of several operations is shown as one of them: the number in parentheses at the end of its name.
SEVERAL = re.compile(r" \((2)\)$")


def goals():
    found = {}
    for line in (HERE / "goals").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        part, name, bound, unit = (field.strip() for field in line.split("|"))
        found[part, name] = (float(bound), unit)
    return found


def read(out):
    figures = {}
    for part in ["doors", "linux", "domains", "moves"]:
        for system in SYSTEMS:
            path = out / "raw" / f"{part}.{system}"
            if not path.exists():
                continue
            for line in path.read_text().splitlines():
                name, number = line.rsplit(": ", 1)
                several = SEVERAL.search(name)
                value = float(number) / (int(several[1]) if several else 1)
                figures.setdefault((part, SEVERAL.sub("", name)), {})[system] = value
    return figures


def number(value):
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}".replace(",", " ")


def table(figures, wanted):
    above, part_before = 0, None
    for (part, name), values in figures.items():
        if part != part_before:
            print(f"\n{part:<38}{'native':>12}{'Xen 4.17':>12}{'Xenolith':>12}{'at most':>12}")
            part_before = part
        bound, unit = wanted.get((part, name), (None, ""))
        ours = values.get("ours")
        verdict = ""
        if bound is not None and ours is not None and ours > bound:
            verdict, above = f"  above by {100 * (ours / bound - 1):.0f} %", above + 1
        cells = "".join(f"{number(values.get(system)):>12}" for system in SYSTEMS)
        print(f"{name:<38}{cells}{number(bound):>12}  {unit}{verdict}")
    return above


def markdown(figures, wanted):
    lines, part_before = [], None
    for (part, name), values in figures.items():
        if part != part_before:
            lines += ["", f"| {part} | native | Xen 4.17 | Xenolith | at most |", "| --- | ---: | ---: | ---: | ---: |"]
            part_before = part
        bound = wanted.get((part, name), (None, ""))[0]
        ours = values.get("ours")
        mark = "**" if bound is not None and ours is not None and ours > bound else ""
        lines.append(f"| {name} | {number(values.get('native'))} | {number(values.get('xen'))} | {mark}{number(ours)}{mark} | {number(bound)} |")
    return "\n".join(lines[1:]) + "\n"


def chart(name, values, bound, unit):
    bars = [(TITLES[s], values[s], COLOURS[s]) for s in SYSTEMS if s in values]
    most = max([value for _, value, _ in bars] + [bound or 0]) or 1
    width, left, step = 640, 110, 34
    height = 44 + step * len(bars)
    scale = (width - left - 110) / most
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
             f'<text x="8" y="20" font-weight="bold">{html.escape(name)} ({html.escape(unit or "instructions")})</text>']
    for row, (title, value, colour) in enumerate(bars):
        top = 34 + row * step
        lines.append(f'<text x="8" y="{top + 16}">{title}</text><rect x="{left}" y="{top}" width="{max(value * scale, 1):.1f}" height="22" fill="{colour}"/>'
                     f'<text x="{left + value * scale + 6:.1f}" y="{top + 16}">{number(value)}</text>')
    if bound is not None:
        x = left + bound * scale
        lines.append(f'<line x1="{x:.1f}" y1="28" x2="{x:.1f}" y2="{height - 6}" stroke="#b00020" stroke-dasharray="4 3"/>')
    return "\n".join(lines) + "\n</svg>\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out, wanted = pathlib.Path(sys.argv[1]), goals()
    figures = read(out)
    if not figures:
        sys.exit("report.py: no figures")
    above = table(figures, wanted)
    charts = out / "charts"
    charts.mkdir(exist_ok=True)
    rows = []
    for (part, name), values in figures.items():
        bound, unit = wanted.get((part, name), (None, ""))
        rows.append({"part": part, "name": name, "unit": unit or ("ms" if part in ("domains", "moves") else "instructions"), "at_most": bound, **values})
        file = re.sub(r"[^a-z0-9]+", "-", f"{part} {name}".lower()).strip("-")
        (charts / f"{file}.svg").write_text(chart(name, values, bound, unit))
    (out / "table.md").write_text(markdown(figures, wanted))
    (out / "figures.json").write_text(json.dumps(rows, indent=1) + "\n")
    missing = [f"{part}: {name}" for part, name in wanted if any(p == part for p, _ in figures) and "ours" not in figures.get((part, name), {})]
    for name in missing:
        print(f"not measured: {name}")
    with_bound = sum(1 for key in figures if key in wanted)
    print(f"\n{with_bound - above} of {with_bound} figures with a bound are at or under it; {out}/figures.json, {out}/charts")
    sys.exit(1 if above or missing else 0)


main()
