"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from certstream.cli import logs
from certstream.config import DEFAULT_FILE, Config, load

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="CERTSTREAM_CONFIG",
        metavar="FILE",
        show_default=f"./{DEFAULT_FILE}, if there is one",
        help="The configuration (TOML). Every key can be set by environment too; see docs/configuration.md.",
    ),
]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="Log as JSON, one object a line. So it is, too, where stderr is no terminal.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log more: every sweep, every retry.")]


def configuration(file: Path | None) -> Config:
    """The configuration that the command was given. Raises ConfigError."""
    return load(file if file is not None else default_file(), os.environ)


def default_file() -> Path | None:
    """`certstream.toml` of the present directory, where there is one."""
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None


def log_to_stderr(*, as_json: bool, verbose: bool) -> None:
    """Set the logs up as the options say."""
    logs.set_up(as_json=as_json or not sys.stderr.isatty(), level="DEBUG" if verbose else "INFO")
