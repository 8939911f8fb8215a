"""`simulate`: an Alibaba Cloud account that is none, on a local port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from certstream.cli.signals import stop_on_signals
from certstream.config import is_loopback
from certstream.core.errors import Fatal
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, SimulatorConfig, parse_faults, parse_offset, serve
from certstream.simulator.config import ACTIONS, Order


def register(app: typer.Typer) -> None:
    app.command("simulate", rich_help_panel="Try")(simulate)


def _faults(text: str) -> str:
    try:
        parse_faults(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def _actions(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if name not in ACTIONS:
            raise typer.BadParameter(f"unknown action {name!r}: one of {', '.join(ACTIONS)}")
    return names


def _offset(text: str) -> str:
    try:
        parse_offset(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def settings(url: str) -> str:
    """What to paste, so that a simulator at `url` is listed. Its key opens nothing: it may be shown."""
    parts = urlsplit(url)
    if parts.hostname in ("0.0.0.0", "::"):  # listening on all addresses is no address to call
        url = f"http://127.0.0.1:{parts.port}"
    insecure = "" if is_loopback(urlsplit(url).hostname or "") else "insecure = true  # http:// beyond loopback\n"
    return f'''
# To list it, paste into certstream.toml:
[[accounts]]
name = "simulated"
endpoint = "{url}"
sts_endpoint = "{url}"
{insecure}[accounts.credentials]
access_key_id = "{DEFAULT_KEY}"
access_key_secret_file = "simulator-secret"

# and make the file beside it:
echo {DEFAULT_USER.secret} > simulator-secret

# or, without files, paste into a shell (the official SDK and CLI read the last two, too):
export CERTSTREAM_ACCOUNTS__0__NAME=simulated
export CERTSTREAM_ACCOUNTS__0__ENDPOINT={url} CERTSTREAM_ACCOUNTS__0__STS_ENDPOINT={url}
{"export CERTSTREAM_ACCOUNTS__0__INSECURE=true" + chr(10) if insecure else ""}\
export ALIBABA_CLOUD_ACCESS_KEY_ID={DEFAULT_KEY} ALIBABA_CLOUD_ACCESS_KEY_SECRET={DEFAULT_USER.secret}
'''


def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one; the first line says which.")] = 8099,
    certificates: Annotated[int, typer.Option(min=0, help="How many there are at the beginning.")] = 100,
    seed: Annotated[int, typer.Option(help="Names, changes and faults follow from it.")] = 1,
    speed: Annotated[float, typer.Option(help="A lifetime of N days lasts N / SPEED days.")] = 1.0,
    rate: Annotated[float, typer.Option(min=0, help="Changes a second, on average.")] = 0.0,
    stop_changes_after: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="When changes end; the server goes on.")
    ] = None,
    order: Annotated[Order, typer.Option(help="Of the list; 'shuffled' is another one at every call.")] = "newest",
    faults: Annotated[
        str,
        typer.Option(
            callback=_faults,
            metavar="P | KIND=P,…",
            help="Probability of a fault per call: 0.02, or unavailable=, internal=, reset=, truncated=, html=, slow=.",
        ),
    ] = "",
    latency: Annotated[float, typer.Option(min=0, help="Seconds from arrival to answer.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, help="Up to this many seconds more.")] = 0.0,
    qps: Annotated[int, typer.Option(min=0, help="Arrivals in any second before it throttles; 0: no limit.")] = 10,
    page_size: Annotated[int, typer.Option(min=1, help="The largest page; a larger ShowSize is lowered.")] = 100,
    deny: Annotated[
        list[str] | None,
        typer.Option(
            callback=_actions,
            metavar="ACTION",
            help=f"Forbid it, as a RAM policy without it does: {', '.join(ACTIONS)}. May be repeated.",
        ),
    ] = None,
    clock: Annotated[
        str,
        typer.Option(
            callback=_offset,
            metavar="±TIME",
            help="How far the server's clock is ahead of this host's: -20m, +90s. Beyond 15 minutes it refuses calls.",
        ),
    ] = "0s",
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what happened, and when.")] = None,
    answers: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what each call was shown.")] = None,
) -> None:
    """Simulate an account: real certificates of a small CA, signed requests, throttling, faults, changes.

    Twenty thousand certificates, a change a second, 2 % faults:
    [cyan]certstream simulate --certificates 20000 --rate 1 --faults 0.02[/cyan]

    What a missing permission, or a wrong clock, looks like to [cyan]certstream check[/cyan]:
    [cyan]certstream simulate --deny ListClientCertificate[/cyan], [cyan]certstream simulate --clock -20m[/cyan]

    It prints settings to paste (stderr) with which [cyan]certstream run[/cyan], or the official SDK, lists it.
    Ctrl-C ends it.
    """
    try:
        config = SimulatorConfig(
            host=host,
            port=port,
            certificates=certificates,
            seed=seed,
            speed=speed,
            rate=rate,
            stop_changes_after=stop_changes_after,
            order=order,
            max_page_size=page_size,
            qps=qps,
            latency=latency,
            jitter=jitter,
            faults=parse_faults(faults),
            deny=frozenset(deny or ()),
            clock_offset=parse_offset(clock),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    asyncio.run(_serve(config, truth, answers))


async def _serve(config: SimulatorConfig, truth: Path | None, answers: Path | None) -> None:
    def announce(line: str) -> None:
        print(line, flush=True)
        url = line.split()[2].rstrip(":")
        print(settings(url), file=sys.stderr, flush=True)

    stop = asyncio.Event()
    with stop_on_signals(stop):
        try:
            await serve(config, truth=truth, answers=answers, until=stop, announce=announce)
        except OSError as error:
            raise Fatal(f"the simulator cannot start: {error.strerror}: {error.filename or config.port}") from error
