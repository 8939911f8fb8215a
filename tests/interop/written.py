"""The commands of `examples/README.md`, each as it is written there, in the folder where its program lies."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.interop.lines import Reader, of_columns, of_value
from tests.interop.programs import EXAMPLES, kcat

ROW = re.compile(r"^\| \[[^]]+\]\((?P<file>[^)]+)\) \|.*\| `(?P<command>[^`]+)` \|$", re.M)
BROKER = "127.0.0.1:9092"


def prepared() -> Callable[[str, str], list[Reader]]:
    """What `programs.prepared` gives, of the commands. What they need beside kcat they fetch."""
    kcat()
    return _readers


def _readers(bootstrap: str, topic: str) -> list[Reader]:
    """Only the broker's address is another. `python` is one that has what the examples read with."""
    export = f'export PATH="{Path(sys.executable).parent}:$PATH" PYTHONPATH="{EXAMPLES.parent}"'
    found = []
    for row in ROW.finditer((EXAMPLES / "README.md").read_text("utf-8")):
        command = row["command"]
        assert BROKER in command, command
        assert topic == "certstream.events", "what they read untold"
        words = ["sh", "-c", f"{export}; {command.replace(BROKER, bootstrap)}"]
        parse = of_value if row["file"].endswith(".sh") else of_columns
        found.append(Reader(command, words, parse, folder=(EXAMPLES / row["file"]).parent))
    return found
