"""SIGHUP: the configuration is read again; what can change while the service runs does, the rest is refused by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from certstream import app
from certstream.config import Account, Config
from certstream.core.errors import CertstreamError, Fatal
from certstream.core.sharding import refuse_two_budgets
from certstream.ports import Fenced, Limiter
from certstream.service.supervisor import Supervisor
from certstream.service.working import Change
from certstream.source.locks import Locks

log = logging.getLogger("certstream")

SETTLED = 0.5
"""Seconds between two readings that must be the same: a file may still be being written."""
_LIMITER = ("limiter", "limiter_password_file", "limiter_ca_file")
_FIXED = ("journal", "topic_prefix", "lock_dir", *_LIMITER, "registry", "http", "kafka")
"""Keys that need a restart."""
_PACE = ("page_size", "sweep_every", "probe_every", "revocations", "qps", "staleness", "uid")
"""Keys of an account that leave its source as it is."""


class Reloading:
    """`run` beside the service; `asked` is set by the signal. `read` reads the configuration."""

    def __init__(
        self,
        supervisor: Supervisor,
        config: Config,
        read: Callable[[], Config],
        locks: Locks,
        limiters: dict[str, Limiter],
        asked: asyncio.Event,
    ) -> None:
        self._supervisor, self._config, self._read = supervisor, config, read
        self._locks, self._limiters = locks, limiters
        self._accounts = {account.name: account for account in config.accounts}
        self._globals = {account.name: config for account in config.accounts}
        self.asked = asked

    async def run(self) -> None:
        """Read it again whenever asked to, for ever."""
        while True:
            await self.asked.wait()
            self.asked.clear()
            try:
                async with self._supervisor.turn:
                    self._supervisor.refused = await self._reload()
            except Fenced:
                raise
            except CertstreamError as error:
                self._supervisor.refused = str(error).splitlines()
            for reason in self._supervisor.refused:
                log.error("config.refused", extra={"reason": reason})
            log.info("config.read", extra={"refused": len(self._supervisor.refused)})

    async def _reload(self) -> list[str]:
        """What was refused. Raises CertstreamError, and has changed nothing, where it cannot be used at all."""
        new = self._read()
        await asyncio.sleep(SETTLED)
        if self._read() != new:
            raise Fatal("the configuration is being written: nothing was changed; send SIGHUP again")
        if "accounts" not in new.model_fields_set and "accounts" in self._config.model_fields_set:
            raise Fatal("the configuration names no accounts: half written? Nothing was changed")
        refused = [
            f"{key} needs a restart: it stays as it was"
            for key in _FIXED
            if getattr(new, key) != getattr(self._config, key)
        ]
        users = ((one.name, one.budget, one.qps, one.uid or None, None) for one in new.accounts)
        refuse_two_budgets(users, limiter=bool(self._config.limiter))
        names = {account.name for account in new.accounts}
        for name in [name for name in self._accounts if name not in names]:
            await self._supervisor.remove(name)
            del self._accounts[name], self._globals[name]
        for account in sorted(new.accounts, key=lambda account: account.name not in self._accounts):
            try:
                await self._take(new, account)
            except Fenced:
                raise
            except CertstreamError as error:
                refused.append(f"account {account.name}: {error}")
        return refused

    async def _take(self, new: Config, account: Account) -> None:
        """Add an account, or change it where it differs from what is in force."""
        supervisor, old = self._supervisor, self._accounts.get(account.name)
        before = self._globals.get(account.name)
        if old is None or before is None:
            await supervisor.add(app.entry(self._fixed(new), account, supervisor.clock, self._locks, self._limiters))
        elif old != account or (new.thresholds, new.pem) != (before.thresholds, before.pem):
            entry = supervisor.entry(account.name)
            assert entry is not None, "what is in force is watched"
            same = old.model_copy(update={key: getattr(account, key) for key in _PACE}) == account
            settings, pace, uid = app.settings(new, account), app.pace(account), account.uid or None
            if entry.limiter is not None and account.qps != old.qps:
                raise Fatal("qps needs a restart where hosts share calls by a limiter: it stays as it was")
            claim = None if same else app.build_claim(account, self._locks, entry.limiter)
            source = app.build_source(account, claim, entry.ownership) if claim is not None else None
            await supervisor.change(account.name, Change(settings, pace, account.qps, uid, source, claim))
        self._accounts[account.name], self._globals[account.name] = account, new

    def _fixed(self, new: Config) -> Config:
        """The new configuration with the limiter that is in force."""
        return new.model_copy(update={key: getattr(self._config, key) for key in _LIMITER})
