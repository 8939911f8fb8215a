"""A world of a test: a simulated account, the service that watches it as `app` builds it, and what it has published.

Nothing here waits for a fixed time: `until` looks at a condition until it holds or its deadline has passed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from certstream.app import build, build_journal, build_locks, kafka_config
from certstream.config import Account, Config, Credentials
from certstream.core.wire import Stored
from certstream.definition import topics
from certstream.journal.topics import apply as make_topics
from certstream.service.clock import Clock
from certstream.service.supervisor import Supervisor
from certstream.simulator import DEFAULT_KEY, DEFAULT_USER, Simulator, SimulatorConfig
from tests.service.audit import TOPICS, faults, pace

PATIENCE = 40.0
"""Seconds after which a condition is given up."""
SECRET = DEFAULT_USER.secret


class _Calm(random.Random):
    """Dice that make every backoff short, so that a test need not wait for it."""

    def random(self) -> float:
        return 0.02


_INSIDE: ContextVar[object] = ContextVar("inside")
"""Whose tasks these are, where several worlds run at once."""


class Lines(logging.Handler):
    """Every log record of a world, and of threads and callbacks that belong to none."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _INSIDE.get(self) is self:
            self.records.append(record)

    def text(self) -> str:
        """All of it, what is in `extra` and in tracebacks included."""
        form = logging.Formatter()
        return "\n".join(f"{form.format(record)} {record.__dict__}" for record in self.records)


class World:
    """See the module. `service` is what runs now; `start`, `stop` and `kill` may be repeated."""

    def __init__(self, directory: Path, simulator: Simulator, answers: Path, config: Config, lines: Lines) -> None:
        self.directory, self.simulator, self.config = directory, simulator, config
        self.lines = lines
        self.events: list[dict[str, Any]] = []
        self.records: list[Stored] = []
        """of `events`, `accounts` and `quarantine`, as they were read by somebody who follows"""
        self.secrets = {SECRET}
        self.deadline: float | None = None
        """of a call, where it is not the product's own"""
        self.service: Supervisor | None = None
        self.task: asyncio.Task[bool] | None = None
        self._answers, self._read, self._calls = answers, 0, list[dict[str, Any]]()
        self._stop = asyncio.Event()
        self._over = False
        self.born = time.time()

    # --- The service --------------------------------------------------------------------------------------------

    async def start(self, config: Config | None = None, *, baselined: bool = True, clock: Clock | None = None) -> None:
        """Begin a service on this journal; wait for its baseline."""
        assert self.task is None, "it runs already"
        self.config = config or self.config
        self._stop = asyncio.Event()
        clock = clock or Clock(random=_Calm())
        self.locks = build_locks(self.config, clock)
        self.service = build(self.config, clock=clock, locks=self.locks)
        if self.deadline is not None:
            for entry in self.service.entries:
                entry.source._deadline = self.deadline  # type: ignore[attr-defined]
        self.task = asyncio.create_task(self.service.run(self._stop))
        if baselined:
            for account in self.config.accounts:
                await self.event("account.baselined", account.name)

    async def stop(self) -> bool:
        """What SIGTERM does."""
        self._stop.set()
        return await self.ended()

    async def ended(self) -> bool:
        """The end of the service, by itself or after `stop`; what it raises."""
        assert self.task is not None
        task, self.task = self.task, None
        async with asyncio.timeout(PATIENCE):
            return await task

    async def kill(self) -> None:
        """Nothing orderly: what the process held is gone, what it had not committed never was."""
        if self.task is None:
            return
        task, self.task = self.task, None
        task.cancel()
        _, hanging = await asyncio.wait([task], timeout=PATIENCE)
        assert not hanging, f"the service does not end when it is cancelled: {task.get_stack()}"
        with suppress(asyncio.CancelledError):
            task.result()

    # --- Waiting and looking ------------------------------------------------------------------------------------

    async def until(self, what: str, holds: Callable[[], Any], *, within: float = PATIENCE) -> None:
        """Wait for a condition. An end of the service that nobody asked for fails at once."""
        try:
            async with asyncio.timeout(within):
                while not holds():
                    if self.task is not None and self.task.done():
                        await self.ended()
                        raise AssertionError(f"the service ended before {what}")
                    await asyncio.sleep(0.005)
        except TimeoutError:
            told = [f"{one['type']} {one['subject']}" for one in self.events]
            log = [f"{line.getMessage()} {getattr(line, 'reason', '')}" for line in self.lines.records]
            raise AssertionError(f"never: {what}; events {told[-20:]}; log {log[-20:]}") from None

    def told(self, kind: str, subject: str | None = None) -> list[dict[str, Any]]:
        """Events of a kind (`certificate.new`, `account.suspect`), about a subject."""
        return [
            one for one in self.events if one["type"] == f"certstream.{kind}.v1" and subject in (None, one["subject"])
        ]

    async def event(self, kind: str, subject: str | None = None, *, count: int = 1) -> dict[str, Any]:
        """The `count`th event of a kind about a subject, when it comes."""
        await self.until(f"{count} × {kind} of {subject}", lambda: len(self.told(kind, subject)) >= count)
        return self.told(kind, subject)[count - 1]

    def said(self, line: str, account: str | None = None) -> list[logging.LogRecord]:
        """Log lines of this name."""
        return [
            one
            for one in self.lines.records
            if one.getMessage() == line and account in (None, getattr(one, "account", None))
        ]

    async def says(self, line: str, *, count: int = 1, account: str | None = None) -> logging.LogRecord:
        """The `count`th log line of this name from now on, when it comes."""
        before = len(self.said(line, account))
        await self.until(f"{count} × {line}", lambda: len(self.said(line, account)) >= before + count)
        return self.said(line, account)[before + count - 1]

    async def until_said(self, line: str) -> logging.LogRecord:
        """The first log line of this name, when it comes or came."""
        await self.until(line, lambda: self.said(line))
        return self.said(line)[0]

    async def sweeps(self, count: int = 2, account: str | None = None) -> None:
        """So many complete sweeps that end from now on; the second one also began after now."""
        await self.says("sweep.complete", count=count, account=account)

    def state(self, account: str = "prod") -> dict[str, Any]:
        """The newest record of `accounts`."""
        found = [one for one in self.records if one.topic == "accounts" and one.key == account.encode()]
        return dict(json.loads(found[-1].value or b"{}")) if found else {}

    async def health(self, state: str, account: str = "prod") -> dict[str, Any]:
        """The record of `accounts` that says so."""
        await self.until(f"{account} is {state}", lambda: self.state(account).get("state") == state)
        return self.state(account)

    def quarantined(self) -> list[dict[str, Any]]:
        """Records of `quarantine`."""
        return [json.loads(one.value or b"") for one in self.records if one.topic == "quarantine"]

    def calls(self) -> list[dict[str, Any]]:
        """Lines of the simulator's answer log: calls that are over."""
        with self._answers.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if line.endswith(b"\n"):
                    self._calls.append(json.loads(line))
                    self._read += len(line)
        return self._calls

    def pace(self, qps: int) -> list[str]:
        """Seconds with more arrivals than that."""
        return pace(self.calls(), qps=qps)

    def look_ups(self, identifier: str | None = None) -> list[dict[str, Any]]:
        """Calls with an `Identifier`."""
        return [
            call
            for call in self.calls()
            if "Identifier" in call["params"] and identifier in (None, call["params"]["Identifier"])
        ]

    # --- What was published -------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Read what is committed, as a subscriber does."""
        journal = build_journal(self.config)
        await journal.start()
        kafka, at = bool(self.config.brokers), dict[tuple[str, int], int]()
        try:
            while not self._over:
                # The embedded journal is asked again and again: whoever cancels its reader may crash the process.
                async for record in journal.read(["events", "accounts", "quarantine"], start=at, follow=kafka):
                    at[record.topic, record.partition] = record.offset + 1
                    self.records.append(record)
                    if record.topic == "events":
                        self.events.append(json.loads(record.value or b""))
                await asyncio.sleep(0.02)
        finally:
            await journal.close()

    async def unfollow(self, following: asyncio.Task[None]) -> None:
        """The end of `follow`."""
        self._over = True
        if self.config.brokers:
            following.cancel()
        await asyncio.wait([following], timeout=PATIENCE)

    async def everything(self) -> list[Stored]:
        """All records of all topics, read from the beginning."""
        journal = build_journal(self.config)
        await journal.start()
        try:
            return [record async for record in journal.read(TOPICS)]
        finally:
            await journal.close()

    async def audit(self, *, paced: bool = True) -> None:
        """Fails for any breach of the contract, in the journal, on the wire, in the log."""
        found = faults(await self.everything(), secrets=self.secrets)
        if paced:
            found += pace(self.calls())
            found += [
                f"call {call['call']}: {call['code']}" for call in self.calls() if call["code"] == "Throttling.User"
            ]
        text = self.lines.text()
        found += [f"the log holds the secret {secret[:4]}…" for secret in self.secrets if secret in text]
        found += [
            f"{one.name}: {one.getMessage()}"
            for one in self.lines.records
            if one.name == "asyncio" and one.levelno >= logging.ERROR
        ]
        assert not found, "\n".join(found)


def account(directory: Path, simulator: Simulator, name: str = "prod", **changes: Any) -> Account:
    """An account with a key of the simulator and hurried settings."""
    secret = directory / f"secret-{name}"
    if not secret.exists():
        secret.write_text(SECRET)
    settings: dict[str, Any] = {
        "name": name,
        "endpoint": simulator.url,
        "page_size": 5,
        "sweep_every": 0.2,
        "probe_every": 0.1,
        "staleness": 0.5,
        "revocations": False,  # what most tests put in the place of answers is about one list
        "credentials": Credentials(access_key_id=DEFAULT_KEY, access_key_secret_file=str(secret)),
    }
    return Account(**{**settings, **changes})


@asynccontextmanager
async def living(
    directory: Path,
    *,
    certificates: int = 7,
    simulator: SimulatorConfig | None = None,
    accounts: Callable[[Simulator], tuple[Account, ...]] | None = None,
    settings: Mapping[str, Any] | None = None,
    started: bool = True,
    paced: bool = True,
    **changes: Any,
) -> AsyncIterator[World]:
    """A world whose service has its baseline; audited at the end. `changes` are of the account, `settings` of the
    configuration."""
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    lines = Lines()
    _INSIDE.set(lines)
    answers = directory / "answers.jsonl"
    chosen = simulator or SimulatorConfig(certificates=certificates)
    async with Simulator(chosen, answers=answers) as running:
        made = accounts(running) if accounts is not None else (account(directory, running, **changes),)
        config = Config.model_validate(
            {
                "journal": f"sqlite://{directory}/journal.db",
                "lock_dir": f"{directory}/host",
                "accounts": made,
                **(settings or {}),
            }
        )
        if config.brokers:
            await make_topics(kafka_config(config).client_options(), topics(), prefix=config.topic_prefix)
        world = World(directory, running, answers, config, lines)
        logging.getLogger().addHandler(world.lines)
        logging.getLogger("certstream").setLevel(logging.DEBUG)
        following = asyncio.create_task(world.follow())
        try:
            if started:
                await world.start()
            yield world
            if world.task is not None and world.task.done():
                await world.ended()
            await world.kill()
            await world.audit(paced=paced)
        finally:
            await world.kill()
            await world.unfollow(following)
            logging.getLogger().removeHandler(world.lines)
