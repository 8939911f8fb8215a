"""Lock files: which users' calls this process makes on this host, and whether whoever made them before still may.

A file each, in a folder that every process of the host sees, locked by `flock` until `release` or death. It says for
people who holds it, and for the next holder since when all slots are back: without that mark the holder was killed, and
its last calls may still count. Times are of the boot clock, and of one boot: after it nobody calls any more.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from certstream.ports import Held

log = logging.getLogger("certstream")

FOLDERS: Final = (Path("/dev/shm"), Path("/tmp"))
"""Where every user of a host may write, whatever the environment says: the first that is there. Unlike /tmp, /dev/shm
is the host's in a hardened systemd unit too (PrivateTmp, ProtectSystem, PrivateDevices), and not cleaned by age."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LONGEST: Final = 4096


def default_folder() -> Path:
    """The same for every process of a host (of a container: it is a host of its own)."""
    return next((one for one in FOLDERS if one.is_dir()), FOLDERS[-1])


class Record(msgspec.Struct, frozen=True):
    """What a lock file holds. `released`: boot-time seconds from which all slots are back; None while it is held."""

    pid: int
    command: str
    folder: str
    since: str
    boot: str
    released: float | None = None

    @classmethod
    def mine(cls) -> Self:
        """Of this process, beginning now."""
        return cls(
            pid=os.getpid(),
            command=shlex.join(["certstream", *sys.argv[1:]])[:500],
            folder=os.getcwd()[:500],
            since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            boot=_boot_id(),
        )

    def __str__(self) -> str:
        return f"process {self.pid} on this host ({self.command}, in {self.folder}, since {self.since})"


@dataclass(slots=True)
class _Lock:
    path: Path
    descriptor: int
    free_at: float
    """boot-time seconds from which nobody before us counts"""
    record: Record

    def there(self) -> bool:
        """False where the file was removed or replaced: somebody else may hold the new one."""
        return _identity(self.path) == _identity(self.descriptor)

    def write(self, released: float | None) -> None:
        """Raises OSError."""
        text = msgspec.json.encode(msgspec.structs.replace(self.record, released=released))
        if os.pwrite(self.descriptor, text, 0) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(self.descriptor, len(text))

    def end(self, free_at: float | None) -> None:
        """Let it go."""
        if free_at is not None:
            with suppress(OSError):  # then the next one waits
                self.write(max(free_at, self.free_at))
        os.close(self.descriptor)


class Locks:
    """What one process holds. A folder that cannot be used is told once, and nothing is locked."""

    def __init__(self, folder: Path, *, boot: Callable[[], float], patience: float) -> None:
        """`patience`: seconds for which the calls of a holder that was killed may count."""
        self._folder, self._boot, self._patience = folder, boot, patience
        self._held: dict[str, _Lock] = {}
        self._used: dict[str, tuple[str, float]] = {}
        self._over = False
        self.unusable: str | None = None
        """why nothing is locked, for people"""

    def hold(self, name: str, what: str) -> float:
        """Hold it from now on, or see that it is held still; seconds for which a holder before may still be calling.
        `what` it is, for people. Raises Held."""
        lock = self._held.get(name)
        if (lock is None or not lock.there()) and not self._over:
            if lock is not None:
                os.close(self._held.pop(name).descriptor)
            try:
                lock = self._held[name] = self._take(self._folder / f"certstream-{name}.lock", what)
            except OSError as error:
                self._tell(f"{error.filename or self._folder}: {error.strerror}")
                return 0.0
        return lock.free_at - self._boot() if lock is not None else 0.0

    def use(self, name: str, budget: str) -> tuple[str, float] | None:
        """A call is about to be made under it, paced by `budget`; None: it may be. Else the other budget of this
        process that paced a call under it, which knows nothing of this one, and seconds for which that may count."""
        now = self._boot()
        other, at = self._used.get(name, (budget, now))
        if other != budget and (left := at + self._patience - now) > 0:
            return other, left
        self._used[name] = budget, now
        return None

    def leave(self, names: Iterable[str], free_at: float) -> None:
        """Nobody here makes calls under these any more: let others do it. `free_at` as for `release`."""
        for name in names:
            if (lock := self._held.pop(name, None)) is not None:
                lock.end(free_at)

    def release(self, free_at: float | None) -> None:
        """Let others have them. `free_at`: boot-time seconds from which all slots are back; None: that is not known."""
        self._over = True
        for lock in self._held.values():
            lock.end(free_at)
        self._held.clear()

    def _take(self, path: Path, what: str) -> _Lock:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = _open(path)
            try:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise self._refused(descriptor, what) from None
                lock = _Lock(path, descriptor, self._free_at(os.pread(descriptor, _LONGEST, 0)), Record.mine())
                if lock.there():
                    try:
                        lock.write(None)
                    except OSError:  # no room: held all the same, and nothing that was there says that it is released
                        os.ftruncate(descriptor, 1)
                    return lock
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # it was removed between opening and locking

    def _refused(self, descriptor: int, what: str) -> Held:
        holder = _read(os.pread(descriptor, _LONGEST, 0))
        who = str(holder) if holder is not None else "another process on this host"
        return Held(
            f"{who} makes the ten calls a second of {what}: stop that one first, or let it watch these accounts too"
        )

    def _free_at(self, text: bytes) -> float:
        now, before = self._boot(), _read(text)
        if not text or (before is not None and before.boot != _boot_id()):
            return now
        if before is None or before.released is None:
            return now + self._patience
        return min(max(before.released, now), now + self._patience)

    def _tell(self, reason: str) -> None:
        if self.unusable is None:
            self.unusable = reason
            log.warning(
                "budget.unlocked",
                extra={"reason": reason, "meaning": "nothing keeps another process on this host from the same calls"},
            )


def _open(path: Path) -> int:
    """Of anybody's file if there is one: where links and other users' files may lie, only a new one is made."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        with suppress(FileNotFoundError):
            descriptor = os.open(path, flags)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
            raise OSError(0, "it is no file", str(path))
        with suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(descriptor, 0o666)  # every user of the host shares it, whatever the umask
            return descriptor


def _read(text: bytes) -> Record | None:
    """None for what nobody wrote whole."""
    try:
        return msgspec.json.decode(text, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _boot_id() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _identity(file: Path | int) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
