"""The plugin of the commands that ship with the package."""

import typer

from kh_cli.commands.colorize import colorize
from kh_cli.commands.compare import compare
from kh_cli.commands.doctor import doctor
from kh_cli.commands.evaluate import evaluate
from kh_cli.commands.export import export
from kh_cli.commands.list import list_variants
from kh_cli.commands.page import page
from kh_cli.commands.plugins import list_plugins
from kh_cli.commands.publish import publish
from kh_cli.commands.pull import pull
from kh_cli.commands.rm import rm
from kh_cli.commands.show import show
from kh_cli.commands.study import study
from kh_cli.commands.train import train
from kh_cli.commands.verify import verify
from kh_cli.commands.watch import watch
from kh_zoo.hookspecs import hookimpl


@hookimpl
def register_commands(app: typer.Typer) -> None:
    """Add the commands, in the order of `kh --help`."""
    app.command()(colorize)
    app.command()(watch)
    app.command()(page)
    app.command("list")(list_variants)
    app.command()(show)
    app.command()(pull)
    app.command()(rm)
    app.command()(verify)
    app.command()(compare)
    app.command()(evaluate)
    app.command()(study)
    app.command()(train)
    app.command()(export)
    app.command()(publish)
    app.command("plugins")(list_plugins)
    app.command()(doctor)
