"""`topics plan | apply`: a cluster's topics beside their definition in `schemas/asyncapi.yaml`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from certstream.cli.exits import PROBLEMS
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, configuration
from certstream.config import Config
from certstream.core.errors import Fatal

if TYPE_CHECKING:
    from certstream.journal.kafka_config import KafkaConfig
    from certstream.journal.topics import Difference


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="topics",
        help="Compare the topics of a Kafka cluster with their definition, and create what is missing.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("plan")(plan)
    group.command("apply")(apply)
    app.add_typer(group, rich_help_panel="Look after")


def plan(config: ConfigFile = None) -> None:
    """Say where the cluster differs from the definition, and change nothing. Exit code 1 where it does."""
    settings = configuration(config)
    differences = asyncio.run(differences_of(settings))
    console = Console(highlight=False, emoji=False)
    for one in differences:
        _line(console, "+" if one.mendable else "!", str(one))
    if differences:
        mendable = sum(one.mendable for one in differences)
        console.print(
            Text(f"{len(differences)} differences, {mendable} of them mended by: certstream topics apply", "bold")
        )
        raise typer.Exit(PROBLEMS)
    _line(console, "✓", f"all topics at {', '.join(settings.brokers)} are as defined")


def apply(config: ConfigFile = None) -> None:
    """Create missing topics and mend their settings. It deletes nothing, moves no data, and can be run again.

    Exit code 1 where a difference is left that only a person can mend.
    """
    from certstream.definition import topics
    from certstream.journal.topics import apply as apply_to

    settings = configuration(config)
    options = kafka_settings(settings).client_options()
    prefix, replicas = settings.topic_prefix, settings.kafka.replicas
    applied = asyncio.run(apply_to(options, topics(), prefix=prefix, replicas=replicas))
    console = Console(highlight=False, emoji=False)
    for one in applied.mended:
        _line(console, "✓", f"{one.topic} was made" if one.what == "missing" else f"mended: {one}")
    for one in applied.left:
        _line(console, "!", str(one))
    if applied.left:
        raise typer.Exit(PROBLEMS)
    if not applied.mended:
        _line(console, "✓", "nothing to do: all topics are as defined")


async def differences_of(config: Config) -> list[Difference]:
    """Where the cluster of `config` differs. Raises JournalAway, Fatal."""
    from certstream.definition import topics
    from certstream.journal.topics import plan as plan_of

    options = kafka_settings(config).client_options()
    return await plan_of(options, topics(), prefix=config.topic_prefix, replicas=config.kafka.replicas)


def kafka_settings(config: Config) -> KafkaConfig:
    """How to reach the cluster. Raises Fatal where the journal is none."""
    from certstream.app import kafka_config

    if not config.brokers:
        raise Fatal(f'the journal is {config.journal}: topics are Kafka\'s; set journal = "kafka://host:port"')
    return kafka_config(config)


_SIGNS = {"✓": "green", "+": "yellow", "!": "bold red"}


def _line(console: Console, sign: str, text: str) -> None:
    console.print(Text.assemble((f"{sign} ", _SIGNS[sign]), safe(text, 1000)), soft_wrap=True)
