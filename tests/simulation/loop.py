"""An event loop whose clock is ours: when nothing is ready, it jumps to the next timer. About 20 µs a virtual call.

Everything that the product runs belongs to a `Process`, found through its context. A process can be killed (nothing of
it runs any more, as after `kill -9`), paused (SIGSTOP: its timers go on, and it wakes up late) or suspended with its
host (its monotonic clock stands still meanwhile).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_800_000_000.0
"""Unix seconds of the loop's time zero."""


class Stuck(Exception):
    """Nothing will ever happen any more, or it does not end."""


@dataclass(slots=True, eq=False)
class Process:
    """What runs of the product on one host. `lag`: seconds for which its monotonic clock stood still."""

    name: str
    host: int = 0
    alive: bool = True
    paused: bool = False
    lag: float = 0.0
    steps: int = 0
    """callbacks that it has run"""
    die_at: int | None = None
    """killed before it runs this callback"""
    backlog: list[asyncio.Handle] = field(default_factory=list)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class _Task(asyncio.Task[T]):
    """Sets of tasks are iterated in the order of their numbers, not of their addresses."""

    number = 0
    process: Process | None = None

    def __hash__(self) -> int:
        return self.number


class Loop(asyncio.BaseEventLoop):
    """See the module. `limit`: seconds after which a history is given up."""

    def __init__(self, *, limit: float = 3600.0) -> None:
        super().__init__()
        self._ready: deque[Any]
        self.now = 0.0
        self.limit = limit
        self.failures: list[str] = []
        """exceptions that nobody caught"""
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._graveyard: list[object] = []
        self._numbers = itertools.count()
        self._tasks = itertools.count(1)
        self._outside = copy_context()
        self._outside.run(PROCESS.set, None)
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._failed)

    def time(self) -> float:
        """Monotonic seconds of whoever asks."""
        process = PROCESS.get()
        return self.now if process is None else self.now - process.lag

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; `when` by the clock of whoever asks."""
        if context is None:
            context = copy_context()
        process = context.get(PROCESS)
        due = when if process is None else when + process.lag
        handle = asyncio.TimerHandle(due, callback, args, self, context)
        heapq.heappush(self._timers, (due, next(self._numbers), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def outside(self, delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call something that belongs to no process, `delay` seconds from now."""
        return self.call_at(self.now + delay, callback, *args, context=self._outside)

    def belonging(self, process: Process, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of a process."""
        context = self._outside.copy()
        context.run(PROCESS.set, process)
        return self.create_task(work, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Inline, so that the order is always the same."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def kill(self, process: Process) -> None:
        """Nothing of it runs any more."""
        process.alive = False
        # Kept, or its coroutines would be closed, and run their `finally`, when the last reference goes.
        self._graveyard += [task for task in asyncio.all_tasks(self) if getattr(task, "process", None) is process]
        self._graveyard.append(process.backlog)
        process.backlog = []

    def pause(self, process: Process) -> None:
        """SIGSTOP, or the host falls asleep."""
        process.paused = True

    def wake(self, process: Process, *, slept: float = 0.0) -> None:
        """Go on; `slept`: seconds by which its monotonic clock is behind now."""
        process.paused = False
        process.lag += slept
        if slept:
            self._timers = [
                (due + slept if _context(handle).get(PROCESS) is process else due, number, handle)
                for due, number, handle in self._timers
            ]
            heapq.heapify(self._timers)
        backlog, process.backlog = process.backlog, []
        self._ready.extend(backlog)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Until `work` is done."""
        return self._outside.copy().run(self.run_until_complete, work)

    def close(self) -> None:
        super().close()
        self._timers.clear()
        self._graveyard.clear()

    def _make_task(self, loop: Any, work: Any, context: Context | None = None, **names: Any) -> asyncio.Task[Any]:
        task: _Task[Any] = _Task.__new__(_Task)
        task.number = next(self._tasks)
        task.process = PROCESS.get() if context is None else context.get(PROCESS)
        task.__init__(work, loop=self, context=context, **names)  # type: ignore[misc]
        return task

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and "never retrieved" not in context["message"]:
            self.failures.append(f"{context['message']}: {error!r}")

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is not None:
                if not process.alive:
                    continue
                if process.paused:
                    process.backlog.append(handle)
                    continue
                if process.steps == process.die_at:
                    self.kill(process)
                    continue
                process.steps += 1
            handle._run()

    def _jump(self) -> None:
        timers, ready = self._timers, self._ready
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing will ever happen any more")
        self.now = max(self.now, timers[0][0])
        if self.now > self.limit:
            raise Stuck(f"it did not end within {self.limit:g} s")
        while timers and timers[0][0] <= self.now:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:
                ready.append(handle)

    def _process_events(self, event_list: Any) -> None: ...

    def _write_to_self(self) -> None: ...


def _context(handle: asyncio.Handle) -> Context:
    context: Context = handle._context  # type: ignore[attr-defined]
    return context


def running() -> Loop:
    """The loop of the history that is played."""
    loop = events.get_running_loop()
    assert isinstance(loop, Loop)
    return loop
