"""Instants, durations and thresholds. Instants are Unix milliseconds; on the wire `YYYY-MM-DDTHH:MM:SS.mmmZ`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z"""
LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z"""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")
_PERCENT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)%")


def rfc3339(ms: int) -> str:
    """`1634283958000` → `2021-10-15T07:45:58.000Z`. Raises ValueError outside the years 0001 to 9999."""
    if not FIRST_MS <= ms <= LAST_MS:
        raise ValueError(f"{ms} ms lies outside the years 0001 to 9999")
    moment = _EPOCH + timedelta(milliseconds=ms)
    # `%Y` does not pad years below 1000 on every platform; isoformat does.
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_rfc3339(text: str) -> int:
    """The inverse of `rfc3339`, milliseconds. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def seconds(text: str) -> float:
    """`90s`, `5m`, `2h`, `30d` → seconds. Raises ValueError that says what is allowed."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, s m h or d: 90s, 5m, 2h, 30d")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A time before notAfter: a duration (`30d`) or a part of the lifetime (`33%`). `text` is the configuration's."""

    text: str
    duration: int | None
    """milliseconds"""
    part: float | None
    """0 to 1, of notAfter − notBefore"""

    def before(self, not_before: int, not_after: int) -> int | None:
        """How many milliseconds before notAfter it lies; None where it is as long as the lifetime, or longer."""
        lifetime = not_after - not_before
        span = self.duration if self.duration is not None else round((self.part or 0.0) * lifetime)
        return span if span < lifetime else None


def threshold(text: str) -> Threshold:
    """Parse one threshold of the configuration. Raises ValueError that says what is allowed."""
    percent = _PERCENT.fullmatch(text)
    if percent is not None:
        part = float(percent[1]) / 100
        if not 0 < part < 1:
            raise ValueError(f"{text!r} is not between 0% and 100% of the lifetime")
        return Threshold(text, None, part)
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no threshold; write a duration (30d, 12h) or a part of the lifetime (33%)")
    span = round(seconds(text) * 1000)
    if span <= 0:
        raise ValueError(f"{text!r} would be told at notAfter itself, which is `expired`; use at least 1s")
    return Threshold(text, span, None)


def thresholds(texts: Sequence[str]) -> tuple[Threshold, ...]:
    """Parse a list of thresholds. Raises ValueError naming a repeated one."""
    parsed = tuple(threshold(text) for text in texts)
    for n, one in enumerate(parsed):
        if any((one.duration, one.part) == (other.duration, other.part) for other in parsed[:n]):
            raise ValueError(f"{one.text!r} is given twice")
    return parsed
