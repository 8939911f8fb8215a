"""The command line: one module per group of commands. It reads options, calls `app`, and prints; it decides nothing."""

from certstream.cli.commands import app, main

__all__ = ["app", "main"]
