"""Registers schemas under `<topic>-value`, as often as asked with the same outcome.

Paths, answers and error codes are those of Confluent's Schema Registry API, version 7, as Apicurio 3.3.3 gives them
(`/apis/ccompat/v7`). A schema goes there as JSON Schema draft-07; compatibility is FORWARD_TRANSITIVE: readers of any
registered version can read what the newest allows.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from certstream.core.errors import Fatal, Transient

COMPATIBILITY = "FORWARD_TRANSITIVE"
VALUE_SCHEMA_ID = "__value_schema_id"
"""The header in which Confluent's clients look for the schema of a value that has none before its bytes."""
DEADLINE = 10.0
"""Seconds for one answer."""
LARGEST = 4 << 20
"""Bytes of an answer: schemas and what is wrong with them are some 100 KB."""
_MEDIA = "application/vnd.schemaregistry.v1+json"
_PASSING = (408, 425, 429)


class RegistryAway(Transient):
    """It does not answer, or says that it cannot at the moment."""


class RegistryRefused(Fatal):
    """It answers, and does not take the schema."""


class Registry:
    """`url`: up to and without `/subjects`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def register(self, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
        """Register each topic's schema (topic with prefix → schema); gives each topic's value for VALUE_SCHEMA_ID.

        Raises RegistryAway; RegistryRefused with the registry's reasons. Some may be registered then: run it again.
        """
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            return {topic: await self._one(session, f"{topic}-value", schema) for topic, schema in schemas.items()}

    async def look(self, schemas: Mapping[str, Mapping[str, Any]]) -> int:
        """See, and change nothing, whether `register` would be taken; gives how many schemas are not there yet.

        Raises RegistryAway; RegistryRefused with the registry's reasons.
        """
        missing = 0
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            for topic, schema in schemas.items():
                subject, body = f"{topic}-value", _body(schema)
                place = quote(subject, safe="")
                status, said = await self._ask(session, "POST", f"/subjects/{place}", body)
                if status == 200:
                    continue
                if status != 404 or "error_code" not in said:
                    raise self._refused(subject, status, said)
                missing += 1
                path = f"/compatibility/subjects/{place}/versions/latest?verbose=true"
                status, said = await self._ask(session, "POST", path, body)
                if status not in (200, 404) or said.get("is_compatible") is False:
                    raise self._refused(subject, 409, {"message": "; ".join(map(str, _list(said.get("messages"))))})
        return missing

    async def _one(self, session: aiohttp.ClientSession, subject: str, schema: Mapping[str, Any]) -> bytes:
        body = _body(schema)
        place = quote(subject, safe="")
        status, held = await self._ask(session, "GET", f"/config/{place}")
        if status not in (200, 404):
            raise self._refused(subject, status, held)
        if held.get("compatibilityLevel") != COMPATIBILITY:
            status, said = await self._ask(session, "PUT", f"/config/{place}", {"compatibility": COMPATIBILITY})
            if status != 200:
                raise self._refused(f"{subject} (its compatibility)", status, said)
        # Looked for first: where it is known, no right to write is needed.
        status, known = await self._ask(session, "POST", f"/subjects/{place}", body)
        if status != 200:
            status, known = await self._ask(session, "POST", f"/subjects/{place}/versions", body)
        if status != 200:
            raise self._refused(subject, status, known)
        return header(known)

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer. Raises RegistryAway."""
        try:
            async with session.request(
                method,
                self._url + path,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": _MEDIA, "Accept": _MEDIA},
                allow_redirects=False,
            ) as answer:
                content = await self._whole(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RegistryAway(f"the schema registry at {self._url}: {error or type(error).__name__}") from error
        try:
            said = orjson.loads(content)  # refuses what is nested too deep, where `json` raises RecursionError
        except ValueError:
            said = None
        told = said if isinstance(said, dict) else {"message": content[:256].decode(errors="replace")}
        if answer.status >= 500 or answer.status in _PASSING:
            raise RegistryAway(
                f"the schema registry at {self._url}: {answer.status} {told.get('message', '')}".rstrip()
            )
        return answer.status, told

    async def _whole(self, answer: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for part in answer.content.iter_chunked(1 << 16):
            content += part
            if len(content) > LARGEST:
                raise RegistryAway(f"the schema registry at {self._url}: its answer is larger than {LARGEST} bytes")
        return bytes(content)

    def _refused(self, subject: str, status: int, said: Mapping[str, Any]) -> RegistryRefused:
        why = str(said.get("message") or "no reason given")[:1000]
        meaning = {
            401: "it wants a login",
            403: "not allowed",
            404: "is the path right? (Apicurio: /apis/ccompat/v7)",
            409: f"it is not compatible ({COMPATIBILITY}) with what was registered",
            422: "it is no schema to it",
        }.get(status, f"status {status}")
        return RegistryRefused(f"the schema registry at {self._url} refuses {subject}: {meaning}: {why}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _body(schema: Mapping[str, Any]) -> dict[str, str]:
    return {"schemaType": "JSON", "schema": json.dumps(schema, ensure_ascii=False, separators=(",", ":"))}


def header(known: Mapping[str, Any]) -> bytes:
    """VALUE_SCHEMA_ID as Confluent's clients write it: 1 and the GUID, or, where the registry gives none, 0 and the id.

    Raises RegistryRefused for an answer that holds neither.
    """
    guid, number = known.get("guid"), known.get("id")
    try:
        if isinstance(guid, str):
            return b"\x01" + uuid.UUID(guid).bytes
        if isinstance(number, int):
            return b"\x00" + number.to_bytes(4, "big")
    except (ValueError, OverflowError):
        pass
    raise RegistryRefused(f"the schema registry answered without an id: {str(dict(known))[:200]}")
