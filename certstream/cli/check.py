"""`check`: everything that `run` needs, tried for real; a line each, ✓ or what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from certstream.cli import trials
from certstream.cli.beside import Service, running_service
from certstream.cli.exits import OK, PROBLEMS, USAGE
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, default_file
from certstream.cli.trials import CheckLine, tried
from certstream.config import Account, Config, ConfigError, load
from certstream.core.errors import CertstreamError, Fatal
from certstream.core.pacing import SECOND
from certstream.ports import Held, Limiter
from certstream.service.budget import Budget
from certstream.service.clock import Clock

if TYPE_CHECKING:
    from certstream.source.locks import Locks


def register(app: typer.Typer) -> None:
    app.command("check", rich_help_panel="Run")(check)


def check(config: ConfigFile = None) -> None:
    """Try everything that [cyan]run[/cyan] needs, a line each: ✓, or ✗ and what to do. It publishes nothing.

    Configuration, schemas, topics, journal (with a real transaction, and the fence against a second writer), and for
    each account credentials, whose they are, permission, endpoint and clock. A call that fails in a way that may pass
    is made three times, within the account's slots. Where a service runs beside it, that one is asked instead.

    Exit code 1 where a line is ✗, 2 where it is the configuration's.
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
    from certstream.app import build_limiters, build_locks

    service = await running_service(config)
    yield await tried("schemas", trials.schemas())
    if config.brokers:
        yield await tried("topics", trials.topics(config))
        yield await tried("journal", trials.kafka(config))
        if config.registry:
            yield await tried("registry", trials.registry(config))
    else:
        try:
            yield await tried("journal", trials.sqlite(config))
        except trials.InUse as error:
            yield CheckLine("journal", True, f"{config.journal_path}: process {error.process} writes it; left alone")
            service = service or Service(f"process {error.process}", {})
    clock = Clock()
    try:
        limiters = build_limiters(config, clock)
    except CertstreamError as error:
        yield CheckLine("limiter", False, str(error))
        return
    away = False
    if limiters:
        yield (line := await tried("limiter", trials.limiter(limiters.values())))
        away = not line.ok
    budgets = {
        account.budget: Budget(account.qps, clock=clock, limiter=limiters.get(account.budget))
        for account in config.accounts
    }
    users = {account.name: account.uid for account in config.accounts if account.uid}
    locks = build_locks(config, clock)
    try:
        for account in config.accounts:
            if service is not None and (account.name in service.accounts or not service.accounts):
                yield _told(account, service)
            else:
                paced = Paced(budgets[account.budget], limiters.get(account.budget), away)
                async for line in _called(account, paced, users, locks):
                    yield line
    finally:
        await asyncio.gather(*(budget.close() for budget in budgets.values()))
        locks.release(clock.boot() + SECOND)  # no call is under way
    if locks.unusable is not None and not limiters:
        yield CheckLine(
            "lock_dir", True, f"not used, so that nothing shows who else makes these calls: {locks.unusable}"
        )
    if len(config.accounts) > 1:
        yield await tried("budgets", trials.budgets(config.accounts, users, limiter=bool(limiters)))


def _told(account: Account, service: Service) -> CheckLine:
    """Nothing is called: the service counts its calls, and ours could be the eleventh in a second."""
    name = f"account {account.name}"
    if account.name not in service.accounts:
        return CheckLine(name, True, f"not called, for {service.name} holds its ten calls a second")
    state = service.accounts[account.name]
    why = f", {state['reason']}" if state.get("reason") else ""
    revocations = state.get("revocations")
    if isinstance(revocations, dict) and revocations.get("state") in ("denied", "failing"):
        why += f"; revocations are seen by sweeps alone, {revocations.get('reason')}"
    good = state.get("state") in ("healthy", "baseline", "starting", "throttled")  # no fault of what is tried here
    return CheckLine(name, good, f"not called, for {service.name} polls it, and says: {state.get('state')}{why}")


@dataclass(frozen=True, slots=True)
class Paced:
    """What gives the slots of an account. `away`: the limiter does not answer."""

    budget: Budget
    limiter: Limiter | None
    away: bool

    def user(self, uid: str | None) -> str | None:
        """The user is known, or not; gives why no slot can be had, if so. Raises Fatal for two users of one budget."""
        if self.limiter is None:
            return None
        if uid is not None:
            self.limiter.user(uid)
        return "the limiter does not answer" if self.away else self.limiter.away


async def _called(account: Account, paced: Paced, users: dict[str, str], locks: Locks) -> AsyncIterator[CheckLine]:
    from certstream.app import build_claim, build_source

    name = f"account {account.name}"
    try:
        claim = build_claim(account, locks, paced.limiter)
        source = build_source(account, claim)
    except CertstreamError as error:
        yield CheckLine(name, False, str(error))
        return
    try:
        await claim.begin()
        there = await tried(f"{name}, credentials", trials.credentials(account, claim))
        yield there
        if there.ok:  # else the same would be told thrice
            yield await tried(f"{name}, user", trials.user(account, source, users))
            if account.name in users:
                claim.user(users[account.name])
            if (why := paced.user(users.get(account.name))) is not None:
                yield CheckLine(f"{name}, permission and endpoint", False, f"not tried: {why}")
                return
            paced.budget.hold(max(claim.left(), paced.budget.held(), 0.0))
            yield (
                line := await tried(f"{name}, permission and endpoint", trials.listing(account, source, paced.budget))
            )
            if line.ok and account.revocations:
                yield await tried(f"{name}, revocations", trials.revocations(account, source, paced.budget))
        else:
            yield CheckLine(f"{name}, permission and endpoint", False, "not tried, for there are no credentials")
    except Held as error:
        yield CheckLine(name, True, f"not called: {error}")
    except Fatal as error:
        yield CheckLine(f"{name}, permission and endpoint", False, str(error))
    finally:
        await source.close()
