"""`inventory`: the present, folded from the journal."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from certstream.cli.lines import WIDE, safe, short, span
from certstream.cli.options import ConfigFile, configuration
from certstream.cli.reading import opened, present, say_if_missing
from certstream.cli.tail import write_json
from certstream.config import Config
from certstream.core.canonical import canonical
from certstream.core.times import Threshold, parse_rfc3339, threshold
from certstream.core.wire import ACCOUNTS

Row = Mapping[str, Any]
"""A value of the topic `inventory`."""


def register(app: typer.Typer) -> None:
    app.command("inventory", rich_help_panel="Look")(inventory)


def _threshold(text: str) -> Threshold:
    try:
        return threshold(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def inventory(
    config: ConfigFile = None,
    expiring: Annotated[
        Threshold | None,
        typer.Option(
            parser=_threshold,
            metavar="30d",
            help="Only what expires within this time (s m h d), or within the last part (33%) of its lifetime.",
        ),
    ] = None,
    account: Annotated[
        str, typer.Option(metavar="NAME", help="Only this account; refused where none has the name.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, as in the topic `inventory`.")
    ] = False,
) -> None:
    """Show the certificates that are there now, the first to expire first, as the journal knows them.

    What to renew this month: [cyan]certstream inventory --expiring 30d[/cyan]

    How many of each status: [cyan]certstream inventory --json | jq -r .certificate.status | sort | uniq -c[/cyan]
    """
    settings = configuration(config)
    say_if_missing(settings)
    rows, accounts = asyncio.run(_present(settings))
    known = sorted(accounts.union(one.name for one in settings.accounts))
    if account and account not in known:
        raise typer.BadParameter(
            f"no account {account!r} is known; there are: {', '.join(known)}", param_hint="--account"
        )
    now = int(time.time() * 1000)
    wanted = selected(rows, now=now, expiring=expiring, account=account)
    if as_json:
        for row in wanted:
            write_json(canonical(dict(row)))
    else:
        console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
        console.print(table(wanted, now=now))
        console.print(Text(f"{len(wanted)} of {len(rows)} certificates", "dim"))


async def _present(config: Config) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows, and the names of all accounts that have a history: one may have no certificates."""
    async with opened(config) as journal:
        rows = list((await present(journal)).values())
        return rows, {stored.key.decode("utf-8", "replace") async for stored in journal.read([ACCOUNTS])}


def selected(rows: Iterable[Row], *, now: int, expiring: Threshold | None, account: str) -> list[Row]:
    """The rows asked for, the first to expire first. `now`: Unix milliseconds."""
    found = [
        row
        for row in rows
        if account in ("", row.get("account")) and (expiring is None or _expires_within(row, now, expiring))
    ]
    return sorted(
        found, key=lambda row: (_instant(row, "notAfter") or 0, row.get("account", ""), row.get("identifier", ""))
    )


def _expires_within(row: Row, now: int, expiring: Threshold) -> bool:
    begin, end = _instant(row, "notBefore"), _instant(row, "notAfter")
    if end is None or end <= now or row.get("lifecycle") == "revoked":
        return False
    before = expiring.duration if begin is None or expiring.duration is not None else expiring.before(begin, end)
    return before is not None and end - now <= before


def _instant(row: Row, field: str) -> int | None:
    try:
        return parse_rfc3339(row["certificate"][field])
    except (KeyError, TypeError, ValueError):
        return None


_STYLES = {"revoked": "red", "expired": "red", "valid": "green"}


def table(rows: Iterable[Row], *, now: int) -> Table:
    """For a person; everything that a certificate says is escaped."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("account", "common name", "identifier", "lifecycle", "not after (UTC)", "left", "told"):
        made.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=16 if heading == "common name" else 4)
    for row in rows:
        certificate = row.get("certificate", {})
        end = _instant(row, "notAfter")
        lifecycle = str(row.get("lifecycle", "?"))
        left = "" if end is None or lifecycle != "valid" else span((end - now) / 1000)
        made.add_row(
            Text(safe(row.get("account", "?"))),
            Text(safe(certificate.get("commonName", "(no name)")), "bold"),
            Text(short(row.get("identifier", "?")), "dim"),
            Text(safe(lifecycle), _STYLES.get(lifecycle, "yellow")),
            Text(safe(certificate.get("notAfter", "?"))[:16].replace("T", " ")),
            Text(left, "yellow" if end is not None and end - now < 30 * 86400_000 else ""),
            Text(safe(row.get("threshold", ""))),
        )
    return made
