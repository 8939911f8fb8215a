"""`schemas print | export | validate`: the definitions of topics and messages, and records beside them."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from certstream.cli.exits import PROBLEMS
from certstream.cli.lines import safe
from certstream.core.errors import Fatal

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", show_default=False, help="A message (`certificate.new`, `inventory`) or `asyncapi`."
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        name="schemas",
        help="Print or export the schemas of topics and messages, and validate records by them.",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("print")(print_)
    group.command("export")(export)
    group.command("validate")(validate)
    app.add_typer(group, rich_help_panel="Look after")


def print_(name: Name = None) -> None:
    """Print one schema, complete in itself; without NAME the names of all of them.

    `asyncapi` is the definition of the topics, with every message's schema inside of it.
    """
    from certstream.definition import schema, schema_names
    from certstream.definition.bundle import bundled

    if name is None:
        print("\n".join(("asyncapi", *schema_names())))
    else:
        _known(name, ("asyncapi", *schema_names()))
        _write_json(bundled() if name == "asyncapi" else schema(name))


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; made where it is missing.")],
) -> None:
    """Write everything into a folder, files of the same name replaced.

    One JSON Schema (2020-12) per message, each complete in itself; `asyncapi.yaml`, which refers to them;
    `asyncapi.json`, the same with everything inside; `registry/<topic>.json`, what a schema registry gets (draft-07).
    """
    from certstream.definition import asyncapi, schema, schema_names, topics
    from certstream.definition.bundle import bundled, of_topic

    files = {f"{name}.json": _text(schema(name)) for name in schema_names()}
    files |= {"asyncapi.yaml": asyncapi().decode(), "asyncapi.json": _text(bundled())}
    for topic in topics():
        if (held := of_topic(topic.name)) is not None:
            files[f"registry/{topic.name}.json"] = _text(held)
    try:
        (folder / "registry").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise Fatal(f"{folder} cannot be written: {error.strerror}") from error
    print(f"{len(files)} files are in {folder}")


def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", show_default="stdin", help="Records, a JSON object a line.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", show_default=False, help="The schema of all lines: `inventory`, `accounts`, …"
        ),
    ] = None,
) -> None:
    """Say which records are not what their schema says: line, path, reason. An event's schema is that of its type.

    Exit code 1 where one is not.

    [cyan]certstream tail --from beginning --no-follow --json | certstream schemas validate[/cyan]
    """
    from certstream.definition import schema_names

    if name is not None:
        _known(name, schema_names())
    with ExitStack() as stack:
        try:
            lines = stack.enter_context(file.open("rb")) if file is not None else sys.stdin.buffer
        except OSError as error:
            raise Fatal(f"{file} cannot be read: {error.strerror}") from error
        records, bad = _judge(lines, name)
    print(f"{records} records, {bad} of them not valid" if bad else f"{records} records, all valid", file=sys.stderr)
    if bad:
        raise typer.Exit(PROBLEMS)


def _judge(lines: BinaryIO, name: str | None) -> tuple[int, int]:
    """Print what is wrong; gives how many records there were, and how many of them are not valid."""
    from certstream.definition.records import problems

    records = bad = 0
    for number, line in enumerate(lines, 1):
        if not (value := line.strip()):
            continue
        records += 1
        found = problems(value, name)
        bad += bool(found)
        for one in found:
            print(f"line {number}: {safe(one.path, 200) or 'the record'}: {safe(_short(one.reason), 500)}")
    return records, bad


def _short(reason: str) -> str:
    """A reason quotes the value, which may be a whole record: its end says what was wanted."""
    return reason if len(reason) <= 300 else f"{reason[:120]} … {reason[-160:]}"


def _known(name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise typer.BadParameter(f"there is no schema {name!r}; there are: {', '.join(names)}")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _write_json(value: object) -> None:
    sys.stdout.buffer.write(_text(value).encode())
    sys.stdout.buffer.flush()
