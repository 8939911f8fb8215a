"""No secret in any log, error, event or `repr`."""

from __future__ import annotations

import asyncio
import pickle
import re
from pathlib import Path
from typing import Any

from aiohttp import web

from certstream.app import build, build_claim, build_journal, build_source
from certstream.cli import check
from certstream.service.clock import Clock
from certstream.simulator import SimulatorConfig, User
from tests.service.together import together
from tests.service.world import SECRET, living


def _texts(one: Any, seen: set[int] | None = None, depth: int = 0) -> list[str]:
    """`repr` and `str` of a thing and of what it holds."""
    seen = seen if seen is not None else set()
    if id(one) in seen or depth > 4 or isinstance(one, str | bytes | int | float | type(None)):
        return []
    seen.add(id(one))
    held = list(getattr(one, "__dict__", {}).values())
    held += [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]
    return [repr(one), str(one), *(text for part in held for text in _texts(part, seen, depth + 1))]


@together
async def test_the_secret_is_nowhere(tmp_path: Path) -> None:
    async with living(tmp_path) as world:
        # Every kind of error that quotes something: each echoes what was sent, the worst that a server can do.
        request: list[str] = []
        real = world.simulator._admit

        async def admit(received: web.BaseRequest, call: Any) -> User:
            request[:] = [SECRET, *map(str, received.headers.values())]
            admitted: User = await real(received, call)
            return admitted

        world.simulator._admit = admit  # type: ignore[method-assign, assignment]
        answers = {
            "html": lambda: web.Response(text=f"<p>{request}</p>", content_type="text/html"),
            "internal": lambda: web.json_response({"Code": "InternalError", "Message": str(request)}, status=500),
            "throttled": lambda: web.json_response({"Code": "Throttling", "Message": str(request)}, status=400),
            "stale": lambda: web.json_response(
                {"Code": "InvalidSecurityToken.Expired", "Message": str(request)}, status=400
            ),
            "signature": lambda: web.json_response(
                {"Code": "SignatureDoesNotMatch", "Message": str(request)}, status=400
            ),
            "forbidden": lambda: web.json_response(
                {"Code": "Forbidden.RAM", "Message": str(request), "AccessDeniedDetail": {"AuthAction": str(request)}},
                status=403,
            ),
        }
        for name, answer in answers.items():
            line = {"signature": "account.denied", "forbidden": "account.denied", "throttled": "throttled"}
            world.simulator.intercept = lambda params, answer=answer: answer()
            await world.says(line.get(name, "page.failed"))
        told = await world.health("denied")
        assert SECRET not in str(told)
        world.simulator.intercept = None
        await world.health("healthy")
        source = build_source(world.config.accounts[0], build_claim(world.config.accounts[0], None))
        assert (await source._credentials.current()).secret == SECRET
        things = [world.config, build_journal(world.config), source, build(world.config, clock=Clock()), world.service]
        found = [text[:200] for thing in things for text in _texts(thing) if SECRET in text]
        assert found == []
        await source.close()
        assert SECRET.encode() not in pickle.dumps(world.config.model_dump())
        journals = await asyncio.to_thread(lambda: [path.read_bytes() for path in tmp_path.glob("journal*")])
        assert journals
        assert SECRET.encode() not in b"".join(journals)


@together
async def test_check_does_not_tell_the_secret_whether_it_is_right_or_wrong(tmp_path: Path) -> None:
    async with living(tmp_path, started=False) as world:
        good = [line async for line in check.lines(world.config)]
        assert all(line.ok for line in good), good
        wrong = "wrongSecretThatNobodyMaySee0002"
        (tmp_path / "secret-prod").write_text(wrong)
        bad = [line async for line in check.lines(world.config)]
        assert not all(line.ok for line in bad)
        assert "secret does not belong" in str(bad)
        world.simulator.denied.add("ListClientCertificate")
        (tmp_path / "secret-prod").write_text(SECRET)
        denied = [line async for line in check.lines(world.config)]
        assert "yundun-cert:ListClientCertificate" in str(denied)
        assert not [one for one in (SECRET, wrong) if one in repr((good, bad, denied))]


@together
async def test_check_tells_a_skewed_clock(tmp_path: Path) -> None:
    config = SimulatorConfig(certificates=3, clock_offset=-3600)
    async with living(tmp_path, simulator=config, started=False) as world:
        lines = [line async for line in check.lines(world.config)]
        assert any(re.search(r"clock is (3599|360\d) s ahead", line.text) for line in lines if not line.ok), lines
