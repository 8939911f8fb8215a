"""Log lines on stderr: an event name and fields (`log.info("sweep.complete", extra={"account": …, "pages": …})`).

For a person on a terminal, as JSON everywhere else. Fields may hold what a certificate says, so they are escaped.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from certstream.cli.lines import safe

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red", "DEBUG": "dim"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller passed as `extra`."""
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """One JSON object a line, ASCII only: no terminal and no log viewer can be tricked by it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _moment(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= {"logger": record.name} if record.name != "certstream" else {}
        line |= {name: value for name, value in fields_of(record).items() if name not in line}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class ForPeople(logging.Handler):
    """`08:00:00 sweep.complete  account=prod pages=12`, coloured by level."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = Text(no_wrap=True, overflow="ignore")
            line.append(_moment(record)[11:19], "dim")
            line.append(f" {safe(record.getMessage(), 400)}", _STYLES.get(record.levelname, "bold"))
            for name, value in fields_of(record).items():
                line.append(f" {name}=", "dim")
                line.append(safe(value, 400))
            self._console.print(line, soft_wrap=True)
            if record.exc_info:
                traceback = logging.Formatter().formatException(record.exc_info)
                self._console.print(Text("\n".join(safe(one, 400) for one in traceback.splitlines())), soft_wrap=True)
        except Exception:
            self.handleError(record)


def set_up(*, as_json: bool, level: str = "INFO") -> None:
    """Send the logs of certstream, and warnings of the libraries under it, to stderr."""
    handler: logging.Handler
    if as_json:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
    else:
        handler = ForPeople(Console(stderr=True, highlight=False))
    if level != "DEBUG":
        # aiokafka reports each passing trouble at ERROR. The journal collects these lines (`kafka_log`) and says what
        # matters once, and better; so they may not be silenced at their loggers, only here.
        handler.addFilter(lambda record: not record.name.startswith("aiokafka"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("certstream").setLevel(level)
