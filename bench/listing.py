"""An account of any size whose pages are made when they are asked for: records of real certificates, each under many
identifiers. `python -m bench.listing COUNT FILE` serves them over HTTP: prints its port, ends with its stdin.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
import orjson
from aiohttp import web

from bench.journal.records import ACCOUNT, DAY_MS, ledger, observed
from bench.pages import SIZE, generate
from bench.serving import served
from certstream.core.answers import decode
from certstream.core.events import key_of
from certstream.core.inventory import own_size
from certstream.core.ledger import begin
from certstream.core.rows import encode
from certstream.core.wire import STATE, Put

REAL = 2_000
"""Certificates whose records stand for all."""


class Listing:
    """`count` certificates made of these records, and what the journal holds of them once they were seen."""

    def __init__(self, count: int, records: Sequence[bytes]) -> None:
        self.count = count
        self._records = records
        self._parts = [_apart(record) for record in records]

    def identifier(self, number: int) -> str:
        """32 hexadecimal digits."""
        return hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()

    def record(self, number: int) -> bytes:
        """Its JSON text."""
        before, after = self._parts[number % len(self._parts)]
        return self.identifier(number).encode().join((before, after))

    def page(self, number: int) -> bytes:
        """The body of an answer."""
        first = (number - 1) * SIZE
        records = b",".join(map(self.record, range(first, min(first + SIZE, self.count))))
        return b'{"CertificateList":[%b],"CurrentPage":%d,"ShowSize":%d,"TotalCount":%d,"RequestId":"1"}' % (
            records, number, SIZE, self.count,
        )  # fmt: skip

    def pages(self) -> range:
        """Their numbers."""
        return range(1, -(-self.count // SIZE) + 1)

    def state(self, *thresholds: str) -> Iterator[Put]:
        """The rows, set yesterday, and the head, of an account with these thresholds."""
        account = ledger(*thresholds)
        account.head = begin(account.settings, lineage="0" * 16)
        records = iter(self._records)
        for turn in range(len(self._records)):
            if not (some := list(islice(records, 1_000))):
                break
            observed(account, some, 1_000.0 + turn)
        known = [account.inventory.row(number) for number in range(len(account.inventory))]
        assert len(known) == len(self._parts), "one row for each record, in their order"
        for number in range(self.count):
            row = known[number % len(known)]
            made = msgspec.structs.replace(
                row,
                raw=hashlib.sha256(self.record(number)).digest()[:16],
                sequence=number + 1,
                subject=row.subject ^ (number >> 4),
                first=row.first - DAY_MS,
                at=row.at - DAY_MS,
                asked=row.asked - DAY_MS,
                known=row.known - DAY_MS,
            )
            yield Put(STATE, key_of(ACCOUNT, self.identifier(number)), own_size(encode(made)))
        assert account.head is not None
        time = account.head.time
        head = msgspec.structs.replace(account.head, sequence=self.count, live=self.count, baselined=time)
        yield Put(STATE, key_of(ACCOUNT), encode(head))


def keep(path: Path, count: int = REAL) -> None:
    """Write so many records, as the service shows them, to a file."""
    bodies = enumerate(generate(count), 1)
    found = [bytes(record) for number, body in bodies for record in decode(200, {}, body, page=number).records]
    path.write_bytes(msgspec.msgpack.encode(found))


def kept(path: Path) -> list[bytes]:
    """Records of a file."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])


def _apart(record: bytes) -> tuple[bytes, bytes]:
    before, _, after = record.partition(orjson.loads(record)["Identifier"].encode())
    return before, after


async def serve(listing: Listing) -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = listing.page(int(request.query["CurrentPage"]))
        return web.Response(body=body, content_type="application/json")

    await served(handle)


if __name__ == "__main__":
    asyncio.run(serve(Listing(int(sys.argv[1]), kept(Path(sys.argv[2])))))
