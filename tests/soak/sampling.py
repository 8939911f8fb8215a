"""What a running service holds, seen from outside: `/proc` of its process, `/metrics` and `/readyz`. Linux only."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.verify.driver import tell
from tests.verify.processes import Broken, Service, Setup

TELL_EVERY = 30.0
PATIENCE = 5.0
"""Seconds for an answer over HTTP: the machine may have other work."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at` seconds after the start, memory in MiB, `lag` seconds since `observedthrough`; what could not be
    asked for is None."""

    at: float
    rss: float
    private: float
    descriptors: int
    threads: int
    tasks: float | None
    certificates: float | None
    lag: float | None


def look(pid: int, url: str, at: float) -> Sample:
    """Look once. Raises OSError where the process is gone."""
    process = Path(f"/proc/{pid}")
    status = dict(_fields((process / "status").read_text()))
    memory = list(_fields((process / "smaps_rollup").read_text()))
    descriptors = len(list((process / "fd").iterdir()))  # before our own connections come
    metrics, ready = _get(f"{url}/metrics"), _get(f"{url}/readyz")
    return Sample(
        at=at,
        rss=int(status["VmRSS"]) * 1024 / MIB,
        private=sum(int(value) for name, value in memory if name in ("Private_Clean", "Private_Dirty")) * 1024 / MIB,
        descriptors=descriptors,
        threads=int(status["Threads"]),
        tasks=_metric(metrics, "certstream_tasks "),
        certificates=_metric(metrics, "certstream_certificates{"),
        lag=_lag(ready, time.time()),
    )


def watch(directory: Path, setup: Setup, service: Service, *, every: float) -> None:
    """Run the service for its time and look every so many seconds; leaves `samples.jsonl`. Raises Broken."""
    service.start()
    began, told = time.monotonic(), 0.0
    url = f"http://{setup.listen}"
    with (directory / "samples.jsonl").open("a") as file:
        for number in range(1, int(setup.duration / every) + 1):
            time.sleep(max(0.0, number * every - (time.monotonic() - began)))
            at = time.monotonic() - began
            try:
                sample = look(service.pid, url, at)
            except OSError:
                sample = None
            if sample is None or not service.alive():
                raise Broken(f"the service ended by itself after {at:.0f} s; see {directory}/service.log")
            file.write(json.dumps(asdict(sample)) + "\n")
            file.flush()
            if at >= told:
                told += TELL_EVERY
                tell(at, _line(sample))


def load(directory: Path) -> list[Sample]:
    """The samples that `watch` left, in order; none where it never began."""
    file = directory / "samples.jsonl"
    return [Sample(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def _line(sample: Sample) -> str:
    def known(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    return (
        f"{sample.rss:.1f} MiB ({sample.private:.1f} private)  {sample.descriptors} descriptors"
        f"  {sample.threads} threads  {known(sample.tasks, '.0f')} tasks  lag {known(sample.lag, '.1f')} s"
        f"  {known(sample.certificates, ',.0f')} certificates"
    )


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """`Name: 12 kB` → name, 12."""
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and rest.split():
            yield name, rest.split()[0]


def _get(url: str) -> str | None:
    """The body, of a 503 too, for `/readyz` says why; None where nothing came."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return bytes(answer.read()).decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    except OSError:
        return None


def _metric(text: str | None, start: str) -> float | None:
    lines = (text or "").splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(start)), None)


def _lag(text: str | None, now: float) -> float | None:
    """`observedthrough` is in Unix milliseconds, and null until the baseline is over."""
    accounts = json.loads(text)["accounts"].values() if text else ()
    through = [account["observedthrough"] for account in accounts]
    return now - min(through) / 1000 if through and None not in through else None
