"""`topics plan | apply`: a cluster's topics beside their definition in `schemas/asyncapi.yaml`."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from certstream.cli.exits import FATAL, PROBLEMS, tell
from certstream.cli.lines import safe
from certstream.cli.options import ConfigFile, configuration
from certstream.config import Config
from certstream.core.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certstream.journal.kafka_config import KafkaConfig
    from certstream.journal.topics import Difference


class Format(StrEnum):
    """How a plan is told."""

    TEXT = "text"
    COMMANDS = "commands"
    TERRAFORM = "terraform"


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


def plan(
    config: ConfigFile = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="For people; Kafka's own commands for an administrator; or all topics for Terraform (provider "
            "Mongey/kafka), for which the cluster is not asked.",
        ),
    ] = Format.TEXT,
) -> None:
    """Say where the cluster differs from the definition, and change nothing. Exit code 1 where it does."""
    settings = configuration(config)
    if form is Format.TERRAFORM:
        from certstream.definition import topics
        from certstream.journal.topics_told import terraform

        kafka_settings(settings)
        print(terraform(topics(), prefix=settings.topic_prefix, replicas=settings.kafka.replicas), end="")
        return
    differences = asyncio.run(differences_of(settings))
    console = Console(highlight=False, emoji=False)
    if form is Format.COMMANDS:
        _print_commands(settings, differences)
    elif not differences:
        _line(console, "✓", f"all topics at {', '.join(settings.brokers)} are as defined")
    else:
        for one in differences:
            _line(console, "+" if one.mendable else "!", f"{one}: {one.wanted}" if one.what == "missing" else str(one))
        mendable = sum(one.mendable for one in differences)
        console.print(Text(f"{len(differences)} found, {mendable} of them mended by: certstream topics apply", "bold"))
    if differences:
        raise typer.Exit(PROBLEMS)


def apply(config: ConfigFile = None) -> None:
    """Create missing topics and mend their settings. It deletes nothing, moves no data, and can be run again.

    A setting that would let the broker remove what it keeps for ever until now is left alone, with the reason.

    Exit code 1 where a difference is left that only a person can mend. Where this user may not do it, the commands for
    an administrator are printed, and the exit code is 3.
    """
    from certstream.definition import topics
    from certstream.journal.topics import NotAllowed
    from certstream.journal.topics import apply as apply_to

    settings = configuration(config)
    options = kafka_settings(settings).client_options()
    prefix, replicas = settings.topic_prefix, settings.kafka.replicas
    try:
        applied = asyncio.run(apply_to(options, topics(), prefix=prefix, replicas=replicas))
    except NotAllowed as error:
        tell(error)
        print("certstream: an administrator can do it with:", file=sys.stderr)
        _print_commands(settings, asyncio.run(_as_far_as_seen(settings)))
        raise typer.Exit(FATAL) from error
    console = Console(highlight=False, emoji=False)
    for one in applied.mended:
        _line(console, "✓", f"{one.topic} was made: {one.wanted}" if one.what == "missing" else f"mended: {one}")
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


async def _as_far_as_seen(config: Config) -> list[Difference]:
    """The same for a user who may not even look: then every topic counts as missing."""
    from certstream.definition import topics
    from certstream.journal.topics import NotAllowed, missing

    try:
        return await differences_of(config)
    except NotAllowed:
        return [missing(config.topic_prefix + topic.name, topic, config.kafka.replicas) for topic in topics()]


def _print_commands(config: Config, differences: Sequence[Difference]) -> None:
    from certstream.definition import topics
    from certstream.journal.topics_told import commands

    for line in commands(
        differences,
        topics(),
        bootstrap=",".join(config.brokers),
        prefix=config.topic_prefix,
        replicas=config.kafka.replicas,
        protocol=config.kafka.security_protocol,
    ):
        print(line)


def kafka_settings(config: Config) -> KafkaConfig:
    """How to reach the cluster. Raises Fatal where the journal is none."""
    from certstream.app import kafka_config

    if not config.brokers:
        raise Fatal(f'the journal is {config.journal}: topics are Kafka\'s; set journal = "kafka://host:port"')
    return kafka_config(config)


_SIGNS = {"✓": "green", "+": "yellow", "!": "bold red"}


def _line(console: Console, sign: str, text: str) -> None:
    console.print(Text.assemble((f"{sign} ", _SIGNS[sign]), safe(text, 1000)), soft_wrap=True)
