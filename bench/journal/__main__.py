"""`python -m bench.journal`: run the journal's benchmarks and print what they found."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine

from bench.journal import embedded, publish, restore, visible
from bench.result import Report, concluded, progress, progress_over
from tests.real.kafka import Broker

NAMES = ("publish", "visible", "restore", "embedded")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.journal",
        description="What the journal costs, beside a peer.",
        epilog="All four take about five minutes on two cores: publish three, each of the others one.",
    )
    parser.add_argument("--only", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="the results as JSON on stdout")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--rounds", type=int, default=3, help="numbers are medians of so many")
    parser.add_argument("--events", type=int, default=20_000, help="of a round of `publish`")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100], help="events a transaction of `publish`")
    parser.add_argument("--commits", type=int, default=200, help="of a round of `visible`, and of one of `embedded`")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000], help="of `restore`")
    parser.add_argument("--full", action="store_true", help="`restore` with a million rows too: five minutes more")
    words = parser.parse_args()
    if min(words.rounds, words.events, words.commits, *words.sizes) < 1 or min(words.rows) < 1000:
        parser.error("at least 1 round, event and commit, and 1000 rows")
    if words.events < max(words.sizes):
        parser.error("a round of `publish` has at least one commit of every size")
    return words


async def _run(words: argparse.Namespace) -> list[Report]:
    wanted = [words.only] if words.only else list(NAMES)
    reports: list[Report] = []

    async def keep(run: Coroutine[object, object, Report]) -> None:
        reports.append(await run)
        progress_over()
        if not words.json:
            print(reports[-1].text(), flush=True)

    on_kafka: dict[str, Callable[[Broker], Coroutine[object, object, Report]]] = {
        "publish": lambda broker: publish.run(broker, events=words.events, sizes=words.sizes, rounds=words.rounds),
        "visible": lambda broker: visible.run(broker, count=words.commits, rounds=words.rounds),
        "restore": lambda broker: restore.run(
            broker, sizes=(*words.rows, *([1_000_000] if words.full else [])), rounds=words.rounds
        ),
    }
    if any(name in on_kafka for name in wanted):
        progress("starting a Kafka")
        with Broker() as broker:
            for name, run in on_kafka.items():
                if name in wanted:
                    await keep(run(broker))
    if "embedded" in wanted:
        await keep(embedded.run(small=words.commits, large=10, rounds=words.rounds))
    return reports


def main() -> int:
    words = _arguments()
    reports = asyncio.run(_run(words))
    return concluded(reports, as_json=words.json, strict=words.strict)


if __name__ == "__main__":
    sys.exit(main())
