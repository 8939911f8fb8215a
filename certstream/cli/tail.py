"""`tail`: the events as they are committed, a line each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from enum import StrEnum
from typing import Annotated

import orjson
import typer
from rich.console import Console

from certstream.cli.lines import describe
from certstream.cli.options import ConfigFile, configuration
from certstream.cli.reading import events, opened, say_if_missing
from certstream.config import Config


class From(StrEnum):
    """Where to begin."""

    BEGINNING = "beginning"
    NOW = "now"


def register(app: typer.Typer) -> None:
    app.command("tail", rich_help_panel="Look")(tail)


def tail(
    config: ConfigFile = None,
    begin: Annotated[
        From, typer.Option("--from", help="All events of the journal, or what comes from now on.")
    ] = From.NOW,
    follow: Annotated[bool, typer.Option(help="Go on for ever; --no-follow ends where the journal ends.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="The events' own bytes, one a line: their SHA-256 is what `prevhash` names.")
    ] = False,
) -> None:
    """Follow the events of the journal, a line each. Ctrl-C ends it. A running service is not disturbed.

    Everything that happened: [cyan]certstream tail --from beginning --no-follow[/cyan]

    Only what was revoked: [cyan]certstream tail --json | jq 'select(.type | contains("revoked"))'[/cyan]
    """
    settings = configuration(config)
    say_if_missing(settings)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(settings, beginning=begin is From.BEGINNING, follow=follow, as_json=as_json))


async def _tail(config: Config, *, beginning: bool, follow: bool, as_json: bool) -> None:
    console = Console(highlight=False, emoji=False)
    async with (
        opened(config) as journal,
        contextlib.aclosing(events(journal, beginning=beginning, follow=follow)) as all_,
    ):
        async for stored in all_:
            value = stored.value or b""
            if as_json:
                write_json(value)
            else:
                console.print(describe(orjson.loads(value)), soft_wrap=True)


def write_json(value: bytes) -> None:
    """One value as a line: its own bytes into a pipe; on a terminal the same JSON in ASCII, because control sequences
    (C1) and bidi characters may stand in JSON unescaped."""
    if sys.stdout.isatty():
        value = json.dumps(json.loads(value), separators=(",", ":")).encode()
    sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()
