"""`kh features`: what a model sees in a picture."""

from pathlib import Path
from typing import Annotated

import typer

from kh_cli.options.hub_options import CacheDir, Offline, pull_model, set_hub
from kh_cli.options.model_options import ModelOption
from kh_cli.options.output_options import Overwrite, Quiet, check_absent
from kh_cli.output.errors import WrongUse
from kh_cli.output.stderr import tell
from kh_cli.output.stdout import write_line


def features(
    picture: Annotated[
        Path,
        typer.Argument(metavar="PICTURE", help="A picture file.", show_default=False),
    ],
    model: ModelOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            metavar="FILE",
            help="What to write. Default: PICTURE.features.png, beside the picture.",
            show_default=False,
        ),
    ] = None,
    tap: Annotated[
        list[str] | None,
        typer.Option(
            "--tap",
            metavar="NAME",
            help="A feature map; give it again for more. Default: those that the model's head "
            "sees.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            min=16, max=2048, help="Short side that the network sees the picture at, in pixels."
        ),
    ] = 512,
    overwrite: Overwrite = False,
    offline: Offline = False,
    cache_dir: CacheDir = None,
    quiet: Quiet = False,
) -> None:
    """Draw what a model sees in a picture: its hypercolumns as colours.

    What the network takes for alike has like colours: red, green and blue are the three principal
    components of the hypercolumns, which span most of their differences.
    """
    target = output or picture.with_name(f"{picture.stem}.features.png")
    check_absent("--output", target, overwrite)
    set_hub(offline, cache_dir)
    from kh_zoo.catalog.records import DEFAULT_VARIANT

    model = model or DEFAULT_VARIANT
    pull_model(model, quiet)
    from kh_zoo.errors import OutputError, PictureError
    from kh_zoo.measuring.features import draw_features

    try:
        seen = draw_features(picture, target, model, taps=tap or (), size=size)
    except PictureError as error:
        raise PictureError(f"{picture}: {error}") from error
    except OutputError as error:
        raise OutputError(f"{target}: {error}") from error
    except ValueError as error:  # such as a tap that isn't there
        raise WrongUse(str(error).replace("`taps`", "`--tap`")) from error
    write_line(target)
    if not quiet:
        names = [f"{name} ({channels} at {stride} px)" for name, (channels, stride) in seen.items()]
        tell(", ".join(names))
