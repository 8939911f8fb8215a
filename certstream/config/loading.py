"""Reading the file, laying the environment over it, checking the whole."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from certstream.config.model import Config, default_journal
from certstream.config.telling import Where, field_of, place, tell
from certstream.config.values import FILES, FOLDERS
from certstream.core.errors import Fatal

PREFIX = "CERTSTREAM_"
DEFAULT_FILE = "certstream.toml"
_NOT_OURS = re.compile(r"CERTSTREAM_(CONFIG|TEST_.*|SERVICE_(HOST|PORT.*)|PORT(_.*)?)")
"""`--config`, our tests, and what Kubernetes puts into every pod beside a Service that is called `certstream`."""

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""What a variable may say where the file says `true` or `false`."""


class ConfigError(Fatal):
    """The configuration cannot be used. `problems`: a line each, with file (or variable), key and what is allowed."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of `path` (None: no file) and of `environ`, which has the last word. Raises ConfigError with
    every problem. Relative paths in the file are taken from the file's directory, others from the present one."""
    source = str(path) if path is not None else "environment"
    data: dict[str, Any] = _read(path) if path is not None else {}
    _from_directory(data, path.parent if path is not None else Path())
    told: dict[Where, str] = {}
    problems = [
        problem for name in sorted(environ, key=_natural) for problem in _overlay(data, name, environ[name], told)
    ]
    if data.get("kafka") and str(data.get("journal", "sqlite:")).startswith("sqlite:"):
        problem = "journal is a file" if "journal" in data else "journal is not"
        problems.append(f'{path or "environment"}: kafka: is set, but {problem}; journal = "kafka://host:port"')
    data.setdefault("journal", default_journal(environ))
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += _all_problems(data, error, source, told)
    else:
        problems += [place(where, source, told) + text for where, text in _missing_files(config)]
    if problems or config is None:
        raise ConfigError(*problems)
    return config


def _all_problems(data: dict[str, Any], error: ValidationError, source: str, told: Mapping[Where, str]) -> list[str]:
    """Contradictions are looked for only in a section whose values are good. So take the bad values out and look
    again, until nothing new comes; sections that had a bad value are left alone, lest its absence be told too."""
    problems: dict[str, None] = {}
    spoilt: set[Where] = set()
    while True:
        found = [one for one in error.errors(include_url=False) if one["loc"] not in spoilt]
        before = len(problems)
        problems.update(dict.fromkeys(tell(one, data, source, told) for one in found))
        taken = [_take_out(data, one["loc"]) for one in found]
        if not any(taken) or len(problems) == before:
            return list(problems)
        spoilt |= {one["loc"][:-1] for one in found if one["type"] != "extra_forbidden"}
        try:
            Config.model_validate(data)
        except ValidationError as again:
            error = again
        else:
            return list(problems)


def _take_out(data: Any, where: Where) -> bool:
    """Remove one key; True if it was there. Entries of a list stay, or the rest would be renumbered."""
    *outer, last = where or ("",)
    for part in outer:
        data = data[part]
    if last == "name":
        data["name"] = f"name-{id(data)}"
    elif isinstance(last, int):
        data[last] = {"name": f"name-{id(data[last])}"}
    else:
        return isinstance(data, dict) and data.pop(last, None) is not None
    return True


def _read(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text("utf-8")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8, so it is not TOML (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:  # its text ends with "(at line 3, column 7)"
        end = f"at line {text.rstrip().count(chr(10)) + 1}, the end"
        raise ConfigError(f"{path}: not TOML: {str(error).replace('at end of document', end)}") from error


def _from_directory(data: Any, directory: Path) -> None:
    """Make the paths in `data` independent of the present directory."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        if key in FILES | FOLDERS and isinstance(value, str) and value:
            try:
                data[key] = str(directory / Path(value).expanduser())
            except RuntimeError:  # `~nobody`: then it is no file either
                data[key] = value
        else:
            _from_directory(value, directory)


def _missing_files(config: Config) -> list[tuple[Where, str]]:
    sections: list[tuple[Where, BaseModel]] = [((), config), (("http",), config.http), (("kafka",), config.kafka)]
    for n, account in enumerate(config.accounts):
        sections += [(("accounts", n), account), (("accounts", n, "credentials"), account.credentials)]
    missing: list[tuple[Where, str]] = [
        ((*where, key), f"{name!r} is not a file that can be read")
        for where, section in sections
        for key in sorted(FILES & set(type(section).model_fields))
        if (name := getattr(section, key)) and not _is_readable(name)
    ]
    if config.journal_path is not None and config.journal_path.is_dir():
        missing.append((("journal",), f"{config.journal_path} is a directory; name a file in it: …/journal.db"))
    return missing


def _is_readable(name: str) -> bool:
    return "\0" not in name and os.access(name, os.R_OK) and not os.path.isdir(name)


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 6


def _natural(name: str) -> list[tuple[int, str]]:
    """Variables of account 2 before those of account 10."""
    return [(len(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _overlay(data: dict[str, Any], name: str, text: str, told: dict[Where, str]) -> list[str]:
    """Put one variable into `data` and remember in `told` which key it set. Returns the problems."""
    if not name.startswith(PREFIX) or _NOT_OURS.fullmatch(name):
        return []
    first, *rest = name.removeprefix(PREFIX).lower().split("__")
    numbered = first == "accounts" and len(rest) > 0
    if numbered:
        there = data.get(first, [])
        if not isinstance(there, list):
            return [f"environment: {name}: accounts of the file have no numbers; write them as [[accounts]]"]
        if not (_is_index(rest[0]) and int(rest[0]) <= len(there)):
            return [f"environment: {name}: write {PREFIX}ACCOUNTS__<n>__<KEY>; the next free <n> is {len(there)}"]
    where: Where = (first, int(rest[0]), *rest[1:]) if numbered else (first, *rest)
    inside: Any = data
    for part, after in zip(where, (*where[1:], None), strict=True):
        if isinstance(inside, list) and isinstance(part, int):
            inside += [{}] * (part == len(inside))
        elif not isinstance(inside, dict):
            return [f"environment: {name}: {where[0]} has no keys of its own"]
        if after is None:
            inside[part] = _value(where, text)
        elif isinstance(inside, dict):
            inside = inside.setdefault(part, [] if isinstance(after, int) else {})
        else:
            inside = inside[part]
    told[where] = name
    return []


def _value(where: Where, text: str) -> Any:
    if where == ("thresholds",) and text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    if getattr(field_of(where), "annotation", None) is bool:
        return _WORDS.get(text.strip().lower(), text)
    return text
