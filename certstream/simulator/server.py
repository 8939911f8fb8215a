"""The HTTP server: each call is judged, counted, broken perhaps, answered and logged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from certstream.simulator.actions import CALLER, check_version, error_body, forbidden, perform
from certstream.simulator.blueprint import CertificateType
from certstream.simulator.config import SimulatorConfig, User
from certstream.simulator.delivery import HTML, Dice, deliver, deliver_half, refusal, reset
from certstream.simulator.life import Life
from certstream.simulator.logs import AnswerLog, Call, TruthLog
from certstream.simulator.population import Population
from certstream.simulator.quota import Quota
from certstream.simulator.signature import Nonces, Received, Refused, read_claim, verify

_log = logging.getLogger(__name__)

Intercept = Callable[[dict[str, str]], web.Response | None]
"""Given a verified call's parameters and its `Action`, an answer instead of the true one, or None."""


class Simulator:
    """An account of the certificate service on a local port.

    `users`, `denied`, `expired_tokens` and `intercept` may be changed while it runs. Content, `port` and `url` exist
    after `start`. `truth` and `answers` are the paths of the logs, None for no log.
    """

    def __init__(
        self, config: SimulatorConfig | None = None, *, truth: Path | None = None, answers: Path | None = None
    ) -> None:
        self.config = config or SimulatorConfig()
        self.users = {key: User(*user) for key, user in self.config.users.items()}
        self.denied = set(self.config.deny)
        self.expired_tokens: set[str] = set()
        self.intercept: Intercept | None = None
        self.port = 0
        self.calls = 0
        """How many have arrived."""
        self._truth = TruthLog(truth, self.config.public()) if truth is not None else None
        self._answers = AnswerLog(answers) if answers is not None else None
        self.population = Population(self.config, tell=self._truth.change if self._truth else None)
        self._quota = Quota(self.config.qps)
        self._nonces = Nonces()
        self._dice = Dice(self.config)
        self._runner: web.ServerRunner | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.config.host}:{self.port}"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Makes the certificates, listens, and lets the life script begin. Raises OSError when the port is taken."""
        # In a thread: in-process users have a loop of their own to keep going.
        await asyncio.to_thread(self.population.settle)
        self._runner = web.ServerRunner(web.Server(self._handle), handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._life = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """Ends the life script, the open calls (after half a second) and the logs. May be called twice."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
            self._life = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._truth is not None:
            self._truth.close()
            self._truth = None
        if self._answers is not None:
            self._answers.close()
            self._answers = None

    def issue(
        self,
        *,
        common_name: str | None = None,
        kind: CertificateType | None = None,
        days: float | None = None,
        not_before: int | None = None,
        not_after: int | None = None,
        **fields: object,
    ) -> str:
        """A new certificate; see `Population.issue`. Gives its identifier."""
        return self.population.issue(
            common_name=common_name,
            kind=kind,
            days=days,
            not_before=not_before,
            not_after=not_after,
            fields=fields,
        )

    def renew(self, identifier: str) -> str:
        """A new certificate with the subject of an old one, which stays; gives the new identifier."""
        return self.population.renew(identifier)

    def revoke(self, identifier: str) -> None:
        """KeyError for an unknown identifier, ValueError for one revoked already."""
        self.population.revoke(identifier)

    def delete(self, identifier: str) -> None:
        """KeyError for an unknown identifier."""
        self.population.delete(identifier)

    def edit(self, identifier: str, **fields: object) -> None:
        """Other values for API fields (`AliasName="…"`; None takes one away)."""
        self.population.edit(identifier, fields)

    def identifiers(self) -> list[str]:
        """All that are listed, oldest first (by identifier where that is the order)."""
        return [row.blueprint.identifier for row in self.population]

    async def _live(self) -> None:
        try:
            await Life(self.population).run(quiet=self._quiet)
        except Exception:
            _log.exception("the life script died")
            raise

    def _quiet(self) -> None:
        if self._truth is not None:
            self._truth.quiet()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls += 1
        call = Call(self.calls, time.time(), time.monotonic())
        try:
            return await self._serve(request, call)
        finally:
            call.answered = time.time()
            if self._answers is not None:
                self._answers.write(call)

    async def _serve(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        good = False
        try:
            user = await self._admit(request, call)
            response, good = await self._answer(request, call, user)
        except Refused as refused:
            call.code = refused.code
            body = error_body(refused, host=request.host)
            response = self._response(body, status=refused.status)
            response.headers.update(refused.headers)
        if call.fault == "reset":
            reset(request)
        elif call.fault == "truncated":
            call.status = response.status
            await deliver_half(request, response)
        else:
            call.status = response.status
            call.delivered = await deliver(request, response) and good
        return response

    async def _admit(self, request: web.BaseRequest, call: Call) -> User:
        """Who calls. Raises Refused for a call that is not signed, not allowed, or one too many."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")
        call.action = headers.get("x-acs-action")
        received = Received(request.method, path, query, headers, await request.read())
        call.params = dict(received.parameters())
        claim = read_claim(headers)
        user = self.users.get(claim.key)
        if user is None:
            raise Refused(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        call.user = user.uid
        # Counted before it is judged: the strictest reading is that every arrival counts.
        wait = None if call.action == CALLER else self._quota.arrive(user.uid, call.arrival_mono)
        now = time.time() + self.config.clock_offset
        verify(received, claim, user, now=now, nonces=self._nonces, expired=self.expired_tokens)
        if wait is not None:
            raise Refused(
                400,
                "Throttling.User",
                "Request was denied due to user flow control.",
                headers={"x-acs-retry-after": str(wait)},
            )
        action = check_version(call.action, headers.get("x-acs-version"))
        if action in self.denied:
            raise forbidden(action, user)
        return user

    async def _answer(self, request: web.BaseRequest, call: Call, user: User) -> tuple[web.Response, bool]:
        """The answer, and whether it is a good one."""
        call.fault = self._dice.fault()
        before, after = self._dice.delays()
        await asyncio.sleep(before)
        if call.fault == "reset":
            return web.Response(), False
        if call.fault == "html":
            return self._response(HTML.encode(), content_type="text/html"), False
        if call.fault is not None and (refused := refusal(call.fault)) is not None:
            raise refused
        if self.intercept is not None:
            hostile = self.intercept({**call.params, "Action": call.action or ""})
            if hostile is not None:
                call.fault = "intercepted"
                return hostile, False
        # No await between the instant and the content: both are of the same list.
        call.snapshot = time.time()
        call.changes = self.population.last
        answer = perform(call.action or "", call.params, self.population, user)
        call.total, call.rows = answer.total, answer.rows
        await asyncio.sleep(after + (self.config.slow_seconds if call.fault == "slow" else 0))
        return self._response(answer.body), True

    def _response(self, body: bytes, *, status: int = 200, content_type: str = "application/json") -> web.Response:
        date = formatdate(time.time() + self.config.clock_offset, usegmt=True)
        return web.Response(
            body=body, status=status, content_type=content_type, charset="utf-8", headers={"Date": date}
        )


async def serve(
    config: SimulatorConfig,
    *,
    truth: Path | None,
    answers: Path | None,
    until: asyncio.Event,
    announce: Callable[[str], None],
) -> None:
    """A simulator until `until` is set. `announce` is told one line, with its URL, once it listens.

    Raises OSError when the port is taken or a log cannot be written.
    """
    async with Simulator(config, truth=truth, answers=answers) as simulator:
        announce(f"listening on {simulator.url}: {len(simulator.population)} certificates")
        await until.wait()
