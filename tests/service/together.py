"""Tests that mostly wait run at once: each is a world of its own, and fails for itself.

`@together` makes a test of a coroutine function that takes a directory; all of them of a module run concurrently when
the first one is asked for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from certstream.journal import sqlite
from certstream.service import calls, confirming, group, opening, poller

AT_ONCE = 16
"""Worlds at a time: more would make them wait for the processor."""

LONGEST = 45.0
"""Seconds that one of them may take: a hang fails one, not all."""

Play = Callable[[Path], Awaitable[None]]
Outcomes = dict[str, BaseException | None]
PLAYS: dict[str, dict[str, Play]] = defaultdict(dict)
"""By module and name."""


def together(play: Play) -> Callable[[Outcomes], None]:
    """A test of its name."""
    name = play.__name__
    PLAYS[play.__module__][name] = play

    def test(outcomes: Outcomes) -> None:
        _report(outcomes, name)

    test.__name__, test.__doc__, test.__module__ = name, play.__doc__, play.__module__
    return test


def together_for(cases: Mapping[str, Any]) -> Callable[[Callable[[Path, Any], Awaitable[None]]], Any]:
    """A test of each case."""

    def decorate(play: Callable[[Path, Any], Awaitable[None]]) -> Any:
        name = play.__name__
        for case, value in cases.items():
            PLAYS[play.__module__][f"{name}[{case}]"] = partial(_second, play, value)

        @pytest.mark.parametrize("case", list(cases))
        def test(case: str, outcomes: Outcomes) -> None:
            _report(outcomes, f"{name}[{case}]")

        test.__name__, test.__doc__, test.__module__ = name, play.__doc__, play.__module__
        return test

    return decorate


def _second(play: Callable[[Path, Any], Awaitable[None]], value: Any, directory: Path) -> Awaitable[None]:
    return play(directory, value)


def _report(outcomes: Outcomes, name: str) -> None:
    error = outcomes[name]
    if error is not None:
        raise error


async def perform(plays: Mapping[str, Play], directory: Path) -> Outcomes:
    """Run them all; how each ended."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, play: Play) -> BaseException | None:
        async with gate:
            try:
                async with asyncio.timeout(LONGEST):
                    await play(directory / f"world{number}")
            except Exception as error:
                return error
            return None

    ends = await asyncio.gather(*(one(number, play) for number, play in enumerate(plays.values())))
    return dict(zip(plays, ends, strict=True))


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses: what is waited for in production is not what is tested here."""
    monkeypatch.setattr(poller, "DENIED_PAUSE", 0.3)
    monkeypatch.setattr(opening, "ASK_AGAIN", 0.3)
    monkeypatch.setattr(calls, "TRIES", 3)
    monkeypatch.setattr(confirming, "APART", 0.3)
    # More than the second in which the slots of whoever was killed still count.
    monkeypatch.setattr(group, "TAKE_OVER", 1.2)
    monkeypatch.setattr(sqlite, "_POLL", 0.02)
