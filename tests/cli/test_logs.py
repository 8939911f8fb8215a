"""Log lines: fields for people and for machines, and nothing in them that moves a terminal."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from rich.console import Console

from certstream.cli.logs import ForPeople, JsonLines, set_up


@pytest.fixture
def log() -> logging.Logger:
    made = logging.Logger("certstream", logging.INFO)
    made.propagate = False
    return made


def people(log: logging.Logger) -> io.StringIO:
    out = io.StringIO()
    log.addHandler(ForPeople(Console(file=out, highlight=False, width=40)))
    return out


def machines(log: logging.Logger) -> io.StringIO:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    return out


def test_a_person_reads_event_and_fields_on_one_line(log: logging.Logger) -> None:
    out = people(log)
    log.info("sweep.complete", extra={"account": "prod", "pages": 12, "reason": "a long reason that goes on and on"})
    assert out.getvalue()[9:] == "sweep.complete account=prod pages=12 reason=a long reason that goes on and on\n"


def test_a_machine_reads_an_object_a_line(log: logging.Logger) -> None:
    out = machines(log)
    log.warning("journal.away", extra={"reason": "refused", "seconds": 2.5})
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "warning", "event": "journal.away", "reason": "refused", "seconds": 2.5}


def test_a_field_cannot_take_the_place_of_the_event(log: logging.Logger) -> None:
    out = machines(log)
    log.info("real", extra={"event": "forged", "level": "forged", "time": "forged"})
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"]) == ("real", "info")
    assert line["time"] != "forged"


HOSTILE = "\x1b[31m\u202e\nINFO forged\x9b2J[red]"


def test_hostile_fields_are_escaped(log: logging.Logger) -> None:
    outs = people(log), machines(log)
    log.info("quarantined", extra={"identifier": HOSTILE})
    for out in outs:
        text = out.getvalue()
        assert text.count("\n") == 1
        assert not {"\x1b", "\u202e", "\x9b"} & set(text)
    assert json.loads(text)["identifier"] == HOSTILE


def test_a_traceback_is_kept(log: logging.Logger) -> None:
    outs = people(log), machines(log)
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError:
        log.exception("bug")
    for out in outs:
        assert "RuntimeError" in out.getvalue()
        assert "\x1b" not in out.getvalue()


def test_libraries_are_heard_from_warnings_on_and_we_from_the_level_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    root, ours = logging.getLogger(), logging.getLogger("certstream")
    before = root.handlers[:], root.level, ours.level
    try:
        set_up(as_json=True, level="INFO")
        logging.getLogger("aiohttp").info("quiet")
        logging.getLogger("aiohttp").warning("loud")
        logging.getLogger("certstream.journal").debug("quiet")
        logging.getLogger("certstream.journal").info("said")
    finally:
        root.handlers[:], (root.level, ours.level) = before[0], before[1:]
        root.setLevel(before[1])
        ours.setLevel(before[2])
    events = [json.loads(line)["event"] for line in err.getvalue().splitlines()]
    assert events == ["loud", "said"]
