"""A server that a test started ends with the test, however that ends."""

from __future__ import annotations

import subprocess
from pathlib import Path


def tie(process: subprocess.Popen[bytes], directory: Path | None = None) -> subprocess.Popen[bytes]:
    """Should this process die, however it dies, `process` is killed and its directory removed."""
    script = 'read -r _; kill -9 "$1"; sleep 1; [ -z "$2" ] || rm -rf "$2"'  # the pipe closes, `read` returns
    words = ["sh", "-c", script, "sh", str(process.pid), str(directory or "")]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
