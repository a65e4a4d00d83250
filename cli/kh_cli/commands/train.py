"""`kh train`: a model of one's own."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kh_cli.errors import INTERRUPTED, WrongUse
from kh_cli.progress import Progress


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of the package (small, best).",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder of colour pictures; give it again for more of them.",
            show_default=False,
        ),
    ],
    run: Annotated[
        Path,
        typer.Option(
            file_okay=False,
            help="Run folder: checkpoints, curves and sheets of pictures. One that is there goes "
            "on where it left off.",
            show_default=False,
        ),
    ],
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only errors. Default: progress.")
    ] = False,
) -> None:
    """Train a model as a recipe says, or go on with a run.

    Ctrl-C, once, ends it after the step at hand and keeps what was learnt; the same command goes
    on from there.
    """
    from keras_hypercolumns.training import train as training
    from keras_hypercolumns.training.finish import finish, fold, head_steps
    from keras_hypercolumns.training.recipe import read_recipe
    from kh_zoo.keras_model import save_model

    try:
        plan = read_recipe(recipe)
        with Progress("training", plan.steps, quiet=quiet, log=True) as progress:
            trained, done = training.train(
                plan,
                data,
                run,
                lambda step, loss: progress.advance(step, note=f"loss {loss:.4f}"),
            )
        if done == plan.steps:
            with Progress("fitting the heads", head_steps(plan), quiet=quiet, log=True) as progress:
                model = finish(trained, plan, data, progress.advance)
        else:
            model = fold(trained, plan)
    except ValueError as error:  # how the library says what is wrong with recipe, data or run
        raise WrongUse(str(error)) from error
    save_model(model, run / "model", plan.head_size)
    if done < plan.steps:
        print(
            f"interrupted: {done} of {plan.steps} steps are kept in {run}; the same command goes "
            "on from there",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED)
    if not quiet:
        print(f"trained {done} steps: `kh evaluate {run} --data ...`", file=sys.stderr)
