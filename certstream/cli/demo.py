"""`demo`: simulator, service and journal in one process, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from certstream.cli import logs
from certstream.cli.exits import OK, PROBLEMS
from certstream.cli.lines import KINDS, STYLES, describe, kind_of
from certstream.cli.options import Verbose
from certstream.cli.reading import events, opened
from certstream.cli.running import serve_until
from certstream.cli.script import Play, perform
from certstream.cli.signals import stop_on_signals
from certstream.cli.topics import kafka_settings
from certstream.config import Account, Config, Credentials, Http
from certstream.core.errors import Fatal
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator

PATIENCE = 60.0
"""Seconds: within it, every kind of event has been seen."""


def register(app: typer.Typer) -> None:
    app.command("demo", rich_help_panel="Try")(demo)


def demo(
    kafka: Annotated[str, typer.Option(metavar="HOST:PORT", help="Through this Kafka, in topics of its own.")] = "",
    seconds: Annotated[
        float, typer.Option(min=0, help="How long; 0: until Ctrl-C, or all kinds were seen in a pipe.")
    ] = 0,
    certificates: Annotated[int, typer.Option(min=20, max=2000, help="How many there are at the beginning.")] = 60,
    speed: Annotated[float, typer.Option(min=1, help="How fast they age; at 43200 a day takes two seconds.")] = 43200,
    verbose: Verbose = False,
) -> None:
    """See it at work; it needs nothing: a simulated account, the service, and a journal in a temporary directory.

    Where it writes to a terminal it goes on until Ctrl-C. In a pipe it ends when it has seen every kind of event, with
    exit code 1 if that takes longer than a minute.
    """
    logs.set_up(as_json=False, level="DEBUG" if verbose else "WARNING")
    raise typer.Exit(asyncio.run(_demo(Play(certificates, speed), kafka=kafka, seconds=seconds)))


@dataclass(slots=True)
class Seen:
    """What came, and when the first."""

    began: float = field(default_factory=time.monotonic)
    first: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    everything: asyncio.Event = field(default_factory=asyncio.Event)
    baselined: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, kind: str) -> None:
        if self.first is None:
            self.first = time.monotonic() - self.began
        self.counts[kind] += 1
        if kind == "baselined":
            self.baselined.set()
        if all(self.counts[one] for one in KINDS):
            self.everything.set()


async def _demo(play: Play, *, kafka: str, seconds: float) -> int:
    console = Console(highlight=False, emoji=False)
    seen, stop = Seen(), asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="certstream-demo-") as folder, stop_on_signals(stop):
        async with Simulator(play.simulator()) as simulator:
            config = configured(play, simulator.url, Path(folder), kafka)
            if kafka:
                await _make_topics(config)
            _heading(console, play, config, simulator.url)
            await _play(console, config, play, simulator, seen, stop, seconds)
    _summary(console, seen, kafka)
    missing = [kind for kind in KINDS if not seen.counts[kind]]
    return OK if not missing or (sys.stdout.isatty() and not seconds) else PROBLEMS


def configured(play: Play, url: str, folder: Path, kafka: str) -> Config:
    """The configuration of a demonstration: short thresholds, hurried sweeps, a secret that opens nothing."""
    secret = folder / "secret"
    secret.write_text(DEFAULT_USER.secret)
    account = Account(
        name="demo",
        endpoint=url,
        sts_endpoint=url,
        sweep_every=2.0,
        probe_every=1.0,
        staleness=1.0,
        credentials=Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(secret)),
    )
    data = {
        "journal": f"kafka://{kafka}" if kafka else f"sqlite://{folder}/journal.db",
        # Topics of its own: in another run's history these certificates would be missing, all at once.
        "topic_prefix": f"certstream-demo-{secrets.token_hex(3)}." if kafka else "certstream.",
        "thresholds": play.thresholds,
        "lock_dir": str(folder),  # two demonstrations have the same user, and nothing to do with each other
        "http": Http(listen="127.0.0.1:0"),
        "accounts": (account,),
    }
    try:
        return Config.model_validate(data)
    except ValueError as error:
        raise typer.BadParameter(f"{kafka!r} is not HOST:PORT", param_hint="--kafka") from error


async def _make_topics(config: Config) -> None:
    from certstream.definition import topics
    from certstream.journal.topics import apply

    applied = await apply(kafka_settings(config).client_options(), topics(), prefix=config.topic_prefix)
    if applied.left:
        raise Fatal("; ".join(str(one) for one in applied.left))


async def _play(
    console: Console, config: Config, play: Play, simulator: Simulator, seen: Seen, stop: asyncio.Event, seconds: float
) -> None:
    def say(text: str) -> None:
        console.print(Text(f"                     the account's owner {text}", "dim italic"))

    script = asyncio.create_task(perform(simulator, watched=seen.baselined, say=say))
    tail = asyncio.create_task(_print(console, config, seen))
    ending = asyncio.create_task(_end(seen, seconds))
    service = asyncio.create_task(serve_until(config, stop=stop))
    stopping = asyncio.create_task(stop.wait())
    everyone = (script, tail, ending, service, stopping)
    try:
        done, _ = await asyncio.wait(everyone, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await service
        for task in done:
            task.result()
    finally:
        for task in everyone:
            task.cancel()
        await asyncio.wait(everyone)


async def _print(console: Console, config: Config, seen: Seen) -> None:
    async with opened(config) as journal, contextlib.aclosing(events(journal, beginning=True)) as all_:
        async for stored in all_:
            event = orjson.loads(stored.value or b"{}")
            seen.add(kind_of(event))
            console.print(describe(event), soft_wrap=True)


async def _end(seen: Seen, seconds: float) -> None:
    """Returns when it is over by itself."""
    if seconds:
        await asyncio.sleep(seconds)
    elif sys.stdout.isatty():
        await asyncio.Event().wait()
    else:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await seen.everything.wait()


def _heading(console: Console, play: Play, config: Config, url: str) -> None:
    journal = f"Kafka at {', '.join(config.brokers)}, topics {config.topic_prefix}*" if config.brokers else "SQLite"
    day = f"{86400 / play.speed:.3g} s"
    console.print(Text("certstream demo", "bold"), f"a simulated account at {url}, journal: {journal}", soft_wrap=True)
    for line in (
        f"{play.certificates} certificates, for which a day takes {day}; thresholds {', '.join(play.thresholds)}.",
        "First everything that is there is discovered; then the owner changes something every few seconds.",
        "Times are UTC. "
        + ("Ctrl-C ends it." if sys.stdout.isatty() else "It ends when every kind of event was seen."),
        "",
    ):
        console.print(line, soft_wrap=True)


def _summary(console: Console, seen: Seen, kafka: str) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("event")
    table.add_column("seen", justify="right")
    for kind in (*KINDS, *sorted(set(seen.counts) - set(KINDS))):
        count = seen.counts[kind]
        table.add_row(Text(kind, STYLES.get(kind, "")), Text(str(count), "" if count else "bold red"))
    console.print()
    console.print(table)
    if seen.first is not None:
        console.print(
            f"the first after {seen.first:.1f} s, {sum(seen.counts.values())} in {time.monotonic() - seen.began:.0f} s"
        )
    if kafka:
        console.print("The topics are still there; delete them when you have looked at them.")
    console.print("Your own account: certstream check, then certstream run.")
