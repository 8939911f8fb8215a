"""`simulate`: an Alibaba Cloud account that is none, on a local port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from certstream.cli.signals import stop_on_signals
from certstream.core.errors import Fatal
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, SimulatorConfig, parse_faults, serve
from certstream.simulator.config import Order


def register(app: typer.Typer) -> None:
    app.command("simulate", rich_help_panel="Try")(simulate)


def _faults(text: str) -> str:
    try:
        parse_faults(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


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
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what happened, and when.")] = None,
    answers: Annotated[Path | None, typer.Option(metavar="FILE", help="Write what each call was shown.")] = None,
) -> None:
    """Simulate an account: real certificates of a small CA, signed requests, throttling, faults, changes.

    Twenty thousand certificates, a change a second, 2 % faults:
    [cyan]certstream simulate --certificates 20000 --rate 1 --faults 0.02[/cyan]

    It prints the settings with which [cyan]certstream run[/cyan], or the official SDK, lists it. Ctrl-C ends it.
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
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    asyncio.run(_serve(config, truth, answers))


async def _serve(config: SimulatorConfig, truth: Path | None, answers: Path | None) -> None:
    def announce(line: str) -> None:
        print(line, flush=True)
        # The simulated account's key opens nothing: it may be shown.
        print(
            f"access key id {DEFAULT_KEY}, secret {DEFAULT_USER.secret}; the endpoint is the URL above", file=sys.stderr
        )

    stop = asyncio.Event()
    with stop_on_signals(stop):
        try:
            await serve(config, truth=truth, answers=answers, until=stop, announce=announce)
        except OSError as error:
            raise Fatal(f"the simulator cannot start: {error.strerror}: {error.filename or config.port}") from error
