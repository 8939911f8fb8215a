"""`python -m tests.schemas.asyncapi`: `schemas/asyncapi.yaml` is valid, by AsyncAPI's official schema and parser.

The schema is a copy in `npm/` (of npm's `@asyncapi/specs`, Apache-2.0), so that this check needs nothing but Python.
The parser (`@asyncapi/parser`) finds more: bad Kafka bindings, references that lead nowhere, schemas that are none. It
needs Node and is fetched into `.cache/asyncapi` once; where there is no Node, that is said, and it is not asked.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from tests.schemas.reading import SCHEMAS, broken

HERE = Path(__file__).resolve().parent / "npm"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "asyncapi"
NO_NODE = (
    "schemas/asyncapi.yaml was checked against AsyncAPI's schema only: the official parser needs Node 18 or newer with "
    "npm, and there is none (apt-get install nodejs npm)."
)


class Missing(Exception):
    """The parser could not be fetched."""


def against_schema(file: Path) -> list[str]:
    """What AsyncAPI's official JSON Schema says against the file: a line each, with the place."""
    # Of JSON's types only: a date in YAML would be none.
    document = json.loads(json.dumps(yaml.safe_load(file.read_text("utf-8")), default=str))
    version = document.get("asyncapi") if isinstance(document, dict) else None
    known = HERE / f"asyncapi-{version}.json"
    if not known.is_file():
        return [f"asyncapi: {version!r} is not the version whose schema is here (3.0.0)"]
    check = jsonschema_rs.Draft7Validator(json.loads(known.read_text("utf-8")), validate_formats=True, offline=True)
    return [f"{' '.join(map(str, error.instance_path))}: {_short(error)}" for error in check.iter_errors(document)]


def _short(error: Any) -> str:
    """Its words quote the whole value, and that may be the whole document."""
    text = str(error.message)
    return text if len(text) < 300 else f"{text[:140]} … {text[-140:]}"


def parser() -> Path:
    """The folder that holds the official parser; fetched when it is not there. Raises Missing."""
    stamp, lock = CACHE / "stamp", (HERE / "package-lock.json").read_text()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / "asyncapi.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == lock:
            return CACHE
        print("fetching the AsyncAPI parser into .cache/asyncapi (55 MB) …", file=sys.stderr, flush=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, CACHE / name)
        fetch = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(fetch, cwd=CACHE, stdout=sys.stderr, check=False).returncode != 0:
            raise Missing("npm could not fetch the AsyncAPI parser (its words are above); try again")
        stamp.write_text(lock)
    return CACHE


def has_node() -> bool:
    """Whether Node 18 or newer and npm are on the path."""
    if shutil.which("npm") is None or (node := shutil.which("node")) is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = said.removeprefix("v").split(".")[0]
    return major.isdigit() and int(major) >= 18


def by_parser(file: Path) -> list[str]:
    """What the official parser says against the file: a line each, with the line of the file. Raises Missing."""
    done = subprocess.run(
        ["node", str(HERE / "parse.mjs"), str(parser()), str(file)], capture_output=True, text=True, check=False
    )
    told = done.stdout.splitlines()
    return told or ([done.stderr.strip()[-2000:]] if done.returncode else [])


def main(words: list[str] | None = None) -> int:
    """Check one file. Exit code 1 where something is wrong with it."""
    arguments = argparse.ArgumentParser(prog="python -m tests.schemas.asyncapi", description=__doc__)
    arguments.add_argument("file", nargs="?", type=Path, default=SCHEMAS / "asyncapi.yaml")
    file: Path = arguments.parse_args(words).file
    if told := broken(file.parent):
        # The parser would find it, too, and name the document that refers to it.
        print("\n".join(told), file=sys.stderr)
        return 1
    wrong = against_schema(file)
    if has_node():
        try:
            wrong += by_parser(file)
        except Missing as error:
            wrong.append(str(error))
    else:
        print(NO_NODE, file=sys.stderr)
    for line in wrong:
        print(f"{file.name}: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
