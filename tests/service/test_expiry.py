"""Thresholds fire from the clock, whatever the API does, and each is told once."""

from __future__ import annotations

import time
from pathlib import Path

from certstream.core.times import thresholds
from certstream.service.clock import Clock
from tests.service import lies
from tests.service.together import together
from tests.service.world import living

DAY = 86400
BOOT = Clock().boot


@together
async def test_thresholds_and_ends_are_told_while_the_service_is_away(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=2, settings={"thresholds": ["1h"]}, started=False) as world:
        now = int(time.time())
        near = world.simulator.issue(not_before=now - DAY, not_after=now + 3607)
        ending = world.simulator.issue(not_before=now - DAY, not_after=now + 7)
        await world.start()
        world.simulator.intercept = lies.down
        good = [call for call in world.calls() if call["fault"] is None]
        expiring = await world.event("certificate.expiring", near)
        expired = await world.event("certificate.expired", ending)
        assert (expiring["data"]["threshold"], expiring["data"]["baseline"]) == ("1h", False)
        assert "observed" not in expiring["data"]
        assert "observed" not in expired["data"]
        assert [call for call in world.calls() if call["fault"] is None][len(good) + 1 :] == []


@together
async def test_a_threshold_added_later_tells_only_those_that_cross_it_later(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=0, settings={"thresholds": ["10m"]}, started=False) as world:
        now = int(time.time())
        inside = world.simulator.issue(not_before=now - DAY, not_after=now + 1800)
        crossing = world.simulator.issue(not_before=now - DAY, not_after=now + 3610)
        await world.start()
        await world.stop()
        later = world.config.model_copy(update={"thresholds": thresholds(["10m", "1h"])})
        await world.start(later, baselined=False)
        told = await world.event("certificate.expiring", crossing)
        assert told["data"]["threshold"] == "1h"
        await world.sweeps()
        assert not world.told("certificate.expiring", inside)


@together
async def test_what_passed_while_it_was_down_is_told_after_the_restart_once(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=0, settings={"thresholds": ["1h"]}, started=False) as world:
        now = int(time.time())
        near = world.simulator.issue(not_before=now - DAY, not_after=now + 3606)
        ending = world.simulator.issue(not_before=now - DAY, not_after=now + 6)
        await world.start()
        await world.kill()
        await world.until("both have passed", lambda: time.time() > now + 6.1)
        await world.start(baselined=False)
        await world.event("certificate.expiring", near)
        await world.event("certificate.expired", ending)
        await world.stop()
        await world.start(baselined=False)
        await world.sweeps()
        assert len(world.told("certificate.expiring", near)) == 1
        assert len(world.told("certificate.expired")) == 1


@together
async def test_nothing_fires_before_this_process_has_seen_the_time_of_the_service(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=0, settings={"thresholds": ["1h"]}, started=False) as world:
        now = int(time.time())
        ending = world.simulator.issue(not_before=now - DAY, not_after=now + 6)
        await world.start()
        await world.stop()
        world.simulator.intercept = lies.refusing("", 503, lambda params: True, Date="yesterday")
        await world.start(baselined=False)
        await world.until("it has ended", lambda: time.time() > now + 6.2)
        await world.until("it is held", lambda: world.said("thresholds.held"))
        assert not world.told("certificate.expired")
        world.simulator.intercept = None
        await world.event("certificate.expired", ending)


@together
async def test_after_a_suspend_of_the_host_what_passed_is_told_though_the_service_is_away(tmp_path: Path) -> None:
    slept = [0]
    clock = Clock(wall=lambda: time.time_ns() // 1_000_000 + slept[0] * 1000, boot=lambda: BOOT() + slept[0])
    async with living(tmp_path, certificates=0, settings={"thresholds": ["1h"]}, started=False) as world:
        now = int(time.time())
        near = world.simulator.issue(not_before=now - DAY, not_after=now + 2 * DAY)
        ending = world.simulator.issue(not_before=now - DAY, not_after=now + DAY)
        await world.start(clock=clock)
        world.simulator.intercept = lies.down
        await world.event("certificate.discovered", near)
        assert not world.told("certificate.expiring")
        slept[0] = 2 * DAY - 1800  # boot time runs through it, monotonic time does not
        await world.event("certificate.expiring", near)
        await world.event("certificate.expired", ending)


@together
async def test_a_clock_that_jumps_holds_thresholds_until_it_is_set_right(tmp_path: Path) -> None:
    jump = [0]

    def wall() -> int:
        return time.time_ns() // 1_000_000 + jump[0]

    async with living(tmp_path, certificates=3, settings={"thresholds": ["1h"]}, started=False) as world:
        now = int(time.time())
        far = world.simulator.issue(not_before=now - DAY, not_after=now + 30 * DAY)
        await world.start(clock=Clock(wall=wall))
        jump[0] = 40 * DAY * 1000
        await world.until("it is held", lambda: world.said("thresholds.held"))
        seen = len(world.calls())
        await world.until("it has polled on", lambda: len(world.calls()) > seen + 5)
        jump[0] = 0
        await world.sweeps()
        assert not world.told("certificate.expired", far)
        assert not world.told("certificate.expiring", far)


@together
async def test_revoked_certificates_are_not_told_to_expire(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=2, settings={"thresholds": ["1h"]}, started=False) as world:
        now = int(time.time())
        revoked = world.simulator.issue(not_before=now - DAY, not_after=now + 7)
        other = world.simulator.issue(not_before=now - DAY, not_after=now + 8)
        await world.start()
        world.simulator.revoke(revoked)
        await world.event("certificate.revoked", revoked)
        await world.event("certificate.expired", other)
        assert not world.told("certificate.expired", revoked)


@together
async def test_a_new_end_has_thresholds_of_its_own(tmp_path: Path) -> None:
    async with living(tmp_path, certificates=2, settings={"thresholds": ["1h"]}) as world:
        now = int(time.time())
        one = world.simulator.issue(not_before=now - DAY, not_after=now + 1800)
        await world.event("certificate.expiring", one)
        world.simulator.edit(one, AfterDate=(now + 10 * DAY) * 1000)
        await world.event("certificate.changed", one)
        world.simulator.edit(one, AfterDate=(now + 900) * 1000)
        await world.event("certificate.expiring", one, count=2)
        world.simulator.edit(one, AfterDate=(now + 1800) * 1000)
        await world.event("certificate.changed", one, count=3)
        await world.sweeps()
        assert len(world.told("certificate.expiring", one)) == 2
