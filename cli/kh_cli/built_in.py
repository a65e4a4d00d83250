"""The plugin of the commands that ship with the package."""

from collections.abc import Callable

import typer

from kh_cli.commands.colorize import colorize
from kh_cli.commands.compare import compare
from kh_cli.commands.doctor import doctor
from kh_cli.commands.evaluate import evaluate
from kh_cli.commands.export import export
from kh_cli.commands.features import features
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
from kh_cli.output.help import Command
from kh_zoo.hookspecs import hookimpl

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Colour pictures": {
        "colorize": colorize,
        "watch": watch,
        "page": page,
        "compare": compare,
    },
    "Models": {"list": list_variants, "show": show, "pull": pull, "rm": rm, "verify": verify},
    "Train and measure": {
        "train": train,
        "evaluate": evaluate,
        "study": study,
        "features": features,
    },
    "Use elsewhere": {"export": export, "publish": publish},
    "This installation": {"plugins": list_plugins, "doctor": doctor},
}
"""The commands, as `kh --help` lists them."""


@hookimpl
def register_commands(app: typer.Typer) -> None:
    """Add the commands."""
    for group, commands in GROUPS.items():
        for name, command in commands.items():
            app.command(name, cls=Command, rich_help_panel=group)(command)
