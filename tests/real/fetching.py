"""What the tests run on and this machine has not: fetched, tried again where the network failed; or told plainly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TRIES = 3
PAUSE = 5.0
"""Seconds between two tries: a registry that failed once often answers the next time."""


class Missing(Exception):
    """Something that a real part needs is not on this machine. The text names the one command that brings it."""


def fetched(
    what: str, words: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a command that asks a registry, up to three times; its words go to stderr. Raises Missing."""
    line = " ".join(map(str, words))
    for again in range(TRIES):
        print(f"{what} …", file=sys.stderr, flush=True)
        if subprocess.run(list(map(str, words)), cwd=cwd, env=env, stdout=sys.stderr, check=False).returncode == 0:
            return
        if again + 1 < TRIES:
            print(f"it failed, its words are above; once more in {PAUSE:g} s", file=sys.stderr, flush=True)
            time.sleep(PAUSE)
    raise Missing(f"{what}: failed {TRIES} times, its words are above; the command was: {line}")


def debian(command: str, package: str, *, why: str) -> str:
    """Path of a command; installs its Debian package when this is root on a machine with apt-get. Raises Missing."""
    found = shutil.which(command)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        print(f"{command} is missing: apt-get install {package} …", file=sys.stderr, flush=True)
        if subprocess.run(install, env=quiet, stdout=sys.stderr, check=False).returncode != 0:
            fetched("apt-get update", ["apt-get", "update", "-qq"], env=quiet)
            fetched(f"apt-get install {package}", install, env=quiet)
        found = shutil.which(command)
    if found is None:
        raise Missing(f"{command} {why} and is missing: as root, apt-get install {package}")
    return found


def maven(*words: str | Path) -> list[str | Path]:
    """The words of a quiet Maven that does this. Raises Missing."""
    path = debian("mvn", "maven", why="fetches what the tests run on")
    return [path, "-q", "-B", "-Dstyle.color=never", *words]
