"""Fixtures that every part of the suite shares: the real Apache Kafka, started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certstream.source import locks
from tests.real.kafka import Broker


@pytest.fixture(autouse=True)
def _host_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test locks and kills keeps no other one waiting. Processes are told their `lock_dir`."""
    monkeypatch.setattr(locks, "FOLDERS", (tmp_path_factory.mktemp("host"),))


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """One broker without encryption for the whole run. Use topic and transaction names of your own; never kill it."""
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_sasl() -> Iterator[Broker]:
    """One broker that speaks SASL_SSL with SCRAM-SHA-512. Never kill it."""
    with Broker(sasl=True) as broker:
        yield broker
