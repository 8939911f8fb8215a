"""`check`: everything that `run` needs, tried for real; a line each, ✓ or what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from certstream.cli.exits import OK, PROBLEMS, USAGE, leaves
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, default_file
from certstream.cli.running import make_folder
from certstream.cli.topics import differences_of, kafka_settings
from certstream.config import Account, Config, ConfigError, load
from certstream.core.errors import CertstreamError, Fatal
from certstream.core.wire import STATE, Put
from certstream.ports import Source

PATIENCE = 60.0
"""Seconds for one trial; each has shorter deadlines of its own."""


class CheckLine(NamedTuple):
    """One thing that was tried. `text`: what was found, or what to do."""

    name: str
    ok: bool
    text: str


def register(app: typer.Typer) -> None:
    app.command("check", rich_help_panel="Run")(check)


def check(config: ConfigFile = None) -> None:
    """Try everything that [cyan]run[/cyan] needs: configuration, journal (a real transaction), topics, and for each
    account credentials, permission, endpoint and clock. A line each: ✓, or ✗ and what to do. Publishes nothing.
    """
    raise typer.Exit(asyncio.run(_check(config)))


async def _check(file: Path | None) -> int:
    console = Console(highlight=False, emoji=False)
    path = file if file is not None else default_file()
    shown = str(path) if path is not None else "no file: defaults and environment"
    try:
        config = load(path, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            _print(console, CheckLine("configuration", False, problem))
        return USAGE
    accounts = ", ".join(account.name for account in config.accounts)
    _print(console, CheckLine("configuration", True, f"{shown}; accounts: {accounts}; journal: {config.journal}"))
    good = True
    async for line in lines(config):
        _print(console, line)
        good &= line.ok
    return OK if good else PROBLEMS


def _print(console: Console, line: CheckLine) -> None:
    sign, style = ("✓", "green") if line.ok else ("✗", "bold red")
    console.print(Text.assemble((sign, style), " ", (line.name, "bold"), f": {safe(line.text, 1000)}"), soft_wrap=True)


async def lines(config: Config) -> AsyncIterator[CheckLine]:
    """Try one thing after the other; nothing that fails keeps the others from being tried."""
    topics = await _tried("topics", _topics(config)) if config.brokers else None
    if topics is not None:
        yield topics
    yield await _tried("journal", _kafka(config) if config.brokers else _sqlite(config))
    for account in config.accounts:
        async for line in _account(account, service if service is not None and account.name in service.accounts else None):
            yield line


async def _tried(name: str, trial: Awaitable[str]) -> CheckLine:
    """The line of one trial; its error says what to do."""
    try:
        async with asyncio.timeout(PATIENCE):
            return CheckLine(name, True, await trial)
    except TimeoutError:
        return CheckLine(name, False, f"no answer within {PATIENCE:g} s")
    except (CertstreamError, ExceptionGroup) as error:
        return CheckLine(name, False, "; ".join(str(one) for one in leaves(error)))


async def _topics(config: Config) -> str:
    differences = await differences_of(config)
    if differences:
        mend = "run: certstream topics apply" if any(one.mendable for one in differences) else ""
        raise Fatal("; ".join([*(str(one) for one in differences[:3]), f"{len(differences)} differences in all", mend]))
    return f"as defined, with the prefix {config.topic_prefix}"


async def _kafka(config: Config) -> str:
    """A transaction and a fence under an id of its own, so that a running service notices nothing: the record is a
    tombstone of a key that nobody has."""
    from certstream.journal.kafka_producer import Producer, is_fence

    settings = kafka_settings(config)
    scratch = replace(settings, transactional_prefix=f"{settings.transactional_prefix}-check")
    put = Put(STATE, b"~check", None)
    older = newer = None
    try:
        older = await Producer.fence(scratch, 0)
        await older.transact([put])
        newer = await Producer.fence(scratch, 0)
        try:
            await older.transact([put])
        except Exception as error:
            if not is_fence(error):
                raise
        else:
            raise Fatal(
                "a producer that should have been fenced could still commit; exactly-once needs a broker that fences"
            )
        await newer.transact([put])
    except CertstreamError:
        raise
    except Exception as error:
        mend = "may this user write to the topics, and use the transactional id (Write, Describe on TransactionalId)?"
        raise Fatal(f"a transaction fails: {error or type(error).__name__}; {mend}") from error
    finally:
        for producer in (older, newer):
            if producer is not None:
                await producer.drop()
    return f"Kafka at {', '.join(config.brokers)}: a transaction was committed, an older writer was fenced"


async def _sqlite(config: Config) -> str:
    """A shard is opened and owned as `run` does it; without a journal yet, in a file beside it."""
    from certstream.app import build_journal

    path = config.journal_path
    assert path is not None
    make_folder(config)
    new = not path.exists()
    tried = config if not new else config.model_copy(update={"journal": f"sqlite://{path}.check"})
    journal = build_journal(tried)
    try:
        await journal.start()
        # Any shard will do, for the lock is the file's: the last one has no owner yet, mostly.
        shard = await journal.open(journal.partitions - 1, lambda key, value: None)
        before = shard.opened
        await shard.verify()
        await shard.close(release=before.released or not before.previous)
    except Fatal as error:
        if "is being written by" in str(error):  # nothing is wrong with it
            return f"{path}: in use; {error}"
        raise
    finally:
        await journal.close()
        if new:
            for left in path.parent.glob(f"{path.name}.check*"):
                left.unlink()
    return f"{path}: " + ("can be made, locked and written" if new else "locked, a transaction was committed")


async def _account(account: Account, service: Service | None) -> AsyncIterator[CheckLine]:
    from certstream.app import build_source

    name = f"account {account.name}"
    if service is not None:  # its calls are counted there: one of ours could be the eleventh
        state = service.accounts.get(account.name, {})
        good = state.get("state") in ("healthy", "baseline") or not service.accounts
        told = f"{state.get('state')}{': ' + state['reason'] if state.get('reason') else ''}" if state else "not asked"
        yield CheckLine(name, good, f"not called, for {service.name} holds its ten calls a second; it says: {told}")
        return
    try:
        source = build_source(account)
    except CertstreamError as error:
        yield CheckLine(name, False, str(error))
        return
    try:
        yield await _tried(f"{name}, credentials", _credentials(source))
        yield await _tried(f"{name}, permission and endpoint", _listing(account, source))
    finally:
        await source.close()


async def running_service(config: Config) -> Service | None:
    """The service that runs with this configuration on this host, as its `/readyz` tells; else who writes the file."""
    from certstream.cli.running import token_of

    host, port = config.http.address or ("", 0)
    if port:
        token = token_of(config)
        url = f"http://{host if is_loopback(host) and ':' not in host else '127.0.0.1'}:{port}/readyz"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
                async with session.get(url, headers=headers, allow_redirects=False) as answer:
                    told = orjson.loads(await answer.content.read(1 << 20))
            if isinstance(told, dict) and isinstance(told.get("accounts"), dict):
                return Service(f"the service at {url}", told["accounts"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            pass
    return None


async def _credentials(source: Source) -> str:
    uid = await source.uid()
    return f"they belong to user {uid}" if uid else "who they belong to is not asked here (no sts_endpoint)"


async def _listing(account: Account, source: Source) -> str:
    answer = await source.list(page=1, size=account.page_size)
    total, trip = answer.page.total, answer.received - answer.sent
    text = f"{account.endpoint} lists {total} certificates, in {trip * 1000:.0f} ms"
    if answer.page.size is not None and answer.page.size < account.page_size:
        text += f"; it gives {answer.page.size} a page at most, which is noticed and used"
    if answer.date is not None and abs(skew := (answer.received_at - answer.date) / 1000) > 5:
        raise Fatal(
            f"{text}; but this host's clock is {skew:+.0f} s off: set it (NTP), or thresholds are told at wrong times"
        )
    return text
