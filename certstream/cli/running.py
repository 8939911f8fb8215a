"""`run` and `once`: the service until it is asked to stop, or one sweep."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import typer

from certstream.cli.beside import running_service, token_of
from certstream.cli.exits import FATAL, OK, PROBLEMS
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, LogJson, Verbose, configuration, default_file, log_to_stderr
from certstream.cli.signals import ask_on_hangup, stop_on_signals
from certstream.config import Config
from certstream.core.errors import Fatal
from certstream.ports import Held

if TYPE_CHECKING:
    pass

GRACE = 9.0
"""Seconds from the signal to the end: what hangs longer is left; whatever was committed stays committed."""

_WELL = ("healthy", "baseline")

log = logging.getLogger("certstream")


def register(app: typer.Typer) -> None:
    app.command("run", rich_help_panel="Run")(run)
    app.command("once", rich_help_panel="Run")(once)


def run(config: ConfigFile = None, log_json: LogJson = False, verbose: Verbose = False) -> None:
    """Watch the accounts and publish every change, until SIGTERM or Ctrl-C.

    It finishes the commit in hand and stops within ten seconds. Killed at any point it loses nothing and repeats
    nothing: the next start goes on from the last commit.

    Health and metrics: http://127.0.0.1:8080/livez, /readyz, /metrics (key [cyan]http.listen[/cyan]).
    """
    _start(config, once=False, log_json=log_json, verbose=verbose)


def once(config: ConfigFile = None, log_json: LogJson = False, verbose: Verbose = False) -> None:
    """Sweep every account once, publish what changed, and exit: for cron.

    Exit code 1, and why on stderr, where a sweep was not complete, or where an account is suspect: so much of what was
    there is gone that the list is not believed, and deleted, new and changed are held back.

    Beside a running service it says that the account's calls are taken, and exits.
    """
    _start(config, once=True, log_json=log_json, verbose=verbose)


def _start(file: ConfigFile, *, once: bool, log_json: bool, verbose: bool) -> None:
    log_to_stderr(as_json=log_json, verbose=verbose)
    file = file if file is not None else default_file()  # one that is gone later is missed, not done without
    config = configuration(file)
    read = None if once else lambda: configuration(file)
    raise typer.Exit(asyncio.run(_until_signal(config, once=once, read=read)))


async def _until_signal(config: Config, *, once: bool, read: Callable[[], Config] | None) -> int:
    stop, asked = asyncio.Event(), asyncio.Event()
    with nullcontext() if once else ask_on_hangup(asked), stop_on_signals(stop):
        return await serve_until(config, stop=stop, once=once, read=read, asked=asked)


async def serve_until(
    config: Config,
    *,
    stop: asyncio.Event,
    once: bool = False,
    read: Callable[[], Config] | None = None,
    asked: asyncio.Event | None = None,
) -> int:
    """The service, and beside `run` its HTTP server, until `stop`, then GRACE seconds at most. Gives the exit code.
    `read` reads the configuration again, whenever `asked`."""
    from certstream import app, web
    from certstream.cli.reloading import Reloading
    from certstream.service.clock import Clock

    if sys.flags.optimize:
        # aiokafka guards its transaction state with `assert`; without them a broken transaction looks well.
        raise Fatal("python -O (or PYTHONOPTIMIZE) takes away checks that exactly-once rests on; run without it")
    if once and (other := await running_service(config)) is not None:
        shared = sorted({account.name for account in config.accounts} & other.accounts.keys())
        if shared:
            raise Held(f"{other.name} polls {', '.join(shared)} and holds the calls; stop it, or leave the sweep to it")
    make_folder(config)
    clock = Clock()
    locks, limiters = app.build_locks(config, clock), app.build_limiters(config, clock)
    supervisor = app.build(config, clock=clock, locks=locks, limiters=limiters)
    async with AsyncExitStack() as stack:
        if config.http.listen and not once:
            status, registry = supervisor.status, supervisor.metrics.registry
            address = await stack.enter_async_context(
                web.serve(
                    config.http.listen,
                    registry=registry,
                    status=status,
                    token=token_of(config),
                    confirm=supervisor.confirm,
                    forget=supervisor.forget,
                )
            )
            log.info("http.listening", extra={"address": address})
        beside = None
        if read is not None and asked is not None:
            beside = Reloading(supervisor, config, read, locks, limiters, asked).run
        complete = await _bounded(supervisor.run(stop, once=once, beside=beside), stop)
    return OK if _judged(supervisor.status()["accounts"], complete=complete, once=once) else PROBLEMS


def _judged(accounts: Mapping[str, Mapping[str, Any]], *, complete: bool, once: bool) -> bool:
    """Whether it ended well. After one sweep, a line on stderr for each account that is not well, as cron mails it."""
    if not once:
        return complete
    told = {name: one for name, one in accounts.items() if one["state"] not in _WELL or one["reason"]}
    for name, one in told.items():
        why = f": {one['reason']}" if one["reason"] else ""
        print(f"certstream: account {safe(name)} is {one['state']}{safe(why, 1000)}", file=sys.stderr)
    if not complete and not told:
        print("certstream: a sweep was not complete; the log says why", file=sys.stderr)
    return complete and all(one["state"] != "suspect" for one in accounts.values())


async def _bounded(service: Coroutine[Any, Any, bool], stop: asyncio.Event) -> bool:
    running = asyncio.create_task(service)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait((running,), timeout=GRACE)
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait((running,), timeout=GRACE)
        raise
    finally:
        stopping.cancel()
    if not done:
        log.error("stop.timeout", extra={"seconds": GRACE, "meaning": "left what hung; nothing committed is lost"})
        os._exit(FATAL)
    return running.result()


def make_folder(config: Config) -> None:
    """The folder of an embedded journal, at the first start. Raises Fatal."""
    if config.journal_path is not None:
        try:
            config.journal_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            mend = "name another place with the key journal"
            raise Fatal(f"{config.journal_path.parent} cannot be made: {error.strerror}; {mend}") from error
