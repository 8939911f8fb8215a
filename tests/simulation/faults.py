"""What a plan does to the product's processes, hosts and surroundings, beside what may strike any request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from certstream.service.confirming import NothingToConfirm
from tests.simulation.broker import GONE, Entry, Message, Part
from tests.simulation.lies import LIES, REORDERED, Lies
from tests.simulation.loop import Process
from tests.simulation.scenarios import WORD
from tests.simulation.weather import Fault

if TYPE_CHECKING:
    from tests.simulation.history import History


FOREIGN_ROWS: tuple[Message, ...] = (
    (b"other/abc", b"\x93garbage", ()),
    (b"other", b"garbage", (("who", b"a tool"),)),
    (b"other/abc", None, ()),
    (b"\xff\xfe/abc", b"", ()),
    (b"", b"garbage", ()),
    (b"prodigal/nobody", None, ()),
    (b"prodigal//00ff00ff00ff00ff00ff00ff00ff00ff", None, (("who", b"a tool"),)),
    (b"~shard/1", None, ()),
    (b"~unknown", b"garbage", ()),
)
"""Rows of no account, tombstones of what never was, keys of the journal that nobody reads."""
TORN_ROWS: tuple[Message, ...] = (
    (b"prod/abc", b"\x93garbage", ()),
    (b"prod/abc", b"", (("who", b"a tool"),)),
    (b"prod/\xff", b"garbage", ()),
    (b"prod//nothex", b"\x01", ()),
    (b"prod", b"garbage", ()),
    (b"prod/nobody", None, ()),
    (b"prod//00ff00ff00ff00ff00ff00ff00ff00ff", None, ()),
)


class Faults:
    """Strikes a history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._armed: str | None = None
        self._torn: Entry | None = None
        self._lies = Lies(history.loop, history.upstream, history.population)

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        history = self._history
        history.weather.calm = True
        history.cluster.freeze(False)
        history.offsets = [0.0, 0.0]
        self._mend()
        self._armed = None
        self._lies.end()
        for run in history.runs:
            self._wake(run.process, 0.0)

    def on_end(self, moment: str) -> None:
        """A transaction's end was sent, or applied: whoever is to die there dies."""
        if self._armed == f"kill.{moment}":
            self._armed = None
            self._kill(0.0)

    def strike(self, fault: Fault) -> None:
        history = self._history
        deeds: dict[str, Callable[[Fault], None]] = {
            "kill": lambda fault: self._kill(fault.size),
            "stop": self._stop,
            "pause": partial(self._pause, slept=False),
            "suspend": partial(self._pause, slept=True),
            "second": lambda fault: history.start(),
            "cut": self._cut,
            "jump": self._jump,
            **dict.fromkeys(LIES, self._lie),
            REORDERED: self._lies.strike,
            WORD: self._confirm,
            "compact": lambda fault: history.broker.compact(f"{history.cluster.prefix}state"),
            "kafka.stale": self._stale,
            "state.foreign": self._write_foreign,
            "state.torn": self._tear,
        }
        if fault.kind in ("kill.sent", "kill.applied"):
            self._armed = fault.kind
        elif fault.kind in deeds:
            deeds[fault.kind](fault)

    def _kill(self, size: float) -> None:
        """Kill the newest after some more of its callbacks."""
        for run in self._history.living()[-1:]:
            run.process.die_at = run.process.steps + int(size * 300)

    def _stop(self, fault: Fault) -> None:
        for run in self._history.living()[-1:]:
            run.stop.set()

    def _pause(self, fault: Fault, *, slept: bool) -> None:
        for run in self._history.living()[:1]:
            self._history.loop.pause(run.process)
            self._history.loop.outside(fault.length, self._wake, run.process, fault.length if slept else 0.0)
            if fault.share < 0.5:
                self._start_another()

    def _wake(self, process: Process, slept: float) -> None:
        if process.paused:
            self._history.loop.wake(process, slept=slept)

    def _cut(self, fault: Fault) -> None:
        """The newest no longer reaches the brokers, though it reaches the API; another is started."""
        for run in self._history.living()[-1:]:
            self._history.cluster.cut[run.process] = self._history.loop.now + fault.length
            self._history.loop.outside(fault.size * 5, self._start_another)

    def _start_another(self) -> None:
        if not self._history.weather.calm:
            self._history.start()

    def _jump(self, fault: Fault) -> None:
        host = int(fault.share * 10) % 2
        self._history.offsets[host] += fault.size
        self._history.loop.outside(fault.length, self._jump_back, host)

    def _jump_back(self, host: int) -> None:
        self._history.offsets[host] = 0.0

    def _stale(self, fault: Fault) -> None:
        self._history.cluster.freeze(True)
        self._history.loop.outside(fault.length, self._history.cluster.freeze, False)

    def _write_foreign(self, fault: Fault) -> None:
        """Somebody writes into `state` what is nobody's: it is passed over."""
        rows = FOREIGN_ROWS
        self._history.broker.inject(self._part(), rows[int(fault.size * len(rows))])

    def _tear(self, fault: Fault) -> None:
        """Somebody writes into `state` what an account's history cannot hold: nobody starts with it until it is gone
        (tombstone and cleaner)."""
        if self._torn is None and self._history.baselined():
            rows = TORN_ROWS
            self._torn = self._history.broker.inject(self._part(), rows[int(fault.size * len(rows))])
            self._history.torn.append((self._history.loop.now, float("inf")))
            self._history.loop.outside(fault.length, self._mend)

    def _mend(self) -> None:
        if self._torn is not None:
            self._torn.state, self._torn = GONE, None
            self._history.torn[-1] = (self._history.torn[-1][0], self._history.loop.now)

    def _part(self) -> Part:
        """The partition of `state` that holds the accounts."""
        name = f"{self._history.cluster.prefix}state"
        return next((part for part, _ in self._history.broker.logs() if part[0] == name), (name, 0))

    def _confirm(self, fault: Fault) -> None:
        for run in self._history.living():
            with suppress(NothingToConfirm):
                run.supervisor.confirm(next(iter(self._history.populations)), "olga", "they are gone")

    def _lie(self, fault: Fault) -> None:
        if self._history.baselined() and self._history.plan.certificates >= 8:
            self._lies.strike(fault)
