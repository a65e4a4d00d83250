"""`kh plugins`: what adds to `kh`, and whether it works."""

from kh_cli.options.output_options import Json
from kh_cli.output.stdout import write_record, write_table


def list_plugins(
    json: Json = False,
) -> None:
    """List the plugins, with what they add and whether they work.

    KH_PLUGINS=a,b in the environment takes these only; KH_PLUGINS=-a,-b all but these; and
    KH_PLUGINS= none.
    """
    from kh_zoo.catalog import list_variants
    from kh_zoo.plugins.registry import plugins

    list_variants()
    found = plugins().try_all()
    if json:
        for plugin in found:
            write_record(
                {
                    "name": plugin.name,
                    "version": plugin.version,
                    "distribution": plugin.distribution,
                    "hooks": plugin.hooks,
                    "state": plugin.state,
                    "reason": plugin.reason,
                }
            )
        return
    write_table(
        ["name", "version", "hooks", "state"],
        [
            [
                plugin.name,
                plugin.version,
                ", ".join(hook.removeprefix("register_") for hook in plugin.hooks),
                plugin.state + (f": {plugin.reason}" if plugin.reason else ""),
            ]
            for plugin in found
        ],
    )
