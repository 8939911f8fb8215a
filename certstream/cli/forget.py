"""`forget`: an account that is not watched any more ends its history, and what is known of it is deleted."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated
from urllib.parse import quote

import typer

from certstream.cli.beside import base_of, running_service, tell
from certstream.cli.confirm import me
from certstream.cli.exits import OK
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, configuration
from certstream.config import Config
from certstream.core.errors import Fatal

PATIENCE = 3600.0
"""Seconds that a running service may take: a million rows are some minutes."""


def register(app: typer.Typer) -> None:
    app.command("forget", rich_help_panel="Run")(forget)


def forget(
    account: Annotated[str, typer.Argument(help="The account; no service watches it any more.")],
    why: Annotated[str, typer.Option("--why", help="The reason; it stands in the event.", metavar="TEXT")],
    by: Annotated[
        str, typer.Option("--by", help="Who says so; it stands in the event.", metavar="NAME", show_default="you")
    ] = "",
    config: ConfigFile = None,
) -> None:
    """End an account's history for ever, and delete what is known of it.

    `account.forgotten` with your name and reason is its last event; none says `deleted`, for nothing was. Its rows in
    `inventory`, `pem` and `accounts` get tombstones; the events stay. The same name may begin a new history later.

    Where `certstream run` watches the account, take it out of the configuration and send SIGHUP first. Interrupted, run
    it again: it goes on.

    certstream forget prod --why "the account was closed, CHG-4711"
    """
    raise typer.Exit(asyncio.run(_forget(configuration(config), account, by or me(), why)))


async def _forget(config: Config, account: str, by: str, why: str) -> int:
    from certstream.web.words import checked

    try:
        by, why = checked({"by": by, "why": why})
    except ValueError as error:
        raise Fatal(str(error)) from error
    if await running_service(config) is not None:
        count = await _ask(config, account, by, why)
    else:
        count = await _alone(config, account, by, why)
    print(f"account {safe(account)} is forgotten; it had {count} certificates", file=sys.stderr)
    return OK


async def _ask(config: Config, account: str, by: str, why: str) -> int:
    """The running service owns the shards: it does it."""
    url = f"{base_of(config)}/api/v1/accounts/{quote(account, safe='')}/forget"
    away = "the service does not answer any more: run it again, it goes on where it was"
    told = await tell(config, url, by, why, good=200, away=away, within=PATIENCE)
    return int(told.get("certificates", 0))


async def _alone(config: Config, account: str, by: str, why: str) -> int:
    """Own the shard ourselves. Raises Held, and changes nothing, beside a service that owns it."""
    from certstream import app
    from certstream.service.clock import Clock
    from certstream.service.forgetting import LISTEN, Unknown, forget, refuse_beside, shard_with
    from certstream.service.group import open_group
    from certstream.service.metrics import Metrics

    journal, clock = app.build_journal(config), Clock()
    try:
        await journal.start()
        number = await shard_with(journal, account)
        if config.brokers:  # an embedded journal's lock says whether somebody writes
            print(f"looking for {LISTEN:.0f} s whether a service writes to this journal", file=sys.stderr)
            await refuse_beside(journal, number)
        group = await open_group(journal, number, [], clock=clock, metrics=Metrics(), away=lambda reason: None)
        async with asyncio.TaskGroup() as writing:
            group.writing = writing.create_task(group.writer.run())
            try:
                count = await forget(group, account, by, why)
            finally:
                await group.finish()
        opened = group.shard.opened  # whose calls may still count, counts them for the next owner too
        await group.shard.close(release=opened.released or not opened.previous)
    except* Unknown as unknown:
        raise Fatal(f"there is no history of an account {account} in this journal") from unknown
    finally:
        await journal.close()
    return count
