"""The command `certstream`: its group, its help, its exit codes."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from certstream import __version__
from certstream.cli import check, confirm, demo, forget, inventory, journal, running, schemas, simulate, tail, topics
from certstream.cli.exits import MEANINGS, code_of, ours, tell
from certstream.cli.options import log_to_stderr


class Commands(TyperGroup):
    """Turns the errors that certstream raises on purpose into a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not ours(error):
                raise
            tell(error)
            raise typer.Exit(code_of(error)) from error


_HELP = """
Watches the certificates of Alibaba Cloud's Certificate Management Service and publishes every change
(discovered, new, revoked, expiring, expired, changed, deleted) as exactly one event, to Kafka or an embedded journal.

[bold]Begin here[/bold]

1. [cyan]certstream demo[/cyan]: needs nothing; a simulated account, and what certstream says about it.

2. [cyan]certstream check[/cyan]: your credentials, permission, endpoint and journal, and what to do where one fails.

3. [cyan]certstream run[/cyan]: the service. Meanwhile [cyan]certstream tail[/cyan] follows the events and
[cyan]certstream inventory --expiring 30d[/cyan] shows what runs out.
"""
_EPILOG = "[bold]Exit codes[/bold]\n\n" + "\n\n".join(
    f"[bold]{code:>3}[/bold]  {text}" for code, text in MEANINGS.items()
)

app = typer.Typer(
    name="certstream",
    cls=Commands,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"certstream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    # Else what libraries log (each broker that is away, several times) would reach stderr as it is.
    log_to_stderr(as_json=False, verbose=False)


for _module in (demo, running, confirm, forget, check, tail, inventory, topics, schemas, journal, simulate):
    _module.register(app)


def main() -> None:
    """The entry point."""
    app()
