"""The truth by certificate: which versions stood when, and which of them an answer showed."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from tests.verify.history import CLOCK, Call, Change
from tests.verify.normal import Form, audible, form


@dataclass
class Version:
    """One entry of the truth log, standing from `change.at` until `until`; `shown` is the first answer (seconds)."""

    change: Change
    until: float = math.inf
    shown: float = math.inf

    @cached_property
    def form(self) -> Form | None:
        return None if self.change.record is None else form(self.change.record)

    @property
    def number(self) -> int:
        return self.change.version

    def was_shown(self, by: float) -> bool:
        """Whether some answer delivered in full had shown it by then."""
        return self.shown <= by + CLOCK


@dataclass
class Life:
    """All versions of one certificate in order, and the look-ups that found nothing (snapshot, answered)."""

    versions: list[Version] = field(default_factory=list)
    empty: list[tuple[float, float]] = field(default_factory=list)

    def after(self, number: int) -> list[Version]:
        """Versions later than `number`."""
        return [version for version in self.versions if version.number > number]

    def known(self, number: int, by: float) -> list[Version]:
        """What the service may hold, having told `number`: that version, and later ones that it may have seen
        and that differ, step by step, by nothing that is an event (a field that appears, `extra`)."""
        start = [version for version in self.versions if version.number == number and version.form]
        for later in self.after(number) if start else ():
            if later.form is None:
                break
            if later.was_shown(by) and any(silent(one, later) for one in start):
                start.append(later)
        return start

    def shown_gone(self, deletion: Version, by: float) -> bool:
        """Whether an empty look-up, answered by then, looked while this deletion stood."""
        at, until = deletion.change.at, deletion.until
        return any(
            at - 0.001 <= snapshot <= until + 0.001 and answered <= by + CLOCK for snapshot, answered in self.empty
        )


def silent(before: Version, after: Version) -> bool:
    """Whether the step between two versions is no event."""
    return before.form is not None and after.form is not None and not audible(before.form, after.form)


def lives(changes: Iterable[Change], calls: Iterable[Call]) -> dict[str, Life]:
    """The truth by identifier, with what the answers showed."""
    result: dict[str, Life] = {}
    for change in changes:
        life = result.setdefault(change.identifier, Life())
        if life.versions:
            life.versions[-1].until = change.at
        life.versions.append(Version(change))
    for call in calls:
        if not call.delivered or call.action != "ListClientCertificate" or call.status != 200:
            continue
        if call.identifier and not call.rows and call.identifier in result:
            result[call.identifier].empty.append((call.snapshot, call.answered))
        for identifier, number in call.rows:
            if identifier not in result:
                continue
            versions = result[identifier].versions
            place = bisect.bisect_left(versions, number, key=lambda version: version.number)
            if place < len(versions) and versions[place].number == number:
                versions[place].shown = min(versions[place].shown, call.answered)
    return result
