"""The plot: which share of the changes is an event after how many seconds, beside the naive poller."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bench.latency.cell import Cell

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 380, 60, 40, 60
LEAST, MOST = 0.1, 3000.0
"""Seconds, on a logarithmic axis."""
COLOURS = ("#0b6e99", "#d9480f", "#2b8a3e", "#862e9c", "#5f3dc4", "#c92a2a")


def chart(cells: Sequence[Cell]) -> str:
    """SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">Certificates issued or deleted: share told within so many seconds '
        "of the change</text>",
    ]
    for share in (0, 25, 50, 75, 100):
        y = _y(share / 100)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 20}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share} %</text>')
    for second in (0.1, 1, 4, 10, 100, 1000):
        x = _x(second)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{second:g} s</text>')
    for number, cell in enumerate(cells):
        colour = COLOURS[number % len(COLOURS)]
        ours = _line([*cell.seconds["new"], *cell.seconds["deleted"]])
        naive = _line([*cell.naive["new"], *cell.naive["deleted"]])
        parts.append(f'<path d="{ours}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<path d="{naive}" fill="none" stroke="{colour}" stroke-dasharray="4 3"/>')
        x, y = LEFT + 10 + number % 2 * 340, HEIGHT - 28 + number // 2 * 14
        label = f"{cell.certificates:,}, {cell.order}, {cell.rate:g} changes a second (dashed: naive)"
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}" font-size="11">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _line(values: Iterable[float | None]) -> str:
    known = [*values]
    told = sorted(value for value in known if value is not None)
    points = [(_x(value), _y(rank / len(known))) for rank, value in enumerate(told, 1)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in [(_x(LEAST), _y(0.0)), *points])


def _x(seconds: float) -> float:
    part = math.log(min(max(seconds, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + part * (WIDTH - 20 - LEFT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
