"""Connections cut by the kernel: both ends are reset at once. Needs Linux, `ss`, and root."""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress
from functools import cache

PATIENCE = 1.0
"""Seconds in which a connection that was cut is found to be."""


def cut(port: int) -> None:
    """Every connection to this port of the loopback interface, if that is possible here."""
    words = ["ss", "-K", "dst", "127.0.0.1", "dport", "=", str(port)]
    with suppress(FileNotFoundError):
        subprocess.run(words, capture_output=True, check=False)  # it complains although it cuts


@cache
def can_cut() -> bool:
    """Whether `cut` cuts: without the right to, `ss` says nothing and does nothing. One connection tells."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
            cut(port)
            client.settimeout(PATIENCE)
            try:
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True
