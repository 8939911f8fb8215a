"""Faults that are dangerous together: what chance alone brings about in one history of hundreds, staged on purpose.

Each scenario changes a plan that was drawn at random. The rest of its weather stays, unless the scenario needs a clear
sky for its checks.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tests.simulation.lies import REORDERED
from tests.simulation.population import Deed
from tests.simulation.shape import THRESHOLDS, Plan
from tests.simulation.weather import Fault

WRONG = ("hide", "hide.many", "foreign", "empty")
"""The service is wrong about what there is: nothing but the list itself may tell."""
WORD = "word"
"""An operator confirms what is missing."""


def staged(plan: Plan, dice: Random) -> Plan:
    """One of the scenarios, on this plan."""
    return msgspec.structs.replace(plan, **dice.choice(SCENARIOS)(plan, dice))


def _among(plan: Plan, *faults: Fault) -> tuple[Fault, ...]:
    """These beside the plan's own, but for kinds that would spoil them."""
    kept = [fault for fault in plan.faults if fault.kind not in ("jump", "api.denied", "compact", "unsteady")]
    return tuple(sorted((*kept[:3], *faults), key=lambda fault: fault.at))


def _denied_in_flight(plan: Plan, dice: Random) -> dict[str, Any]:
    """A refusal while many calls are under way, which it cancels: their slots must come back."""
    at = round(dice.uniform(6.0, 9.0), 3)
    faults = (Fault(at, "api.slow", 6.0), Fault(at + 1.0, "api.denied", 5.0, 0.5))
    return {
        "sweep_every": 0.0,
        "latency": dice.choice((0.05, 0.1)),
        "page_size": dice.choice((1, 2, 3)),
        "largest": 3,
        "certificates": dice.choice((20, 40)),
        "calm": 18.0,
        "whole": True,
        "deeds": tuple(deed for deed in plan.deeds if deed.at < 18.0),
        "faults": faults,
    }


def _wrong_at_start(plan: Plan, dice: Random) -> dict[str, Any]:
    """The host's clock is far ahead, or behind, when the service starts, and is mended while it runs."""
    size = dice.choice((340.0, 1000.0, 4000.0, 86400.0, -1000.0))
    start = dice.choice((0.0, round(dice.uniform(5.0, 15.0), 3)))
    faults = [Fault(max(0.0, start - 1.0), "jump", dice.choice((8.0, 15.0)), share, size) for share in (0.05, 0.3)]
    if start:
        faults.append(Fault(start, "kill"))
    return {
        "lives": (150.0, 400.0),
        "certificates": dice.choice((8, 20)),
        "page_size": 10,
        "largest": 10,
        "sweep_every": dice.choice((0.0, 6.0)),
        "thresholds": (dice.choice(THRESHOLDS),),
        "calm": 40.0,
        "whole": True,
        "deeds": tuple(deed for deed in plan.deeds if deed.at < 30.0)[:12],
        "faults": tuple(faults),
    }


def _set_back(plan: Plan, dice: Random) -> dict[str, Any]:
    """A clock that is believed, though it is ahead, is set back: what was told must stay told."""
    at = round(dice.uniform(5.0, 15.0), 3)
    faults = tuple(Fault(at, "jump", 10.0, share, dice.uniform(60.0, 280.0)) for share in (0.05, 0.3))
    return {"lives": (60.0, 400.0), "certificates": 20, "page_size": 10, "largest": 10, "faults": _among(plan, *faults)}


def _stale_restore(plan: Plan, dice: Random) -> dict[str, Any]:
    """A leader serves the end that it knew once; meanwhile something is committed, and the owner dies."""
    at = round(dice.uniform(0.2, 0.6) * plan.calm, 3)
    busy = tuple(
        Deed(round(at + dice.random() * 3, 3), dice.choice(("issue", "issue", "revoke", "edit")), dice.random())
        for _ in range(6)
    )
    return {
        "certificates": max(8, plan.certificates),
        "page_size": max(5, plan.page_size),
        "largest": max(5, plan.page_size),
        "deeds": tuple(sorted((*plan.deeds, *busy), key=lambda deed: deed.at)),
        "faults": _among(plan, Fault(at, "kafka.stale", dice.choice((9.0, 25.0))), Fault(at + 4.0, "kill")),
    }


def _lagging(plan: Plan, dice: Random) -> dict[str, Any]:
    """Replicas that lag, while certificates come and go."""
    changes = tuple(
        Deed(round(dice.random() * plan.calm, 3), dice.choice(("issue", "issue", "revoke", "delete")), dice.random())
        for _ in range(24)
    )
    page_size = dice.choice((10, 100))
    return {
        "certificates": 20,
        "page_size": page_size,
        "largest": page_size,
        "sweep_every": 0.0,
        "deeds": tuple(sorted(changes, key=lambda deed: deed.at)),
        "faults": _among(plan, *(Fault(at, "api.stale", 20.0, 0.5) for at in (4.0, 30.0) if at < plan.calm)),
    }


def _wrong_service(plan: Plan, dice: Random) -> dict[str, Any]:
    """The service hides certificates, or shows another user's."""
    fault = Fault(2 + dice.random() * plan.calm / 2, dice.choice(WRONG), dice.choice((8.0, 20.0)))
    size = max(3, plan.page_size)
    return {"certificates": max(8, plan.certificates), "page_size": size, "largest": size, "faults": (fault,)}


def _zombie(plan: Plan, dice: Random) -> dict[str, Any]:
    """The owner sleeps for longer than it owns, another one begins, and it wakes up."""
    at = round(dice.uniform(0.2, 0.6) * plan.calm, 3)
    kind = dice.choice(("pause", "suspend", "cut"))
    length = dice.choice((7.0, 14.0, 25.0))
    return {"sweep_every": 0.0, "faults": _among(plan, Fault(at, kind, length, 0.05, 0.5))}


def _moving_order(plan: Plan, dice: Random) -> dict[str, Any]:
    """The order of the list changes between calls for a while: the promise is bounded, and whole again afterwards."""
    length = dice.choice((8.0, 20.0))
    return {"certificates": max(8, plan.certificates), "faults": _among(plan, Fault(3.0, "unsteady", length))}


def _foreign_rows(plan: Plan, dice: Random) -> dict[str, Any]:
    """Somebody else writes into `state`: rows of nobody, which are passed over, or some that cannot be ours."""
    calm = max(45.0, plan.calm)
    at = round(dice.uniform(5.0, 15.0), 3)
    kind = dice.choice(("state.foreign", "state.torn"))
    many = [Fault(round(at + later, 3), kind, 20.0, 1.0, dice.random()) for later in (0.0, 0.1, 0.2)]
    faults = many if kind == "state.foreign" else many[:1]
    return {"calm": calm, "faults": _among(plan, *faults, Fault(at + 1.0, "kill"))}


def _new_thresholds(plan: Plan, dice: Random) -> dict[str, Any]:
    """Thresholds are added and taken away by restarts, while some pass."""
    kills = [Fault(round(plan.calm * part, 3), dice.choice(("kill", "stop"))) for part in (0.3, 0.6, 0.8)]
    sets = tuple(dice.sample(THRESHOLDS, 3))
    return {"lives": (60.0, 400.0), "certificates": 20, "thresholds": sets, "faults": _among(plan, *kills)}


def _confirmed(plan: Plan, dice: Random) -> dict[str, Any]:
    """So many are gone that only an operator's word tells: he repeats it until there is nothing to confirm."""
    at = round(dice.uniform(6.0, 10.0), 3)
    gone = [Deed(round(at + 2.0 * dice.random(), 3), "drop", dice.random()) for _ in range(dice.choice((8, 14)))]
    words = [Fault(at + 8.0 + 40.0 * number, WORD) for number in range(5)]
    kills = [Fault(round(at + dice.uniform(8.0, 50.0), 3), "kill", size=dice.random())] if dice.random() < 0.5 else []
    others = [deed for deed in plan.deeds if deed.what != "return"][:8]  # what is back for a moment may never be told
    return {
        "accounts": 1,
        "certificates": 20,
        "page_size": max(3, plan.page_size),
        "largest": max(3, plan.page_size),
        "sweep_every": dice.choice((0.0, 2.0)),
        "calm": 60.0,
        "deeds": tuple(sorted((*others, *gone), key=lambda deed: deed.at)),
        "faults": tuple(sorted((*words, *kills), key=lambda fault: fault.at)),
    }


def hostile_list(plan: Plan, dice: Random) -> dict[str, Any]:
    """A list that moves between any two pages of a sweep, and a service that is odd about pages and counts."""
    calm = 25.0
    size = dice.choice((2, 3, 5, 10))
    busy = [
        Deed(
            round(dice.random() * calm, 3), dice.choice(("issue", "issue", "issue", "delete", "revoke")), dice.random()
        )
        for _ in range(dice.choice((40, 80)))
    ]
    odd = ("list.small", "list.beyond", "list.double", "list.total", "list.count", REORDERED, "unsteady")
    kinds = dice.sample(odd, dice.choice((1, 2, 3)))
    faults = [Fault(3.0, kind, 20.0, dice.choice((0.1, 0.5, 1.0)), 8.0) for kind in kinds]
    return {
        "accounts": 1,
        "certificates": dice.choice((20, 40)),
        "page_size": size,
        "largest": size,
        "qps": 10,
        "sweep_every": dice.choice((0.0, 2.0)),
        "calm": calm,
        "whole": dice.random() < 0.2,
        "deeds": tuple(sorted(busy, key=lambda deed: deed.at)),
        "faults": (*faults, *([Fault(12.0, "kill")] if dice.random() < 0.3 else ())),
    }


def searched(plan: Plan, dice: Random) -> dict[str, Any]:
    """A list of many pages, long pauses between sweeps and frequent probes: what moves is found by searches."""
    calm, size = dice.choice((40.0, 60.0)), dice.choice((2, 3, 5))
    kinds = ("issue", "issue", "delete", "delete", "revoke", "return")
    deeds = [Deed(round(dice.uniform(6.0, calm), 3), dice.choice(kinds), dice.random()) for _ in range(24)]
    spoils = ("api.stale", "api.slow", "api.late", "api.error", "unsteady", "list.total", "list.small", "")
    odd = dice.choice(spoils)
    faults = [Fault(round(dice.uniform(8.0, calm), 3), odd, 10.0, dice.choice((0.2, 0.6)), 4.0)] if odd else []
    faults += [Fault(round(dice.uniform(8.0, calm), 3), "kill") for _ in range(dice.choice((0, 0, 1)))]
    return {
        "accounts": dice.choice((1, 1, 2)),
        "certificates": dice.choice((60, 90)),
        "page_size": size,
        "largest": size,
        "qps": 10,
        "sweep_every": dice.choice((10.0, 20.0)),
        "probe_every": dice.choice((0.5, 1.0)),
        "calm": calm,
        "whole": False,
        "deeds": tuple(sorted(deeds, key=lambda deed: deed.at)),
        "faults": tuple(sorted(faults, key=lambda fault: fault.at)),
    }


SCENARIOS: tuple[Callable[[Plan, Random], dict[str, Any]], ...] = (
    _denied_in_flight,
    _wrong_at_start,
    _wrong_at_start,
    _set_back,
    _stale_restore,
    _lagging,
    _wrong_service,
    _wrong_service,
    _zombie,
    _moving_order,
    _foreign_rows,
    _new_thresholds,
    _confirmed,
)
