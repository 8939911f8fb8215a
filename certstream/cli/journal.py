"""`journal copy`: a whole history into another journal."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from certstream.cli.lines import WIDE
from certstream.cli.options import ConfigFile, configuration
from certstream.config import Config, load
from certstream.core.errors import Fatal

_EVERY = 2.0
"""Seconds between two lines about the same topic."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="journal",
        help="Move a history to another journal.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )

    @group.callback()
    def _group() -> None:
        """Without it, a group with one command would be that command."""

    group.command("copy")(copy)
    app.add_typer(group, rich_help_panel="Look after")


_JOURNAL = "sqlite:///path/journal.db, kafka://host:port[,host:port], or a configuration file (….toml) that names it"


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=f"{_JOURNAL}. Its service must not run.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same. It must be empty; Kafka's topics exist.")],
    config: ConfigFile = None,
    from_prefix: Annotated[str | None, typer.Option(metavar="PREFIX", help="Topic prefix of FROM.")] = None,
    to_prefix: Annotated[str | None, typer.Option(metavar="PREFIX", help="Topic prefix of TO.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was moved as one JSON object on stdout.")] = False,
) -> None:
    """Move a whole history: from SQLite to Kafka, back, or to topics with another number of partitions.

    Every record keeps its key, bytes, headers and its order within the account, and all of it is read back and
    compared. Afterwards the service, told of the new journal, goes on where the old one ended.

    From the laptop to the cluster:
    [cyan]certstream journal copy sqlite:///var/lib/certstream/journal.db kafka://broker:9092[/cyan]

    Two clusters, or credentials: [cyan]certstream journal copy old.toml new.toml[/cyan]. The environment is not looked
    at for a file that is named here. A URL takes everything else from --config.
    """
    here = None if source.endswith(".toml") and target.endswith(".toml") else configuration(config)
    old, new = settings_of(source, here, from_prefix), settings_of(target, here, to_prefix)
    if _place(old) == _place(new):
        raise typer.BadParameter("FROM and TO are the same journal")
    done = asyncio.run(_copy(old, new, name=name_of(old)))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps({"from": name_of(old), "to": name_of(new), **done}) + b"\n")
    else:
        # In a pipe rich takes 80 columns, and would cut what is there to be compared.
        Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE).print(table(done))


def settings_of(word: str, here: Config | None, prefix: str | None) -> Config:
    """The configuration of a journal on the command line. Raises BadParameter, ConfigError."""
    if word.endswith(".toml"):
        base = load(Path(word), {})
        word = base.journal
    else:
        assert here is not None, "it was read, as there is a URL"
        base = here
    kafka = base.kafka.model_dump()
    if prefix is not None and prefix != base.topic_prefix:
        del kafka["transactional_id_prefix"]  # it follows the prefix: two journals under one would fence each other
    chosen = base.topic_prefix if prefix is None else prefix
    try:
        named = Config.model_validate({"journal": word, "topic_prefix": chosen, "kafka": kafka})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        allowed = _JOURNAL if where == "journal" else "up to 100 of A-Z a-z 0-9 . _ -"
        raise typer.BadParameter(f"{word if where == 'journal' else prefix!r} is not allowed: {allowed}") from error
    if named.journal_path is not None and named.journal_path.is_dir():
        raise typer.BadParameter(f"{named.journal_path} is a directory: name a file in it, …/journal.db")
    return named


def name_of(config: Config) -> str:
    """A journal's name for people: the URL, in Kafka with the prefix of its topics."""
    return f"{config.journal} ({config.topic_prefix}*)" if config.brokers else config.journal


def _place(config: Config) -> tuple[object, ...]:
    path = config.journal_path
    return (path.resolve(),) if path is not None else (frozenset(config.brokers), config.topic_prefix)


async def _copy(old: Config, new: Config, *, name: str) -> dict[str, Any]:
    from certstream.app import build_journal  # late: with it come aiokafka and cryptography, which `--help` needs not
    from certstream.journal.copying import WATCH
    from certstream.journal.copying import copy as copy_all
    from certstream.journal.sqlite import SqliteJournal

    source, target = build_journal(old), build_journal(new)
    if new.journal_path is not None:
        _make_folder(new.journal_path)
    try:
        await source.start()
        held = isinstance(source, SqliteJournal)
        if isinstance(source, SqliteJournal):
            await source.hold()
        await target.start()
        copied = await copy_all(
            source, target, name=name, progress=Lines(), watch=0 if held else WATCH, clean=cleaning(new)
        )
    finally:
        await target.close()
        await source.close()
    topics = {topic: {"records": one.records, "sha256": one.sha256} for topic, one in copied.topics.items()}
    return {"accounts": copied.accounts, "topics": topics, "seconds": round(copied.seconds, 3)}


def cleaning(config: Config) -> str:
    """How a target that is of no use is removed."""
    path = config.journal_path
    if path is not None:
        return f"remove {path}, {path.name}-wal and {path.name}-shm"
    return f"delete the topics {config.topic_prefix}*, make them again with `certstream topics apply`"


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"the folder of {path} cannot be made: {error.strerror}") from error


class Lines:
    """Progress on stderr: a line when a topic begins, ends, and every two seconds meanwhile."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, step: str, topic: str, done: int, most: int) -> None:
        now = time.monotonic()
        if done not in (0, most) and now - self._said < _EVERY:
            return
        self._said = now
        if done or most == 0:
            of = "" if done == most else f" of at most {most}"
            print(f"certstream: {step} {topic}: {done}{of} records", file=sys.stderr, flush=True)


def table(done: Mapping[str, Any]) -> Table:
    """What was moved, for a person."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    rows = [(topic, str(one["records"]), one["sha256"]) for topic, one in done["topics"].items()]
    # Where a terminal is narrow, the hash goes on in the next line.
    made.add_column("topic", no_wrap=True, min_width=max((len(row[0]) for row in rows), default=5))
    made.add_column("records", no_wrap=True, min_width=max(7, *(len(row[1]) for row in rows)), justify="right")
    made.add_column("SHA-256", overflow="fold")
    for row in rows:
        made.add_row(*row)
    made.caption = (
        f"moved and read back in {done['seconds']} s: accounts "
        + ", ".join(f"{account} (partition {number})" for account, number in done["accounts"].items())
        + "; now let `journal` of the configuration name the new one"
    )
    made.caption_justify = "left"
    return made
