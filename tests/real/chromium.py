"""A real Chromium (Debian's), without a window: what a page is once its scripts have run, and what it complained of."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.real.fetching import Missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",  # it would refuse to run as root, and loads pages of this service only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIME = 10_000
"""Milliseconds of the page's own clock, which runs as fast as its scripts let it."""
COMPLAINT = re.compile(r":(?:ERROR|WARNING|INFO):CONSOLE.*?\] (.*)")


class Page(NamedTuple):
    """`dom`: as HTML. `console`: a line for each message, those of a policy that was broken among them."""

    dom: str
    console: list[str]


def find() -> str:
    """Its path; nothing is installed for it. Raises Missing."""
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    raise Missing("the pages are looked at in Chromium, which is missing: as root, apt-get install chromium")


async def look(url: str, *, picture: Path | None = None) -> Page:
    """Open a page; keep a picture of it where one is wanted. Raises TimeoutError after a minute."""
    with tempfile.TemporaryDirectory(prefix="certstream-chromium-") as profile:
        words = [
            find(),
            *QUIET,
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            f"--virtual-time-budget={TIME}",
        ]
        dom, said = await _run([*words, "--dump-dom", url])
        if picture is not None:
            await _run([*words, "--window-size=1300,2200", f"--screenshot={picture}", url])
    return Page(dom.decode("utf-8"), COMPLAINT.findall(said.decode("utf-8", "replace")))


async def _run(words: list[str]) -> tuple[bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            return await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    try:
        print(find())
    except Missing as error:
        sys.exit(str(error))
