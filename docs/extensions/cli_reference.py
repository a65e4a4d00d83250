"""The reference of `kh`, written from the command line itself: `generated/cli.md`."""

from pathlib import Path

from typer.main import get_command

from kh_cli.app import create_app
from kh_cli.output.help import help_record


def setup(app):
    app.connect("builder-inited", write_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_reference(app):
    page = Path(app.srcdir, "generated", "cli.md")
    page.parent.mkdir(exist_ok=True)
    text = reference()
    # A page that stays as it was is not built again.
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def reference():
    """Return the page, in Markdown: every command, with its arguments and its options."""
    group = get_command(create_app())
    context = group.make_context("kh", [], resilient_parsing=True)
    parts = ["# Command line", *_command(group, context)]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        parts.append(f"## kh {name}")
        parts += _command(command, type(context)(command, info_name=name, parent=context))
    return "\n\n".join(parts) + "\n"


def _command(command, context):
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```"
    yield command.help
    yield f"```{{program}} {context.command_path}\n```"
    for parameter in command.get_params(context):
        if record := help_record(parameter, context):
            yield f"````{{option}} {record[0]}\n{record[1]}\n````"
