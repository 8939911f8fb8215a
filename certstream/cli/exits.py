"""Exit codes, and how an error that ends a command is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from certstream.cli.lines import safe
from certstream.config import ConfigError
from certstream.core.errors import CertstreamError, Fatal
from certstream.ports import Fenced, Held

OK = 0
PROBLEMS = 1
USAGE = 2
FATAL = 3
FENCED = 4

MEANINGS = {
    OK: "all is well; `run` was asked to stop and did",
    PROBLEMS: "`check` found a problem, `topics` a difference; `once` could not complete a sweep, or an account is "
    "suspect; `demo` missed a type",
    USAGE: "the command line or the configuration is wrong; it says where",
    FATAL: "it cannot go on until somebody acts, or (one-off commands) what it needs is away; it says what",
    FENCED: "another process owns the same journal now, or makes the same user's calls on this host",
    130: "interrupted twice with Ctrl-C, or where there is nothing to finish",
}
"""Code → meaning, for `--help` and docs/configuration.md."""


def code_of(error: BaseException) -> int:
    """The exit code for an error that ends a command."""
    causes = list(leaves(error))
    for kind, code in ((ConfigError, USAGE), (Fenced, FENCED), (Held, FENCED)):
        if any(isinstance(one, kind) for one in causes):
            return code
    return FATAL


def tell(error: BaseException) -> None:
    """Write what went wrong to stderr, a line each, safe for a terminal."""
    told: dict[str, None] = {}
    for one in sorted(leaves(error), key=lambda cause: not isinstance(cause, Fatal)):
        told.update(dict.fromkeys(one.problems if isinstance(one, ConfigError) else str(one).splitlines()))
    for line in told:
        print(f"certstream: {safe(line, 1000)}", file=sys.stderr)


def ours(error: BaseException) -> bool:
    """Whether every cause is an error that certstream raises on purpose; others deserve a traceback."""
    return all(isinstance(one, CertstreamError) for one in leaves(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error
