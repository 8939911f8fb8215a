"""What becomes of aiokafka's log."""

from __future__ import annotations

import logging

from certstream.journal.kafka_log import Thinned, collected, told_already


def line(text: str, *words: object, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.conn", level, __file__, 1, text, words, None)


def test_a_flood_is_thinned_and_what_was_left_out_is_counted() -> None:
    now = [0.0]
    thinned = Thinned(burst=3, interval=10, clock=lambda: now[0])
    flood = [thinned.filter(line("Unable connect to %s", n)) for n in range(50)]
    assert sum(flood) == 3
    assert thinned.filter(line("another kind"))
    assert all(thinned.filter(line("for people who asked", level=logging.INFO)) for _ in range(50))
    now[0] = 11.0
    last = line("Unable connect to %s", "b")
    assert thinned.filter(last)
    assert last.getMessage() == "Unable connect to b (and 47 more like it)"


def test_causes_are_collected_where_they_are_asked_for_even_when_not_written() -> None:
    thinned = Thinned(burst=0)
    with collected() as causes:
        assert not thinned.filter(line("refused by %s", "b"))
        with collected() as inner:
            thinned.filter(line("x" * 1000))
    thinned.filter(line("later"))
    assert list(causes) == ["refused by b"]
    assert [len(cause) for cause in inner] == [256]


def test_only_abandoned_futures_of_aiokafka_are_kept_quiet() -> None:
    from aiokafka.errors import ProducerFenced

    def complaint(text: str, error: Exception) -> logging.LogRecord:
        return logging.LogRecord("asyncio", logging.ERROR, __file__, 1, text, (), (type(error), error, None))

    assert not told_already(complaint("Future exception was never retrieved\nfuture: …", ProducerFenced()))
    assert told_already(complaint("Future exception was never retrieved\nfuture: …", ValueError()))
    assert told_already(complaint("Task exception was never retrieved", ProducerFenced()))
    assert not told_already(line("Task was destroyed but it is pending!\ntask: <… at x/aiokafka/producer/sender.py:1>"))
    assert told_already(line("Task was destroyed but it is pending!\ntask: <… at x/certstream/service/loop.py:1>"))
    assert told_already(line("Future exception was never retrieved"))
