"""`confirm`: an operator tells the running service that what is missing in a suspect account is really gone."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

from certstream.cli.beside import base_of, running_service, tell
from certstream.cli.exits import OK, PROBLEMS
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, configuration
from certstream.config import Config
from certstream.core.errors import Fatal

LOOK = 1.0
"""Seconds between looks at how far it is."""


def register(app: typer.Typer) -> None:
    app.command("confirm", rich_help_panel="Run")(confirm)


def me() -> str:
    """Who calls, as the host knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def confirm(
    account: Annotated[str, typer.Argument(help="The suspect account.")],
    why: Annotated[str, typer.Option("--why", help="The reason; it stands in the event.", metavar="TEXT")],
    by: Annotated[
        str, typer.Option("--by", help="Who says so; it stands in the event.", metavar="NAME", show_default="you")
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    config: ConfigFile = None,
) -> None:
    """Say that what is missing in a suspect account is really gone.

    The running service looks each certificate up that its last sweep did not see, twice, half a minute apart. What it
    finds is there; the rest is told as deleted, after `account.released` with your name and reason. Nothing else is
    confirmed: what disappears later is judged anew.

    certstream confirm prod --why "the old CA was retired, CHG-4711"
    """
    raise typer.Exit(asyncio.run(_confirm(configuration(config), account, by or me(), why, detach=detach)))


async def _confirm(config: Config, account: str, by: str, why: str, *, detach: bool) -> int:
    base = base_of(config)
    if base is None:
        raise Fatal("confirm asks the running service over HTTP: give http.listen an address with a port")
    url = f"{base}/api/v1/accounts/{quote(account, safe='')}/confirm"
    away = f"no service of this configuration answers at {base}: is certstream run running?"
    count = (await tell(config, url, by, why, good=202, away=away)).get("certificates")
    print(f"{count} certificates are looked up, twice, half a minute apart", file=sys.stderr)
    return OK if detach else await _follow(config, account)


async def _follow(config: Config, account: str) -> int:
    """Tell how far it is until it is over; OK where the account is believed again."""
    said: Any = None
    while True:
        await asyncio.sleep(LOOK)
        service = await running_service(config)
        if service is None or account not in service.accounts:
            raise Fatal("the service does not answer any more; when it runs again, see whether the account is suspect")
        now: Any = service.accounts[account].get("confirmation")
        if not isinstance(now, dict):
            raise Fatal("the service was restarted meanwhile: confirm it again")
        if now != said:
            print(safe(now.get("progress"), 1000), file=sys.stderr)
        said = now
        if now.get("state") != "under way":
            return OK if now.get("state") == "done" else PROBLEMS
