"""The cells as a table: each beside the naive poller, and beside itself at the default pauses."""

from __future__ import annotations

from collections.abc import Sequence

from bench.latency.cell import KINDS, Cell, Pauses

WITHIN = 4.0
DEFAULT = Pauses(300.0, 5.0)
"""As the configuration has them."""

HEAD = (
    "| certificates | order | changes a second | kind | events | p50 | p99 | longest | within 4 s "
    "| default pauses: p50, p99 | naive p50, p99 |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def table(cells: Sequence[Cell]) -> str:
    """Markdown; seconds. `–`: not told two sweeps (twelve in an unsteady order) and a minute after the last change."""
    beside = {_key(cell): cell for cell in cells if cell.pauses == DEFAULT}
    others = [cell for cell in cells if cell.pauses != DEFAULT]
    alone = beside.keys() - {_key(cell) for cell in others}
    shown = sorted([*others, *(beside[key] for key in alone)], key=_key)
    return "\n".join([HEAD, *(rows_of(cell, beside.get(_key(cell))) for cell in shown)])


def _key(cell: Cell) -> tuple[int, str, float]:
    return cell.certificates, cell.order, cell.rate


def rows_of(cell: Cell, default: Cell | None) -> str:
    """A row for each kind, and one for what bisection finds."""
    rows = []
    for name, kinds in (*((kind, (kind,)) for kind in KINDS), ("new or deleted", ("new", "deleted"))):
        values = _values(cell, kinds)
        if not values:
            continue
        within = sum(value is not None and value <= WITHIN for value in values) / len(values)
        figures = " | ".join(_seconds(quantile(values, part)) for part in (0.5, 0.99, 1.0))
        naive = [value for kind in kinds for value in cell.naive[kind]]
        rows.append(
            f"| {cell.certificates:,} | {cell.order} | {cell.rate:g} | {name} | {len(values)} | {figures} "
            f"| {100 * within:.1f} % | {_two(_values(default, kinds)) if default is not None else ''} | {_two(naive)} |"
        )
    return "\n".join(rows)


def _values(cell: Cell, kinds: Sequence[str]) -> list[float | None]:
    return [value for kind in kinds for value in cell.seconds[kind]]


def _two(values: Sequence[float | None]) -> str:
    return ", ".join(_seconds(quantile(values, part)) for part in (0.5, 0.99))


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s" if value < 20 else f"{value:,.0f} s"


def quantile(values: Sequence[float | None], part: float) -> float | None:
    """Nearest rank; what was not told is longer than all else."""
    ordered = sorted(values, key=lambda value: float("inf") if value is None else value)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else None
