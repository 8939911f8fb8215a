"""`make test-interop`: foreign readers print the same events, byte for byte, from a real Kafka.

The product publishes a simulated account; behind it a producer is killed in the middle of a transaction, which the
broker then aborts. Each program of `examples/` reads the topic, as it is and with its client's default isolation, and
what it printed is compared with what librdkafka read. Exit code 1, and what differs, otherwise. With `--as-written` the
readers are the commands of `examples/README.md` to the letter (its `mvn` and `go` fetch and compile; Java needs a JDK).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.interop import programs, written
from tests.interop.killed import GIVEN_UP
from tests.interop.lines import Line, Reader, of_value, printed, unchained
from tests.interop.published import CERTIFICATES, TOPIC, left_behind, publish, records
from tests.interop.sdk import misread_by_mode_detection
from tests.real.fetching import Missing
from tests.real.kafka import Broker
from tests.verify.processes import Broken

PATIENCE = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}
"""How often the broker looks for transactions whose time is over; 10 s by default."""


def main() -> int:
    """0 when all agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--as-written", action="store_true", help="the commands of examples/README.md")
    as_written = parser.parse_args().as_written
    began = time.monotonic()
    try:
        readers = written.prepared() if as_written else programs.prepared()
        with Broker(properties=PATIENCE) as broker, tempfile.TemporaryDirectory(prefix="certstream-interop-") as folder:
            wrong = _compared(broker, Path(folder), readers)
    except (Missing, Broken) as error:
        print(error, file=sys.stderr)
        return 1
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    print(f"{'wrong' if wrong else 'all readers agree'}, after {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def _compared(broker: Broker, folder: Path, readers: Callable[[str, str], list[Reader]]) -> list[str]:
    _say(f"publishing {CERTIFICATES} certificates")
    publish(broker, folder)
    _say("killing a producer in the middle of its transaction")
    left_behind(broker, folder, records(broker, "read_committed")[-1])
    committed = records(broker, "read_committed")
    told = [of_value(message.value() or b"") for message in committed]
    everything = [of_value(message.value() or b"") for message in records(broker, "read_uncommitted")]
    print(f"librdkafka: {len(told)} committed events, {len(everything)} with those that the broker aborted")
    wrong = [f"librdkafka: {line}" for line in unchained(told)]
    if len(told) <= CERTIFICATES or len(everything) != len(told) + GIVEN_UP:
        wrong.append(f"expected more than {CERTIFICATES} events, and {GIVEN_UP} more that were aborted")
    for reader in readers(broker.bootstrap, TOPIC):
        wrong += _read(reader, everything if reader.aborted else told, folder)
    misread = sum(map(misread_by_mode_detection, committed))
    print(f"the Python SDK's from_kafka takes {misread} of {len(committed)} for binary mode")
    if misread != len(committed):
        wrong.append("the Python SDK's from_kafka reads these records now: examples/README.md says that it does not")
    return wrong


def _say(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


def _read(reader: Reader, expected: Sequence[Line], folder: Path) -> list[str]:
    began, errors, name = time.monotonic(), folder / "errors", reader.name
    lines = printed(reader, len(expected), errors)
    took = f"{time.monotonic() - began:.0f} s"
    try:
        found = [reader.parse(line) for line in lines]
    except ValueError as error:
        return [f"{name}: a line is none: {error}"]
    chained = "prevhash verified" if found and not unchained(found) else "not chained"
    print(f"{name}: {len(found)} events, {chained} ({took})", flush=True)
    if found == list(expected):
        return []
    here = next((at for at, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), None)
    first = "" if here is None else f"; the first that differs: {found[here]} instead of {expected[here]}"
    said = errors.read_text(errors="replace")[-2000:]
    return [f"{name}: {len(found)} events instead of {len(expected)}{first}\n{said}"]


if __name__ == "__main__":
    sys.exit(main())
