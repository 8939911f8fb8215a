"""Small ways with tasks that the service needs at its start and at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from certstream.core.errors import CertstreamError

T = TypeVar("T")


class Stop(Exception):
    """Raised in a task group, ends its tasks, those that come at this moment too: nothing went wrong."""


async def awaited(work: Callable[[], Awaitable[None]]) -> None:
    """A coroutine of anything that can be awaited."""
    await work()


async def in_turns(steps: Iterable[None]) -> None:
    """Do what takes long in its steps, between which everybody else has a turn."""
    for _ in steps:
        await asyncio.sleep(0)


async def rest(changed: asyncio.Event, seconds: float) -> None:
    """Do nothing for a while; `changed` ends it, and is cleared."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
    changed.clear()


def first_of(errors: BaseExceptionGroup[CertstreamError]) -> BaseException:
    """The first of the errors that ended a task group."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, within: float) -> T | None:
    """The result of `work`; None where `stop` came first, and `work` was cancelled, `within` seconds to end."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=within)
    return None if task.cancelled() or not task.done() else task.result()
