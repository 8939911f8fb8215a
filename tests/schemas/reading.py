"""Reading `schemas/` for the checks: a file that is broken is told with its name, its line and what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certstream.core.errors import Fatal
from certstream.definition import parse_topics
from certstream.definition.files import ASYNCAPI, check_examples, parse_schema, parse_yaml

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def schema_of(path: Path) -> dict[str, Any]:
    """The JSON Schema in a file. Raises Fatal."""
    return parse_schema(path.read_bytes(), _shown(path))


def document(folder: Path) -> dict[str, Any]:
    """The AsyncAPI document in a folder of schemas, as a service takes it. Raises Fatal."""
    text, name = (folder / ASYNCAPI).read_bytes(), _shown(folder / ASYNCAPI)
    parse_topics(text, name, {path.stem for path in folder.glob("*.json")})
    return parse_yaml(text, name)


def broken(folder: Path) -> list[str]:
    """What is wrong with the files of a folder, each looked at alone: a sentence a file."""
    found = []
    for path in (folder / ASYNCAPI, *sorted(folder.glob("*.json"))):
        try:
            if path.name == ASYNCAPI:
                document(folder)
            else:
                check_examples(path.read_bytes(), _shown(path), schema_of(path))
        except Fatal as error:
            found.append(str(error))
    return found


def told(main: Callable[[], int]) -> int:
    """The exit code of a check; 1, and a sentence instead of a traceback, where a file is broken."""
    try:
        return main()
    except Fatal as error:
        print(error, file=sys.stderr)
        return 1


def _shown(path: Path) -> str:
    """As the messages name it after `schemas/`."""
    return path.relative_to(SCHEMAS).as_posix() if path.is_relative_to(SCHEMAS) else path.name
